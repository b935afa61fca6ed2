//! A follower with a log of epochs instead of records, and its end of the link.

use std::collections::VecDeque;

use trefoil_clock::{ClusterId, Epoch, EpochTable, Hlc, Lsn, NodeId, Position, ShardId};
use trefoil_replication::{
    Follower, FollowerAction, FollowerLog, FollowerOptions, Installed, LinkId, RunHead,
};
use trefoil_wire::peer::{Append, Fence, Message, Offer};

/// A message to a follower.
#[derive(Clone)]
pub(crate) enum Parcel {
    Plain(Message<'static>),
    Records { prev: Position, commit: Lsn, runs: Vec<RunHead> },
    Chunk { snapshot: trefoil_wire::peer::SnapshotId, offset: u64, bytes: usize },
}

/// See the module.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) follower: Follower,
    /// The epoch of each record that was taken in.
    pub(crate) log: Vec<Epoch>,
    epochs: EpochTable,
    pub(crate) flushed: Lsn,
    applied: Lsn,
    commit_to: Lsn,
    pub(crate) link: Option<LinkId>,
    pub(crate) inbox: VecDeque<(Fence, Parcel)>,
    pub(crate) outbox: VecDeque<(Fence, Message<'static>)>,
    cut_to: Option<Position>,
    installing: Option<Offer>,
    written: u64,
}

impl Node {
    pub(crate) fn new(id: NodeId, epochs: EpochTable, end: Lsn) -> Node {
        let log: Vec<Epoch> = (1..=end.0).map(|lsn| epochs.position(Lsn(lsn)).epoch).collect();
        let follower = start(id, &epochs, end, end);
        Node {
            id,
            follower,
            log,
            epochs,
            flushed: end,
            applied: end,
            commit_to: Lsn::ZERO,
            link: None,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            cut_to: None,
            installing: None,
            written: 0,
        }
    }

    pub(crate) fn end(&self) -> Lsn {
        Lsn(self.log.len() as u64)
    }

    pub(crate) fn connect(&mut self, now_ms: u64, link: LinkId, leader: NodeId) {
        self.link = Some(link);
        self.inbox.clear();
        self.outbox.clear();
        let mut out = Vec::new();
        self.follower.on_link(now_ms, leader, &mut out);
        self.carry_out(out);
    }

    pub(crate) fn disconnect(&mut self, now_ms: u64) {
        self.link = None;
        let mut out = Vec::new();
        self.follower.on_link_down(now_ms, &mut out);
        self.carry_out(out);
    }

    /// Loses what was not synced, and everything in memory.
    pub(crate) fn crash(&mut self) {
        self.link = None;
        self.log.truncate(usize::try_from(self.flushed.0).expect("a short log"));
        self.epochs.cut(self.flushed);
        self.applied = self.end();
        self.commit_to = Lsn::ZERO;
        self.cut_to = None;
        self.installing = None;
        self.follower = start(self.id, &self.epochs, self.flushed, self.flushed);
    }

    pub(crate) fn receive(&mut self, now_ms: u64) {
        let Some((fence, parcel)) = self.inbox.pop_front() else { return };
        let zeros = [0; 16];
        let mut out = Vec::new();
        let (message, runs) = match parcel {
            Parcel::Plain(message) => (message, Vec::new()),
            Parcel::Chunk { snapshot, offset, bytes } => {
                let bytes = &zeros[..bytes];
                let chunk = trefoil_wire::peer::Chunk { snapshot, offset, bytes };
                self.follower.on_message(now_ms, &fence, &Message::Chunk(chunk), &[], &mut out);
                return self.carry_out(out);
            }
            Parcel::Records { prev, commit, runs } => {
                let append = Append { prev, commit, clock: Hlc(0), flush: false, runs: &zeros };
                self.follower.on_message(now_ms, &fence, &Message::Append(append), &runs, &mut out);
                let taken = out.iter().any(|it| matches!(it, FollowerAction::Append { .. }));
                for run in runs.iter().filter(|_| taken) {
                    self.log.extend((0..run.count).map(|_| run.epoch));
                }
                return self.carry_out(out);
            }
        };
        self.follower.on_message(now_ms, &fence, &message, &runs, &mut out);
        self.carry_out(out);
    }

    pub(crate) fn write(&mut self, now_ms: u64) {
        self.tell_log(now_ms);
    }

