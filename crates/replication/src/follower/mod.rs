//! The follower's side: whom to believe, what to take, where to cut.
//!
//! One link at a time, to the node that is to be followed. It adds to the log only what follows its
//! end in the leader's history.
//!
//! Invariants:
//! * After a welcome the log is a prefix of the leader's history, and stays one.
//! * `commit <= end`, `flushed <= end`; commit goes back only when a person gave up the own history, or
//!   with what was never safe.
//! * Nothing below `safe` is cut unless a person said so.

mod action;
mod fence;
mod install;
mod options;
mod probes;
mod receive;
mod report;

pub use action::{AfterCut, FollowerAction, FollowerCloseReason, FollowerEvent};
pub use options::{FollowerLog, FollowerOptions, FollowerState, Installed};

use trefoil_clock::{ClusterId, Epoch, EpochEntry, EpochTable, Lsn, NodeId, Position};
use trefoil_wire::peer::{Ack, Fence, Follow, Message, Offer, SnapshotId};

use install::Fetch;
use probes::Probes;

/// See the module.
#[derive(Debug)]
pub struct Follower {
    options: FollowerOptions,
    /// The last record that was taken in; the log may be about to write it.
    end: Position,
    epochs: EpochTable,
    /// What the log has written, and synced.
    received: Lsn,
    flushed: Lsn,
    /// What readers see.
    applied: Lsn,
    commit: Lsn,
    /// What the present leader said is committed; counts as far as the log goes.
    told_commit: Lsn,
    /// Committed by members' acknowledgements; at most `end`.
    safe: Lsn,
    /// What the present leader said is safe.
    told_safe: Lsn,
    leader_end: Lsn,
    /// Reads wait until this is committed and applied.
    ready_at: Lsn,
    /// The data shows records up to this one, of this epoch, though the log may end before: it is a
    /// snapshot's, and only the history that the snapshot is of makes it whole.
    whole: Option<(Lsn, EpochEntry)>,
    /// A leader was accepted since reads last had to wait.
    welcomed: bool,
    ready: bool,
    /// What goes on in log and store, whether or not there is a link.
    work: Work,
    link: Option<Link>,
    partial: Option<(SnapshotId, u64)>,
    probes: Probes,
}

/// See [`Follower`].
#[derive(Debug)]
enum Work {
    None,
    Cutting,
    Installing(Offer),
}

/// The link to the leader.
#[derive(Debug)]
struct Link {
    leader: NodeId,
    heard_at_ms: u64,
    /// In whose name it spoke so far.
    speaks_for: Option<(ClusterId, Epoch)>,
    /// The last heartbeat that came.
    heartbeat: u64,
    stage: Stage,
}

/// How far a link has come.
#[derive(Debug)]
enum Stage {
    /// Nothing is to be said before log and store have done what they do.
    Holding,
    Asking,
    Streaming,
    Fetching(Fetch),
    GivingTail,
}

impl Follower {
    /// A follower that has no link yet.
    #[must_use]
    pub fn new(options: FollowerOptions, log: FollowerLog) -> Follower {
        let end = log.end.lsn;
        let whole = log.epochs.entry_of(log.whole_from).map(|entry| (log.whole_from, entry));
        Follower {
            options,
            end: log.end,
            epochs: log.epochs,
            received: end,
            flushed: log.flushed,
            applied: log.applied,
            commit: log.safe.min(end).min(log.applied),
            told_commit: Lsn::ZERO,
            safe: log.safe.min(end),
            told_safe: Lsn::ZERO,
            leader_end: Lsn::ZERO,
            ready_at: log.needs_commit_to,
            whole,
            welcomed: false,
            ready: false,
            work: Work::None,
            link: None,
            partial: log.partial,
            probes: Probes::default(),
        }
    }

    /// What stands in front of everything that this follower says.
    #[must_use]
    pub fn fence(&self) -> Fence {
        let own_epoch = self.epochs.last().map(|entry| entry.epoch).unwrap_or_default();
        let own = (self.options.cluster, own_epoch);
        let spoken = self.link.as_ref().and_then(|link| link.speaks_for);
        let (cluster, epoch) = spoken.unwrap_or(own);
        Fence { cluster, shard: self.options.shard, epoch, sender: self.options.node }
    }

    /// A link to the leader is up, after the greeting.
    pub fn on_link(&mut self, now_ms: u64, leader: NodeId, out: &mut Vec<FollowerAction>) {
        self.on_link_down(now_ms, out);
        self.link = Some(Link {
            leader,
            heard_at_ms: now_ms,
            speaks_for: None,
            heartbeat: 0,
            stage: Stage::Holding,
        });
        self.ask(out);
    }

    /// The link is gone.
    pub fn on_link_down(&mut self, _now_ms: u64, out: &mut Vec<FollowerAction>) {
        self.link = None;
        for id in self.probes.lose_pending() {
            out.push(FollowerAction::ProbeLost { id });
        }
    }

    /// Asks to follow, unless log and store are busy; then it is done afterwards.
    fn ask(&mut self, out: &mut Vec<FollowerAction>) {
        let busy = !matches!(self.work, Work::None);
        let Some(link) = &mut self.link else { return };
        link.stage = if busy { Stage::Holding } else { Stage::Asking };
        if busy {
            return;
        }
        link.speaks_for = None;
        let message = Message::Follow(Follow {
            end: self.end,
            epochs: self.epochs.entries().to_vec(),
            flushed: self.flushed,
            applied: self.applied,
            partial: self.partial,
            adopts: self.options.adopts,
            client_port: self.options.client_port,
        });
        out.push(FollowerAction::Send { message });
    }

