//! What a follower is told when it starts, and what it says of itself.

use trefoil_clock::{ClusterId, EpochTable, Lsn, NodeId, Position, ShardId};
use trefoil_wire::peer::SnapshotId;

/// Settings of a follower.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FollowerOptions {
    /// This node.
    pub node: NodeId,
    /// Its history.
    pub cluster: ClusterId,
    /// The shard.
    pub shard: ShardId,
    /// A person said that its own history may be given up for the leader's. Holds until a leader was
    /// accepted.
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
    /// The data shows records up to this one though the log ends before: a snapshot was loaded, and not
    /// all records up to its end have come. Zero, or at most the end: it is whole.
    pub whole_from: Lsn,
    /// Reads wait until this much is committed: it was replayed and may not be.
    pub needs_commit_to: Lsn,
    /// This much of a snapshot is there, from a transfer that broke off.
    pub partial: Option<(SnapshotId, u64)>,
}

/// What a node holds once a snapshot is in place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Installed {
    /// Where the log goes on: the snapshot's start.
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
