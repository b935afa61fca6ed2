//! What a leader is told when it starts: options, and the state of its log.

use trefoil_clock::{ClusterId, EpochTable, Lsn, NodeId, Position, ShardId};
use trefoil_wire::peer::SnapshotId;

/// Settings of a leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaderOptions {
    /// This node.
    pub node: NodeId,
    /// Its history.
    pub cluster: ClusterId,
    /// The shard.
    pub shard: ShardId,
    /// Where clients reach this node.
    pub client_port: u16,
    /// How often a heartbeat goes to each link.
    pub heartbeat_ms: u64,
    /// A link from which nothing came for so long is closed. Above twice `heartbeat_ms`.
    pub link_timeout_ms: u64,
    /// Bytes that may be under way to one follower: sent and not acknowledged as received.
    pub window_bytes: u64,
    /// Bytes of one [`super::LeaderAction::Stream`].
    pub stream_bytes_max: u64,
    /// Bytes of one chunk of a snapshot.
    pub chunk_bytes_max: u64,
    /// Log kept for followers, in bytes; who is further behind is lost.
    pub retained_bytes_max: u64,
    /// A snapshot transfer in which nothing arrives for so long ends; so long a broken one may come
    /// back and go on.
    pub transfer_timeout_ms: u64,
    /// A follower that has a whole snapshot loads it within this time.
    pub install_timeout_ms: u64,
    /// So many snapshots in a row may come too late for a follower.
    pub snapshot_retries_max: u32,
    /// A follower that needs no longer than this for what was missing when it began has caught up.
    pub catch_up_round_ms: u64,
    /// A link that lives shorter than this counts as a flap; after three the node has to wait.
    pub flap_ms: u64,
    /// The longest that a flapping node has to wait.
    pub flap_hold_max_ms: u64,
    /// A detached node that is no member is forgotten after this time.
    pub forget_after_ms: u64,
    /// What raises an alert.
    pub max_lag: MaxLag,
}

impl LeaderOptions {
    /// The defaults of everything but who this is.
    #[must_use]
    pub fn new(node: NodeId, cluster: ClusterId, shard: ShardId) -> LeaderOptions {
        LeaderOptions {
            node,
            cluster,
            shard,
            client_port: 0,
            heartbeat_ms: 100,
            link_timeout_ms: 5_000,
            window_bytes: 4 << 20,
            stream_bytes_max: 1 << 20,
            chunk_bytes_max: 128 << 10,
            retained_bytes_max: 1 << 30,
            transfer_timeout_ms: 60_000,
            install_timeout_ms: 600_000,
            snapshot_retries_max: 3,
            catch_up_round_ms: 1_000,
            flap_ms: 1_000,
            flap_hold_max_ms: 5_000,
            forget_after_ms: 3_600_000,
            max_lag: MaxLag::default(),
        }
    }
}

/// Thresholds of the lag alert; it ends when the lag is below half of each. 0: no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MaxLag {
    /// Records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
    /// Milliseconds.
    pub ms: u64,
}

/// Where the leader's own log stands. Byte counts are on one scale, whose zero is anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogState {
    /// The last record handed to the operating system; what a tail reader finds.
    pub end: Lsn,
    /// The last record that was synced. At most `end`.
    pub durable: Lsn,
    /// The record before the first one that the log still holds.
    pub floor: Lsn,
    /// The byte behind `end`.
    pub end_bytes: u64,
    /// The byte behind `floor`.
    pub floor_bytes: u64,
}

/// What a leader begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaderStart {
    /// Its history; the last epoch is this node's own.
    pub epochs: EpochTable,
    /// Its log.
    pub log: LogState,
    /// What is known to be committed.
    pub committed: Lsn,
    /// The electable set, as persisted; this node does not count.
    pub members: Vec<NodeId>,
}

/// A snapshot whose file is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotReady {
    /// Its name.
    pub snapshot: SnapshotId,
    /// Records behind this one follow from the log.
    pub start: Position,
    /// Nothing is to be served before this record.
    pub end: Lsn,
    /// How long the file is.
    pub bytes: u64,
}
