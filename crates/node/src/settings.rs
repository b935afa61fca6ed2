//! What can be configured, as the rest of the node reads it: relaxed atomics, no lock on a hot path.
//!
//! Names, texts and ranges (CONFIG GET and SET, the configuration file) are the registry's; this is
//! only where the values are.

mod freshness;
mod replication;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{OnceLock, PoisonError, RwLock};

use crate::config::{SavePoint, Value};
use crate::log::Fsync;
use crate::replication::AckPolicy;

pub use freshness::{FollowerWrites, FreshnessSettings};
pub use replication::{MEMBER_KINDS, ReplicationSettings};

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
    /// Shown only: the timers run ten times a second.
    pub hz: AtomicU64,
    /// How hard active expiry tries, 1 to 10.
    pub active_expire_effort: AtomicU64,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// How slowly counters of uses rise.
    pub lfu_log_factor: AtomicU64,
    /// Minutes without use after which they fall by one; 0: never.
    pub lfu_decay_minutes: AtomicU64,
    /// When the log is synced: an index into [`crate::config::FSYNC`].
    pub fsync: AtomicU8,
    /// Addresses to listen on, separated by blanks.
    pub bind: RwLock<Vec<u8>>,
    /// Port for Redis clients; 0: none.
    pub port: AtomicU64,
    /// Connections that may wait to be accepted.
    pub tcp_backlog: AtomicU64,
    /// Port for TLS; 0: none.
    pub tls_port: AtomicU64,
    /// Path of the server's certificate; empty: none.
    pub tls_cert_file: RwLock<Vec<u8>>,
    /// Path of its key.
    pub tls_key_file: RwLock<Vec<u8>>,
    /// Path of the authorities that clients' certificates are checked against.
    pub tls_ca_cert_file: RwLock<Vec<u8>>,
    /// Whether clients must show a certificate: 0 no, 1 yes, 2 if they like.
    pub tls_auth_clients: AtomicU8,
    /// Where HTTP is answered, `host:port`, or `off`.
    pub http: RwLock<Vec<u8>>,
    /// Worker threads; 0: one per core.
    pub threads: AtomicU64,
    /// Where the log, snapshots and the node's identity are kept.
    pub data_dir: RwLock<Vec<u8>>,
    /// What is about other nodes.
    pub replication: ReplicationSettings,
    /// What followers answer, and answers that do not come.
    pub freshness: FreshnessSettings,
    save_points: RwLock<Vec<SavePoint>>,
    /// Parameters that somebody has set, be it to their default.
    given: RwLock<BTreeSet<&'static str>>,
    /// What was set of parameters that nothing reads yet.
    remembered: RwLock<BTreeMap<&'static str, Value>>,
    config_file: OnceLock<PathBuf>,
}

impl Settings {
    /// Snapshots by time and changes.
    #[must_use]
    pub fn save_points(&self) -> Vec<SavePoint> {
        self.save_points.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces them.
    pub fn set_save_points(&self, points: Vec<SavePoint>) {
        *self.save_points.write().unwrap_or_else(PoisonError::into_inner) = points;
    }

    /// The configuration file that the server was started with.
    #[must_use]
    pub fn config_file(&self) -> Option<PathBuf> {
        self.config_file.get().cloned()
    }

    /// Told once, at the start. A second time changes nothing.
    pub fn set_config_file(&self, path: PathBuf) {
        let _already_told = self.config_file.set(path);
    }

    /// When a write is acknowledged.
    #[must_use]
    pub fn policy(&self) -> AckPolicy {
        self.replication.policy()
    }

    /// Whether somebody has set this parameter, be it to its default.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.given.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    pub(crate) fn note_given(&self, name: &'static str) {
        self.given.write().unwrap_or_else(PoisonError::into_inner).insert(name);
    }

    pub(crate) fn remembered(&self, name: &str) -> Option<Value> {
        self.remembered.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn remember(&self, name: &'static str, value: Value) {
        self.remembered.write().unwrap_or_else(PoisonError::into_inner).insert(name, value);
    }
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
            lfu_log_factor: AtomicU64::new(10),
            lfu_decay_minutes: AtomicU64::new(1),
            fsync: AtomicU8::new(Fsync::Everysec as u8),
            bind: RwLock::new(b"127.0.0.1".into()),
            port: AtomicU64::new(6379),
            tcp_backlog: AtomicU64::new(511),
            tls_port: AtomicU64::new(0),
            tls_cert_file: RwLock::default(),
            tls_key_file: RwLock::default(),
            tls_ca_cert_file: RwLock::default(),
            tls_auth_clients: AtomicU8::new(1),
            http: RwLock::new(b"127.0.0.1:8379".into()),
            threads: AtomicU64::new(0),
            data_dir: RwLock::new(b"trefoil-data".into()),
            replication: ReplicationSettings::default(),
            freshness: FreshnessSettings::default(),
            save_points: RwLock::default(),
            given: RwLock::default(),
            remembered: RwLock::default(),
            config_file: OnceLock::new(),
        }
    }
}
