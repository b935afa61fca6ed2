//! SENTINEL in both protocols, on a node that is alone and in a cluster.

use trefoil_clock::NodeId;
use trefoil_wire::resp::Protocol;

use crate::harness::TestNode;
use crate::replication::testing::row;
use crate::topology::long_id;
use crate::topology::testing::view_of_three;

fn member() -> TestNode {
    let node = TestNode::new();
    node.node.agreement.set_managed(true);
    node.node.agreement.set_view(view_of_three().into());
    node
}

#[test]
fn the_leader_is_told_under_each_of_its_names() {
    let mut node = member();
    let mut client = node.client();
    let address = "*2 $9 127.0.0.1 $4 7001";
    node.check(
        &mut client,
        &[
            ("SENTINEL get-master-addr-by-name mymaster", address),
            ("sentinel GET-PRIMARY-ADDR-BY-NAME default", address),
            ("SENTINEL get-master-addr-by-name other", "*-1"),
            ("CONFIG SET sentinel-name \"other shop-7\"", "+OK"),
            ("SENTINEL get-master-addr-by-name other", address),
            ("SENTINEL get-master-addr-by-name mymaster", "*-1"),
            ("CONFIG GET sentinel-name", "*2 $13 sentinel-name $12 other shop-7"),
        ],
    );
    let masters = node.run(&mut client, "SENTINEL MASTERS");
    assert!(masters.starts_with("*2 *40 $4 name $5 other $2 ip "), "{masters}");
    client.session.protocol = Protocol::Resp3;
    let masters = node.run(&mut client, "SENTINEL MASTERS");
    assert!(masters.starts_with("*2 %20 $4 name $5 other $2 ip "), "{masters}");
    node.check(&mut client, &[("SENTINEL get-master-addr-by-name mymaster", "_")]);
}

#[test]
fn each_is_described_in_the_fields_that_clients_read() {
    let mut node = member();
    let mut client = node.client();
    let told = node.run(&mut client, "SENTINEL MASTER mymaster");
    for part in [
        "$2 ip $9 127.0.0.1 $4 port $4 7001 ",
        "$5 flags $6 master ",
        "$10 num-slaves $1 1 $19 num-other-sentinels $1 1 $6 quorum $1 2 ",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    let told = node.run(&mut client, "SENTINEL REPLICAS mymaster");
    for part in [
        "*1 *",
        "$4 name $14 127.0.0.1:7002 ",
        "$5 flags $5 slave ",
        "$11 master-host $9 127.0.0.1 $11 master-port $4 7001 ",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    assert_eq!(told, node.run(&mut client, "SENTINEL SLAVES mymaster"));
    let told = node.run(&mut client, "SENTINEL SENTINELS mymaster");
    assert!(told.starts_with("*1 *") && told.contains("$4 port $4 7002 "), "{told}");
    assert!(told.contains("$5 flags $8 sentinel "), "{told}");
    let id = long_id(NodeId(1));
    node.check(&mut client, &[("SENTINEL MYID", &format!("$40 {id}"))]);
}

#[test]
fn who_does_not_answer_is_down() {
    let mut node = member();
    let mut client = node.client();
    node.check(
        &mut client,
        &[
            ("SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 7001 0 *", "*3 :0 $1 * :0"),
            (
                "SENTINEL CKQUORUM mymaster",
                "+OK 2 usable Sentinels. Quorum and failover authorization can be reached",
            ),
        ],
    );
    let mut view = view_of_three();
    view.own = NodeId(2);
    view.silent_ms.insert(NodeId(1), 5_000);
    node.node.agreement.set_view(view.into());
    node.check(
        &mut client,
        &[
            ("SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 7001 0 *", "*3 :1 $1 * :0"),
            ("SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 7002 0 *", "*3 :0 $1 * :0"),
            (
                "SENTINEL CKQUORUM mymaster",
                "-NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified \
                 quorum for this master",
            ),
        ],
    );
    let told = node.run(&mut client, "SENTINEL MASTER mymaster");
    assert!(told.contains("$5 flags $20 master,s_down,o_down "), "{told}");
}

#[test]
fn a_leader_without_a_cluster_is_told_with_its_followers() {
    let mut node = TestNode::new();
    let mut client = node.client();
    node.node.replication.set_followers(vec![row(5)]);
    node.check(
        &mut client,
        &[
            ("SENTINEL get-master-addr-by-name mymaster", "*2 $9 127.0.0.1 $4 6379"),
            ("SENTINEL PENDING-SCRIPTS", "*0"),
        ],
    );
    let told = node.run(&mut client, "SENTINEL REPLICAS mymaster");
    assert!(told.contains("$4 name $14 127.0.0.1:7005 "), "{told}");
}

#[test]
fn what_has_no_meaning_here_is_refused_with_the_reason() {
    let mut node = member();
    let mut client = node.client();
    for (line, start) in [
        ("SENTINEL MASTER x", "-ERR No such master with that name"),
        ("SENTINEL REPLICAS x", "-ERR No such master with that name"),
        ("SENTINEL SENTINELS x", "-ERR No such master with that name"),
        ("SENTINEL CKQUORUM x", "-ERR No such master with that name"),
        ("SENTINEL FAILOVER x", "-ERR No such master with that name"),
        ("SENTINEL MONITOR a 127.0.0.1 1 2", "-ERR a node watches its own cluster only"),
        ("SENTINEL SET mymaster quorum 1", "-ERR there are no options of Sentinel here"),
        ("SENTINEL RESET *", "-ERR who belongs to the cluster is agreed upon"),
        ("SENTINEL NIX", "-ERR unknown subcommand 'NIX'. Try SENTINEL HELP."),
    ] {
        let answer = node.run(&mut client, line);
        assert!(answer.starts_with(start), "{line}: {answer}");
    }
    assert!(node.run(&mut client, "SENTINEL HELP").starts_with("*17 +SENTINEL "));
}
