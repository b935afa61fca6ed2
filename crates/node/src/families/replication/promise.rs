//! REPLICATION PROMISE: what holds for acknowledged writes now.
//!
//! The sentences are those of the table of promises, P1 to P5, and each is said only while it is in
//! force; what can be lost is counted, not promised.

use trefoil_clock::Lsn;
use trefoil_commands::{Command, CommandError, Spec};

use super::{ABOUT, lag};
use crate::families::fields::Fields;
use crate::families::{keyspace, role};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::log::{Fsync, LogHealth};
use crate::node::Node;
use crate::replication::{AckLevel, AckPolicy, Acks, FollowerRow, LinkState, Role};
use crate::settings::FollowerWrites;

pub(super) const PROMISE: Command<NodeHandler> = Command::new(
    Spec {
        name: "promise",
        summary: "Tells what holds for acknowledged writes now, and what could be lost.",
        complexity: "O(N) in the number of followers",
        args: &[keyspace::NAME],
        ..ABOUT
    },
    promise,
);

fn promise(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    keyspace::check_name(call, 2)?;
    let now_ms = call.worker.writer.now_ms;
    let node = &call.worker.node;
    let mut fields = Fields::default();
    let policy = node.settings.policy();
    fields.text("keyspace", keyspace::DEFAULT);
    fields.text("mode", "single-leader");
    fields.text("role", node.replication.role().name());
    fields.number("epoch", node.replication.epoch().0);
    fields.text("fsync", node.log.fsync().name());
    fields.text("acks", policy.acks.to_string());
    fields.text("ack-level", policy.level.name());
    fields.text("on-lost-acks", policy.on_lost.name());
    fields.text("acknowledgements", acknowledgements(node, policy));
    fields.text("writes", writes(node));
    if role::is_master(&node.replication) {
        fields.list("acknowledged-writes-survive", survive(node, policy));
        fields.list("reads-offered", reads_of_leader());
        what_can_be_lost(node, &mut fields);
    } else {
        fields.list("acknowledged-writes-survive", vec!["what the leader promises: ask it".into()]);
        fields.list("reads-offered", reads_of_follower(node, now_ms));
        behind_the_leader(node, &mut fields);
    }
    fields.write(&mut call.reply());
    Ok(Flow::Continue)
}

fn acknowledgements(node: &Node, policy: AckPolicy) -> &'static str {
    match policy.acks {
        _ if !role::is_master(&node.replication) => "by the leader",
        Acks::Async => "by the own log",
        _ if node.replication.is_degraded() => {
            "degraded: by the own log, too few followers are attached"
        }
        _ if node.replication.is_blocked() => "blocked: too few followers are attached",
        Acks::SemiSync(_) => "by the own log and followers",
        Acks::Sync => "by the own log and all members",
    }
}

fn writes(node: &Node) -> &'static str {
    match node.replication.role() {
        Role::Following => match node.settings.freshness.follower_writes() {
            FollowerWrites::Forward => "sent on to the leader",
            FollowerWrites::Readonly | FollowerWrites::Moved => "refused: the leader takes them",
        },
        Role::Loading => "refused: data is being loaded",
        Role::Deposed => "refused: a newer epoch has begun elsewhere",
        Role::Recovering => {
            "refused: followers are asked what they hold, then this node leads again"
        }
        Role::Leading if node.log.health() != LogHealth::Writing => {
            "refused: the log can't be written"
        }
        Role::Leading if node.replication.is_blocked() => "refused: too few followers are attached",
        Role::Leading => "accepted",
    }
}

/// What an acknowledged write survives.
fn survive(node: &Node, policy: AckPolicy) -> Vec<String> {
    let mut sentences = vec![of_the_log(node.log.fsync()).to_string()];
    if node.replication.is_degraded() && policy.acks != Acks::Async {
        sentences.push(format!("degraded: {FAILOVER} until enough followers are attached again"));
        return sentences;
    }
    // A received record is lost with the power of the follower that has it.
    let power = match policy.level {
        AckLevel::Received => {
            "; not the power loss of those that acknowledged it (ack-level flushed)"
        }
        AckLevel::Flushed | AckLevel::Applied => ", their power loss included",
    };
    sentences.push(match policy.acks {
        Acks::Async => format!("P5: {FAILOVER}"),
        Acks::SemiSync(k) => format!(
            "P4: an acknowledged write survives the loss of the leader{}{power}; otherwise writes \
             block, or are degraded visibly",
            and_followers(k - 1)
        ),
        Acks::Sync => format!(
            "P3: while one in-sync replica survives, no acknowledged write is lost{power}; nobody ever \
             reads a write that is lost later"
        ),
    });
    sentences
}

