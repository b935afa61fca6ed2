//! Every parameter, declared once: CONFIG, the configuration file, the command line and the
//! documentation read this.

mod freshness;
mod replication;

use super::place::Place;
use super::shape::{Shape, YES_NO};

use freshness::FRESHNESS;
use replication::REPLICATION;
pub(crate) use replication::is_host;

/// What can be configured, by one name.
#[derive(Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Other names for the same; CONFIG GET shows each that it is asked for.
    pub aliases: &'static [&'static str],
    /// The texts that it takes.
    pub shape: Shape,
    /// Where its value is.
    pub place: Place,
    /// Its value before anybody says otherwise, as text.
    pub default: &'static str,
    /// When it can be changed.
    pub change: Change,
    /// One line for users.
    pub doc: &'static str,
}

/// When a parameter can be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// At any time.
    AtRuntime,
    /// Only by the configuration file and the command line.
    AtStart,
}

impl Parameter {
    /// Its name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether it goes by this name, in any case.
    #[must_use]
    pub fn is_called(&self, name: &[u8]) -> bool {
        self.names().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    }
}

/// The parameter with this name, in any case.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Parameter> {
    all().find(|parameter| parameter.is_called(name))
}

/// All parameters, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Parameter> {
    [NETWORK, CLIENTS, MEMORY, EXPIRY, DURABILITY, REPLICATION, FRESHNESS, ENCODINGS, OTHERS]
        .into_iter()
        .flatten()
}

const fn parameter(
    name: &'static str,
    shape: Shape,
    place: Place,
    default: &'static str,
    doc: &'static str,
) -> Parameter {
    Parameter { name, aliases: &[], shape, place, default, change: Change::AtRuntime, doc }
}

impl Parameter {
    const fn also(self, aliases: &'static [&'static str]) -> Parameter {
        Parameter { aliases, ..self }
    }

    const fn at_start(self) -> Parameter {
        Parameter { change: Change::AtStart, ..self }
    }
}

/// The eviction policies; `maxmemory_policy` is an index into this.
pub const POLICIES: &[&str] = &[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];

/// When the log is synced; the index is [`crate::log::Fsync`].
pub const FSYNC: &[&str] = &["always", "everysec", "no"];

const ANY: i64 = i64::MAX;
const COUNT: Shape = Shape::Integer(0, i32::MAX as i64);

const NETWORK: &[Parameter] = &[
    parameter(
        "bind",
        Shape::Text,
        Place::Text(|s| &s.bind),
        "127.0.0.1",
        "Addresses to listen on, separated by spaces.",
    )
    .at_start(),
    parameter(
        "port",
        Shape::Integer(0, 65_535),
        Place::Number(|s| &s.port),
        "6379",
        "Port for Redis clients; 0: a free one, or none if there is a tls-port.",
    )
    .at_start(),
    parameter(
        "tcp-backlog",
        Shape::Integer(0, i32::MAX as i64),
        Place::Number(|s| &s.tcp_backlog),
        "511",
        "Connections that may wait to be accepted.",
    )
    .at_start(),
    parameter(
        "http",
        Shape::Checked(replication::address_or_off),
        Place::Text(|s| &s.http),
        "127.0.0.1:8379",
        "Address and port where /metrics and /healthz are answered, or off. The default gives way \
         if it is taken.",
    )
    .at_start(),
    parameter(
        "tcp-keepalive",
        COUNT,
        Place::Number(|s| &s.tcp_keepalive_seconds),
        "300",
        "Seconds between probes of a silent peer; 0: none.",
    ),
    parameter(
        "protected-mode",
        YES_NO,
        Place::Flag(|s| &s.protected_mode),
        "yes",
        "Without a password only clients on this host may connect.",
    ),
    parameter(
        "tls-port",
        Shape::Integer(0, 65_535),
        Place::Number(|s| &s.tls_port),
        "0",
        "Port for Redis clients over TLS; 0: none.",
    )
    .at_start(),
    parameter(
        "tls-cert-file",
        Shape::Text,
        Place::Text(|s| &s.tls_cert_file),
        "",
        "The server's certificate and its chain, PEM.",
    )
    .at_start(),
    parameter(
        "tls-key-file",
        Shape::Text,
        Place::Text(|s| &s.tls_key_file),
        "",
        "The key of that certificate, PEM.",
    )
    .at_start(),
    parameter(
        "tls-ca-cert-file",
        Shape::Text,
        Place::Text(|s| &s.tls_ca_cert_file),
        "",
        "The authorities that clients' certificates are checked against, PEM.",
    )
    .at_start(),
    parameter(
        "tls-auth-clients",
        Shape::Word(&["no", "yes", "optional"]),
        Place::Word(|s| &s.tls_auth_clients),
        "yes",
        "Whether clients must show a certificate.",
    )
    .at_start(),
    parameter(
        "threads",
        Shape::Integer(0, 1_024),
        Place::Number(|s| &s.threads),
        "0",
        "Worker threads; 0: one per core.",
    )
    .also(&["io-threads"])
    .at_start(),
];

