//! CLUSTER VIEW: all that is agreed upon, as this node knows it, for programs. `trefoil status` asks for
//! this.
//!
//! A map of named values; a later release may add some. What only one node knows (the raft leader whom
//! it has not heard, a leader when its lease ends) is nil or 0 elsewhere.

use trefoil_clock::NodeId;
use trefoil_cluster::control::ControlView;
use trefoil_cluster::state::{Granted, KeyspacePolicy, Origin, Shard};
use trefoil_commands::{Command, CommandError, Flags, Spec};

use super::{TELLS, members};
use crate::families::asked;
use crate::families::failover::said;
use crate::families::fields::Fields;
use crate::handler::{Flow, NodeCall, NodeHandler};

pub(super) const VIEW: Command<NodeHandler> = Command::new(
    Spec {
        name: "view",
        flags: TELLS.flags.with(Flags::ADMIN).with(Flags::NOSCRIPT),
        since: "7.2.0",
        summary: "Tells what the cluster has agreed upon, as this node knows it.",
        complexity: "O(N) in the number of members",
        ..TELLS
    },
    view,
);

fn view(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let view = asked::view(call)?;
    let agreement = &call.worker.node.agreement;
    let now_ms = agreement.lease.now_ms();
    let since = |shard: &Shard| agreement.reign_ms(shard.epoch);
    let seen = agreement.membership.seen();
    let mut fields = of_view(&view, agreement.is_managed(), now_ms, since);
    fields.maps("members", members::rows(&view, &seen));
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
    fields.maps("keyspaces", state.keyspaces.iter().map(of_keyspace).collect());
    let of_shard = |(id, shard): (&trefoil_clock::ShardId, &Shard)| {
        let mut fields = of_shard(shard, since(shard));
        fields.number("shard", u64::from(id.0));
        fields
    };
    fields.maps("shards", state.shards.iter().map(of_shard).collect());
    fields
}

fn of_keyspace((name, policy): (&String, &KeyspacePolicy)) -> Fields {
    let mut fields = Fields::default();
    fields.text("name", name.as_str());
    fields.text("acks", policy.acks.acks.to_string());
    fields.text("ack-level", policy.acks.level.name());
    fields.text("on-lost-acks", policy.acks.on_lost.name());
    fields.number("degrade-after", policy.acks.degrade_after_ms);
    fields.flag("chosen", policy.origin == Origin::Chosen);
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
    fields.list(
        "reigns",
        shard.reigns.iter().map(|it| format!("{} {}", it.epoch, it.leader)).collect(),
    );
    fields
}

fn name(node: Option<NodeId>) -> String {
    node.map_or(String::new(), |node| node.to_string())
}

fn names<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> Vec<String> {
    nodes.into_iter().map(NodeId::to_string).collect()
}

#[cfg(test)]
mod tests {
    use trefoil_wire::resp::{Protocol, Reply, ReplyBuf};

    use super::*;
    use crate::harness::TestNode;
    use crate::topology::testing::view_of_three;

    #[test]
    fn what_is_agreed_upon_is_told_whole() {
        let mut told = ReplyBuf::new();
        let fields = of_view(&view_of_three(), true, 400, |_| Some(12));
        fields.write(&mut Reply::new(&mut told, Protocol::Resp2));
        let told = String::from_utf8_lossy(told.next_slice(told.position())).replace("\r\n", " ");
        let id = |node: u128| NodeId(node).to_string();
        for part in [
            format!("$11 raft-leader $32 {}", id(2)),
            "$5 stage $6 damped $12 stage-detail $45 the next failover waits 500 ms, after so many"
                .into(),
            format!(
                "$9 electable *2 $32 {} $32 {} $4 acks $4 sync $14 reports-needed :1",
                id(1),
                id(2)
            ),
            "$8 since-ms :12".into(),
            "$4 acks $5 async $9 ack-level $8 received".into(),
        ] {
            assert!(told.contains(&part), "{part:?} in {told}");
        }
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
        let witness = "$4 kind $7 witness $4 vote $5 voter $5 leads :0 $9 electable :0 $7 address $0  \
                       $5 peers $14 127.0.0.1:9003";
        assert!(answer.contains(witness) && answer.contains("$9 silent-ms :40"), "{answer}");
    }
}
