//! A view of a cluster for tests: two nodes with data, the first of which leads, and a witness.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_clock::{ClusterId, Epoch, NodeId, ShardId};
use trefoil_cluster::control::ControlView;
use trefoil_cluster::controller::Stage;
use trefoil_cluster::raft::{Index, Term};
use trefoil_cluster::state::{
    Addresses, Command, ControlState, KeyspacePolicy, Member, MemberKind, Place,
};
use trefoil_replication::Acks;

use crate::harness::{TestClient, TestNode};

fn member(node: u128, kind: MemberKind) -> Member {
    let client_port = if kind == MemberKind::Data { 7_000 + node as u16 } else { 0 };
    Member {
        node: NodeId(node),
        generation: 3,
        kind,
        addresses: Addresses {
            peers: ([127, 0, 0, 1], 9_000 + node as u16).into(),
            client_host: "127.0.0.1".into(),
            client_port,
        },
        place: Place { region: "eu".into(), zone: "a".into() },
    }
}

/// See the module. [`crate::harness::TestNode`] is node 1.
pub(crate) fn view_of_three() -> ControlView {
    let mut state = ControlState::new(ClusterId(5));
    let (shard, epoch) = (ShardId(0), Epoch(4));
    let first = member(1, MemberKind::Data);
    let found = Command::Found { member: first, shard, epoch, policy: KeyspacePolicy::alone() };
    let electable = BTreeSet::from([NodeId(1), NodeId(2)]);
    for command in [
        found,
        Command::Join(member(2, MemberKind::Data)),
        Command::Join(member(3, MemberKind::Witness)),
        Command::Electable { shard, epoch, generation: 3, version: 1, electable, acks: Acks::Sync },
    ] {
        state.apply(&command).expect("it is in order");
    }
    ControlView {
        own: NodeId(1),
        shard,
        state,
        raft_leader: Some(NodeId(2)),
        term: Term(6),
        index: Index(7),
        voters: BTreeSet::from([NodeId(1), NodeId(2), NodeId(3)]),
        learners: BTreeSet::new(),
        silent_ms: BTreeMap::from([(NodeId(3), 40)]),
        stage: Some(Stage::Damped { until_ms: 900 }),
        damped_until_ms: Some(900),
        lease_until_ms: 0,
    }
}

/// A node that belongs to them, and a client of it.
pub(crate) fn node_of_three() -> (TestNode, TestClient) {
    let mut node = TestNode::new();
    node.node.agreement.set_managed(true);
    node.node.agreement.set_view(view_of_three().into());
    let client = node.client();
    (node, client)
}
