//! What can be configured of replication.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{PoisonError, RwLock};

use crate::replication::{AckLevel, AckPolicy, Acks, LagLimits, OnLost};

/// Values in force.
pub struct ReplicationSettings {
    /// Who acknowledges: a text that [`Acks::parse`] reads.
    pub acks: RwLock<Vec<u8>>,
    /// What is acknowledged: an [`AckLevel`].
    pub ack_level: AtomicU8,
    /// What happens while too few are attached: a [`OnLost`].
    pub on_lost_acks: AtomicU8,
    /// How long too few must have been attached before it degrades.
    pub degrade_after_ms: AtomicU64,
    /// Lag that raises an alert, records; 0: none.
    pub max_lag_records: AtomicU64,
    /// The same, bytes of log.
    pub max_lag_bytes: AtomicU64,
    /// The same, milliseconds.
    pub max_lag_ms: AtomicU64,
    /// Log that is kept for followers, bytes.
    pub max_retained_log: AtomicU64,
    /// A link is given up that was silent for so long, seconds.
    pub repl_timeout_seconds: AtomicU64,
    /// Where other nodes connect, `host:port`; empty: nowhere.
    pub peer: RwLock<Vec<u8>>,
    /// Where other nodes are told to connect, `host:port`; empty: `peer`.
    pub peer_announce: RwLock<Vec<u8>>,
    /// What nodes of a cluster prove to each other; empty: nothing.
    pub peer_secret: RwLock<Vec<u8>>,
    /// Path of this node's certificate for its links; empty: links are not encrypted.
    pub peer_tls_cert_file: RwLock<Vec<u8>>,
    /// Path of its key.
    pub peer_tls_key_file: RwLock<Vec<u8>>,
    /// Path of the authorities that other nodes' certificates are checked against.
    pub peer_tls_ca_cert_file: RwLock<Vec<u8>>,
    /// Peer addresses of the cluster to join at the start, separated by blanks; empty: none.
    pub join: RwLock<Vec<u8>>,
    /// The leader to follow, `host port` as clients reach it; empty: none.
    pub replicaof: RwLock<Vec<u8>>,
    /// The password that this node shows its leader as a client; empty: none.
    pub masterauth: RwLock<Vec<u8>>,
    /// The user that goes with it; empty: `default`.
    pub masteruser: RwLock<Vec<u8>>,
    /// Writes are refused with fewer followers than this; 0: never.
    pub min_replicas_to_write: AtomicU64,
    /// A follower counts for that if it was heard of within so many seconds; 0: writes are never refused.
    pub min_replicas_max_lag_seconds: AtomicU64,
    /// Whether a follower answers reads while it has no link to its leader.
    pub serve_stale_data: AtomicBool,
    /// Shown in INFO.
    pub replica_priority: AtomicU64,
    /// The port that a follower's clients use; 0: the one that it listens on.
    pub announce_port: AtomicU64,
    /// A label.
    pub region: RwLock<Vec<u8>>,
    /// A label.
    pub zone: RwLock<Vec<u8>>,
    /// What the node does for its cluster: [`MEMBER_KINDS`].
    pub member_kind: AtomicU8,
    /// What clients of Sentinel call the leader: names, separated by blanks.
    pub sentinel_name: RwLock<Vec<u8>>,
}

/// The words of `member-kind`: it holds data and may vote; it votes only.
pub const MEMBER_KINDS: &[&str] = &["data", "witness"];

impl ReplicationSettings {
    /// When a write is acknowledged.
    #[must_use]
    pub fn policy(&self) -> AckPolicy {
        let acks = text(&self.acks);
        AckPolicy {
            acks: Acks::parse(&acks).expect("`acks` was checked before it was stored"),
            level: AckLevel::from_index(self.ack_level.load(Relaxed)),
            on_lost: OnLost::from_index(self.on_lost_acks.load(Relaxed)),
            degrade_after_ms: self.degrade_after_ms.load(Relaxed),
        }
    }

    /// The lag that raises an alert.
    #[must_use]
    pub fn lag_limits(&self) -> LagLimits {
        LagLimits {
            records: self.max_lag_records.load(Relaxed),
            bytes: self.max_lag_bytes.load(Relaxed),
            millis: self.max_lag_ms.load(Relaxed),
        }
    }

