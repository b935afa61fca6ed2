//! CLUSTER, with what is agreed upon made by hand.

use trefoil_clock::NodeId;
use trefoil_cluster::control::{Done, Request, RequestError};
use trefoil_store::slot::slot_of;
use trefoil_wire::resp::Protocol;

use crate::handler::Flow;
use crate::harness::TestNode;
use crate::replication::testing::row;
use crate::topology::long_id;
use crate::topology::testing::{node_of_three, view_of_three};

#[test]
fn the_leader_has_all_slots_and_its_followers_are_replicas() {
    let (mut node, mut client) = node_of_three();
    let (one, two) = (long_id(NodeId(1)), long_id(NodeId(2)));
    let leader = format!("*4 $9 127.0.0.1 :7001 $40 {one} *0");
    let slots = format!("*1 *4 :0 :16383 {leader} *4 $9 127.0.0.1 :7002 $40 {two} *0");
    let myself = format!("{one} 127.0.0.1:7001@9001 myself,master - 0 0 4 connected 0-16383");
    let other = format!("{two} 127.0.0.1:7002@9002 slave {one} 0 1700000000000 4 connected");
    let nodes = format!("{myself}\n{other}\n");
    node.check(
        &mut client,
        &[
            ("CLUSTER SLOTS", &slots),
            ("CLUSTER NODES", format!("${} {nodes}", nodes.len()).trim_end()),
            (&format!("CLUSTER REPLICAS {one}"), &format!("*1 ${} {other}", other.len())),
            (&format!("CLUSTER SLAVES {two}"), "-ERR The specified node is not a master"),
            ("CLUSTER REPLICAS x", "-ERR Unknown node x"),
            (&format!("CLUSTER COUNT-FAILURE-REPORTS {two}"), ":0"),
            ("CLUSTER MYID", &format!("$40 {one}")),
            ("CLUSTER LINKS", "*0"),
        ],
    );
    let shards = node.run(&mut client, "CLUSTER SHARDS");
    assert!(shards.starts_with("*1 *4 $5 slots *2 :0 :16383 $5 nodes *2 *14 $2 id "), "{shards}");
    assert!(shards.contains("$4 role $7 replica $18 replication-offset :0 $6 health $6 online"));
    let info = node.run(&mut client, "CLUSTER INFO");
    for line in [
        "cluster_state:ok",
        "cluster_slots_ok:16384",
        "cluster_known_nodes:2",
        "cluster_size:1",
        "cluster_current_epoch:4",
    ] {
        assert!(info.split(' ').any(|word| word == line), "{line}: {info}");
    }
    client.session.protocol = Protocol::Resp3;
    assert!(node.run(&mut client, "CLUSTER SHARDS").starts_with("*1 %2 $5 slots *2 "));
}

#[test]
fn who_does_not_answer_is_no_replica_to_read_from() {
    let (mut node, mut client) = node_of_three();
    let mut view = view_of_three();
    view.silent_ms.insert(NodeId(2), 60_000);
    node.node.agreement.set_view(view.clone().into());
    let (one, two) = (long_id(NodeId(1)), long_id(NodeId(2)));
    let slots = format!("*1 *3 :0 :16383 *4 $9 127.0.0.1 :7001 $40 {one} *0");
    let down = format!("CLUSTER COUNT-FAILURE-REPORTS {two}");
    node.check(&mut client, &[("CLUSTER SLOTS", &slots), (&down, ":1")]);
    let nodes = node.run(&mut client, "CLUSTER NODES");
    assert!(nodes.contains(" slave,fail ") && nodes.contains(" disconnected"), "{nodes}");
    view.own = NodeId(2);
    view.silent_ms = [(NodeId(1), 60_000)].into();
    node.node.agreement.set_view(view.into());
    let info = node.run(&mut client, "CLUSTER INFO");
    assert!(info.contains("cluster_state:fail"), "{info}");
}

#[test]
fn a_node_without_a_cluster_is_one_of_its_own() {
    let mut node = TestNode::new();
    let mut client = node.client();
    let id = long_id(NodeId(1));
    let leader = format!("*4 $9 127.0.0.1 :6379 $40 {id} *0");
    node.check(&mut client, &[("CLUSTER SLOTS", &format!("*1 *3 :0 :16383 {leader}"))]);
    node.node.replication.set_followers(vec![row(5)]);
    let slots = node.run(&mut client, "CLUSTER SLOTS");
    assert!(slots.starts_with(&format!("*1 *4 :0 :16383 {leader} ")), "{slots}");
    assert!(node.run(&mut client, "CLUSTER INFO").contains("cluster_state:ok"));
    let refused = node.run(&mut client, "CLUSTER FORGET x");
    assert!(refused.starts_with("-ERR this node is alone"), "{refused}");
}

