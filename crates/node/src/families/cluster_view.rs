//! CLUSTER VIEW: all that is agreed upon, as this node knows it, for programs. `trefoil status` asks for
//! this.
//!
//! A map of named values; a later release may add some. What only one node knows (the raft leader whom
//! it has not heard, a leader when its lease ends) is nil or 0 elsewhere.

use trefoil_clock::NodeId;
use trefoil_cluster::control::ControlView;
use trefoil_cluster::controller::Stage;
use trefoil_cluster::state::{Granted, KeyspacePolicy, Member, MemberKind, Shard};
use trefoil_commands::{Command, CommandError, Flags, Group, Spec};

use super::fields::Fields;
use crate::handler::{Flow, NodeCall, NodeHandler};

pub(super) const VIEW: Command<NodeHandler> = Command::new(
    Spec {
        name: "view",
        arity: 2,
        flags: Flags::ADMIN.with(Flags::LOADING).with(Flags::STALE).with(Flags::NOSCRIPT),
        group: Group::Cluster,
        since: "7.2.0",
        summary: "Tells what the cluster has agreed upon, as this node knows it.",
        complexity: "O(N) in the number of members",
        ..Spec::BASE
    },
    view,
);

fn view(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let node = &call.worker.node;
    let agreement = &node.agreement;
    let Some(view) = agreement.view() else {
        return Err(CommandError::Other("LOADING this node does not know yet what is agreed upon"));
    };
    let now_ms = agreement.lease.now_ms();
    let since = |shard: &Shard| agreement.reign_ms(shard.epoch);
    let mut fields = of_view(&view, agreement.is_managed(), now_ms, since);
    fields.perhaps("lapsed-ms", agreement.lease.lapsed_ms());
    fields.write(&mut call.reply());
    Ok(Flow::Continue)
}

fn of_view(
    view: &ControlView,
    managed: bool,
    now_ms: u64,
    since: impl Fn(&Shard) -> Option<u64>,
) -> Fields {
    let state = &view.state;
    let mut fields = Fields::default();
    fields.text("own", view.own.to_string());
    fields.text("cluster", state.cluster.to_string());
    fields.flag("managed", managed);
    fields.text("raft-leader", name(view.raft_leader));
    fields.number("term", view.term.0);
    fields.number("index", view.index.0);
    fields.number("voters-wanted", u64::from(state.voters));
    fields.list("voters", names(&view.voters));
    fields.list("learners", names(&view.learners));
    fields.list("barred", names(&state.barred));
    let (stage, detail) = view.stage.map_or(("", String::new()), |stage| said(stage, now_ms));
    fields.text("stage", stage);
    fields.text("stage-detail", detail);
    let damped_ms = view.damped_until_ms.map(|until_ms| until_ms.saturating_sub(now_ms));
    fields.perhaps("damped-ms", damped_ms.filter(|&ms| ms > 0));
    fields.maps("members", state.members.values().map(|it| of_member(view, it)).collect());
    fields.maps("keyspaces", state.keyspaces.iter().map(of_keyspace).collect());
    let of_shard = |(id, shard): (&trefoil_clock::ShardId, &Shard)| {
        let mut fields = of_shard(shard, since(shard));
        fields.number("shard", u64::from(id.0));
        fields
    };
    fields.maps("shards", state.shards.iter().map(of_shard).collect());
    fields
}

fn of_member(view: &ControlView, member: &Member) -> Fields {
    let node = member.node;
    let mut fields = Fields::default();
    fields.text("node", node.to_string());
    fields.text(
        "kind",
        match member.kind {
            MemberKind::Data => "data",
            MemberKind::Witness => "witness",
        },
    );
    let (voter, learner) = (view.voters.contains(&node), view.learners.contains(&node));
    fields.text("vote", if voter { "voter" } else if learner { "learner" } else { "" });
    let addresses = &member.addresses;
    let clients = match addresses.client_port {
        0 => String::new(),
        port if addresses.client_host.contains(':') => {
            format!("[{}]:{port}", addresses.client_host)
        }
        port => format!("{}:{port}", addresses.client_host),
    };
    fields.text("address", clients);
    fields.text("peers", addresses.peers.to_string());
    fields.text("region", member.place.region.as_str());
    fields.text("zone", member.place.zone.as_str());
    fields.number("generation", member.generation);
    fields.perhaps("silent-ms", view.silent_ms.get(&node).copied());
    fields
}

fn of_keyspace((name, policy): (&String, &KeyspacePolicy)) -> Fields {
    let mut fields = Fields::default();
    fields.text("name", name.as_str());
    fields.text("acks", policy.acks.acks.to_string());
    fields.text("ack-level", policy.acks.level.name());
    fields.text("on-lost-acks", policy.acks.on_lost.name());
    fields.number("degrade-after", policy.acks.degrade_after_ms);
    fields.text("failover", policy.failover.name());
    fields.perhaps("max-loss", policy.max_loss);
    fields
}

