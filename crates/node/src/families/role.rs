//! REPLICAOF, and ROLE: who leads and who follows, in Redis's words.

use std::net::IpAddr;

use trefoil_clock::Lsn;
use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec, parse_i64};

use super::ordered::carry_out;
use crate::config::is_host;
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::node::Node;
use crate::replication::{FollowerState, LeaderLink, LinkState, Order, Replication, Role};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[REPLICAOF, SLAVEOF, ROLE];

const FOLLOWS: Spec = Spec {
    name: "replicaof",
    arity: 3,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE).with(Flags::NO_ASYNC_LOADING),
    group: Group::Server,
    since: "5.0.0",
    summary: "Makes the node follow a leader, whose data takes the place of its own, or lead.",
    args: &[Arg::required(
        "args",
        ArgKind::OneOf(&[
            Arg::required(
                "host-port",
                ArgKind::Block(&[
                    Arg::required("host", ArgKind::String),
                    Arg::required("port", ArgKind::Integer),
                ]),
            ),
            Arg::required(
                "no-one",
                ArgKind::Block(&[Arg::word("no", "NO"), Arg::word("one", "ONE")]),
            ),
        ]),
    )],
    ..Spec::BASE
};

const REPLICAOF: Command<NodeHandler> = Command::new(FOLLOWS, replicaof);

const SLAVEOF: Command<NodeHandler> = Command::new(
    Spec {
        name: "slaveof",
        since: "1.0.0",
        summary: "The same as REPLICAOF, by its old name.",
        ..FOLLOWS
    },
    replicaof,
);

/// Who leads a cluster is agreed upon.
const MANAGED: CommandError = CommandError::Other(
    "ERR the cluster agrees on who leads and who follows; FAILOVER asks for another leader",
);

fn replicaof(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if call.worker.node.agreement.is_managed() {
        call.session.waiting = None;
        return Err(MANAGED);
    }
    let (host, port) = (call.args.get(1), call.args.get(2));
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return lead(call);
    }
    let port = parse_i64(port)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|&port| port != 0)
        .ok_or(CommandError::Other("ERR Invalid master port"))?;
    let host = std::str::from_utf8(host).ok().filter(|host| is_host(host));
    let host = host.ok_or(CommandError::Other("ERR Invalid master host"))?.to_string();
    let follows = |replication: &Replication| {
        // A leader that can't be followed is asked anew: then our own history may be given up.
        let leads_us = |link: LeaderLink| {
            link.port == port && link.host.eq_ignore_ascii_case(&host) && link.trouble.is_none()
        };
        !is_master(replication) && replication.leader().is_some_and(leads_us)
    };
    let is_new = call.session.waiting.is_none();
    if is_new && follows(&call.worker.node.replication) {
        call.reply().simple("OK Already connected to specified master");
        return Ok(Flow::Continue);
    }
    if is_new {
        call.worker.node.settings.replication.set_replicaof(Some((&host, port)));
    }
    carry_out(call, || Order::Follow { host: host.clone(), port }, follows)
}

fn lead(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let node = &call.worker.node;
    if call.session.waiting.is_none() {
        if node.replication.is_leading() {
            call.reply().ok();
            return Ok(Flow::Continue);
        }
        node.settings.replication.set_replicaof(None);
    }
    carry_out(call, || Order::Lead, Replication::is_leading)
}

const ROLE: Command<NodeHandler> = Command::new(
    Spec {
        name: "role",
        arity: 1,
        flags: Flags::NOSCRIPT
            .with(Flags::LOADING)
            .with(Flags::STALE)
            .with(Flags::FAST)
            .with(Flags::REVEALS),
        group: Group::Server,
        since: "2.8.12",
        summary: "Tells the role in replication, and who is at the other ends of the links.",
        ..Spec::BASE
    },
    role,
);

fn role(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if is_master(&call.worker.node.replication) {
        master(call);
    } else {
        slave(call);
    }
    Ok(Flow::Continue)
}

