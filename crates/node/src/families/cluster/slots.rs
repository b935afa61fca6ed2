//! CLUSTER SLOTS and SHARDS: one shard that has all slots.

use trefoil_commands::{Command, CommandError, Spec};
use trefoil_wire::resp::Reply;

use super::{LAST_SLOT, TELLS, topology};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::topology::{Seat, Topology, long_id};

pub(super) const SLOTS: Command<NodeHandler> =
    Command::new(Spec { name: "slots", summary: "Tells who has which slots.", ..TELLS }, slots);

/// Whoever does not answer is no use to who asks; a leader that does not is shown until there is another.
fn slots(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let topology = topology(call);
    let mut reply = call.reply();
    let Some(leader) = topology.leader() else {
        reply.empty_array();
        return Ok(Flow::Continue);
    };
    let replicas: Vec<&Seat> = topology.followers().filter(|seat| !seat.is_down).collect();
    reply.array(1);
    reply.array(3 + replicas.len());
    reply.integer(0);
    reply.integer(i64::from(LAST_SLOT));
    for seat in std::iter::once(leader).chain(replicas) {
        reply.array(4);
        reply.bulk(seat.host.as_bytes());
        reply.integer(i64::from(seat.port));
        reply.bulk(long_id(seat.node).as_bytes());
        // What else could be known of its addresses.
        reply.map(0);
    }
    Ok(Flow::Continue)
}

pub(super) const SHARDS: Command<NodeHandler> = Command::new(
    Spec {
        name: "shards",
        since: "7.0.0",
        summary: "Tells who has which slots, and how each node is.",
        ..TELLS
    },
    |call| {
        let topology = topology(call);
        let mut reply = call.reply();
        reply.array(1);
        reply.map(2);
        reply.bulk(b"slots");
        if topology.leader().is_some() {
            reply.array(2);
            reply.integer(0);
            reply.integer(i64::from(LAST_SLOT));
        } else {
            reply.empty_array();
        }
        reply.bulk(b"nodes");
        reply.array(topology.seats.len());
        for seat in &topology.seats {
            shard_node(&mut reply, &topology, seat);
        }
        Ok(Flow::Continue)
    },
);

fn shard_node(reply: &mut Reply<'_>, topology: &Topology, seat: &Seat) {
    let leads = topology.leader == Some(seat.node);
    reply.map(7);
    reply.bulk(b"id");
    reply.bulk(long_id(seat.node).as_bytes());
    reply.bulk(b"port");
    reply.integer(i64::from(seat.port));
    reply.bulk(b"ip");
    reply.bulk(seat.host.as_bytes());
    reply.bulk(b"endpoint");
    reply.bulk(seat.host.as_bytes());
    reply.bulk(b"role");
    reply.bulk(if leads { b"master" } else { b"replica" });
    reply.bulk(b"replication-offset");
    reply.integer(seat.offset.0.cast_signed());
    reply.bulk(b"health");
    reply.bulk(if seat.is_down { b"fail" } else { b"online" });
}