    pub(crate) fn sync(&mut self, now_ms: u64) {
        if self.cut_to.is_none() && self.installing.is_none() {
            self.flushed = self.end();
            self.tell_log(now_ms);
        }
    }

    fn tell_log(&mut self, now_ms: u64) {
        if self.cut_to.is_none() && self.installing.is_none() {
            let mut out = Vec::new();
            self.follower.on_log(now_ms, self.end(), self.flushed, &mut out);
            self.carry_out(out);
        }
    }

    pub(crate) fn apply(&mut self, now_ms: u64) {
        if self.commit_to > self.applied && self.cut_to.is_none() && self.installing.is_none() {
            self.applied = self.commit_to;
            let mut out = Vec::new();
            self.follower.on_applied(now_ms, self.applied, &mut out);
            self.carry_out(out);
        }
    }

    /// The disk has done what it was told. `log` is the leader's, for a snapshot.
    pub(crate) fn finish(&mut self, now_ms: u64, log: &[Epoch]) {
        let mut out = Vec::new();
        if let Some(to) = self.cut_to.take() {
            self.reset_log(self.log[..usize::try_from(to.lsn.0).expect("a short log")].to_vec());
            self.epochs.cut(to.lsn);
            self.follower.on_cut_done(now_ms, to, self.epochs.clone(), self.applied, &mut out);
        } else if let Some(offer) = self.installing.take() {
            let start = usize::try_from(offer.start.lsn.0).expect("a short log");
            self.reset_log(log[..start].to_vec());
            self.epochs = EpochTable::from_entries(offer.epochs).expect("epochs ascend");
            let (epochs, applied) = (self.epochs.clone(), self.applied);
            let installed = Installed { end: offer.start, epochs, applied };
            self.follower.on_installed(now_ms, installed, &mut out);
        }
        self.carry_out(out);
    }

    fn reset_log(&mut self, log: Vec<Epoch>) {
        self.log = log;
        self.flushed = self.end();
        self.applied = self.end();
        self.commit_to = Lsn::ZERO;
    }

    pub(crate) fn time(&mut self, now_ms: u64) {
        let mut out = Vec::new();
        if self.follower.deadline().is_some_and(|at_ms| now_ms >= at_ms) {
            self.follower.on_timeout(now_ms, &mut out);
        }
        self.carry_out(out);
    }

    fn carry_out(&mut self, actions: Vec<FollowerAction>) {
        let mut more = Vec::new();
        for action in actions {
            match action {
                FollowerAction::Send { message } => {
                    self.outbox.push_back((self.follower.fence(), message));
                }
                FollowerAction::Epochs(table) => self.epochs = table,
                FollowerAction::Cut { to, .. } => self.cut_to = Some(to),
                FollowerAction::CommitTo(lsn) => self.commit_to = lsn,
                FollowerAction::BeginInstall { from, .. } => self.written = from,
                FollowerAction::WriteChunk { offset, bytes } => {
                    self.written = offset + bytes;
                    self.follower.on_chunk_written(0, self.written, &mut more);
                }
                FollowerAction::FinishInstall { offer } => self.installing = Some(offer),
                FollowerAction::Close { .. } => self.link = None,
                FollowerAction::Append { .. }
                | FollowerAction::Adopt { .. }
                | FollowerAction::Clock(_)
                | FollowerAction::Deliver { .. }
                | FollowerAction::SendTail { .. }
                | FollowerAction::Ready
                | FollowerAction::ProbeAnswered { .. }
                | FollowerAction::ProbeLost { .. }
                | FollowerAction::Event(_) => {}
            }
        }
        if !more.is_empty() {
            self.carry_out(more);
        }
    }
}

fn start(node: NodeId, epochs: &EpochTable, end: Lsn, applied: Lsn) -> Follower {
    let options = FollowerOptions {
        node,
        cluster: ClusterId(1),
        shard: ShardId(0),
        adopts: false,
        client_port: 0,
        link_timeout_ms: 5_000,
    };
    let log = FollowerLog {
        end: epochs.position(end),
        epochs: epochs.clone(),
        flushed: end,
        applied,
        safe: Lsn::ZERO,
        whole_from: trefoil_clock::Lsn::ZERO,
        needs_commit_to: end,
        partial: None,
    };
    Follower::new(options, log)
}