fn master(call: &mut NodeCall<'_>) {
    let last = call.worker.node.keyspace.sequencer().last_lsn();
    let rows = call.worker.node.replication.followers();
    let online = || rows.iter().filter(|row| row.state.is_online());
    let mut reply = call.reply();
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(last.0.cast_signed());
    if online().next().is_none() {
        return reply.empty_array();
    }
    reply.array(online().count());
    for row in online() {
        reply.array(3);
        reply.bulk(ip(row.ip).as_bytes());
        reply.bulk(row.port.to_string().as_bytes());
        reply.bulk(row.applied.to_string().as_bytes());
    }
}

fn slave(call: &mut NodeCall<'_>) {
    let node = &call.worker.node;
    let link = node.replication.leader();
    let state = link.as_ref().map_or(LinkState::Down, |link| link.state);
    let applied = match state {
        LinkState::Streaming => applied(node).0.cast_signed(),
        _ => -1,
    };
    let (host, port) = link.map_or((String::new(), 0), |link| (link.host, link.port));
    let mut reply = call.reply();
    reply.array(5);
    reply.bulk(b"slave");
    reply.bulk(host.as_bytes());
    reply.integer(i64::from(port));
    reply.bulk(match state {
        LinkState::Down => b"connect",
        LinkState::Connecting => b"connecting",
        LinkState::Loading { .. } => b"sync",
        LinkState::Streaming => b"connected",
    });
    reply.integer(applied);
}

/// Whether the node is what Redis calls a master: it leads, or will go on to.
pub(crate) fn is_master(replication: &Replication) -> bool {
    match replication.role() {
        Role::Leading | Role::Recovering => true,
        // Whoever asks for a master must not be sent to one that was deposed.
        Role::Following | Role::Deposed => false,
        Role::Loading => replication.leader().is_none(),
    }
}

/// The address of a follower; empty: not known.
pub(super) fn ip(ip: Option<IpAddr>) -> String {
    ip.map_or(String::new(), |ip| ip.to_string())
}

/// What INFO calls the state of a follower that has a link.
pub(super) fn state_for_info(state: FollowerState) -> &'static str {
    match state {
        FollowerState::Snapshot { bytes: 0, .. } => "wait_bgsave",
        FollowerState::Snapshot { .. } => "send_bulk",
        _ => "online",
    }
}

/// What a follower's readers see.
pub(super) fn applied(node: &Node) -> Lsn {
    node.applier.applied()
}

#[cfg(test)]
mod tests {
    use trefoil_clock::Lsn;

    use super::*;
    use crate::harness::TestNode;
    use crate::replication::FollowerRow;
    use crate::replication::testing::row;

    fn link(state: LinkState) -> Option<LeaderLink> {
        let (host, end) = ("db.example".to_string(), Lsn(9));
        Some(LeaderLink { host, port: 6379, state, node: None, end, heard_ms: 0, trouble: None })
    }

    /// The orders but those that a new configuration gives.
    fn orders(node: &TestNode) -> Vec<Order> {
        let orders = &node.node.replication.orders;
        std::iter::from_fn(|| orders.take()).filter(|order| *order != Order::Reconfigure).collect()
    }

