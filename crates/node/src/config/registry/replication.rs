//! The parameters of replication.

use crate::config::place::Place;
use crate::config::shape::{Shape, YES_NO};
use crate::replication::{AckLevel, Acks, OnLost};
use crate::settings::MEMBER_KINDS;

use super::{ANY, COUNT, Parameter, parameter};

/// In this order everywhere.
pub(super) const REPLICATION: &[Parameter] = &[
    parameter(
        "acks",
        Shape::Checked(acks),
        Place::Text(|s| &s.replication.acks),
        "async",
        "How many followers acknowledge a write before its client hears of it: async (none), \
         semi-sync:k, or sync (all members).",
    ),
    parameter(
        "ack-level",
        Shape::Word(AckLevel::NAMES),
        Place::Word(|s| &s.replication.ack_level),
        "received",
        "What they acknowledge: that they have it, that it is on disk, or that their readers see it \
         as well.",
    ),
    parameter(
        "on-lost-acks",
        Shape::Word(OnLost::NAMES),
        Place::Word(|s| &s.replication.on_lost_acks),
        "block",
        "While too few followers are attached writes are refused (block), or after a while the own \
         log is enough (degrade).",
    ),
    parameter(
        "degrade-after",
        COUNT,
        Place::Number(|s| &s.replication.degrade_after_ms),
        "2000",
        "Milliseconds of too few followers after which `on-lost-acks degrade` begins.",
    ),
    parameter(
        "max-lag-records",
        Shape::Integer(0, ANY),
        Place::Number(|s| &s.replication.max_lag_records),
        "0",
        "A follower that has not applied so many records raises an alert; 0: none.",
    ),
    parameter(
        "max-lag-bytes",
        Shape::Memory(0, ANY),
        Place::Number(|s| &s.replication.max_lag_bytes),
        "0",
        "A follower that has not applied so many bytes of log raises an alert; 0: none.",
    ),
    parameter(
        "max-lag-ms",
        COUNT,
        Place::Number(|s| &s.replication.max_lag_ms),
        "0",
        "A follower whose readers see what is older than so many milliseconds raises an alert; 0: \
         none.",
    ),
    parameter(
        "max-retained-log",
        Shape::Memory(1 << 20, ANY),
        Place::Number(|s| &s.replication.max_retained_log),
        "1073741824",
        "Bytes of log kept for followers that are behind; who needs more loads a snapshot.",
    ),
    parameter(
        "repl-timeout",
        Shape::Integer(1, i32::MAX as i64),
        Place::Number(|s| &s.replication.repl_timeout_seconds),
        "10",
        "Seconds of silence after which a link between nodes is given up.",
    ),
    parameter(
        "repl-ping-replica-period",
        Shape::Integer(1, i32::MAX as i64),
        Place::Remembered,
        "10",
        "Accepted and remembered; links carry a heartbeat ten times a second, so that lag is known.",
    )
    .also(&["repl-ping-slave-period"]),
    parameter(
        "peer",
        Shape::Checked(address_or_off),
        Place::Text(|s| &s.replication.peer),
        "127.0.0.1:7379",
        "Address and port where other nodes connect, or off. The default gives way if it is taken. \
         From other hosts they are let in only with peer-secret or peer-tls-cert-file.",
    )
    .at_start(),
    parameter(
        "peer-announce",
        Shape::Text,
        Place::Text(|s| &s.replication.peer_announce),
        "",
        "Host and port, TCP and UDP, where other nodes are told to reach this one; empty: the address of \
         peer, or, if that is every address, the one from which the node that is joined is reached.",
    )
    .at_start(),
    parameter(
        "peer-secret",
        Shape::Text,
        Place::Text(|s| &s.replication.peer_secret),
        "",
        "What nodes of a cluster prove to each other that they know; empty: nothing. It keeps \
         strangers out, it does not encrypt.",
    )
    .at_start(),
    parameter(
        "peer-tls-cert-file",
        Shape::Text,
        Place::Text(|s| &s.replication.peer_tls_cert_file),
        "",
        "This node's certificate for links between nodes, PEM, good for both ends and for the host \
         by which followers call it. With it links are TLS 1.3, and both ends show one.",
    )
    .at_start(),
    parameter(
        "peer-tls-key-file",
        Shape::Text,
        Place::Text(|s| &s.replication.peer_tls_key_file),
        "",
        "The key of that certificate, PEM.",
    )
    .at_start(),
    parameter(
        "peer-tls-ca-cert-file",
        Shape::Text,
        Place::Text(|s| &s.replication.peer_tls_ca_cert_file),
        "",
        "The authorities that other nodes' certificates are checked against, PEM.",
    )
    .at_start(),
    parameter(
        "join",
        Shape::Text,
        Place::Text(|s| &s.replication.join),
        "",
        "Peer addresses of a cluster that this node joins as a follower, separated by spaces.",
    )
    .at_start(),
    parameter(
        "replicaof",
        Shape::Checked(leader),
        Place::Text(|s| &s.replication.replicaof),
        "",
        "Host and port (for clients) of the leader to follow from the start; its data takes the place \
         of this node's own.",
    )
    .also(&["slaveof"])
    .at_start(),
    parameter(
        "masterauth",
        Shape::Text,
        Place::Text(|s| &s.replication.masterauth),
        "",
        "The password that a follower shows its leader when it forwards what clients send.",
    )
    .also(&["primaryauth"]),
    parameter(
        "masteruser",
        Shape::Text,
        Place::Text(|s| &s.replication.masteruser),
        "",
        "The user that goes with masterauth; empty: `default`.",
    )
    .also(&["primaryuser"]),
    parameter(
        "min-replicas-to-write",
        COUNT,
        Place::Number(|s| &s.replication.min_replicas_to_write),
        "0",
        "Writes are refused while fewer followers than this are attached; 0: never. `acks` promises \
         more.",
    )
    .also(&["min-slaves-to-write"]),
    parameter(
        "min-replicas-max-lag",
        COUNT,
        Place::Number(|s| &s.replication.min_replicas_max_lag_seconds),
        "10",
        "Seconds within which a follower must have been heard of to count for \
         min-replicas-to-write; 0: writes are not refused.",
    )
    .also(&["min-slaves-max-lag"]),
    parameter(
        "replica-read-only",
        YES_NO,
        Place::Fixed("a follower has its leader's data only; writes are sent on to the leader"),
        "yes",
        "Always yes: a follower changes nothing by itself.",
    )
    .also(&["slave-read-only"]),
    parameter(
        "replica-serve-stale-data",
        YES_NO,
        Place::Flag(|s| &s.replication.serve_stale_data),
        "yes",
        "Whether a follower answers reads while it has no link to its leader.",
    )
    .also(&["slave-serve-stale-data"]),
    parameter(
        "replica-priority",
        COUNT,
        Place::Number(|s| &s.replication.replica_priority),
        "100",
        "Shown in INFO for tools that choose a new leader by it.",
    )
    .also(&["slave-priority"]),
    parameter(
        "replica-announce-ip",
        Shape::Text,
        Place::Remembered,
        "",
        "Accepted and remembered; a follower's clients find it at the address of its link.",
    )
    .also(&["slave-announce-ip"]),
    parameter(
        "replica-announce-port",
        Shape::Integer(0, 65_535),
        Place::Number(|s| &s.replication.announce_port),
        "0",
        "The port that a follower's clients use, for ROLE and INFO; 0: the one that it listens on.",
    )
    .also(&["slave-announce-port"])
    .at_start(),
    parameter(
        "region",
        Shape::Text,
        Place::Text(|s| &s.replication.region),
        "",
        "Where this node is: a label.",
    )
    .at_start(),
    parameter(
        "zone",
        Shape::Text,
        Place::Text(|s| &s.replication.zone),
        "",
        "Where it is within its region: a label.",
    )
    .at_start(),
    parameter(
        "member-kind",
        Shape::Word(MEMBER_KINDS),
        Place::Word(|s| &s.replication.member_kind),
        "data",
        "What this node does for its cluster: it holds data and may vote (data), or it votes only \
         (witness); `trefoil witness` starts one.",
    )
    .at_start(),
    parameter(
        "sentinel-name",
        Shape::Checked(names),
        Place::Text(|s| &s.replication.sentinel_name),
        "mymaster",
        "What clients of Sentinel call the leader: names, separated by spaces. The keyspace's own name is \
         answered as well.",
    ),
    parameter(
        "repl-backlog-size",
        Shape::Memory(1, ANY),
        Place::Remembered,
        "1048576",
        "Accepted and remembered; there is no backlog beside the log, see max-retained-log.",
    ),
    parameter(
        "repl-backlog-ttl",
        Shape::Integer(0, ANY),
        Place::Remembered,
        "3600",
        "Accepted and remembered; there is no backlog beside the log.",
    ),
    parameter("repl-diskless-sync", YES_NO, Place::Remembered, "yes", TRANSFER),
    parameter("repl-diskless-sync-delay", COUNT, Place::Remembered, "5", TRANSFER),
    parameter("repl-diskless-sync-max-replicas", COUNT, Place::Remembered, "0", TRANSFER),
    parameter(
        "repl-diskless-load",
        Shape::Word(&["disabled", "on-empty-db", "swapdb"]),
        Place::Remembered,
        "disabled",
        TRANSFER,
    ),
    parameter(
        "repl-disable-tcp-nodelay",
        YES_NO,
        Place::Remembered,
        "no",
        "Accepted and remembered; links never wait to fill a packet.",
    ),
    parameter(
        "replica-lazy-flush",
        YES_NO,
        Place::Remembered,
        "no",
        "Accepted and remembered; data that gives way to a leader's is freed before it is replaced.",
    )
    .also(&["slave-lazy-flush"]),
    parameter(
        "replica-ignore-maxmemory",
        YES_NO,
        Place::Fixed("a follower evicts what its leader evicts, and nothing by itself"),
        "yes",
        "Always yes: a follower evicts nothing by itself.",
    )
    .also(&["slave-ignore-maxmemory"]),
    parameter(
        "replica-announced",
        YES_NO,
        Place::Fixed("every follower is shown"),
        "yes",
        "Always yes: every follower is shown in ROLE and INFO.",
    ),
];

