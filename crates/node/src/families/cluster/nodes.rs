//! CLUSTER NODES and its like: a line for each node, as Redis Cluster writes them.

use std::fmt::Write as _;

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Spec};

use super::{LAST_SLOT, TELLS, known, topology};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::topology::{Seat, Topology, long_id};

pub(super) const NODES: Command<NodeHandler> = Command::new(
    Spec { name: "nodes", summary: "Describes all nodes, a line for each.", ..TELLS },
    |call| {
        let (topology, now_ms) = (topology(call), call.worker.writer.now_ms);
        let mut text = String::new();
        for seat in &topology.seats {
            text.push_str(&line(&topology, seat, now_ms));
            text.push('\n');
        }
        call.reply().verbatim(*b"txt", text.as_bytes());
        Ok(Flow::Continue)
    },
);

const OF_NODE: Spec = Spec {
    arity: 3,
    flags: Flags::ADMIN.with(Flags::STALE),
    args: &[Arg::required("node-id", ArgKind::String)],
    ..TELLS
};

pub(super) const REPLICAS: Command<NodeHandler> = Command::new(
    Spec { name: "replicas", since: "5.0.0", summary: "Lists a leader's followers.", ..OF_NODE },
    replicas,
);

pub(super) const SLAVES: Command<NodeHandler> = Command::new(
    Spec { name: "slaves", summary: "Lists a leader's followers, by its old name.", ..OF_NODE },
    replicas,
);

fn replicas(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let (topology, now_ms) = (topology(call), call.worker.writer.now_ms);
    let node = known(&topology, call.args.get(2))?;
    if topology.leader != Some(node) {
        return Err(CommandError::Other("ERR The specified node is not a master"));
    }
    let lines: Vec<String> =
        topology.followers().map(|seat| line(&topology, seat, now_ms)).collect();
    let mut reply = call.reply();
    if lines.is_empty() {
        reply.empty_array();
        return Ok(Flow::Continue);
    }
    reply.array(lines.len());
    for line in &lines {
        reply.bulk(line.as_bytes());
    }
    Ok(Flow::Continue)
}

pub(super) const COUNT_FAILURE_REPORTS: Command<NodeHandler> = Command::new(
    Spec {
        name: "count-failure-reports",
        summary: "1 if a node does not answer, as far as this one knows.",
        ..OF_NODE
    },
    |call| {
        let topology = topology(call);
        let node = known(&topology, call.args.get(2))?;
        let is_down = topology.seat(node).is_some_and(|seat| seat.is_down);
        call.reply().integer(i64::from(is_down));
        Ok(Flow::Continue)
    },
);

pub(super) const LINKS: Command<NodeHandler> = Command::new(
    Spec {
        name: "links",
        flags: Flags::STALE,
        since: "7.0.0",
        summary: "Lists links of a cluster's bus: none, it sends datagrams.",
        ..TELLS
    },
    |call| {
        call.reply().empty_array();
        Ok(Flow::Continue)
    },
);

fn line(topology: &Topology, seat: &Seat, now_ms: u64) -> String {
    let leads = topology.leader == Some(seat.node);
    let is_own = seat.node == topology.own;
    let host = if seat.host.contains(':') && !seat.host.starts_with('[') {
        format!("[{}]", seat.host)
    } else {
        seat.host.clone()
    };
    let flags = format!(
        "{}{}{}",
        if is_own { "myself," } else { "" },
        if leads { "master" } else { "slave" },
        if seat.is_down { ",fail" } else { "" },
    );
    let leader = topology.leader.filter(|_| !leads).map_or("-".into(), long_id);
    let heard_ms = if is_own { 0 } else { now_ms.saturating_sub(seat.silent_ms) };
    let link = if seat.is_down { "disconnected" } else { "connected" };
    let mut line = format!(
        "{} {host}:{}@{} {flags} {leader} 0 {heard_ms} {} {link}",
        long_id(seat.node),
        seat.port,
        seat.peer_port,
        topology.epoch.0,
    );
    if leads {
        let _infallible = write!(line, " 0-{LAST_SLOT}");
    }
    line
}