fn and_followers(count: u32) -> String {
    match count {
        0 => String::new(),
        1 => " and any 1 follower".to_string(),
        count => format!(" and any {count} followers"),
    }
}

const FAILOVER: &str = "what a failover loses is a suffix of the leader's order; once the old leader's \
                        disk is back, every lost write is in a diverged archive with a receipt";

fn of_the_log(fsync: Fsync) -> &'static str {
    match fsync {
        Fsync::Always => {
            "P1: an acknowledged write survives kill -9 and power loss of the node (unless a failover \
             under P5 cuts it, with a receipt)"
        }
        Fsync::Everysec => {
            "P2: at most the last second is lost, always a clean suffix, never a hole, never a half \
             transaction"
        }
        Fsync::No => {
            "no promise about power loss: what the operating system had not written is lost, always a \
             clean suffix, never a hole, never a half transaction"
        }
    }
}

fn reads_of_leader() -> Vec<String> {
    [
        "eventual",
        "session",
        "bounded",
        "linearizable, while nobody made another node leader by hand",
    ]
    .map(str::to_string)
    .to_vec()
}

fn reads_of_follower(node: &Node, now_ms: u64) -> Vec<String> {
    let replication = &node.replication;
    let link = replication.leader().map_or(LinkState::Down, |link| link.state);
    if !replication.is_ready() || replication.role() != Role::Following {
        return vec!["by the leader only: the data here is not known to be committed".into()];
    }
    let mut reads = vec!["eventual".to_string(), "session".to_string()];
    let fresh_at_ms = replication.fresh_at_ms();
    if fresh_at_ms > 0 {
        reads.push(format!("bounded {}", now_ms.saturating_sub(fresh_at_ms)));
    }
    if link == LinkState::Streaming {
        reads.push("linearizable, by the leader".to_string());
    }
    reads
}

/// The follower that has most.
fn best(rows: &[FollowerRow]) -> Option<&FollowerRow> {
    rows.iter().filter(|row| row.state.is_online()).max_by_key(|row| row.received)
}

fn what_can_be_lost(node: &Node, fields: &mut Fields) {
    let last = node.keyspace.sequencer().last_lsn();
    let acknowledged = node.released().min(last);
    let behind = |lsn: Lsn| acknowledged.0.saturating_sub(lsn.0);
    let rows = node.replication.followers();
    let attached = rows.iter().filter(|row| row.state.is_attached()).count();
    fields.number("followers", attached as u64);
    fields.number("members", node.replication.members().len() as u64);
    let millis = match node.log.fsync() {
        Fsync::Always => Some(0),
        Fsync::Everysec => Some(1_000),
        Fsync::No => None,
    };
    fields.number("may-be-lost-on-power-loss-records", behind(node.log.durable()));
    fields.perhaps("may-be-lost-on-power-loss-ms", millis);
    fields.number("not-handed-to-the-system-records", behind(node.log.appended()));
    fields.number("not-handed-to-the-system-bytes", node.log.bytes() as u64);
    let best = best(&rows);
    let lost = best.map(|row| behind(row.received));
    fields.text("best-follower", best.map_or(String::new(), |row| row.node.to_string()));
    fields.perhaps("may-be-lost-on-failover-records", lost);
    fields.perhaps(
        "may-be-lost-on-failover-bytes",
        best.zip(lost).map(|(row, lost)| bytes(row, lost)),
    );
    let age = best.zip(lost).and_then(|(row, lost)| if lost == 0 { Some(0) } else { row.lag_ms });
    fields.perhaps("may-be-lost-on-failover-ms", age);
}

/// About how many bytes so many of the records are that a follower lacks.
fn bytes(row: &FollowerRow, records: u64) -> u64 {
    let share = u128::from(row.lag_bytes) * u128::from(records);
    share.div_ceil(u128::from(row.lag_records.max(1))) as u64
}

