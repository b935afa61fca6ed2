//! CLUSTER MEMBERS: who belongs to the cluster, and how each of them is.

use trefoil_clock::NodeId;
use trefoil_cluster::control::ControlView;
use trefoil_cluster::gossip::MemberState;
use trefoil_cluster::state::{Member, MemberKind};
use trefoil_commands::{Command, CommandError, Spec};

use super::TELLS;
use crate::agreement::Seen;
use crate::families::asked;
use crate::families::fields::{Fields, write_all};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::topology::client_address;

pub(super) const MEMBERS: Command<NodeHandler> = Command::new(
    Spec {
        name: "members",
        since: "7.2.0",
        summary: "Lists who belongs to the cluster, and how each of them is.",
        complexity: "O(N) in the number of members",
        ..TELLS
    },
    members,
);

fn members(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let view = asked::view(call)?;
    let seen = call.worker.node.agreement.membership.seen();
    write_all(&mut call.reply(), &rows(&view, &seen));
    Ok(Flow::Continue)
}

/// One map for each member.
pub(super) fn rows(view: &ControlView, seen: &[Seen]) -> Vec<Fields> {
    view.state.members.values().map(|member| row(view, member, seen)).collect()
}

fn row(view: &ControlView, member: &Member, seen: &[Seen]) -> Fields {
    let node = member.node;
    let shard = view.state.shards.get(&view.shard);
    let gossiped = seen.iter().find(|it| it.node == node);
    let mut fields = Fields::default();
    fields.text("node", node.to_string());
    fields.text(
        "kind",
        match member.kind {
            MemberKind::Data => "data",
            MemberKind::Witness => "witness",
        },
    );
    fields.text("vote", vote(view, node));
    fields.flag("leads", shard.is_some_and(|shard| shard.leader == node));
    fields.flag("electable", shard.is_some_and(|shard| shard.electable.contains(&node)));
    fields.text("address", client_address(member));
    fields.text("peers", member.addresses.peers.to_string());
    fields.text("region", member.place.region.as_str());
    fields.text("zone", member.place.zone.as_str());
    fields.number("generation", member.generation);
    let state = match gossiped.map(|it| it.state) {
        _ if node == view.own => "alive",
        Some(MemberState::Alive) => "alive",
        Some(MemberState::Suspect) => "suspect",
        Some(MemberState::Down) => "down",
        Some(MemberState::Left) => "left",
        None => "",
    };
    fields.text("state", state);
    fields.perhaps("silent-ms", view.silent_ms.get(&node).copied());
    let version = gossiped.and_then(|it| it.record.as_ref()).map(|it| it.metadata.version.as_str());
    fields.text("version", version.unwrap_or_default());
    fields
}

fn vote(view: &ControlView, node: NodeId) -> &'static str {
    if view.voters.contains(&node) {
        "voter"
    } else if view.learners.contains(&node) {
        "learner"
    } else {
        ""
    }
}