const TRANSFER: &str = "Accepted and remembered; a new follower gets the leader's snapshot file.";

fn acks(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let acks = std::str::from_utf8(text).ok().and_then(Acks::parse);
    let acks = acks.ok_or("argument must be async, semi-sync:k with k from 1 to 64, or sync")?;
    Ok(acks.to_string().into_bytes())
}

/// Each of them goes into a message of words between blanks.
fn names(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    const WRONG: &str = "argument must be names of printable characters, separated by spaces";
    let text = std::str::from_utf8(text).map_err(|_| WRONG)?;
    let names: Vec<&str> = text.split_ascii_whitespace().collect();
    if names.iter().all(|name| is_host(name)) { Ok(names.join(" ").into()) } else { Err(WRONG) }
}

/// `off` is kept as it is said. A host's name is looked up when it is used.
pub(super) fn address_or_off(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    if text.eq_ignore_ascii_case(b"off") {
        return Ok(b"off".to_vec());
    }
    let is_address = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.rsplit_once(':'))
        .is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok());
    if is_address { Ok(text.to_vec()) } else { Err("argument must be host:port or off") }
}

/// As in Redis: a host and a port, or `no one`.
fn leader(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    const WRONG: &str = "argument must be a host and a port, or 'no one'";
    let text = std::str::from_utf8(text).map_err(|_| WRONG)?;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match words[..] {
        [] => Ok(vec![]),
        [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => Ok(vec![]),
        [host, port] if is_host(host) && port.parse().is_ok_and(|port: u16| port != 0) => {
            Ok(format!("{host} {port}").into_bytes())
        }
        _ => Err(WRONG),
    }
}

/// Whether a text may name a host: nothing in it confuses a line of INFO or of the configuration.
pub(crate) fn is_host(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_peers_is_a_host_and_a_port() {
        for good in ["127.0.0.1:0", "[::1]:7379", "db-1.example:7379", "off"] {
            assert_eq!(address_or_off(good.as_bytes()), Ok(good.as_bytes().to_vec()));
        }
        assert_eq!(address_or_off(b"OFF"), Ok(b"off".to_vec()));
        for wrong in ["", "7379", ":7379", "h:", "h:x", "h:70000", "a b:1"] {
            assert!(address_or_off(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
