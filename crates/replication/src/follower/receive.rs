//! What a follower does with messages: each handler is a ladder of early exits.

use trefoil_clock::{ClusterId, EpochEntry, EpochTable, Lsn, Position};
use trefoil_wire::peer::{Append, Fence, Heartbeat, Message, Welcome};

use super::action::{AfterCut, FollowerAction, FollowerCloseReason, FollowerEvent};
use super::fence::{Distrust, Trust};
use super::{Follower, Stage, Work};
use crate::RunHead;
use crate::fork::last_of_runs;

impl Follower {
    /// A message came over the present link; `runs` are those of an Append, else empty.
    pub fn on_message(
        &mut self,
        now_ms: u64,
        fence: &Fence,
        message: &Message<'_>,
        runs: &[RunHead],
        out: &mut Vec<FollowerAction>,
    ) {
        let Some(link) = &mut self.link else {
            // The link was closed, its last messages are of no interest.
            return;
        };
        let trust = Trust {
            cluster: self.options.cluster,
            shard: self.options.shard,
            leader: link.leader,
            newest: self.epochs.last(),
            speaks_for: link.speaks_for,
            adopts: self.options.adopts,
        };
        if let Err(distrust) = trust.judge(fence, message) {
            return self.distrust(now_ms, fence, distrust, out);
        }
        link.heard_at_ms = now_ms;
        link.speaks_for = Some((fence.cluster, fence.epoch));
        match message {
            Message::Welcome(welcome) => self.on_welcome(now_ms, fence, welcome, out),
            Message::Refuse(refuse) => {
                self.close(now_ms, FollowerCloseReason::Refused(refuse.reason), out);
            }
            Message::Append(append) => self.on_append(now_ms, append, runs, out),
            Message::Heartbeat(heartbeat) => self.on_heartbeat(*heartbeat, out),
            Message::ProbeAnswer { id, commit } => self.on_probe_answer(*id, *commit, out),
            Message::Offer(offer) => self.on_offer(now_ms, fence, offer, out),
            Message::Chunk(chunk) => self.on_chunk(now_ms, chunk, out),
            Message::Pull { after } => self.on_pull(*after, out),
            Message::Restart => self.ask(out),
            Message::Publish(publish) => out.push(FollowerAction::Deliver { after: publish.after }),
            Message::Follow(_)
            | Message::Ack(_)
            | Message::Probe { .. }
            | Message::Fetch { .. }
            | Message::Pulled { .. } => {
                self.close(now_ms, FollowerCloseReason::Malformed, out);
            }
        }
    }

    fn distrust(
        &mut self,
        now_ms: u64,
        fence: &Fence,
        distrust: Distrust,
        out: &mut Vec<FollowerAction>,
    ) {
        match distrust {
            Distrust::Drop(reason) => self.close(now_ms, reason, out),
            Distrust::TwoLeaders { epoch, known } => {
                let event = FollowerEvent::TwoLeaders { epoch, known, other: fence.sender };
                out.push(FollowerAction::Event(event));
                self.close(now_ms, FollowerCloseReason::TwoLeaders, out);
            }
        }
    }

    /// The leader's history, if it is one that this sender may lead; else the link is closed.
    pub(super) fn history_of(
        &mut self,
        now_ms: u64,
        fence: &Fence,
        entries: &[EpochEntry],
        out: &mut Vec<FollowerAction>,
    ) -> Option<EpochTable> {
        let led_by_sender = |table: &EpochTable| {
            table.last().is_some_and(|it| it.epoch == fence.epoch && it.leader == fence.sender)
        };
        let table = EpochTable::from_entries(entries.to_vec()).filter(led_by_sender);
        if table.is_none() {
            self.close(now_ms, FollowerCloseReason::Malformed, out);
        }
        table
    }

    fn on_welcome(
        &mut self,
        now_ms: u64,
        fence: &Fence,
        welcome: &Welcome,
        out: &mut Vec<FollowerAction>,
    ) {
        let asking = self.link.as_ref().is_some_and(|it| matches!(it.stage, Stage::Asking));
        if !asking {
            // The answer to a question that was put again since.
            return;
        }
        let Some(theirs) = self.history_of(now_ms, fence, &welcome.epochs, out) else { return };
        let own_history = fence.cluster == self.options.cluster;
        let at = if own_history { welcome.fork } else { Position::default() };
        let end = self.end.lsn;
        let in_common = self.epochs.holds(at, end) && theirs.position(at.lsn) == at;
        if welcome.fork != at || !in_common {
            return self.close(now_ms, FollowerCloseReason::Malformed, out);
        }
        if !own_history {
            return self.adopt(fence, out);
        }
        if at.lsn < end {
            return self.cut(now_ms, at, out);
        }
        if self.is_of_another_branch(&theirs) {
            // Records that would follow are not those that the data shows already.
            out.push(FollowerAction::Event(FollowerEvent::Diverged { fork: at, end: self.end }));
            self.unready();
            self.ready_at = Lsn::ZERO;
            return self.begin_cut(Position::default(), AfterCut::Rebuild, out);
        }
        self.begin_streaming(fence, theirs, welcome.commit, out);
    }

    /// Whether the data is a snapshot's whose end is not in this history.
    fn is_of_another_branch(&self, theirs: &EpochTable) -> bool {
        let lacks = |(end, entry)| self.end.lsn < end && theirs.entry_of(end) != Some(entry);
        self.whole.is_some_and(lacks)
    }

    /// Gives the own history up for the leader's.
    fn adopt(&mut self, fence: &Fence, out: &mut Vec<FollowerAction>) {
        self.become_of(fence.cluster, out);
        self.unready();
        self.ready_at = Lsn::ZERO;
        self.begin_cut(Position::default(), AfterCut::Rebuild, out);
    }