    /// The log has written records up to `received` and synced those up to `flushed`.
    pub fn on_log(
        &mut self,
        _now_ms: u64,
        received: Lsn,
        flushed: Lsn,
        out: &mut Vec<FollowerAction>,
    ) {
        let end = self.end.lsn;
        let before = (self.received, self.flushed);
        self.received = self.received.max(received.min(end));
        self.flushed = self.flushed.max(flushed.min(end));
        if (self.received, self.flushed) != before {
            self.acknowledge_progress(out);
        }
    }

    /// Readers see records up to this one.
    pub fn on_applied(&mut self, _now_ms: u64, applied: Lsn, out: &mut Vec<FollowerAction>) {
        if applied <= self.applied {
            return;
        }
        self.applied = applied;
        self.probes.on_applied(applied);
        self.judge_ready(out);
        self.acknowledge_progress(out);
    }

    /// The log was cut, and the store loaded again if that was asked for.
    pub fn on_cut_done(
        &mut self,
        _now_ms: u64,
        end: Position,
        epochs: EpochTable,
        applied: Lsn,
        out: &mut Vec<FollowerAction>,
    ) {
        self.work = Work::None;
        if applied < self.applied {
            // More had to go than was asked for.
            self.unready();
        }
        self.restart_from(end, epochs, applied);
        self.ready_at = self.ready_at.max(applied);
        self.ask(out);
    }

    /// Log and store are others than before.
    fn restart_from(&mut self, end: Position, epochs: EpochTable, applied: Lsn) {
        self.end = end;
        self.epochs = epochs;
        self.received = end.lsn;
        self.flushed = end.lsn;
        self.applied = applied;
        self.commit = self.commit.min(end.lsn);
        self.safe = self.safe.min(end.lsn);
        self.told_commit = Lsn::ZERO;
        self.told_safe = Lsn::ZERO;
    }

    /// The tail that a recovering leader asked for is on the link.
    pub fn on_tail_sent(&mut self, _now_ms: u64, out: &mut Vec<FollowerAction>) {
        let Some(link) = &mut self.link else { return };
        if matches!(link.stage, Stage::GivingTail) {
            link.stage = Stage::Asking;
            out.push(FollowerAction::Send { message: Message::Pulled { end: self.end } });
        }
    }

    /// Asks the leader where it stands; returns the probe's number. None: there is no leader to ask.
    pub fn probe(&mut self, now_ms: u64, out: &mut Vec<FollowerAction>) -> Option<u64> {
        if !self.is_streaming() {
            return None;
        }
        let id = self.probes.send(now_ms);
        out.push(FollowerAction::Send { message: Message::Probe { id } });
        Some(id)
    }

    /// When [`Follower::on_timeout`] is to be called next; none: something else has to happen first.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let link = self.link.as_ref()?;
        Some(link.heard_at_ms.saturating_add(self.options.link_timeout_ms))
    }

    /// Time has passed.
    pub fn on_timeout(&mut self, now_ms: u64, out: &mut Vec<FollowerAction>) {
        if self.deadline().is_some_and(|deadline| now_ms >= deadline) {
            self.close(now_ms, FollowerCloseReason::Silent, out);
        }
    }

    fn close(&mut self, now_ms: u64, reason: FollowerCloseReason, out: &mut Vec<FollowerAction>) {
        out.push(FollowerAction::Close { reason });
        self.on_link_down(now_ms, out);
    }

    fn is_streaming(&self) -> bool {
        self.link.as_ref().is_some_and(|link| matches!(link.stage, Stage::Streaming))
    }

    fn acknowledge_progress(&mut self, out: &mut Vec<FollowerAction>) {
        if self.is_streaming() {
            self.acknowledge(out);
        }
    }

    /// Says how far it has come. Before a welcome it has no part in the leader's history.
    fn acknowledge(&mut self, out: &mut Vec<FollowerAction>) {
        let streaming = self.is_streaming();
        let Some(link) = &self.link else { return };
        let none = Ack {
            received: Position::default(),
            flushed: Lsn::ZERO,
            applied: Lsn::ZERO,
            heartbeat: link.heartbeat,
        };
        let ack = Ack {
            received: self.epochs.position(self.received),
            flushed: self.flushed,
            applied: self.applied.min(self.received),
            ..none
        };
        let message = Message::Ack(if streaming { ack } else { none });
        out.push(FollowerAction::Send { message });
    }

    /// Raises the commit as far as the log goes, and tells what follows from it.
    fn advance(&mut self, out: &mut Vec<FollowerAction>) {
        let end = self.end.lsn;
        self.safe = self.safe.max(self.told_safe.min(end));
        let commit = self.told_commit.min(end);
        if commit > self.commit {
            self.commit = commit;
            out.push(FollowerAction::CommitTo(commit));
        }
        self.judge_ready(out);
    }

    fn judge_ready(&mut self, out: &mut Vec<FollowerAction>) {
        let reached = self.commit >= self.ready_at && self.applied >= self.ready_at;
        let ready = self.welcomed && reached && matches!(self.work, Work::None);
        if ready && !self.ready {
            self.ready = true;
            out.push(FollowerAction::Ready);
        }
    }

    /// What readers see is about to be replaced.
    fn unready(&mut self) {
        self.ready = false;
        self.welcomed = false;
        self.probes.forget();
    }
}