    #[test]
    fn a_leader_names_the_followers_that_get_records() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(&mut client, &[("ROLE", "*3 $6 master :0 *0"), ("SET k v", "+OK")]);
        let loading = FollowerState::Snapshot { sent: 1, bytes: 2 };
        node.node.replication.set_followers(vec![
            row(1),
            FollowerRow { state: loading, ..row(2) },
            FollowerRow { state: FollowerState::Detached, ..row(3) },
            FollowerRow { state: FollowerState::CatchingUp, applied: Lsn(7), ..row(4) },
        ]);
        let followers = "*2 *3 $9 127.0.0.1 $4 7001 $2 10 *3 $9 127.0.0.1 $4 7004 $1 7";
        node.check(&mut client, &[("ROLE", &format!("*3 $6 master :1 {followers}"))]);
    }

    #[test]
    fn a_follower_names_its_leader_and_the_state_of_the_link() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.run(&mut client, "SET k v");
        node.node.replication.set_role(Role::Following);
        for (state, shown) in [
            (LinkState::Down, "$7 connect :-1"),
            (LinkState::Connecting, "$10 connecting :-1"),
            (LinkState::Loading { received: 1, bytes: 2 }, "$4 sync :-1"),
            (LinkState::Streaming, "$9 connected :0"),
        ] {
            node.node.replication.set_leader(link(state));
            let expected = format!("*5 $5 slave $10 db.example :6379 {shown}");
            node.check(&mut client, &[("ROLE", &expected)]);
        }
        node.node.replication.set_role(Role::Deposed);
        node.node.replication.set_leader(None);
        node.check(&mut client, &[("ROLE", "*5 $5 slave $0  :0 $7 connect :-1")]);
    }

    #[test]
    fn replicaof_is_answered_when_the_node_follows() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(&mut client, &[("REPLICAOF DB.example 6379", "")]);
        assert_eq!(client.flow, Flow::Retry);
        let (host, port) = ("DB.example".to_string(), 6379);
        assert_eq!(orders(&node), [Order::Follow { host, port }]);
        node.check(&mut client, &[("REPLICAOF DB.example 6379", "")]);
        assert_eq!(orders(&node), [], "the order is given once");
        node.node.replication.set_leader(link(LinkState::Connecting));
        node.node.replication.set_role(Role::Following);
        node.check(
            &mut client,
            &[
                ("REPLICAOF DB.example 6379", "+OK"),
                ("SLAVEOF db.example 6379", "+OK Already connected to specified master"),
                ("CONFIG GET replicaof", "*2 $9 replicaof $15 DB.example 6379"),
                ("REPLICAOF no ONE", ""),
            ],
        );
        assert_eq!(orders(&node), [Order::Lead]);
        node.node.replication.set_role(Role::Leading);
        node.check(
            &mut client,
            &[
                ("REPLICAOF no ONE", "+OK"),
                ("SLAVEOF NO ONE", "+OK"),
                ("CONFIG GET slaveof", "*2 $7 slaveof $0"),
            ],
        );
        assert_eq!(orders(&node), []);
    }

    #[test]
    fn a_member_of_a_cluster_is_given_no_orders() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.node.agreement.set_managed(true);
        let refused = "-ERR the cluster agrees on who leads and who follows; FAILOVER asks for another \
                       leader";
        node.check(
            &mut client,
            &[("REPLICAOF NO ONE", refused), ("REPLICAOF h 1", refused), ("SLAVEOF h x", refused)],
        );
        assert_eq!(orders(&node), []);
    }

    #[test]
    fn an_order_that_is_not_carried_out_ends_as_unknown() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(&mut client, &[("REPLICAOF h 1", "")]);
        node.pass_ms(10_000);
        let answer = node.run(&mut client, "REPLICAOF h 1");
        assert!(answer.starts_with("-UNKNOWN the order was given"), "{answer}");
        assert_eq!(orders(&node).len(), 1);
        node.check(
            &mut client,
            &[("MULTI", "+OK"), ("REPLICAOF h 1", "+QUEUED"), ("EXEC", "*1 +OK")],
        );
        assert_eq!(orders(&node).len(), 1);
    }

    #[test]
    fn a_leader_that_can_not_be_is_refused_in_redis_words() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("REPLICAOF h x", "-ERR Invalid master port"),
                ("REPLICAOF h 65536", "-ERR Invalid master port"),
                ("REPLICAOF h -5", "-ERR Invalid master port"),
                ("REPLICAOF no two", "-ERR Invalid master port"),
                ("REPLICAOF \"a b\" 1", "-ERR Invalid master host"),
                ("REPLICAOF no", "-ERR wrong number of arguments for 'replicaof' command"),
            ],
        );
        assert_eq!(orders(&node), []);
    }
}