    /// Takes the leader's cluster for its own, if it is another one.
    pub(super) fn become_of(&mut self, cluster: ClusterId, out: &mut Vec<FollowerAction>) {
        if self.options.cluster != cluster {
            self.options.cluster = cluster;
            (self.commit, self.safe) = (Lsn::ZERO, Lsn::ZERO);
            (self.told_commit, self.told_safe) = (Lsn::ZERO, Lsn::ZERO);
            out.push(FollowerAction::Adopt { cluster });
        }
    }

    fn cut(&mut self, now_ms: u64, to: Position, out: &mut Vec<FollowerAction>) {
        if self.would_lose_committed(now_ms, to.lsn, out) {
            return;
        }
        out.push(FollowerAction::Event(FollowerEvent::Diverged { fork: to, end: self.end }));
        let then = if self.applied > to.lsn { AfterCut::Rebuild } else { AfterCut::GoOn };
        if then == AfterCut::Rebuild {
            self.unready();
        }
        self.ready_at = self.ready_at.min(to.lsn);
        self.begin_cut(to, then, out);
    }

    fn begin_cut(&mut self, to: Position, then: AfterCut, out: &mut Vec<FollowerAction>) {
        self.work = Work::Cutting;
        if then == AfterCut::Rebuild {
            self.whole = None;
        }
        if let Some(link) = &mut self.link {
            link.stage = Stage::Holding;
        }
        out.push(FollowerAction::Cut { to, then });
    }

    /// Refuses a leader that lacks what members acknowledged, unless a person said otherwise.
    pub(super) fn would_lose_committed(
        &mut self,
        now_ms: u64,
        fork: Lsn,
        out: &mut Vec<FollowerAction>,
    ) -> bool {
        let Some(link) = &self.link else { return false };
        if self.options.adopts || fork >= self.safe {
            return false;
        }
        let (leader, safe) = (link.leader, self.safe);
        out.push(FollowerAction::Event(FollowerEvent::WouldLoseCommitted { leader, fork, safe }));
        self.close(now_ms, FollowerCloseReason::WouldLoseCommitted, out);
        true
    }

    fn begin_streaming(
        &mut self,
        fence: &Fence,
        theirs: EpochTable,
        commit: Lsn,
        out: &mut Vec<FollowerAction>,
    ) {
        self.options.adopts = false;
        self.partial = None;
        if let Some(link) = &mut self.link {
            link.stage = Stage::Streaming;
        }
        if self.epochs != theirs {
            self.epochs = theirs.clone();
            out.push(FollowerAction::Epochs(theirs));
        }
        let following = FollowerEvent::Following { leader: fence.sender, epoch: fence.epoch };
        out.push(FollowerAction::Event(following));
        if !self.ready {
            self.ready_at = self.ready_at.max(commit);
        }
        self.welcomed = true;
        self.told_commit = commit;
        self.told_safe = Lsn::ZERO;
        self.acknowledge(out);
        self.advance(out);
    }

    fn on_append(
        &mut self,
        now_ms: u64,
        append: &Append<'_>,
        runs: &[RunHead],
        out: &mut Vec<FollowerAction>,
    ) {
        if !self.is_streaming() {
            // Under way while this node asked again.
            return;
        }
        let Some(last) = last_of_runs(append.prev.lsn, runs, &self.epochs) else {
            return self.close(now_ms, FollowerCloseReason::BadRuns, out);
        };
        if self.epochs.holds(append.prev, self.end.lsn) && last <= self.end.lsn {
            // A duplicate.
            return self.acknowledge(out);
        }
        if append.prev != self.end {
            // A gap, or another history: the leader has to look where they part.
            return self.ask(out);
        }
        self.end = self.epochs.position(last);
        out.push(FollowerAction::Append { last });
        out.push(FollowerAction::Clock(append.clock));
        self.told_commit = self.told_commit.max(append.commit);
        self.leader_end = self.leader_end.max(last);
        self.advance(out);
    }

    fn on_heartbeat(&mut self, heartbeat: Heartbeat, out: &mut Vec<FollowerAction>) {
        let Some(link) = &mut self.link else { return };
        link.heartbeat = link.heartbeat.max(heartbeat.id);
        if self.is_streaming() {
            self.leader_end = heartbeat.end;
            self.told_commit = self.told_commit.max(heartbeat.commit);
            self.told_safe = self.told_safe.max(heartbeat.safe);
            out.push(FollowerAction::Clock(heartbeat.clock));
            self.advance(out);
        }
        self.acknowledge(out);
    }

    fn on_probe_answer(&mut self, id: u64, commit: Lsn, out: &mut Vec<FollowerAction>) {
        for id in self.probes.on_answer(id, commit) {
            out.push(FollowerAction::ProbeAnswered { id, commit });
        }
        self.probes.on_applied(self.applied);
        if self.is_streaming() {
            self.told_commit = self.told_commit.max(commit);
            self.advance(out);
        }
    }

    /// A recovering leader wants what it lost.
    fn on_pull(&mut self, after: Position, out: &mut Vec<FollowerAction>) {
        let Some(link) = &mut self.link else { return };
        if !matches!(link.stage, Stage::Asking) {
            return;
        }
        let up_to = self.end.lsn;
        if after.lsn < up_to && self.epochs.holds(after, up_to) {
            link.stage = Stage::GivingTail;
            out.push(FollowerAction::SendTail { prev: after, up_to });
        } else {
            out.push(FollowerAction::Send { message: Message::Pulled { end: self.end } });
        }
    }
}