const CLIENTS: &[Parameter] = &[
    parameter(
        "requirepass",
        Shape::Text,
        Place::Text(|s| &s.requirepass),
        "",
        "The password of the user `default`; empty: none.",
    ),
    parameter(
        "maxclients",
        Shape::Integer(1, u32::MAX as i64),
        Place::Number(|s| &s.maxclients),
        "10000",
        "Connections at most.",
    ),
    parameter(
        "timeout",
        COUNT,
        Place::Number(|s| &s.timeout_seconds),
        "0",
        "Seconds without a command after which a connection is closed; 0: never.",
    ),
    parameter(
        "client-query-buffer-limit",
        Shape::Memory(1 << 20, ANY),
        Place::Number(|s| &s.client_query_buffer_limit),
        "1073741824",
        "Bytes of requests that a connection may have waiting.",
    ),
    parameter(
        "proto-max-bulk-len",
        // A transaction of the log ends at 4 GiB.
        Shape::Memory(1 << 20, 1 << 30),
        Place::Number(|s| &s.proto_max_bulk_len),
        "536870912",
        "How long a string, and an argument of a request, may get, bytes.",
    ),
    parameter(
        "client-output-buffer-limit",
        Shape::OutputLimits,
        Place::OutputLimits,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        "When a connection is closed that does not read its replies: class, bytes, bytes, seconds.",
    ),
    parameter(
        "databases",
        Shape::Integer(1, i32::MAX as i64),
        Place::Fixed("there are always 16 databases"),
        "16",
        "Databases, numbered from 0; always 16.",
    )
    .at_start(),
];

const MEMORY: &[Parameter] = &[
    parameter(
        "maxmemory",
        Shape::Memory(0, ANY),
        Place::Number(|s| &s.maxmemory),
        "0",
        "Bytes of data from which on keys are evicted or writes refused; 0: no limit.",
    ),
    parameter(
        "maxmemory-policy",
        Shape::Word(POLICIES),
        Place::Word(|s| &s.maxmemory_policy),
        "noeviction",
        "Which keys go when memory is short.",
    ),
    parameter(
        "maxmemory-samples",
        Shape::Integer(1, 64),
        Place::Number(|s| &s.maxmemory_samples),
        "5",
        "Keys looked at for each eviction.",
    ),
    parameter(
        "lfu-log-factor",
        COUNT,
        Place::Number(|s| &s.lfu_log_factor),
        "10",
        "How slowly the counter of uses rises.",
    ),
    parameter(
        "lfu-decay-time",
        COUNT,
        Place::Number(|s| &s.lfu_decay_minutes),
        "1",
        "Minutes without use after which that counter falls by one; 0: never.",
    ),
];

const LAZY: &str = "Accepted and remembered; memory is always given back where the key is deleted.";

