//! REPLICATION LAG: one row per follower.
//!
//! On a leader the rows are what each follower has said last. A follower answers with one row about
//! itself, in the same words.

use std::net::SocketAddr;

use trefoil_commands::{Command, CommandError, Spec};

use super::ABOUT;
use crate::families::fields::{Fields, write_all};
use crate::families::{keyspace, role};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::node::Node;
use crate::replication::{FollowerRow, FollowerState, LinkState};

pub(super) const LAG: Command<NodeHandler> = Command::new(
    Spec {
        name: "lag",
        summary: "Tells how far each follower is.",
        complexity: "O(N) in the number of followers",
        args: &[keyspace::NAME],
        ..ABOUT
    },
    lag,
);

fn lag(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    keyspace::check_name(call, 2)?;
    let node = &call.worker.node;
    let rows: Vec<Fields> = if role::is_master(&node.replication) {
        node.replication.followers().iter().map(of_follower).collect()
    } else {
        vec![of_itself(node, call.worker.writer.now_ms)]
    };
    write_all(&mut call.reply(), &rows);
    Ok(Flow::Continue)
}

/// Where clients reach a follower; empty: not known.
pub(super) fn address(row: &FollowerRow) -> String {
    row.ip.map_or(String::new(), |ip| SocketAddr::new(ip, row.port).to_string())
}

fn of_follower(row: &FollowerRow) -> Fields {
    let mut fields = Fields::default();
    fields.text("node", row.node.to_string());
    fields.text("address", address(row));
    fields.text("state", row.state.name());
    fields.flag("member", row.is_member);
    fields.number("sent-lsn", row.sent.0);
    fields.number("received-lsn", row.received.0);
    fields.number("flushed-lsn", row.flushed.0);
    fields.number("applied-lsn", row.applied.0);
    fields.number("lag-records", row.lag_records);
    fields.number("lag-bytes", row.lag_bytes);
    fields.perhaps("lag-ms", row.lag_ms.filter(|_| row.state.is_attached()));
    fields.flag("lagging", row.is_lagging);
    fields.perhaps("silent-ms", Some(row.silent_ms).filter(|&ms| ms < u64::MAX));
    if let FollowerState::Snapshot { sent, bytes } = row.state {
        fields.number("snapshot-sent-bytes", sent);
        fields.number("snapshot-bytes", bytes);
    }
    fields
}

fn of_itself(node: &Node, now_ms: u64) -> Fields {
    let (replication, link) = (&node.replication, node.replication.leader());
    let applied = role::applied(node).0;
    let end = link.as_ref().map(|link| link.end.0);
    let heard_ms = link.as_ref().map(|link| link.heard_ms).filter(|&heard_ms| heard_ms > 0);
    let fresh_at_ms = Some(replication.fresh_at_ms()).filter(|&at| at > 0);
    let mut fields = Fields::default();
    fields.text("node", replication.identity().node.to_string());
    fields
        .text("leader", link.as_ref().map_or(String::new(), |l| format!("{}:{}", l.host, l.port)));
    fields.text("state", link_name(link.as_ref().map_or(LinkState::Down, |link| link.state)));
    fields.perhaps("leader-lsn", end);
    fields.number("received-lsn", node.log.appended().0);
    fields.number("flushed-lsn", node.log.durable().0);
    fields.number("applied-lsn", applied);
    fields.perhaps("lag-records", end.map(|end| end.saturating_sub(applied)));
    fields.perhaps("lag-ms", fresh_at_ms.map(|at| now_ms.saturating_sub(at)));
    fields.perhaps("silent-ms", heard_ms.map(|heard_ms| now_ms.saturating_sub(heard_ms)));
    fields
}

/// As a follower says how its link stands.
pub(super) fn link_name(state: LinkState) -> &'static str {
    match state {
        LinkState::Connecting => "connecting",
        LinkState::Loading { .. } => "snapshot",
        LinkState::Streaming => "streaming",
        LinkState::Down => "down",
    }
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{Lsn, NodeId};

    use crate::harness::{START_MS, TestNode};
    use crate::replication::testing::row;
    use crate::replication::{FollowerRow, FollowerState, LeaderLink, LinkState, Role};

    #[test]
    fn every_follower_has_a_row() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(&mut client, &[("REPLICATION LAG", "*0")]);
        node.node.replication.set_followers(vec![
            FollowerRow { lag_records: 3, lag_bytes: 90, is_lagging: true, ..row(1) },
            FollowerRow { ip: None, state: FollowerState::Detached, ..row(2) },
        ]);
        node.run(&mut client, "HELLO 3");
        let first = format!(
            "%13 $4 node $32 {} $7 address $14 127.0.0.1:7001 $5 state $9 streaming $6 member #f \
             $8 sent-lsn :10 $12 received-lsn :10 $11 flushed-lsn :10 $11 applied-lsn :10 \
             $11 lag-records :3 $9 lag-bytes :90 $6 lag-ms :0 $7 lagging #t $9 silent-ms :0",
            NodeId(1)
        );
        let answer = node.run(&mut client, "REPLICATION LAG default");
        let rest = answer.strip_prefix(&format!("*2 {first} %13 ")).expect("the first row");
        for part in ["$7 address $0  $5 state $8 detached", "$6 lag-ms _ "] {
            assert!(rest.contains(part), "{part}: {rest}");
        }
        node.node.replication.set_followers(vec![FollowerRow {
            state: FollowerState::Snapshot { sent: 5, bytes: 50 },
            ..row(3)
        }]);
        let answer = node.run(&mut client, "REPLICATION LAG");
        assert!(answer.ends_with("$19 snapshot-sent-bytes :5 $14 snapshot-bytes :50"), "{answer}");
    }

    #[test]
    fn a_follower_tells_about_itself() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.node.replication.set_role(Role::Following);
        node.node.replication.set_fresh_at_ms(START_MS - 7);
        node.node.log.set_progress(Lsn(4), Lsn(3));
        node.node.replication.set_leader(Some(LeaderLink {
            host: "db.example".into(),
            port: 6379,
            state: LinkState::Streaming,
            node: None,
            end: Lsn(5),
            heard_ms: START_MS - 2,
            trouble: None,
        }));
        let answer = node.run(&mut client, "REPLICATION LAG");
        for part in [
            "$6 leader $15 db.example:6379 $5 state $9 streaming $10 leader-lsn :5",
            "$12 received-lsn :4 $11 flushed-lsn :3 $11 applied-lsn :0",
            "$11 lag-records :5 $6 lag-ms :7 $9 silent-ms :2",
        ] {
            assert!(answer.contains(part), "{part}: {answer}");
        }
    }
}
