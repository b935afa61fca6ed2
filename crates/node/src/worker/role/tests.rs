//! What a node does with commands while it does not lead, command by command.

use trefoil_clock::{ClusterId, Epoch, EpochEntry, EpochTable, Lsn, NodeId, Position};
use trefoil_replication::Token;

use crate::config::set;
use crate::freshness::ProbeState;
use crate::handler::Flow;
use crate::harness::{START_MS, TestClient, TestNode};
use crate::node::Node;
use crate::replication::{LeaderLink, LinkState, Role};

const LEADER: NodeId = NodeId(7);

/// A node with the key `k` (record 1), which then follows another one.
fn follower() -> TestNode {
    let mut node = TestNode::new();
    let mut client = node.client();
    node.check(&mut client, &[("SET k here", "+OK")]);
    node.node.replication.set_epochs(epochs(&[(1, 1)]));
    become_one(&node, Role::Following);
    node
}

fn epochs(entries: &[(u64, u64)]) -> EpochTable {
    let entry =
        |&(epoch, first)| EpochEntry { epoch: Epoch(epoch), leader: LEADER, first_lsn: Lsn(first) };
    EpochTable::from_entries(entries.iter().map(entry).collect()).expect("they ascend")
}

fn become_one(node: &TestNode, role: Role) {
    let replication = &node.node.replication;
    replication.set_role(role);
    replication.set_leader(if role == Role::Following { leader_at(1) } else { None });
    let special = if role == Role::Leading { 0 } else { Node::RESTRAINED };
    node.node.special.store(special, std::sync::atomic::Ordering::SeqCst);
}

fn leader_at(end: u64) -> Option<LeaderLink> {
    Some(LeaderLink {
        host: "10.0.0.7".into(),
        port: 6_379,
        state: LinkState::Streaming,
        node: Some(LEADER),
        end: Lsn(end),
        heard_ms: 0,
        trouble: None,
    })
}

fn configure(node: &TestNode, name: &str, value: &str) {
    set(&node.node, &[(name.as_bytes(), value.as_bytes())]).expect("a good value");
}

/// The leader had acknowledged this much when it was asked.
fn answer_probe(node: &TestNode, acknowledged: u64) {
    node.node.sessions.probes.on_sent(1);
    node.node.sessions.probes.on_answered(1, Lsn(acknowledged));
}

/// What the shell does with a command for the leader: sends it, and tells its position behind it.
fn deliver(node: &TestNode, client: &mut TestClient, epoch: u64, lsn: u64) {
    assert!(client.session.take_errand().is_some());
    let position = Position { epoch: Epoch(epoch), lsn: Lsn(lsn) };
    client.session.on_leader_position(&node.node, position);
}

fn flow(node: &mut TestNode, client: &mut TestClient, line: &str) -> Flow {
    let reply = node.run(client, line);
    assert!(reply.is_empty() || client.flow == Flow::Continue, "{line}: {reply}");
    client.flow
}

#[test]
fn writes_go_to_the_leader_and_the_rest_is_answered_here() {
    let mut node = follower();
    let mut client = node.client();
    node.run(&mut client, "CONSISTENCY eventual");
    for line in ["SET k v", "DEL k", "FLUSHALL", "MOVE k 1", "WAIT 1 0", "SESSION ROUTE a"] {
        assert_eq!(flow(&mut node, &mut client, line), Flow::Forward, "{line}");
    }
    node.check(&mut client, &[("PING", "+PONG"), ("GET k", "$4 here"), ("DBSIZE", ":1")]);
    node.check(&mut client, &[("SET k", "-ERR wrong number of arguments for 'set' command")]);
    assert_eq!(node.node.keyspace.sequencer().last_lsn(), Lsn(1));
}

#[test]
fn writes_are_refused_if_so_configured() {
    let mut node = follower();
    let mut client = node.client();
    configure(&node, "follower-writes", "readonly");
    let readonly = "-READONLY You can't write against a read only replica.";
    node.check(
        &mut client,
        &[("SET k v", readonly), ("CONSISTENCY eventual", "+OK"), ("MULTI", "+OK")],
    );
    node.check(&mut client, &[("GET k", "+QUEUED"), ("EXEC", "*1 $4 here"), ("MULTI", "+OK")]);
    node.check(&mut client, &[("SET k v", readonly)]);
    assert!(node.run(&mut client, "EXEC").starts_with("-EXECABORT"));
    configure(&node, "follower-writes", "moved");
    node.check(&mut client, &[("SET k v", "-MOVED 7629 10.0.0.7:6379")]);
}

