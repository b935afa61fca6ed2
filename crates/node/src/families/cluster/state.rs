//! CLUSTER INFO, MYID, MYSHARDID, SAVECONFIG: the cluster as a whole, and this node's name.

use std::fmt::Write as _;

use trefoil_commands::{Command, CommandError, Spec};
use trefoil_store::slot::SLOTS;

use super::{CHANGES, TELLS, topology};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::log::SHARD;
use crate::topology::long_id;

pub(super) const INFO: Command<NodeHandler> = Command::new(
    Spec {
        name: "info",
        summary: "Tells how the cluster is.",
        complexity: "O(N) in the number of nodes",
        ..TELLS
    },
    info,
);

fn info(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let topology = topology(call);
    let assigned = if topology.leader().is_some() { SLOTS } else { 0 };
    let well = if topology.is_well() { assigned } else { 0 };
    let down = topology.seats.iter().filter(|seat| seat.is_down).count();
    let leaders_down = usize::from(topology.leader().is_some_and(|leader| leader.is_down));
    let mut text = String::new();
    let mut line = |name: &str, value: u64| {
        let _infallible = write!(text, "{name}:{value}\r\n");
    };
    line("cluster_slots_assigned", assigned.into());
    line("cluster_slots_ok", well.into());
    line("cluster_slots_pfail", 0);
    line("cluster_slots_fail", (assigned - well).into());
    line("cluster_nodes_pfail", 0);
    line("cluster_nodes_fail", down as u64);
    line("cluster_voting_nodes_pfail", 0);
    line("cluster_voting_nodes_fail", leaders_down as u64);
    line("cluster_known_nodes", topology.seats.len() as u64);
    line("cluster_size", u64::from(assigned > 0));
    line("cluster_current_epoch", topology.epoch.0);
    line("cluster_my_epoch", topology.epoch.0);
    line("cluster_stats_messages_sent", 0);
    line("cluster_stats_messages_received", 0);
    line("total_cluster_links_buffer_limit_exceeded", 0);
    let state = if topology.is_well() { "ok" } else { "fail" };
    let text = format!("cluster_state:{state}\r\n{text}");
    call.reply().verbatim(*b"txt", text.as_bytes());
    Ok(Flow::Continue)
}

pub(super) const MYID: Command<NodeHandler> = Command::new(
    Spec {
        name: "myid",
        summary: "Tells this node's name.",
        complexity: "O(1)",
        tips: &[],
        ..TELLS
    },
    |call| {
        let id = long_id(call.worker.node.replication.identity().node);
        call.reply().bulk(id.as_bytes());
        Ok(Flow::Continue)
    },
);

pub(super) const MYSHARDID: Command<NodeHandler> = Command::new(
    Spec {
        name: "myshardid",
        since: "7.2.0",
        summary: "Tells the name of this node's shard.",
        complexity: "O(1)",
        ..TELLS
    },
    |call| {
        let id = format!("{}{:08x}", call.worker.node.replication.cluster(), SHARD.0);
        call.reply().bulk(id.as_bytes());
        Ok(Flow::Continue)
    },
);

pub(super) const SAVECONFIG: Command<NodeHandler> = Command::new(
    Spec {
        name: "saveconfig",
        arity: 2,
        summary: "Accepted: what is agreed upon is on disk already.",
        ..CHANGES
    },
    |call| {
        call.reply().ok();
        Ok(Flow::Continue)
    },
);
