//! What can be configured of what a follower answers, and of answers that do not come.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64};

use trefoil_replication::Consistency;

/// Values in force.
pub struct FreshnessSettings {
    /// How fresh reads are to be without CONSISTENCY: an index into
    /// [`FreshnessSettings::CONSISTENCIES`].
    pub default_consistency: AtomicU8,
    /// The bound that goes with `bounded`, milliseconds.
    pub default_bound_ms: AtomicU64,
    /// How long a read waits until it is as fresh as its session before the leader is asked.
    pub session_wait_ms: AtomicU64,
    /// Whose clock a connection without a name shares: an index into [`FreshnessSettings::SCOPES`].
    pub session_scope: AtomicU8,
    /// What a follower does with writes: a [`FollowerWrites`].
    pub follower_writes: AtomicU8,
    /// How long an answer of the leader is waited for, milliseconds; 0: for ever.
    pub forward_timeout_ms: AtomicU64,
    /// How long commands wait for somebody to lead, milliseconds; in a cluster that agrees on who does.
    pub leader_wait_ms: AtomicU64,
    /// How long a reply waits for acknowledgements, milliseconds; 0: for ever.
    pub ack_timeout_ms: AtomicU64,
}

/// What a follower does with a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum FollowerWrites {
    /// The leader gets it, and the client the leader's reply.
    Forward = 0,
    /// It is refused.
    Readonly = 1,
    /// It is refused with the leader's address.
    Moved = 2,
}

impl FollowerWrites {
    /// Their names; the index is the value.
    pub const NAMES: &[&str] = &["forward", "readonly", "moved"];
}

impl FreshnessSettings {
    /// Names of `default-consistency`.
    pub const CONSISTENCIES: &[&str] = &["eventual", "session", "bounded", "linearizable"];
    /// Names of `session-scope`.
    pub const SCOPES: &[&str] = &["host", "connection"];

    /// How fresh reads are to be of connections that did not say.
    #[must_use]
    pub fn consistency(&self) -> Consistency {
        match self.default_consistency.load(Relaxed) {
            0 => Consistency::Eventual,
            1 => Consistency::Session,
            2 => Consistency::Bounded(self.default_bound_ms.load(Relaxed)),
            _ => Consistency::Linearizable,
        }
    }

    /// Whether each connection is a session of its own.
    #[must_use]
    pub fn is_scope_connection(&self) -> bool {
        self.session_scope.load(Relaxed) == 1
    }

    /// What a follower does with a write.
    #[must_use]
    pub fn follower_writes(&self) -> FollowerWrites {
        match self.follower_writes.load(Relaxed) {
            0 => FollowerWrites::Forward,
            1 => FollowerWrites::Readonly,
            _ => FollowerWrites::Moved,
        }
    }
}

impl Default for FreshnessSettings {
    fn default() -> FreshnessSettings {
        FreshnessSettings {
            default_consistency: AtomicU8::new(1),
            default_bound_ms: AtomicU64::new(1_000),
            session_wait_ms: AtomicU64::new(100),
            session_scope: AtomicU8::new(0),
            follower_writes: AtomicU8::new(FollowerWrites::Forward as u8),
            forward_timeout_ms: AtomicU64::new(10_000),
            leader_wait_ms: AtomicU64::new(5_000),
            ack_timeout_ms: AtomicU64::new(5_000),
        }
    }
}