fn of_shard(shard: &Shard, since_ms: Option<u64>) -> Fields {
    let mut fields = Fields::default();
    fields.number("epoch", shard.epoch.0);
    fields.text("leader", shard.leader.to_string());
    fields.flag("granted", shard.granted == Granted::Yes);
    fields.perhaps("since-ms", since_ms);
    fields.list("electable", names(&shard.electable));
    fields.text("acks", shard.acks.to_string());
    fields.number("reports-needed", shard.reports_needed() as u64);
    fields.list("reigns", shard.reigns.iter().map(|it| format!("{} {}", it.epoch, it.leader)).collect());
    fields
}

/// What the raft leader is doing: a word for programs, a sentence for people.
fn said(stage: Stage, now_ms: u64) -> (&'static str, String) {
    let left = |until_ms: u64| until_ms.saturating_sub(now_ms);
    match stage {
        Stage::Learning => ("learning", "it learns what was agreed upon before".into()),
        Stage::Watching => ("watching", String::new()),
        Stage::Manual => ("manual", "the leader is silent; a person decides who leads".into()),
        Stage::Damped { until_ms } => {
            ("damped", format!("the next failover waits {} ms, after so many", left(until_ms)))
        }
        Stage::HandingOver { to } => ("handing-over", format!("to node {to}")),
        Stage::Revoking => ("revoking", "the leader's epoch is being revoked".into()),
        Stage::LeaseRuns { until_ms } => {
            ("lease-runs", format!("the old lease may run for {} ms more", left(until_ms)))
        }
        Stage::Electing(lack) => ("electing", lack.to_string()),
        Stage::Granting { to } => ("granting", format!("node {to} is elected")),
    }
}

fn name(node: Option<NodeId>) -> String {
    node.map_or(String::new(), |node| node.to_string())
}

fn names<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> Vec<String> {
    nodes.into_iter().map(NodeId::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use trefoil_clock::{ClusterId, Epoch, ShardId};
    use trefoil_cluster::raft::{Index, Term};
    use trefoil_cluster::state::{Addresses, Command, ControlState, Place};
    use trefoil_replication::Acks;

    use super::*;
    use crate::harness::TestNode;

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

    fn view_of_three() -> ControlView {
        let mut state = ControlState::new(ClusterId(5));
        let (shard, epoch) = (ShardId(0), Epoch(4));
        let found =
            Command::Found { member: member(1, MemberKind::Data), shard, epoch, policy: KeyspacePolicy::alone() };
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
            voters: BTreeSet::from([NodeId(1), NodeId(2)]),
            learners: BTreeSet::from([NodeId(3)]),
            silent_ms: BTreeMap::from([(NodeId(3), 40)]),
            stage: Some(Stage::Damped { until_ms: 900 }),
            damped_until_ms: Some(900),
            lease_until_ms: 0,
        }
    }

    #[test]
    fn what_is_agreed_upon_is_told_whole() {
        let node = TestNode::new();
        let mut reply = trefoil_wire::resp::ReplyBuf::new();
        let fields = of_view(&view_of_three(), true, 400, |_| Some(12));
        fields.write(&mut trefoil_wire::resp::Reply::new(&mut reply, Default::default()));
        let told = String::from_utf8_lossy(reply.next_slice(reply.position())).replace("\r\n", " ");
        let id = |node: u128| NodeId(node).to_string();
        for part in [
            format!("$11 raft-leader $32 {}", id(2)),
            "$5 stage $6 damped $12 stage-detail $45 the next failover waits 500 ms, after so many".into(),
            format!("$4 kind $7 witness $4 vote $7 learner $7 address $0  $5 peers $14 127.0.0.1:9003"),
            "$9 silent-ms :40".into(),
            format!("$9 electable *2 $32 {} $32 {} $4 acks $4 sync $14 reports-needed :1", id(1), id(2)),
            "$8 since-ms :12".into(),
            "$4 acks $5 async $9 ack-level $8 received".into(),
        ] {
            assert!(told.contains(&part), "{part:?} in {told}");
        }
        drop(node);
    }

    #[test]
    fn who_does_not_know_yet_says_so() {
        let mut node = TestNode::new();
        let mut client = node.client();
        let answer = node.run(&mut client, "CLUSTER VIEW");
        assert!(answer.starts_with("-LOADING"), "{answer}");
        node.node.agreement.set_view(view_of_three().into());
        let answer = node.run(&mut client, "CLUSTER VIEW");
        assert!(answer.contains("$7 managed :0"), "{answer}");
    }
}