#[test]
fn a_new_session_asks_where_the_leader_stands_before_it_reads() {
    let mut node = follower();
    let mut client = node.client();
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry);
    node.node.sessions.probes.on_sent(1);
    // Who comes when the probe is under way needs another one.
    let mut late = node.client();
    assert_eq!(flow(&mut node, &mut late, "GET k"), Flow::Retry);
    node.node.sessions.probes.on_answered(1, Lsn(1));
    node.check(&mut client, &[("GET k", "$4 here")]);
    assert_eq!(flow(&mut node, &mut late, "GET k"), Flow::Retry);
    assert_eq!(
        node.node.sessions.probes.state(node.node.sessions.probes.draw()),
        ProbeState::Wanted
    );
    answer_probe(&node, 1);
    node.check(&mut late, &[("GET k", "$4 here")]);
    // It is asked once.
    node.check(&mut client, &[("GET k", "$4 here")]);
}

#[test]
fn what_the_leader_had_acknowledged_must_be_applied_first() {
    let mut node = follower();
    let mut client = node.client();
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry);
    answer_probe(&node, 2);
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry);
    node.pass_ms(99);
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry);
    node.pass_ms(1);
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Forward, "patience ends");
}

#[test]
fn a_session_reads_what_it_wrote_through_the_leader() {
    let mut node = follower();
    let (mut writer, mut reader) = (node.client(), node.client());
    assert_eq!(flow(&mut node, &mut reader, "GET k"), Flow::Retry);
    answer_probe(&node, 1);
    node.check(&mut reader, &[("GET k", "$4 here")]);
    assert_eq!(flow(&mut node, &mut writer, "SET k v"), Flow::Forward);
    deliver(&node, &mut writer, 1, 2);
    // Both are on one host.
    assert_eq!(flow(&mut node, &mut writer, "GET k"), Flow::Retry);
    assert_eq!(flow(&mut node, &mut reader, "GET k"), Flow::Retry);
    let mut other = node.client();
    node.check(&mut other, &[("CLIENT SETNAME other", "+OK")]);
    assert_eq!(flow(&mut node, &mut other, "GET k"), Flow::Retry);
    answer_probe(&node, 1);
    node.check(&mut other, &[("GET k", "$4 here")]);
    // Who takes a name takes what it has seen along.
    node.check(&mut writer, &[("CLIENT SETNAME other", "+OK")]);
    assert_eq!(flow(&mut node, &mut writer, "GET k"), Flow::Retry);
    assert_eq!(flow(&mut node, &mut other, "GET k"), Flow::Retry);
}

#[test]
fn what_was_cut_off_is_said_until_the_session_begins_anew() {
    let mut node = follower();
    let mut client = node.client();
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Forward);
    deliver(&node, &mut client, 1, 5);
    node.node.replication.set_epochs(epochs(&[(1, 1), (2, 2)]));
    for line in ["GET k", "SESSION TOKEN", "GET k"] {
        assert!(node.run(&mut client, line).starts_with("-LOSTBRANCH"), "{line}");
    }
    node.check(&mut client, &[("RESET", "+RESET")]);
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry);
    answer_probe(&node, 1);
    node.check(&mut client, &[("GET k", "$4 here")]);
    let token = |epoch, lsn| {
        let position = Position { epoch: Epoch(epoch), lsn: Lsn(lsn) };
        format!("SESSION RESUME {}", Token { cluster: ClusterId(2), position }.encode())
    };
    assert!(node.run(&mut client, &token(1, 2)).starts_with("-LOSTBRANCH"));
    node.check(&mut client, &[(&token(1, 1), "+OK"), ("GET k", "$4 here"), (&token(2, 2), "+OK")]);
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry);
}