const EXPIRY: &[Parameter] = &[
    parameter(
        "active-expire-effort",
        Shape::Integer(1, 10),
        Place::Number(|s| &s.active_expire_effort),
        "1",
        "How hard keys are looked for that have expired.",
    ),
    parameter(
        "hz",
        Shape::Integer(1, 500),
        Place::Number(|s| &s.hz),
        "10",
        "Accepted and shown; the timers run ten times a second whatever it is.",
    ),
    parameter(
        "dynamic-hz",
        YES_NO,
        Place::Remembered,
        "yes",
        "Accepted and remembered; the timers run ten times a second.",
    ),
    parameter("lazyfree-lazy-eviction", YES_NO, Place::Remembered, "no", LAZY),
    parameter("lazyfree-lazy-expire", YES_NO, Place::Remembered, "no", LAZY),
    parameter("lazyfree-lazy-server-del", YES_NO, Place::Remembered, "no", LAZY),
    parameter("lazyfree-lazy-user-del", YES_NO, Place::Remembered, "no", LAZY),
    parameter("lazyfree-lazy-user-flush", YES_NO, Place::Remembered, "no", LAZY),
];

const DURABILITY: &[Parameter] = &[
    parameter(
        "data-dir",
        Shape::Text,
        Place::Text(|s| &s.data_dir),
        "trefoil-data",
        "Where the log, snapshots and the node's identity are kept.",
    )
    .also(&["dir"])
    .at_start(),
    parameter(
        "fsync",
        Shape::Word(FSYNC),
        Place::Word(|s| &s.fsync),
        "everysec",
        "When the log is synced: before a write is acknowledged, once a second, or when the \
         operating system likes.",
    )
    .also(&["appendfsync"]),
    parameter(
        "appendonly",
        YES_NO,
        Place::Fixed("the log is always written; `fsync no` makes it cheap"),
        "yes",
        "Always yes: the log is always written.",
    ),
    parameter(
        "snapshot",
        Shape::Switch("off", "on"),
        Place::Flag(|s| &s.snapshots),
        "on",
        "Whether snapshots are taken by themselves.",
    ),
    parameter(
        "save",
        Shape::SavePoints,
        Place::SavePoints,
        "",
        "Snapshots by time and changes, besides those that the log's growth asks for: pairs of \
         seconds and changes.",
    ),
];

const ENCODING: &str = "Accepted and remembered; no type is encoded by it.";

const fn encoding(name: &'static str, default: &'static str) -> Parameter {
    parameter(name, Shape::Memory(0, ANY), Place::Remembered, default, ENCODING)
}

const ENCODINGS: &[Parameter] = &[
    encoding("hash-max-listpack-entries", "512").also(&["hash-max-ziplist-entries"]),
    encoding("hash-max-listpack-value", "64").also(&["hash-max-ziplist-value"]),
    parameter(
        "list-max-listpack-size",
        Shape::Integer(-5, i32::MAX as i64),
        Place::Remembered,
        "-2",
        ENCODING,
    )
    .also(&["list-max-ziplist-size"]),
    encoding("list-compress-depth", "0"),
    encoding("set-max-intset-entries", "512"),
    encoding("set-max-listpack-entries", "128"),
    encoding("set-max-listpack-value", "64"),
    encoding("zset-max-listpack-entries", "128").also(&["zset-max-ziplist-entries"]),
    encoding("zset-max-listpack-value", "64").also(&["zset-max-ziplist-value"]),
    encoding("hll-sparse-max-bytes", "3000"),
    encoding("stream-node-max-bytes", "4096"),
    encoding("stream-node-max-entries", "100"),
];

const UNTIMED: &str = "Accepted and remembered; commands are not timed one by one yet.";
const SLOWER: Shape = Shape::Integer(-1, ANY);

const OTHERS: &[Parameter] = &[
    parameter("slowlog-log-slower-than", SLOWER, Place::Remembered, "10000", UNTIMED),
    parameter("slowlog-max-len", Shape::Integer(0, ANY), Place::Remembered, "128", UNTIMED),
    parameter("latency-monitor-threshold", Shape::Integer(0, ANY), Place::Remembered, "0", UNTIMED),
    parameter(
        "loglevel",
        Shape::Word(&["debug", "verbose", "notice", "warning", "nothing"]),
        Place::Remembered,
        "notice",
        "Accepted and remembered; what is told on standard error is told at every level.",
    ),
    parameter(
        "notify-keyspace-events",
        Shape::Text,
        Place::Fixed("there are no keyspace notifications yet"),
        "",
        "Always empty: there are no keyspace notifications yet.",
    ),
];
