//! REPLICATION MEMBERS and FORGET: the followers whose acknowledgements count, which are those that may
//! be made leader.

use trefoil_clock::NodeId;
use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Spec};

use super::{ABOUT, lag};
use crate::families::fields::{Fields, write_all};
use crate::families::ordered::carry_out;
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::replication::Order;

pub(super) const MEMBERS: Command<NodeHandler> = Command::new(
    Spec {
        name: "members",
        arity: 2,
        summary: "Lists the followers whose acknowledgements count.",
        complexity: "O(N) in the number of followers",
        ..ABOUT
    },
    members,
);

fn members(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let replication = &call.worker.node.replication;
    let rows = replication.followers();
    let describe = |member: NodeId| {
        let row = rows.iter().find(|row| row.node == member);
        let mut fields = Fields::default();
        fields.text("node", member.to_string());
        fields.text("address", row.map_or(String::new(), lag::address));
        fields.text("state", row.map_or("detached", |row| row.state.name()));
        fields
    };
    let all: Vec<Fields> = replication.members().into_iter().map(describe).collect();
    write_all(&mut call.reply(), &all);
    Ok(Flow::Continue)
}

pub(super) const FORGET: Command<NodeHandler> = Command::new(
    Spec {
        name: "forget",
        arity: 3,
        flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE),
        summary: "Makes a follower that is gone for good count no more.",
        args: &[Arg::required("node", ArgKind::String)],
        ..ABOUT
    },
    forget,
);

fn forget(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let node = parse(call.args.get(2))
        .ok_or(CommandError::Other("ERR a node is named by 32 hexadecimal digits"))?;
    let replication = &call.worker.node.replication;
    if !replication.is_leading() {
        return Err(CommandError::Other("ERR only a leader forgets followers"));
    }
    if call.session.waiting.is_none() {
        let rows = replication.followers();
        let row = rows.iter().find(|row| row.node == node);
        if row.is_some_and(|row| row.state.is_attached()) {
            return Err(CommandError::Other(
                "ERR the follower is attached and would be back at once; stop it first",
            ));
        }
        if row.is_none() && !replication.members().contains(&node) {
            return Err(CommandError::Other("ERR there is no such follower"));
        }
    }
    carry_out(call, || Order::Forget(node), |replication| !replication.members().contains(&node))
}

fn parse(text: &[u8]) -> Option<NodeId> {
    if text.len() != 32 || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok().map(NodeId)
}

#[cfg(test)]
mod tests {
    use trefoil_clock::NodeId;

    use crate::handler::Flow;
    use crate::harness::TestNode;
    use crate::replication::testing::row;
    use crate::replication::{Order, Role};

    #[test]
    fn members_are_listed_and_forgotten() {
        let mut node = TestNode::new();
        let mut client = node.client();
        let [one, two] = [NodeId(1), NodeId(0xab)];
        node.node.replication.set_members(vec![one, two]);
        node.node.replication.set_followers(vec![row(1)]);
        let listed = format!(
            "*2 *6 $4 node $32 {one} $7 address $14 127.0.0.1:7001 $5 state $9 streaming \
             *6 $4 node $32 {two} $7 address $0  $5 state $8 detached"
        );
        let attached = "-ERR the follower is attached and would be back at once; stop it first";
        let forget = format!("REPLICATION FORGET {two}");
        node.check(
            &mut client,
            &[
                ("REPLICATION MEMBERS", &listed),
                ("REPLICATION FORGET x", "-ERR a node is named by 32 hexadecimal digits"),
                (&format!("REPLICATION FORGET {one}"), attached),
                (&format!("REPLICATION FORGET {}", NodeId(3)), "-ERR there is no such follower"),
                (&forget, ""),
            ],
        );
        assert_eq!(client.flow, Flow::Retry);
        let mut orders = std::iter::from_fn(|| node.node.replication.orders.take());
        assert!(orders.any(|order| order == Order::Forget(two)));
        node.node.replication.set_members(vec![one]);
        node.check(&mut client, &[(&forget, "+OK")]);
        node.node.replication.set_role(Role::Following);
        node.check(&mut client, &[(&forget, "-ERR only a leader forgets followers")]);
    }
}