fn behind_the_leader(node: &Node, fields: &mut Fields) {
    let link = node.replication.leader();
    let applied = role::applied(node).0;
    let state = link.as_ref().map_or(LinkState::Down, |link| link.state);
    let leader = link.as_ref().map_or(String::new(), |link| format!("{}:{}", link.host, link.port));
    fields.text("leader", leader);
    fields.text("link", lag::link_name(state));
    fields.number("applied-lsn", applied);
    fields.perhaps("lag-records", link.map(|link| link.end.0.saturating_sub(applied)));
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{Lsn, NodeId};

    use crate::harness::{START_MS, TestClient, TestNode};
    use crate::replication::testing::row;
    use crate::replication::{FollowerRow, Role};

    #[track_caller]
    fn check(node: &mut TestNode, client: &mut TestClient, parts: &[&str]) {
        let promise = node.run(client, "REPLICATION PROMISE default");
        for part in parts {
            assert!(promise.contains(part), "{part}: {promise}");
        }
    }

    #[test]
    fn the_promise_follows_the_policy_and_the_log() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("KEYSPACE ALTER default fsync everysec", "+OK"),
                ("SET k v", "+OK"),
                ("REPLICATION PROMISE other", "-ERR there is no keyspace 'other'"),
            ],
        );
        let parts = [
            "$4 mode $13 single-leader $4 role $6 leader",
            "$5 fsync $8 everysec $4 acks $5 async",
            "P2: at most the last second is lost",
            "P5: what a failover loses is a suffix",
            "$33 may-be-lost-on-power-loss-records :1",
            "$28 may-be-lost-on-power-loss-ms :1000",
            "$31 may-be-lost-on-failover-records $-1",
            "$6 writes $8 accepted",
        ];
        check(&mut node, &mut client, &parts);
        node.check(&mut client, &[("KEYSPACE ALTER default fsync always", "+OK")]);
        let parts =
            ["P1: an acknowledged write survives", "$33 may-be-lost-on-power-loss-records :0"];
        check(&mut node, &mut client, &parts);
    }

    #[test]
    fn what_a_failover_loses_is_what_the_best_follower_lacks() {
        let mut node = TestNode::new();
        let mut client = node.client();
        for _ in 0..5 {
            node.run(&mut client, "SET k v");
        }
        let behind = |received, records| FollowerRow {
            received: Lsn(received),
            lag_records: records,
            lag_bytes: 100 * records,
            lag_ms: Some(9),
            ..row(received.into())
        };
        node.node.replication.set_followers(vec![behind(1, 4), behind(2, 5)]);
        let best = format!("$13 best-follower $32 {}", NodeId(2));
        let parts = [
            &best,
            "$31 may-be-lost-on-failover-records :3",
            "$29 may-be-lost-on-failover-bytes :300",
            "$26 may-be-lost-on-failover-ms :9",
            "$9 followers :2",
        ];
        check(&mut node, &mut client, &parts);
        node.check(&mut client, &[("KEYSPACE ALTER default acks semi-sync:1", "+OK")]);
        node.node.replication.set_remote(Some(Lsn(2)));
        let parts = [
            "P4: an acknowledged write survives the loss of the leader; not the power loss",
            "$31 may-be-lost-on-failover-records :0",
            "$26 may-be-lost-on-failover-ms :0",
        ];
        check(&mut node, &mut client, &parts);
    }

    #[test]
    fn what_is_not_in_force_is_not_promised() {
        let mut node = TestNode::new();
        let mut client = node.client();
        let alter = "KEYSPACE ALTER default acks sync ack-level flushed on-lost-acks degrade";
        node.check(&mut client, &[(alter, "+OK")]);
        check(
            &mut node,
            &mut client,
            &["P3: while one in-sync replica survives", "power loss included"],
        );
        node.node.replication.set_restrained(false, true);
        let promise = node.run(&mut client, "REPLICATION PROMISE");
        assert!(
            !promise.contains("P3:") && promise.contains("degraded: what a failover"),
            "{promise}"
        );
        node.node.replication.set_restrained(true, false);
        check(&mut node, &mut client, &["refused: too few followers are attached", "blocked: "]);
    }

    #[test]
    fn a_follower_offers_what_its_link_allows() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.node.replication.set_role(Role::Following);
        node.node.replication.set_fresh_at_ms(START_MS - 40);
        let parts =
            ["$4 role $8 follower", "sent on to the leader", "$10 bounded 40", "$4 link $4 down"];
        check(&mut node, &mut client, &parts);
        node.node.replication.set_ready(false);
        check(&mut node, &mut client, &["by the leader only"]);
    }
}
