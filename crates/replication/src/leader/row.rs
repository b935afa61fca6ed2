//! What a person sees of a follower: one row of REPLICATION LAG.

use trefoil_clock::{Lsn, NodeId};

use crate::LinkId;

/// One follower as the leader knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FollowerRow {
    /// Which node.
    pub node: NodeId,
    /// Its link, if it has one.
    pub link: Option<LinkId>,
    /// Whether it is in the electable set.
    pub member: bool,
    /// What goes on with it.
    pub state: RowState,
    /// The last record put on its link.
    pub sent: Lsn,
    /// The last one that its operating system has.
    pub received: Lsn,
    /// The last one that it synced.
    pub flushed: Lsn,
    /// The last one that its readers see.
    pub applied: Lsn,
    /// Records that the leader has and it has not applied.
    pub lag_records: u64,
    /// Their bytes, as far as the log's samples tell.
    pub lag_bytes: Option<u64>,
    /// Age of what its readers see; none before its first acknowledged heartbeat.
    pub lag_ms: Option<u64>,
    /// Whether it is behind by more than the thresholds.
    pub alert: bool,
    /// Where its clients connect, as it said.
    pub client_port: u16,
}

/// See [`FollowerRow`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowState {
    /// It has a link and has not been welcomed.
    Connecting,
    /// It gets a snapshot, or waits for one.
    Snapshot {
        /// Bytes put on its link.
        sent: u64,
        /// Bytes of the file; 0 while it is being made.
        bytes: u64,
    },
    /// It gets records and has not caught up yet.
    CatchingUp,
    /// It gets records as they come.
    Streaming,
    /// The log does not hold what it needs, and it is away.
    Lost,
    /// It is away.
    Gone,
}