#[test]
fn data_that_was_replaced_must_not_show_less_to_those_who_saw_more() {
    let mut node = follower();
    let (mut client, next) = (node.client(), 100);
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry);
    answer_probe(&node, 1);
    node.check(&mut client, &[("GET k", "$4 here")]);
    let seen = Position { epoch: Epoch(1), lsn: Lsn(9) };
    node.node.sessions.on_data_replaced(seen, next);
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry);
    node.node.replication.set_epochs(epochs(&[(1, 1), (2, 5)]));
    assert!(node.run(&mut client, "GET k").starts_with("-LOSTBRANCH"));
    // Of another cluster: nothing that was seen counts.
    node.node.sessions.begin_anew();
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry);
    answer_probe(&node, 1);
    node.check(&mut client, &[("GET k", "$4 here")]);
}

#[test]
fn other_levels_of_consistency() {
    let mut node = follower();
    let mut client = node.client();
    node.run(&mut client, "CONSISTENCY linearizable");
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Forward);
    node.run(&mut client, "CONSISTENCY bounded 1000");
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry);
    node.node.replication.set_fresh_at_ms(crate::harness::START_MS - 1_000);
    node.check(&mut client, &[("GET k", "$4 here")]);
    configure(&node, "max-lag-ms", "500");
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry, "it may be taken out");
    configure(&node, "max-lag-ms", "0");
    configure(&node, "max-lag-records", "3");
    node.node.replication.set_leader(leader_at(5));
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Forward, "it is taken out");
    configure(&node, "max-lag-records", "0");
    node.node.replication.set_ready(false);
    for level in ["eventual", "session", "bounded 9999"] {
        node.run(&mut client, &format!("CONSISTENCY {level}"));
        assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Forward, "{level}");
    }
    // The leader's cursors mean nothing here.
    assert!(node.run(&mut client, "SCAN 0").starts_with("-MASTERDOWN"));
    node.run(&mut client, "CONSISTENCY linearizable");
    assert_eq!(flow(&mut node, &mut client, "SCAN 0"), Flow::Forward);
}

#[test]
fn a_transaction_is_queued_here_and_goes_to_the_leader_as_a_whole() {
    let mut node = follower();
    let mut client = node.client();
    node.run(&mut client, "CONSISTENCY eventual");
    for line in ["WATCH k", "GET k"] {
        assert_eq!(flow(&mut node, &mut client, line), Flow::Forward, "{line}");
        assert!(client.session.take_errand().is_some_and(|errand| errand.queue.is_none()));
    }
    node.check(&mut client, &[("MULTI", "+OK"), ("PING", "+QUEUED"), ("SET k v", "+QUEUED")]);
    node.check(&mut client, &[("SELECT 3", "+QUEUED")]);
    assert_eq!(flow(&mut node, &mut client, "EXEC"), Flow::Forward);
    let errand = client.session.take_errand().expect("it is forwarded");
    assert_eq!((errand.selects, errand.watched, errand.writes), (Some(3), true, true));
    let queue = errand.queue.expect("it takes along what was queued");
    assert_eq!(
        queue.commands().map(|args| args.name().to_vec()).collect::<Vec<_>>(),
        [b"PING".to_vec(), b"SET".to_vec(), b"SELECT".to_vec()]
    );
    node.check(&mut client, &[("GET k", "$4 here"), ("EXEC", "-ERR EXEC without MULTI")]);
    // It was not executed: it is as if it had just been queued.
    client.session.put_queue_back(*queue);
    node.check(&mut client, &[("INCR n", "+QUEUED")]);
    become_one(&node, Role::Leading);
    node.check(&mut client, &[("EXEC", "*4 +PONG +OK +OK :1")]);
}