#[test]
fn the_keys_of_a_slot_are_counted_and_shown() {
    let mut node = TestNode::new();
    let mut client = node.client();
    for at in 0..200 {
        node.run(&mut client, &format!("SET {{tag}}{at} v"));
        node.run(&mut client, &format!("SET key{at} v"));
    }
    let slot = slot_of(b"tag");
    let tagged = 200 + (0..200).filter(|at| slot_of(format!("key{at}").as_bytes()) == slot).count();
    node.check(
        &mut client,
        &[
            ("CLUSTER KEYSLOT {tag}1", &format!(":{slot}")),
            (&format!("CLUSTER COUNTKEYSINSLOT {slot}"), &format!(":{tagged}")),
            ("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot"),
            ("CLUSTER COUNTKEYSINSLOT x", "-ERR Invalid slot"),
            (&format!("CLUSTER GETKEYSINSLOT {slot} 0"), "*0"),
            (&format!("CLUSTER GETKEYSINSLOT {slot} -1"), "-ERR Invalid slot or number of keys"),
            ("MULTI", "+OK"),
            (&format!("CLUSTER COUNTKEYSINSLOT {slot}"), "+QUEUED"),
            ("EXEC", &format!("*1 :{tagged}")),
        ],
    );
    let some = node.run(&mut client, &format!("CLUSTER GETKEYSINSLOT {slot} 3"));
    assert!(some.starts_with("*3 $") && some.matches("{tag}").count() >= 2, "{some}");
    let counts = (0..16_384).map(|slot| {
        let count = node.run(&mut client, &format!("CLUSTER COUNTKEYSINSLOT {slot}"));
        count[1..].parse::<usize>().expect("a number")
    });
    assert_eq!(counts.sum::<usize>(), 400);
}

#[test]
fn members_are_asked_to_vote_and_taken_out() {
    let (mut node, mut client) = node_of_three();
    let two = NodeId(2);
    for (line, request) in [
        (format!("CLUSTER PROMOTE-VOTER {two}"), Request::AddVoter(two)),
        ("CLUSTER DEMOTE-VOTER 127.0.0.1:7002".into(), Request::RemoveVoter(two)),
        (format!("CLUSTER FORGET {}", long_id(two)), Request::RemoveMember(two)),
        ("CLUSTER VOTERS 5".into(), Request::SetVoters(5)),
    ] {
        assert_eq!(node.run(&mut client, &line), "");
        assert_eq!(client.flow, Flow::Retry);
        let asked = node.node.agreement.requests.take().expect("it was asked");
        assert_eq!(asked.request, request);
        node.node.agreement.requests.answer(asked.id, Ok(Done::Agreed));
        node.check(&mut client, &[(&line, "+OK")]);
        node.check(&mut client, &[(&line, "")]);
        let asked = node.node.agreement.requests.take().expect("it was asked anew");
        node.node.agreement.requests.answer(asked.id, Err(RequestError::Quorum(two)));
        let refused =
            format!("-ERR without node {two} the voters that are reachable are no majority");
        node.check(&mut client, &[(&line, &refused)]);
    }
    let allowed = "-ERR 1, 3, 5 or 7 members may vote: others survive no more";
    node.check(
        &mut client,
        &[
            ("CLUSTER VOTERS 2", allowed),
            ("CLUSTER VOTERS many", allowed),
            ("CLUSTER FORGET nobody", "-ERR Unknown node nobody"),
        ],
    );
}

#[test]
fn a_follower_is_made_leader() {
    let (mut node, mut client) = node_of_three();
    node.check(
        &mut client,
        &[
            ("CLUSTER FAILOVER", "-ERR You should send CLUSTER FAILOVER to a replica"),
            ("CLUSTER FAILOVER soon", "-ERR syntax error"),
        ],
    );
    let mut view = view_of_three();
    view.own = NodeId(2);
    node.node.agreement.set_view(view.into());
    node.check(&mut client, &[("CLUSTER FAILOVER", "")]);
    let asked = node.node.agreement.requests.take().expect("it was asked");
    assert!(matches!(asked.request, Request::Failover { to: Some(NodeId(2)), .. }));
    node.pass_ms(100);
    node.check(&mut client, &[("CLUSTER FAILOVER", "+OK")]);
}

#[test]
fn what_is_done_by_itself_is_refused_with_the_reason() {
    let (mut node, mut client) = node_of_three();
    for (line, start) in [
        ("CLUSTER ADDSLOTS 1 2", "-ERR slots are not assigned by hand"),
        ("CLUSTER SETSLOT 1 STABLE", "-ERR slots are not assigned by hand"),
        ("CLUSTER MEET 127.0.0.1 1", "-ERR a node joins a cluster when it is started"),
        ("CLUSTER RESET HARD", "-ERR a node does not forget its cluster"),
        ("CLUSTER REPLICATE x", "-ERR the cluster agrees on who follows whom"),
        ("CLUSTER BUMPEPOCH", "-ERR epochs are granted by the cluster"),
        ("CLUSTER FAILOVER TAKEOVER", "-ERR nobody leads here without the agreement"),
    ] {
        let answer = node.run(&mut client, line);
        assert!(answer.starts_with(start), "{line}: {answer}");
    }
    node.check(&mut client, &[("CLUSTER SAVECONFIG", "+OK")]);
    assert!(node.run(&mut client, "CLUSTER HELP").contains(" +CLUSTER <subcommand>"));
}
