//! INFO cluster, and what INFO replication says of failovers: what is agreed upon, as this node knows it.
//!
//! `cluster_enabled` is 0: clients that ask for it would take it for leave to forbid databases and
//! commands over several slots. Clients of clusters ask CLUSTER, and are answered.

use trefoil_clock::NodeId;
use trefoil_cluster::control::ControlView;
use trefoil_cluster::state::{Granted, Shard};

use super::sections::Seen;
use super::text::Lines;
use crate::agreement::{Agreement, FailoverState};
use crate::families::failover::said;
use crate::node::Node;
use crate::topology::client_address;

pub(super) fn cluster(seen: &Seen<'_>, lines: &mut Lines) {
    let agreement = &seen.node.agreement;
    lines.field("cluster_enabled", 0);
    lines.field("cluster_managed", u8::from(agreement.is_managed()));
    let Some(view) = agreement.view().filter(|_| agreement.is_managed()) else { return };
    let now_ms = agreement.lease.now_ms();
    lines.field("cluster_members", view.state.members.len());
    lines.field("cluster_voters", view.voters.len());
    lines.field("cluster_is_voter", u8::from(view.voters.contains(&view.own)));
    lines.field("cluster_control_leader", name(view.raft_leader));
    lines.field("cluster_control_term", view.term.0);
    lines.field("cluster_control_index", view.index.0);
    let (stage, _) = view.stage.map_or(("", String::new()), |stage| said(stage, now_ms));
    lines.field("cluster_stage", stage);
    let damped_ms = view.damped_until_ms.map_or(0, |until_ms| until_ms.saturating_sub(now_ms));
    lines.field("cluster_damped_ms", damped_ms);
    if let Some(shard) = view.state.shards.get(&view.shard) {
        of_shard(&view, shard, lines);
    }
    lease(agreement, &view, lines);
}

fn of_shard(view: &ControlView, shard: &Shard, lines: &mut Lines) {
    let leader = view.state.members.get(&shard.leader);
    let electable: Vec<String> = shard.electable.iter().map(NodeId::to_string).collect();
    lines.field("cluster_epoch", shard.epoch);
    lines.field("cluster_leader", shard.leader);
    lines.field("cluster_leader_address", leader.map(client_address).unwrap_or_default());
    lines.field("cluster_leader_granted", u8::from(shard.granted == Granted::Yes));
    lines.field("cluster_electable", electable.join(","));
    lines.field("cluster_reports_needed", shard.reports_needed());
}

fn lease(agreement: &Agreement, view: &ControlView, lines: &mut Lines) {
    let leads = view.state.shards.get(&view.shard).is_some_and(|shard| shard.leader == view.own);
    let state = match (leads, agreement.lease.holds()) {
        (false, _) => "none",
        (true, true) => "held",
        (true, false) => "lapsed",
    };
    lines.field("cluster_lease", state);
    lines.field("cluster_lease_lapsed_ms", agreement.lease.lapsed_ms().unwrap_or_default());
}

/// How far a failover is, and what came of the last one that this node's clients asked for.
pub(super) fn failover(node: &Node, lines: &mut Lines) {
    let agreement = &node.agreement;
    let view = agreement.view().filter(|_| agreement.is_managed());
    let shard = view.as_ref().and_then(|view| view.state.shards.get(&view.shard));
    let present = shard.map(|shard| shard.epoch).unwrap_or_default();
    let is_under_way = agreement.failovers.is_under_way(&agreement.requests, present);
    let state = match view.as_deref().map_or(FailoverState::None, FailoverState::seen_in) {
        FailoverState::None if is_under_way => FailoverState::WaitingForSync,
        state => state,
    };
    lines.field("master_failover_state", state.name());
    if let Some(answer) = agreement.failovers.last() {
        let text = answer.map_or_else(|error| error.to_string(), |done| done.to_string());
        lines.field("last_failover_result", text);
    }
}

fn name(node: Option<NodeId>) -> String {
    node.map_or(String::new(), |node| node.to_string())
}

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;
    use crate::topology::testing::view_of_three;
    use trefoil_cluster::state::Granted;

    #[test]
    fn a_node_tells_what_is_agreed_upon() {
        let mut node = TestNode::new();
        let mut client = node.client();
        let alone = node.run(&mut client, "INFO cluster");
        assert!(alone.ends_with("# Cluster cluster_enabled:0 cluster_managed:0"), "{alone}");
        node.node.agreement.set_managed(true);
        let mut view = view_of_three();
        let shard = view.state.shards.get_mut(&view.shard).expect("there is one");
        shard.granted = Granted::Revoked;
        node.node.agreement.set_view(view.into());
        let info = node.run(&mut client, "INFO cluster replication");
        for line in [
            "cluster_managed:1",
            "cluster_members:3",
            "cluster_voters:3",
            "cluster_is_voter:1",
            "cluster_control_term:6",
            "cluster_stage:damped",
            "cluster_epoch:4",
            "cluster_leader_address:127.0.0.1:7001",
            "cluster_leader_granted:0",
            "cluster_lease:held",
            "master_failover_state:failover-in-progress",
        ] {
            assert!(info.split(' ').any(|word| word == line), "{line}: {info}");
        }
    }
}
