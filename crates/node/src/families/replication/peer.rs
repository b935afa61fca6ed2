//! REPLICATION PEER: where other nodes connect. REPLICAOF names a port for clients; a follower asks
//! there for this one.

use std::sync::atomic::Ordering::Relaxed;

use trefoil_commands::{Command, Spec};

use super::ABOUT;
use crate::handler::{Flow, NodeHandler};

pub(super) const PEER: Command<NodeHandler> = Command::new(
    Spec {
        name: "peer",
        arity: 2,
        summary: "Tells the port for other nodes; 0: there is none.",
        ..ABOUT
    },
    |call| {
        let port = call.worker.node.replication.peer_port.load(Relaxed);
        call.reply().integer(i64::from(port));
        Ok(Flow::Continue)
    },
);

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use crate::harness::TestNode;

    #[test]
    fn the_port_for_nodes_is_told() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.node.replication.peer_port.store(7_379, Relaxed);
        node.check(&mut client, &[("REPLICATION PEER", ":7379")]);
    }
}
