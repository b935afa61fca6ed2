//! The follower's side: whom to believe, what to take, where to cut.
//!
//! One link at a time, to the node that is to be followed. It adds to the log only what follows its
//! end in the leader's history.

mod action;

pub use action::{AfterCut, FollowerAction, FollowerCloseReason, FollowerEvent};

use trefoil_clock::{ClusterId, EpochTable, Lsn, NodeId, Position, ShardId};
use trefoil_wire::peer::{Fence, Message, SnapshotId};

use crate::RunHead;

/// Settings of a follower.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FollowerOptions {
    /// This node.
    pub node: NodeId,
    /// Its history.
    pub cluster: ClusterId,
    /// The shard.
    pub shard: ShardId,
    /// A person said that its own history may be given up for the leader's.
    pub adopts: bool,
    /// Where clients reach this node.
    pub client_port: u16,
    /// A link from which nothing came for so long is closed.
    pub link_timeout_ms: u64,
}

/// What a follower's log and store hold when it starts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FollowerLog {
    /// The last record.
    pub end: Position,
    /// Its history.
    pub epochs: EpochTable,
    /// What is synced.
    pub flushed: Lsn,
    /// What the store shows.
    pub applied: Lsn,
    /// What is known to be committed by members' acknowledgements, so that it must not be cut.
    pub safe: Lsn,
    /// Reads wait until this much is committed: it was replayed and may not be.
    pub needs_commit_to: Lsn,
    /// This much of a snapshot is there, from a transfer that broke off.
    pub partial: Option<(SnapshotId, u64)>,
}

/// What a node holds once a snapshot is in place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Installed {
    /// Where the log goes on: the snapshot's start, or later.
    pub end: Position,
    /// The history.
    pub epochs: EpochTable,
    /// What the store shows.
    pub applied: Lsn,
}

/// What a follower does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FollowerState {
    /// It has no link.
    Detached,
    /// It asked to follow and waits.
    Asking,
    /// It gets records.
    Streaming,
    /// It cuts its tail.
    Cutting,
    /// It fetches a snapshot.
    Fetching {
        /// Bytes written.
        written: u64,
        /// Bytes in all.
        bytes: u64,
    },
    /// It loads a snapshot.
    Installing,
    /// It gives a recovering leader its tail.
    GivingTail,
}

/// See the module.
#[derive(Debug)]
pub struct Follower {
    options: FollowerOptions,
    log: FollowerLog,
}

#[allow(unused_variables, missing_docs)]
impl Follower {
    #[must_use]
    pub fn new(options: FollowerOptions, log: FollowerLog) -> Follower {
        Follower { options, log }
    }
    pub fn fence(&self) -> Fence {
        Fence {
            cluster: self.options.cluster,
            shard: self.options.shard,
            epoch: self.log.epochs.last().map(|entry| entry.epoch).unwrap_or_default(),
            sender: self.options.node,
        }
    }
    /// A link to `leader` is up, after the greeting.
    pub fn on_link(&mut self, now_ms: u64, leader: NodeId, out: &mut Vec<FollowerAction>) {}
    pub fn on_link_down(&mut self, now_ms: u64, out: &mut Vec<FollowerAction>) {}
    /// A message came over the present link; `runs` are those of an Append.
    pub fn on_message(
        &mut self,
        now_ms: u64,
        fence: &Fence,
        message: &Message<'_>,
        runs: &[RunHead],
        out: &mut Vec<FollowerAction>,
    ) {
    }
    pub fn on_log(&mut self, now_ms: u64, received: Lsn, flushed: Lsn, out: &mut Vec<FollowerAction>) {}
    pub fn on_applied(&mut self, now_ms: u64, applied: Lsn, out: &mut Vec<FollowerAction>) {}
    pub fn on_cut_done(
        &mut self,
        now_ms: u64,
        end: Position,
        epochs: EpochTable,
        applied: Lsn,
        out: &mut Vec<FollowerAction>,
    ) {
    }
    /// The snapshot's file holds this many bytes.
    pub fn on_chunk_written(&mut self, now_ms: u64, written: u64, out: &mut Vec<FollowerAction>) {}
    pub fn on_installed(&mut self, now_ms: u64, installed: Installed, out: &mut Vec<FollowerAction>) {}
    pub fn on_install_failed(&mut self, now_ms: u64, out: &mut Vec<FollowerAction>) {}
    pub fn on_tail_sent(&mut self, now_ms: u64, out: &mut Vec<FollowerAction>) {}
    /// Asks the leader where it stands. None: there is no leader to ask.
    pub fn probe(&mut self, now_ms: u64, out: &mut Vec<FollowerAction>) -> Option<u64> {
        None
    }
    pub fn on_timeout(&mut self, now_ms: u64, out: &mut Vec<FollowerAction>) {}
    pub fn deadline(&self) -> Option<u64> {
        None
    }
    pub fn state(&self) -> FollowerState {
        FollowerState::Detached
    }
    pub fn is_ready(&self) -> bool {
        false
    }
    /// When the newest probe was sent whose answer is applied: reads are no older than that.
    pub fn fresh_at(&self) -> Option<u64> {
        None
    }
    pub fn end(&self) -> Position {
        self.log.end
    }
    pub fn epochs(&self) -> &EpochTable {
        &self.log.epochs
    }
    pub fn commit(&self) -> Lsn {
        Lsn::ZERO
    }
    pub fn applied(&self) -> Lsn {
        self.log.applied
    }
    /// What the leader last said about its end.
    pub fn leader_end(&self) -> Lsn {
        Lsn::ZERO
    }
    pub fn validate(&self) {}
}
