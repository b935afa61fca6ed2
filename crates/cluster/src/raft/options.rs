//! Settings of a node.

use trefoil_clock::NodeId;

/// Times, bounds, and where the dice start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// This node.
    pub node: NodeId,
    /// Where its dice start; different on every node and at every start.
    pub seed: u64,
    /// How often a leader is heard, and how soon what was lost is sent again.
    pub heartbeat_ms: u64,
    /// A follower waits at least so long for its leader; so long it is loyal to it, too. Above twice
    /// `heartbeat_ms`.
    pub election_min_ms: u64,
    /// It waits at most so long; a leader steps down after so long without a majority. Above
    /// `election_min_ms`.
    pub election_max_ms: u64,
    /// Bytes of entries in one append; one entry always goes.
    pub append_bytes_max: usize,
    /// Bytes of one chunk of a snapshot.
    pub chunk_bytes_max: usize,
    /// Bytes of a snapshot's data: what is larger is neither made nor taken.
    pub snapshot_bytes_max: usize,
    /// Bytes of one command: it has to fit a datagram.
    pub command_bytes_max: usize,
    /// Entries that a leader takes beyond what is committed.
    pub uncommitted_max: u64,
    /// Appends under way to one follower.
    pub window: u32,
    /// Entries kept before a snapshot, for followers that are a little behind.
    pub tail_entries: u64,
    /// A new voter may lack at most so many entries.
    pub caught_up_entries: u64,
    /// Whoever was removed is told so for this time.
    pub leaving_ms: u64,
}

impl Options {
    /// The defaults of everything but who this is.
    #[must_use]
    pub fn new(node: NodeId, seed: u64) -> Options {
        Options {
            node,
            seed,
            heartbeat_ms: 50,
            election_min_ms: 250,
            election_max_ms: 450,
            append_bytes_max: 8 << 10,
            chunk_bytes_max: 8 << 10,
            snapshot_bytes_max: 16 << 20,
            command_bytes_max: 32 << 10,
            uncommitted_max: 4_096,
            window: 8,
            tail_entries: 64,
            caught_up_entries: 64,
            leaving_ms: 2_000,
        }
    }
}