    /// What clients of Sentinel call the leader.
    #[must_use]
    pub fn sentinel_names(&self) -> Vec<String> {
        text(&self.sentinel_name).split_ascii_whitespace().map(str::to_owned).collect()
    }

    /// The leader that the configuration names: its host, and its port for clients.
    #[must_use]
    pub fn replicaof(&self) -> Option<(String, u16)> {
        let text = text(&self.replicaof);
        let (host, port) = text.split_once(' ')?;
        Some((host.to_string(), port.parse().ok()?))
    }

    /// Whether this node votes only, and holds no data.
    #[must_use]
    pub fn is_witness(&self) -> bool {
        self.member_kind.load(Relaxed) != 0
    }

    /// Shown by CONFIG GET and kept by CONFIG REWRITE once REPLICAOF was given. None: NO ONE.
    pub fn set_replicaof(&self, leader: Option<(&str, u16)>) {
        let text = leader.map_or(String::new(), |(host, port)| format!("{host} {port}"));
        *self.replicaof.write().unwrap_or_else(PoisonError::into_inner) = text.into_bytes();
    }
}

/// A text that is no place for odd bytes.
fn text(of: &RwLock<Vec<u8>>) -> String {
    let bytes = of.read().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Default for ReplicationSettings {
    fn default() -> ReplicationSettings {
        ReplicationSettings {
            acks: RwLock::new(b"async".into()),
            ack_level: AtomicU8::new(AckLevel::Received as u8),
            on_lost_acks: AtomicU8::new(OnLost::Block as u8),
            degrade_after_ms: AtomicU64::new(2_000),
            max_lag_records: AtomicU64::new(0),
            max_lag_bytes: AtomicU64::new(0),
            max_lag_ms: AtomicU64::new(0),
            max_retained_log: AtomicU64::new(1 << 30),
            repl_timeout_seconds: AtomicU64::new(10),
            peer: RwLock::new(b"127.0.0.1:7379".into()),
            peer_announce: RwLock::default(),
            peer_secret: RwLock::default(),
            peer_tls_cert_file: RwLock::default(),
            peer_tls_key_file: RwLock::default(),
            peer_tls_ca_cert_file: RwLock::default(),
            join: RwLock::default(),
            replicaof: RwLock::default(),
            masterauth: RwLock::default(),
            masteruser: RwLock::default(),
            min_replicas_to_write: AtomicU64::new(0),
            min_replicas_max_lag_seconds: AtomicU64::new(10),
            serve_stale_data: AtomicBool::new(true),
            replica_priority: AtomicU64::new(100),
            announce_port: AtomicU64::new(0),
            region: RwLock::default(),
            zone: RwLock::default(),
            sentinel_name: RwLock::new(b"mymaster".into()),
            member_kind: AtomicU8::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::put;
    use crate::settings::Settings;

    #[test]
    fn the_policy_is_what_the_parameters_say() {
        let settings = Settings::default();
        assert_eq!(settings.replication.policy().acks, Acks::Async);
        let pairs: [(&[u8], &[u8]); 4] = [
            (b"acks", b"SEMI-SYNC:2"),
            (b"ack-level", b"flushed"),
            (b"on-lost-acks", b"degrade"),
            (b"degrade-after", b"50"),
        ];
        put(&settings, &pairs).expect("good values");
        let expected = AckPolicy {
            acks: Acks::SemiSync(2),
            level: AckLevel::Flushed,
            on_lost: OnLost::Degrade,
            degrade_after_ms: 50,
        };
        assert_eq!(settings.policy(), expected);
        assert!(put(&settings, &[(b"acks", b"semi-sync:0")]).is_err());
        assert_eq!(settings.policy(), expected);
    }

    #[test]
    fn the_leader_of_the_configuration_is_a_host_and_a_port() {
        let settings = Settings::default();
        let leader = |value: &[u8]| {
            put(&settings, &[(b"slaveof", value)]).map(|()| settings.replication.replicaof())
        };
        assert_eq!(leader(b"db.example  6379"), Ok(Some(("db.example".into(), 6379))));
        assert_eq!(leader(b"NO one"), Ok(None));
        for wrong in [&b"db.example"[..], b"h 0", b"h 65536", b"h x", b"a b 1"] {
            assert!(leader(wrong).is_err(), "{}", wrong.escape_ascii());
        }
    }
}
