//! How links stand, for ROLE, INFO, REPLICATION LAG and the metrics.

use std::net::IpAddr;

use trefoil_clock::{Lsn, NodeId};

/// A follower as its leader sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct FollowerRow {
    /// Who it is.
    pub node: NodeId,
    /// Where its clients find it; the address is that of its link.
    pub ip: Option<IpAddr>,
    /// The port for clients.
    pub port: u16,
    /// What it does.
    pub state: FollowerState,
    /// Whether its acknowledgements count (it is in the electable set).
    pub is_member: bool,
    /// The last record sent to it.
    pub sent: Lsn,
    /// The last record that its operating system has.
    pub received: Lsn,
    /// The last record that survives its power loss.
    pub flushed: Lsn,
    /// The last record that its readers see.
    pub applied: Lsn,
    /// Records that it has not applied.
    pub lag_records: u64,
    /// About how many bytes of log those are.
    pub lag_bytes: u64,
    /// How old what its readers see may be, milliseconds, by heartbeats. None: it is not attached.
    pub lag_ms: Option<u64>,
    /// Its lag is beyond a threshold of `max-lag`: it is taken out of `bounded` reads.
    pub is_lagging: bool,
    /// Milliseconds since its last message; `u64::MAX`: it has no link.
    pub silent_ms: u64,
}

/// What a follower does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FollowerState {
    /// It loads a snapshot: so many bytes of so many.
    Snapshot {
        /// Bytes it has.
        sent: u64,
        /// Bytes there are.
        bytes: u64,
    },
    /// It gets old records of the log.
    CatchingUp,
    /// It gets records as they are written.
    Streaming,
    /// It is a member, and not attached.
    Detached,
    /// It is too far behind for the log that is kept, and has to load a snapshot.
    Lost,
}

impl FollowerState {
    /// Whether it gets records: what it acknowledges follows what is written.
    #[must_use]
    pub fn is_online(self) -> bool {
        matches!(self, FollowerState::CatchingUp | FollowerState::Streaming)
    }

    /// Whether it has a link.
    #[must_use]
    pub fn is_attached(self) -> bool {
        self.is_online() || matches!(self, FollowerState::Snapshot { .. })
    }

    /// As REPLICATION LAG says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FollowerState::Snapshot { .. } => "snapshot",
            FollowerState::CatchingUp => "catching-up",
            FollowerState::Streaming => "streaming",
            FollowerState::Detached => "detached",
            FollowerState::Lost => "lost",
        }
    }
}

/// A leader as its follower sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaderLink {
    /// Where clients reach it: what REPLICAOF was told, or what it says itself.
    pub host: String,
    /// Port for clients.
    pub port: u16,
    /// How the link stands.
    pub state: LinkState,
    /// Who leads, once it has said so.
    pub node: Option<NodeId>,
    /// The last record that the leader is known to have.
    pub end: Lsn,
    /// When it was last heard of, Unix milliseconds of this node's clock; 0: never.
    pub heard_ms: u64,
    /// Why the last attempt failed, for people.
    pub trouble: Option<String>,
}

/// How a follower's link stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// It is being dialled.
    Connecting,
    /// A snapshot is being loaded: so many bytes of so many.
    Loading {
        /// Bytes that came.
        received: u64,
        /// Bytes there are.
        bytes: u64,
    },
    /// Records come.
    Streaming,
    /// It is down; it is tried again.
    Down,
}
