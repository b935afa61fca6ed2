//! Tells clients that another node leads, as Sentinel does.
//!
//! Invariant: it is told once the node would answer with the new leader.

use std::sync::Arc;

use trefoil_clock::{Lsn, NodeId};
use trefoil_cluster::control::ControlView;
use trefoil_cluster::state::DEFAULT_KEYSPACE;

use crate::node::Node;
use crate::pubsub::hub::Kind;

/// Where Sentinel's clients listen.
const CHANNEL: &[u8] = b"+switch-master";

impl Node {
    /// Told by the control thread: this is agreed upon from now on.
    pub fn publish_view(&self, view: Arc<ControlView>) {
        let leader = |view: &ControlView| view.state.shards.get(&view.shard).map(|it| it.leader);
        let before = self.agreement.view().as_deref().and_then(leader);
        let now = leader(&view);
        self.agreement.set_view(view);
        if let (Some(from), Some(to)) = (before, now)
            && from != to
        {
            self.announce_leader(from, to);
        }
    }

    /// Tells those who listen on this node, under each name that the service goes by.
    pub fn announce_leader(&self, from: NodeId, to: NodeId) {
        let Some(view) = self.agreement.view() else { return };
        let place = |node: NodeId| {
            let addresses = &view.state.members.get(&node)?.addresses;
            Some(format!("{} {}", addresses.client_host, addresses.client_port))
        };
        let (Some(from), Some(to)) = (place(from), place(to)) else { return };
        let mut names = self.settings.replication.sentinel_names();
        if names.iter().all(|name| name != DEFAULT_KEYSPACE) {
            names.push(DEFAULT_KEYSPACE.to_owned());
        }
        for name in names {
            let text = format!("{name} {from} {to}");
            self.hub.publish(&*self.post, Kind::Plain, (CHANNEL, text.as_bytes()), Lsn::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use trefoil_clock::Epoch;

    use super::super::testing::view_of_three;
    use super::*;
    use crate::harness::TestNode;
    use crate::mail::Mail;

    fn told(node: &TestNode) -> Vec<String> {
        let text = |mail| match mail {
            (_, Mail::Deliver(delivery)) => {
                Some(String::from_utf8_lossy(delivery.body()).replace("\r\n", " "))
            }
            _ => None,
        };
        node.mail().into_iter().filter_map(text).collect()
    }

    #[test]
    fn another_leader_is_announced_once_and_by_each_name() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.run(&mut client, "SUBSCRIBE +switch-master");
        let view = view_of_three();
        node.node.publish_view(view.clone().into());
        assert!(told(&node).is_empty(), "who led when this node began is no news");
        let mut later = view;
        let shard = later.state.shards.get_mut(&later.shard).expect("there is one");
        (shard.leader, shard.epoch) = (NodeId(2), Epoch(5));
        node.node.publish_view(later.clone().into());
        let messages = told(&node);
        assert_eq!(messages.len(), 2, "{messages:?}");
        for (message, name) in messages.iter().zip(["mymaster", "default"]) {
            let text = format!("{name} 127.0.0.1 7001 127.0.0.1 7002");
            assert!(message.contains(&text), "{message}");
        }
        node.node.publish_view(later.into());
        assert!(told(&node).is_empty());
    }
}
