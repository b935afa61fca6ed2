//! COMMAND in both protocols.

use crate::harness::TestNode;
use crate::table::TABLE;
use trefoil_wire::resp::Protocol;

#[test]
fn a_command_is_described_as_redis_describes_it() {
    let mut node = TestNode::new();
    let mut client = node.client();
    let get = "*10 $3 get :2 *2 +readonly +fast :1 :1 :1 *3 +@read +@string +@fast *0 *1 *6 \
               $5 flags *2 +RO +access $12 begin_search *4 $4 type $5 index $4 spec *2 $5 index :1 \
               $9 find_keys *4 $4 type $5 range $4 spec *6 $7 lastkey :0 $7 keystep :1 $5 limit :0 *0";
    assert_eq!(node.run(&mut client, "COMMAND INFO get"), format!("*1 {get}"));
    assert_eq!(node.run(&mut client, "COMMAND INFO GET none"), format!("*2 {get} *-1"));
    client.session.protocol = Protocol::Resp3;
    let described = node.run(&mut client, "COMMAND INFO get none");
    assert!(
        described.starts_with("*2 *10 $3 get :2 ~2 +readonly +fast :1 :1 :1 ~3 "),
        "{described}"
    );
    assert!(described.ends_with("%3 $7 lastkey :0 $7 keystep :1 $5 limit :0 ~0 _"), "{described}");
}

#[test]
fn several_keys_are_told_as_one_range() {
    let mut node = TestNode::new();
    let mut client = node.client();
    for (name, range) in [
        ("rename", ":1 :2 :1"),
        ("mset", ":1 :-1 :2"),
        ("del", ":1 :-1 :1"),
        ("ping", ":0 :0 :0"),
        ("object|encoding", ":2 :2 :1"),
    ] {
        let described = node.run(&mut client, &format!("COMMAND INFO {name}"));
        assert!(described.contains(range), "{described}");
    }
}

#[test]
fn all_commands_are_counted_listed_and_documented() {
    let mut node = TestNode::new();
    let mut client = node.client();
    let count = TABLE.entries().len();
    assert_eq!(node.run(&mut client, "COMMAND COUNT"), format!(":{count}"));
    assert!(node.run(&mut client, "COMMAND").starts_with(&format!("*{count} *10 ")));
    assert!(node.run(&mut client, "COMMAND INFO").starts_with(&format!("*{count} *10 ")));
    assert!(node.run(&mut client, "COMMAND DOCS").starts_with(&format!("*{} ", count * 2)));
    assert!(node.run(&mut client, "COMMAND LIST").starts_with(&format!("*{} ", TABLE.len())));
    node.check(
        &mut client,
        &[
            ("COMMAND LIST FILTERBY PATTERN config|g*", "*1 $10 config|get"),
            ("COMMAND LIST FILTERBY MODULE none", "*0"),
            ("COMMAND LIST FILTERBY ACLCAT none", "*0"),
            ("COMMAND LIST FILTERBY none none", "-ERR syntax error"),
            ("COMMAND nix", "-ERR unknown subcommand 'nix'. Try COMMAND HELP."),
            ("COMMAND DOCS none", "*0"),
        ],
    );
    let bitmaps = node.run(&mut client, "COMMAND LIST FILTERBY ACLCAT bitmap");
    assert!(bitmaps.contains("$8 bitcount"), "{bitmaps}");
    for entry in TABLE.entries() {
        assert!(!entry.spec.summary.is_empty(), "{} has no summary", entry.full_name);
    }
}

#[test]
fn documentation_has_arguments_and_subcommands() {
    let mut node = TestNode::new();
    let mut client = node.client();
    let docs = node.run(&mut client, "COMMAND DOCS ping");
    assert!(docs.starts_with("*2 $4 ping *10 $7 summary "), "{docs}");
    let message = "$9 arguments *1 *8 $4 name $7 message $4 type $6 string $12 display_text \
                   $7 message $5 flags *1 +optional";
    assert!(docs.ends_with(message), "{docs}");
    let docs = node.run(&mut client, "COMMAND DOCS config");
    assert!(docs.contains("$11 subcommands *10 $10 config|get *10 $7 summary "), "{docs}");
}

#[test]
fn keys_of_a_call_are_told() {
    let mut node = TestNode::new();
    let mut client = node.client();
    node.check(
        &mut client,
        &[
            ("COMMAND GETKEYS GET a", "*1 $1 a"),
            ("COMMAND GETKEYS MSET a 1 b 2", "*2 $1 a $1 b"),
            ("COMMAND GETKEYS OBJECT ENCODING a", "*1 $1 a"),
            ("COMMAND GETKEYS PING", "-ERR The command has no key arguments"),
            ("COMMAND GETKEYS none", "-ERR Invalid command specified"),
            ("COMMAND GETKEYS GET", "-ERR Invalid number of arguments specified for command"),
            ("COMMAND GETKEYSANDFLAGS GET a", "*1 *2 $1 a *2 +RO +access"),
            (
                "COMMAND GETKEYSANDFLAGS RENAME a b",
                "*2 *2 $1 a *3 +RW +access +delete *2 $1 b *2 +OW +update",
            ),
        ],
    );
}
