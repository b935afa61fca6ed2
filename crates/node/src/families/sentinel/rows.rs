//! A leader, a follower, a sentinel: what is told of each, under Sentinel's names. All values are
//! strings there.

use crate::families::fields::Fields;
use crate::topology::{Seat, Topology, long_id};

/// What `down-after-milliseconds` comes to here: the lease and the time until it is revoked.
const DOWN_AFTER_MS: u64 = 300;
/// A handover is given up after so long, milliseconds.
const FAILOVER_TIMEOUT_MS: u64 = 5_000;

/// The leader, under this name.
pub(super) fn master(name: &str, topology: &Topology, leader: &Seat) -> Fields {
    let mut fields = begin(name, leader, "master");
    number(&mut fields, "info-refresh", leader.silent_ms);
    fields.text("role-reported", "master");
    number(&mut fields, "role-reported-time", leader.silent_ms);
    number(&mut fields, "config-epoch", topology.epoch.0);
    number(&mut fields, "num-slaves", topology.followers().count() as u64);
    number(&mut fields, "num-other-sentinels", topology.others().count() as u64);
    number(&mut fields, "quorum", topology.quorum() as u64);
    number(&mut fields, "failover-timeout", FAILOVER_TIMEOUT_MS);
    number(&mut fields, "parallel-syncs", 1);
    fields
}

/// A follower of this leader.
pub(super) fn slave(leader: &Seat, follower: &Seat) -> Fields {
    let mut fields = begin(&at(follower), follower, "slave");
    number(&mut fields, "info-refresh", follower.silent_ms);
    fields.text("role-reported", "slave");
    number(&mut fields, "role-reported-time", follower.silent_ms);
    number(&mut fields, "master-link-down-time", 0);
    fields.text("master-link-status", if follower.is_down { "err" } else { "ok" });
    fields.text("master-host", leader.host.as_str());
    number(&mut fields, "master-port", leader.port.into());
    number(&mut fields, "slave-priority", 100);
    number(&mut fields, "slave-repl-offset", follower.offset.0);
    number(&mut fields, "replica-announced", 1);
    fields
}

/// Another node, as a sentinel.
pub(super) fn sentinel(topology: &Topology, other: &Seat) -> Fields {
    let mut fields = begin(&long_id(other.node), other, "sentinel");
    number(&mut fields, "last-hello-message", other.silent_ms);
    fields.text("voted-leader", "?");
    number(&mut fields, "voted-leader-epoch", topology.epoch.0);
    fields
}

/// What all of them have.
fn begin(name: &str, seat: &Seat, kind: &str) -> Fields {
    let mut fields = Fields::default();
    fields.text("name", name);
    fields.text("ip", seat.host.as_str());
    number(&mut fields, "port", seat.port.into());
    fields.text("runid", long_id(seat.node));
    // Clients look at the one or the other of the two words.
    let down = match (seat.is_down, kind) {
        (false, _) => "",
        (true, "master") => ",s_down,o_down",
        (true, _) => ",s_down,disconnected",
    };
    fields.text("flags", format!("{kind}{down}"));
    number(&mut fields, "link-pending-commands", 0);
    number(&mut fields, "link-refcount", 1);
    number(&mut fields, "last-ping-sent", 0);
    number(&mut fields, "last-ok-ping-reply", seat.silent_ms);
    number(&mut fields, "last-ping-reply", seat.silent_ms);
    if seat.is_down {
        number(&mut fields, "s-down-time", seat.silent_ms);
    }
    number(&mut fields, "down-after-milliseconds", DOWN_AFTER_MS);
    fields
}

fn number(fields: &mut Fields, name: &'static str, value: u64) {
    fields.text(name, value.to_string());
}

/// The name that Sentinel gives a follower.
fn at(seat: &Seat) -> String {
    if seat.host.contains(':') {
        format!("[{}]:{}", seat.host, seat.port)
    } else {
        format!("{}:{}", seat.host, seat.port)
    }
}