#[test]
fn what_is_about_this_node_is_not_queued_for_the_leader() {
    let mut node = follower();
    let mut client = node.client();
    node.check(&mut client, &[("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
    assert!(node.run(&mut client, "CLIENT ID").starts_with("-ERR on a follower"));
    assert!(node.run(&mut client, "EXEC").starts_with("-EXECABORT"));
    become_one(&node, Role::Leading);
    node.check(&mut client, &[("MULTI", "+OK"), ("CLIENT ID", "+QUEUED")]);
    become_one(&node, Role::Following);
    assert!(node.run(&mut client, "EXEC").starts_with("-EXECABORT"));
    node.check(&mut client, &[("MULTI", "+OK"), ("SET k v", "+QUEUED"), ("DISCARD", "+OK")]);
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Forward);
}

#[test]
fn what_was_watched_at_a_leader_that_is_lost_makes_exec_come_to_nothing() {
    let mut node = follower();
    let mut client = node.client();
    node.run(&mut client, "CONSISTENCY eventual");
    for role in [Role::Following, Role::Leading] {
        become_one(&node, Role::Following);
        assert_eq!(flow(&mut node, &mut client, "WATCH k"), Flow::Forward);
        client.session.on_leader_lost();
        node.check(&mut client, &[("GET k", "$4 here"), ("MULTI", "+OK"), ("GET k", "+QUEUED")]);
        become_one(&node, role);
        node.check(&mut client, &[("EXEC", "*-1")]);
    }
    node.check(&mut client, &[("MULTI", "+OK"), ("GET k", "+QUEUED"), ("EXEC", "*1 $4 here")]);
    become_one(&node, Role::Following);
    for line in ["UNWATCH", "DISCARD"] {
        assert_eq!(flow(&mut node, &mut client, "WATCH k"), Flow::Forward);
        client.session.on_leader_lost();
        node.run(&mut client, line);
        let is_over = line == "UNWATCH";
        node.check(&mut client, &[("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
        let expected = if is_over { Flow::Forward } else { Flow::Continue };
        node.run(&mut client, "EXEC");
        assert_eq!(client.flow, expected, "{line}");
    }
}

#[test]
fn a_transaction_that_nobody_can_take_is_not_done_command_by_command() {
    let mut node = follower();
    let mut client = node.client();
    node.node.replication.set_leader(None);
    assert!(node.run(&mut client, "SET k v").starts_with("-MASTERDOWN"));
    node.check(&mut client, &[("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
    assert!(node.run(&mut client, "EXEC").starts_with("-EXECABORT"));
    node.node.replication.set_leader(leader_at(1));
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Forward);
}

#[test]
fn what_was_watched_before_the_node_followed_makes_exec_come_to_nothing() {
    let mut node = TestNode::new();
    let mut client = node.client();
    node.check(&mut client, &[("WATCH k", "+OK"), ("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
    become_one(&node, Role::Following);
    node.check(&mut client, &[("EXEC", "*-1")]);
    become_one(&node, Role::Leading);
    node.check(&mut client, &[("WATCH k", "+OK")]);
    become_one(&node, Role::Following);
    node.check(&mut client, &[("MULTI", "+OK"), ("SET k v", "+QUEUED"), ("EXEC", "*-1")]);
    become_one(&node, Role::Leading);
    node.check(&mut client, &[("WATCH k", "+OK"), ("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
    become_one(&node, Role::Following);
    become_one(&node, Role::Leading);
    node.check(&mut client, &[("EXEC", "*-1")]);
    assert_eq!(node.node.keyspace.sequencer().last_lsn(), Lsn::ZERO);
}

#[test]
fn behind_a_command_at_the_leader_everything_follows_or_waits() {
    let mut node = follower();
    let mut client = node.client();
    node.run(&mut client, "CONSISTENCY eventual");
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Forward);
    client.session.set_in_flight(1, 0);
    for line in ["GET k", "INCR n", "WATCH k"] {
        assert_eq!(flow(&mut node, &mut client, line), Flow::Forward, "{line}");
    }
    for line in ["MULTI", "EXEC", "PING", "SELECT 1", "NONSENSE", "GET", "SUBSCRIBE c", "RESET"] {
        assert_eq!(flow(&mut node, &mut client, line), Flow::Retry, "{line}");
    }
    client.session.set_in_flight(2_000, 0);
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Retry, "there is a limit");
    client.session.set_in_flight(1, 2 << 20);
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Retry, "of bytes as well");
    become_one(&node, Role::Leading);
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Retry);
    client.session.set_in_flight(0, 0);
    node.check(&mut client, &[("SET k v", "+OK")]);
}

#[test]
fn a_node_without_a_role_serves_nothing_but_itself() {
    for (role, code) in [
        (Role::Loading, "-LOADING"),
        (Role::Recovering, "-LOADING"),
        (Role::Deposed, "-MASTERDOWN"),
    ] {
        let mut node = TestNode::new();
        let mut client = node.client();
        become_one(&node, role);
        for line in ["GET k", "SET k v", "DBSIZE", "WATCH k"] {
            assert!(node.run(&mut client, line).starts_with(code), "{line}");
        }
        node.check(&mut client, &[("MULTI", "+OK")]);
        assert!(node.run(&mut client, "SET k v").starts_with(code));
        assert!(node.run(&mut client, "EXEC").starts_with("-EXECABORT"));
        node.check(&mut client, &[("PING", "+PONG"), ("CONFIG SET maxclients 99", "+OK")]);
    }
}

#[test]
fn a_leader_with_too_few_followers_refuses_writes() {
    let mut node = TestNode::new();
    let mut client = node.client();
    node.check(&mut client, &[("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
    node.node.replication.set_restrained(true, false);
    node.node.special.store(Node::RESTRAINED, std::sync::atomic::Ordering::SeqCst);
    let noreplicas = "-NOREPLICAS Not enough good replicas to write.";
    assert_eq!(
        node.run(&mut client, "EXEC"),
        "-EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write."
    );
    node.check(&mut client, &[("SET k v", noreplicas), ("GET k", "$-1"), ("MULTI", "+OK")]);
    node.check(&mut client, &[("SET k v", noreplicas)]);
    assert!(node.run(&mut client, "EXEC").starts_with("-EXECABORT"));
}

#[test]
fn a_node_that_forwards_is_not_forwarded() {
    let mut node = TestNode::new();
    let mut client = node.client();
    let own = format!("SESSION LEADER {}", node.node.replication.identity().node);
    let other = format!("SESSION LEADER {LEADER}");
    assert!(node.run(&mut client, &other).starts_with("-MASTERDOWN"));
    node.check(&mut client, &[(&own, "+OK"), ("SET k v", "+OK")]);
    become_one(&node, Role::Following);
    for line in ["SET k v", "GET k", "MULTI", "SESSION TOKEN"] {
        assert!(node.run(&mut client, line).starts_with("-NOTDONE this node"), "{line}");
        assert_eq!(client.flow, Flow::Close, "nothing behind it is done either");
    }
    let mut another = node.client();
    assert!(node.run(&mut another, &own).starts_with("-MASTERDOWN"));
}

#[test]
fn replies_that_are_not_wanted_are_not_wanted_from_the_leader_either() {
    let mut node = follower();
    let mut client = node.client();
    node.run(&mut client, "CLIENT REPLY SKIP");
    for heard in [false, true] {
        assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Forward);
        assert_eq!(client.session.take_errand().map(|errand| errand.heard), Some(heard));
    }
    node.run(&mut client, "CLIENT REPLY OFF");
    for _ in 0..2 {
        assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Forward);
        assert_eq!(client.session.take_errand().map(|errand| errand.heard), Some(false));
    }
}

/// A node of a cluster that agrees on who leads.
fn managed(node: &TestNode) {
    node.node.agreement.set_managed(true);
}

#[test]
fn a_forwarded_command_that_is_not_done_hears_where_the_history_ended() {
    let mut node = TestNode::new();
    managed(&node);
    node.node.replication.set_epochs(epochs(&[(1, 1)]));
    let (mut peer, mut late) = (node.client(), node.client());
    let own = format!("SESSION LEADER {}", node.node.replication.identity().node);
    node.check(&mut peer, &[(&own, "+OK"), ("SET k v", "+OK")]);
    node.node.replication.set_parting(Lsn(1));
    become_one(&node, Role::Deposed);
    // A pause for the handover holds clients' writes, not the answer to another node.
    node.node.pause(crate::pause::Held::Writes, crate::harness::START_MS + 9_000);
    let token = Token {
        cluster: node.node.replication.cluster(),
        position: Position { epoch: Epoch(1), lsn: Lsn(1) },
    };
    let expected = format!("-NOTDONE {}", token.encode());
    node.check(&mut peer, &[("SET k w", &expected)]);
    node.node.unpause();
    // Whoever leads again leads in another reign.
    become_one(&node, Role::Leading);
    node.node.special.store(Node::RESTRAINED, std::sync::atomic::Ordering::SeqCst);
    node.check(&mut peer, &[("GET k", &expected)]);
    node.check(&mut late, &[(&own, "+OK"), ("GET k", "$1 v")]);
}

#[test]
fn while_nobody_leads_commands_wait_for_a_while() {
    let mut node = TestNode::new();
    managed(&node);
    let (mut client, mut queueing) = (node.client(), node.client());
    node.check(&mut client, &[("SET k here", "+OK")]);
    become_one(&node, Role::Deposed);
    node.check(&mut queueing, &[("MULTI", "+OK"), ("SET k v", "+QUEUED"), ("PING", "+QUEUED")]);
    assert_eq!(flow(&mut node, &mut queueing, "EXEC"), Flow::Retry);
    for line in ["GET k", "SET k v", "WATCH k", "WAIT 0 0"] {
        assert_eq!(flow(&mut node, &mut client, line), Flow::Retry, "{line}");
    }
    node.check(&mut client, &[("PING", "+PONG")]);
    node.pass_ms(4_999);
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Retry);
    node.pass_ms(1);
    assert!(node.run(&mut client, "SET k v").starts_with("-MASTERDOWN nobody leads"));
    assert!(node.run(&mut queueing, "EXEC").starts_with("-EXECABORT"));
    node.check(&mut queueing, &[("EXEC", "-ERR EXEC without MULTI"), ("MULTI", "+OK")]);
    // The next leader does what waits.
    become_one(&node, Role::Following);
    node.check(&mut queueing, &[("SET k v", "+QUEUED")]);
    assert_eq!(flow(&mut node, &mut queueing, "EXEC"), Flow::Forward);
    become_one(&node, Role::Leading);
    node.check(&mut client, &[("GET k", "$4 here")]);
    become_one(&node, Role::Deposed);
    assert_eq!(flow(&mut node, &mut client, "GET k"), Flow::Retry, "patience begins anew");
    configure(&node, "leader-wait", "0");
    assert!(node.run(&mut client, "GET k").starts_with("-MASTERDOWN"));
}

#[test]
fn the_leader_that_put_a_command_off_is_asked_after_a_pause() {
    let mut node = follower();
    let mut client = node.client();
    assert!(!client.session.put_off(&node.node, LEADER, START_MS), "nobody else will lead");
    managed(&node);
    assert!(client.session.put_off(&node.node, LEADER, START_MS));
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Retry);
    node.pass_ms(50);
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Forward);
    assert!(client.session.put_off(&node.node, LEADER, START_MS + 50));
    node.node
        .replication
        .set_leader(leader_at(1).map(|link| LeaderLink { node: Some(NodeId(8)), ..link }));
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Forward, "another one leads");
    // What is under way is answered first, or comes back.
    client.session.set_in_flight(1, 0);
    node.node.replication.set_leader(leader_at(1));
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Retry);
}

#[test]
fn waiting_for_followers_goes_on_at_the_next_leader_if_nothing_can_be_lost() {
    let mut node = TestNode::new();
    managed(&node);
    for (parted_at, expected) in [(1, Flow::Forward), (0, Flow::Continue)] {
        become_one(&node, Role::Leading);
        let mut client = node.client();
        node.check(&mut client, &[("SET k v", "+OK"), ("WAIT 1 0", "")]);
        assert_eq!(client.flow, Flow::Retry);
        let target = client.session.waiting.as_ref().map(|it| it.target).expect("it waits");
        node.node.replication.set_parting(if parted_at == 0 { Lsn::ZERO } else { target });
        become_one(&node, Role::Following);
        let answer = node.run(&mut client, "WAIT 1 0");
        assert_eq!(client.flow, expected, "{answer}");
        assert_eq!(answer.is_empty(), expected == Flow::Forward);
        assert!(client.session.waiting.is_none());
    }
}

#[test]
fn the_writes_of_one_that_has_just_begun_to_lead_wait_for_its_followers() {
    let mut node = TestNode::new();
    managed(&node);
    let mut client = node.client();
    node.node.replication.set_restrained(true, false);
    node.node.special.store(Node::RESTRAINED, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Retry);
    node.check(&mut client, &[("GET k", "$-1")]);
    node.pass_ms(5_000);
    assert!(node.run(&mut client, "SET k v").starts_with("-NOREPLICAS"));
    node.node.replication.set_restrained(false, false);
    node.check(&mut client, &[("SET k v", "+OK")]);
    node.node.replication.set_restrained(true, false);
    assert_eq!(flow(&mut node, &mut client, "SET k v"), Flow::Retry, "patience begins anew");
}
