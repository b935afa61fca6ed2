//! Channels through the harness.

use crate::harness::{TestClient, TestNode};
use crate::mail::Mail;
use trefoil_wire::resp::ReplyBuf;

/// Delivers what was posted; what each of the clients got, blanks for line ends.
fn deliver(node: &TestNode, clients: &[&TestClient]) -> Vec<String> {
    let mut got: Vec<ReplyBuf> = clients.iter().map(|_| ReplyBuf::new()).collect();
    for (worker, mail) in node.mail() {
        let Mail::Deliver(delivery) = mail else { continue };
        for address in delivery.to.iter() {
            assert_eq!(address.worker, worker);
            for (client, out) in clients.iter().zip(&mut got) {
                if client.session.address == *address {
                    delivery.write(&client.session, out);
                }
            }
        }
    }
    let text =
        |out: &ReplyBuf| String::from_utf8_lossy(out.next_slice(out.position())).into_owned();
    got.iter().map(|out| text(out).replace("\r\n", " ").trim_end().to_string()).collect()
}

#[test]
fn messages_reach_channels_and_patterns_in_both_protocols() {
    let mut node = TestNode::with_workers(2);
    let (mut a, mut b, mut publisher) = (node.client_on(0), node.client_on(1), node.client());
    node.run(&mut b, "HELLO 3");
    node.check(
        &mut a,
        &[
            ("SUBSCRIBE x y", "*3 $9 subscribe $1 x :1 *3 $9 subscribe $1 y :2"),
            ("SUBSCRIBE x", "*3 $9 subscribe $1 x :2"),
            ("PSUBSCRIBE x*", "*3 $10 psubscribe $2 x* :3"),
        ],
    );
    node.check(&mut b, &[("SUBSCRIBE x", ">3 $9 subscribe $1 x :1")]);
    node.check(&mut publisher, &[("PUBLISH x hi", ":3"), ("PUBLISH xx ho", ":1")]);
    let got = deliver(&node, &[&a, &b]);
    assert_eq!(
        got[0],
        "*3 $7 message $1 x $2 hi *4 $8 pmessage $2 x* $1 x $2 hi *4 $8 pmessage $2 x* $2 xx $2 ho"
    );
    assert_eq!(got[1], ">3 $7 message $1 x $2 hi");
    node.check(
        &mut publisher,
        &[
            ("PUBSUB CHANNELS", "*2 $1 x $1 y"),
            ("PUBSUB CHANNELS [xz]", "*1 $1 x"),
            ("PUBSUB NUMSUB x nix", "*4 $1 x :2 $3 nix :0"),
            ("PUBSUB NUMPAT", ":1"),
            ("PUBSUB NUMSUB", "*0"),
        ],
    );
}

#[test]
fn shard_channels_are_apart() {
    let mut node = TestNode::new();
    let (mut a, mut publisher) = (node.client(), node.client());
    node.check(&mut a, &[("SSUBSCRIBE s", "*3 $10 ssubscribe $1 s :1")]);
    node.check(&mut publisher, &[("PUBLISH s no", ":0"), ("SPUBLISH s yes", ":1")]);
    assert_eq!(deliver(&node, &[&a]), ["*3 $8 smessage $1 s $3 yes"]);
    node.check(
        &mut publisher,
        &[
            ("PUBSUB SHARDCHANNELS", "*1 $1 s"),
            ("PUBSUB SHARDNUMSUB s", "*2 $1 s :1"),
            ("PUBSUB CHANNELS", "*0"),
        ],
    );
    node.check(&mut a, &[("SUNSUBSCRIBE", "*3 $12 sunsubscribe $1 s :0"), ("GET k", "$-1")]);
}

#[test]
fn a_subscribed_resp2_session_may_do_little_else() {
    let mut node = TestNode::new();
    let mut client = node.client();
    node.run(&mut client, "SUBSCRIBE x");
    node.check(
        &mut client,
        &[
            (
                "GET k",
                "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
            ),
            ("PING", "*2 $4 pong $0"),
            ("PING me", "*2 $4 pong $2 me"),
            ("UNSUBSCRIBE nix", "*3 $11 unsubscribe $3 nix :1"),
            ("UNSUBSCRIBE", "*3 $11 unsubscribe $1 x :0"),
            ("UNSUBSCRIBE", "*3 $11 unsubscribe $-1 :0"),
            ("PUNSUBSCRIBE", "*3 $12 punsubscribe $-1 :0"),
            ("GET k", "$-1"),
        ],
    );
    node.check(&mut client, &[("SUBSCRIBE x", "*3 $9 subscribe $1 x :1"), ("RESET", "+RESET")]);
    node.check(&mut client, &[("PUBSUB CHANNELS", "*0"), ("PING", "+PONG")]);
    node.run(&mut client, "HELLO 3");
    node.check(&mut client, &[("SUBSCRIBE x", ">3 $9 subscribe $1 x :1"), ("GET k", "_")]);
}

#[test]
fn who_has_unsubscribed_or_gone_gets_nothing() {
    let mut node = TestNode::new();
    let (mut a, mut b, mut publisher) = (node.client(), node.client(), node.client());
    node.run(&mut a, "SUBSCRIBE x");
    node.run(&mut b, "SUBSCRIBE x");
    node.run(&mut publisher, "PUBLISH x hi");
    node.run(&mut a, "UNSUBSCRIBE x");
    assert_eq!(deliver(&node, &[&a, &b]), ["", "*3 $7 message $1 x $2 hi"]);
    node.workers[0].close(&mut b.session);
    node.check(&mut publisher, &[("PUBLISH x hi", ":0"), ("PUBSUB CHANNELS", "*0")]);
}

#[test]
fn what_a_transaction_publishes_waits_for_its_record() {
    let mut node = TestNode::new();
    let (mut a, mut publisher) = (node.client(), node.client());
    node.run(&mut a, "SUBSCRIBE x");
    for line in ["MULTI", "PUBLISH x hi", "SET k 1"] {
        node.run(&mut publisher, line);
    }
    let before = node.node.keyspace.sequencer().last_lsn();
    node.check(&mut publisher, &[("EXEC", "*2 :1 +OK")]);
    let mail = node.mail();
    let Some((0, Mail::Deliver(delivery))) = mail.first() else { panic!("a message") };
    assert_eq!(delivery.depends_on, before.next());
}
