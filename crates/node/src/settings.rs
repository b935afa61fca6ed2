//! What can be configured, as the rest of the node reads it: relaxed atomics, no lock on a hot path.
//!
//! Names, texts and ranges (CONFIG GET and SET, the configuration file) are the registry's; this is
//! only where the values are.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};

/// Values in force.
pub struct Settings {
    /// Bytes of data from which on keys are evicted or writes refused; 0: no limit.
    pub maxmemory: AtomicU64,
    /// Which keys go then: an index into the registry's list of policies.
    pub maxmemory_policy: AtomicU8,
    /// Keys looked at for each eviction.
    pub maxmemory_samples: AtomicU64,
    /// How long a string, and a bulk of a request, may get, bytes.
    pub proto_max_bulk_len: AtomicU64,
    /// Bytes of requests that a connection may have waiting.
    pub client_query_buffer_limit: AtomicU64,
    /// Bytes of replies at which a connection is closed at once; 0: never. Normal, replica, pubsub.
    pub output_hard_bytes: [AtomicU64; 3],
    /// Bytes at which it is closed after a while; 0: never.
    pub output_soft_bytes: [AtomicU64; 3],
    /// That while, seconds.
    pub output_soft_seconds: [AtomicU64; 3],
    /// Connections at most.
    pub maxclients: AtomicU64,
    /// Seconds without a command after which a connection is closed; 0: never.
    pub timeout_seconds: AtomicU64,
    /// Seconds between probes of a silent peer; 0: none.
    pub tcp_keepalive_seconds: AtomicU64,
    /// Without a password only loopback may connect.
    pub protected_mode: AtomicBool,
    /// The password of the user `default`; empty: none.
    pub requirepass: RwLock<Vec<u8>>,
    /// Whether snapshots are taken by themselves.
    pub snapshots: AtomicBool,
    /// Turns of the timers a second.
    pub hz: AtomicU64,
    /// How hard active expiry tries, 1 to 10.
    pub active_expire_effort: AtomicU64,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
}

impl Default for Settings {
    fn default() -> Settings {
        const MIB: u64 = 1 << 20;
        let three = |values: [u64; 3]| values.map(AtomicU64::new);
        Settings {
            maxmemory: AtomicU64::new(0),
            maxmemory_policy: AtomicU8::new(0),
            maxmemory_samples: AtomicU64::new(5),
            proto_max_bulk_len: AtomicU64::new(512 * MIB),
            client_query_buffer_limit: AtomicU64::new(1024 * MIB),
            output_hard_bytes: three([0, 256 * MIB, 32 * MIB]),
            output_soft_bytes: three([0, 64 * MIB, 8 * MIB]),
            output_soft_seconds: three([0, 60, 60]),
            maxclients: AtomicU64::new(10_000),
            timeout_seconds: AtomicU64::new(0),
            tcp_keepalive_seconds: AtomicU64::new(300),
            protected_mode: AtomicBool::new(true),
            requirepass: RwLock::default(),
            snapshots: AtomicBool::new(true),
            hz: AtomicU64::new(10),
            active_expire_effort: AtomicU64::new(1),
            active_expire: AtomicBool::new(true),
        }
    }
}
