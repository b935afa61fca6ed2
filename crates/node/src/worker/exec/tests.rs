//! Transactions through the harness, and what a crash leaves of them.

use std::net::SocketAddr;
use std::sync::Arc;

use trefoil_clock::NodeId;
use trefoil_log::{ClusterId, Disk, DiskFile, FaultDisk, Identity, WriterOptions};
use trefoil_store::KeyHasher;
use trefoil_store::txn::{Txn, Writer};
use trefoil_wire::resp::ReplyBuf;
use trefoil_wire::{Args, Span};

use crate::harness::{START_MS, TestNode};
use crate::log::{Fsync, LogDriver, LogQueue, Stop, stream};
use crate::mail::{Mail, Post};
use crate::node::Node;
use crate::recovery::{StartOptions, Started, start};
use crate::session::Session;
use crate::settings::Settings;
use crate::worker::Worker;
use crate::worker::exec::RECORD_LEN_MAX;

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";

#[test]
fn commands_are_queued_and_run_together() {
    let mut node = TestNode::new();
    let mut client = node.client();
    node.check(
        &mut client,
        &[
            ("EXEC", "-ERR EXEC without MULTI"),
            ("DISCARD", "-ERR DISCARD without MULTI"),
            ("MULTI", "+OK"),
            ("EXEC", "*0"),
            ("MULTI", "+OK"),
            ("MULTI", "-ERR MULTI calls can not be nested"),
            ("WATCH k", "-ERR WATCH inside MULTI is not allowed"),
            ("SET k abc", "+QUEUED"),
            ("INCR k", "+QUEUED"),
            ("PING", "+QUEUED"),
            ("UNWATCH", "+QUEUED"),
            ("SELECT 3", "+QUEUED"),
            ("SET k 1", "+QUEUED"),
            ("DBSIZE", "+QUEUED"),
            ("EXEC", "*7 +OK -ERR value is not an integer or out of range +PONG +OK +OK +OK :1"),
            ("GET k", "$1 1"),
            ("SELECT 0", "+OK"),
            ("GET k", "$3 abc"),
            ("MULTI", "+OK"),
            ("SET k 2", "+QUEUED"),
            ("DISCARD", "+OK"),
            ("GET k", "$3 abc"),
        ],
    );
}

#[test]
fn a_mistake_while_queueing_breaks_the_transaction() {
    let mut node = TestNode::new();
    let mut client = node.client();
    for mistake in ["GET", "NIX", "OBJECT nix k"] {
        node.check(&mut client, &[("MULTI", "+OK"), ("SET k 1", "+QUEUED")]);
        assert!(node.run(&mut client, mistake).starts_with("-ERR"), "{mistake}");
        node.check(&mut client, &[("SET k 2", "+QUEUED"), ("EXEC", ABORTED), ("GET k", "$-1")]);
    }
    node.check(&mut client, &[("EXEC", "-ERR EXEC without MULTI")]);
}

#[test]
fn a_watched_key_that_changed_makes_exec_nil() {
    let mut node = TestNode::new();
    let (mut client, mut other) = (node.client(), node.client());
    let changes: [&[&str]; 7] = [
        &["SET there 2"],
        &["DEL there"],
        &["SET absent 1"],
        &["EXPIRE there 100"],
        &["FLUSHALL"],
        &["SWAPDB 0 1"],
        &["DEL there", "SET there 1"],
    ];
    for change in changes {
        node.run(&mut other, "FLUSHALL");
        node.run(&mut other, "SET there 1");
        node.check(&mut client, &[("WATCH there absent", "+OK")]);
        for line in change {
            node.run(&mut other, line);
        }
        node.check(&mut client, &[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "*-1")]);
        node.check(&mut client, &[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "*1 +PONG")]);
    }
    for harmless in ["GET there", "DEL absent", "SET other 1", "FLUSHDB"] {
        node.run(&mut other, "FLUSHALL");
        node.run(&mut other, "SET there 1");
        let watch = if harmless == "FLUSHDB" { "WATCH absent" } else { "WATCH there absent" };
        node.check(&mut client, &[(watch, "+OK")]);
        node.run(&mut other, harmless);
        node.check(&mut client, &[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "*1 +PONG")]);
    }
}

#[test]
fn a_key_that_expires_while_watched_has_changed_and_an_expired_one_is_absent() {
    let mut node = TestNode::new();
    let mut client = node.client();
    node.check(&mut client, &[("SET k 1 PX 100", "+OK"), ("WATCH k", "+OK"), ("MULTI", "+OK")]);
    node.pass_ms(200);
    node.check(&mut client, &[("EXEC", "*-1"), ("SET k 1 PX 100", "+OK")]);
    node.pass_ms(200);
    node.check(&mut client, &[("WATCH k", "+OK"), ("MULTI", "+OK"), ("EXEC", "*0")]);
}

#[test]
fn unwatch_discard_and_reset_forget_watched_keys() {
    let mut node = TestNode::new();
    let mut client = node.client();
    let forgets: [&[(&str, &str)]; 3] = [
        &[("UNWATCH", "+OK")],
        &[("MULTI", "+OK"), ("DISCARD", "+OK")],
        &[("MULTI", "+OK"), ("RESET", "+RESET")],
    ];
    for forget in forgets {
        node.check(&mut client, &[("SET k 1", "+OK"), ("WATCH k", "+OK"), ("SET k 2", "+OK")]);
        node.check(&mut client, forget);
        node.check(&mut client, &[("MULTI", "+OK"), ("EXEC", "*0")]);
    }
}

#[test]
fn a_transaction_over_many_stripes_or_over_all_keys_runs_alone() {
    let mut node = TestNode::new();
    let mut client = node.client();
    node.check(&mut client, &[("WATCH w", "+OK"), ("MULTI", "+OK")]);
    for i in 0..500 {
        node.check(&mut client, &[(&format!("SET k{i} {i}"), "+QUEUED")]);
    }
    node.check(&mut client, &[("DBSIZE", "+QUEUED"), ("FLUSHALL", "+QUEUED")]);
    node.check(&mut client, &[("SET last 1", "+QUEUED"), ("KEYS *", "+QUEUED")]);
    let reply = node.run(&mut client, "EXEC");
    assert!(reply.starts_with("*504 +OK"), "{reply}");
    assert!(reply.ends_with(":500 +OK +OK *1 $4 last"), "{reply}");
}

#[test]
fn a_transaction_is_one_record() {
    let mut node = TestNode::new();
    let mut client = node.client();
    let before = node.node.keyspace.sequencer().last_lsn();
    for line in ["MULTI", "SET a 1", "PING", "SET b 2", "SELECT 1", "SET c 3", "DEL c", "EXEC"] {
        node.run(&mut client, line);
    }
    assert_eq!(node.node.keyspace.sequencer().last_lsn(), before.next());
}

#[test]
fn a_transaction_writes_no_more_than_a_record_takes() {
    let mut node = TestNode::new();
    let mut client = node.client();
    let value = "v".repeat(RECORD_LEN_MAX);
    node.check(
        &mut client,
        &[
            (&format!("SET a {value}"), "+OK"),
            ("MULTI", "+OK"),
            ("COPY a b", "+QUEUED"),
            ("COPY a c", "+QUEUED"),
            ("EXISTS b c", "+QUEUED"),
            (
                "EXEC",
                "*3 :1 -ERR the transaction has written too much for one record of the log :1",
            ),
            ("MULTI", "+OK"),
            ("COPY a c", "+QUEUED"),
            ("EXEC", "*1 :1"),
        ],
    );
}

struct NoPost;

impl Post for NoPost {
    fn post(&self, _: u32, _: Mail) {}
}

fn options() -> StartOptions {
    StartOptions {
        identity: Identity { node: NodeId(1), cluster: ClusterId(2) },
        hasher: KeyHasher::new(7),
        tallies: 2,
        log: WriterOptions { segment_bytes: 1 << 16, ..WriterOptions::default() },
    }
}

/// Runs commands on a node over this disk and stops it.
fn write_log(disk: &FaultDisk, commands: &[&[&str]]) {
    let Started { keyspace, writer, report } = start(disk.clone(), options()).expect("a disk");
    let queue = Arc::new(LogQueue::new(Fsync::No, writer.appended(stream())));
    let (log, post) = (Arc::clone(&queue), Arc::new(NoPost));
    let node = Arc::new(Node::new(
        keyspace,
        log,
        (report.identity, report.epochs),
        1,
        Settings::default(),
        post,
    ));
    let mut worker = Worker::new(Arc::clone(&node), 0, 1);
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let record = node.clients.register((0, 0), address, address, START_MS);
    let (mut session, mut out) = (Session::new(record, node.first_restrictions()), ReplyBuf::new());
    worker.begin_turn(START_MS);
    for words in commands {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for word in *words {
            spans.push(Span { start: bytes.len() as u32, len: word.len() as u32 });
            bytes.extend_from_slice(word.as_bytes());
        }
        let args = Args::new(&bytes, &spans);
        let prepared = worker.prepare(&session, args, &crossbeam_epoch::pin());
        worker.run(&mut session, args, &prepared, &mut out);
    }
    let _wake = worker.end_turn();
    queue.stop(Stop::Clean);
    let mut driver = LogDriver::new(queue, writer, report.epoch, Box::new(|_| {}));
    driver.turn().expect("the disk is healthy");
}

/// The same files with everything of `name` from `cut` on unwritten.
fn torn(disk: &FaultDisk, name: &str, cut: usize) -> FaultDisk {
    let copy = FaultDisk::new();
    for file in disk.list().expect("a listing") {
        let mut bytes = disk.contents(&file).expect("a listed file");
        if file == name {
            bytes[cut..].fill(0);
        }
        let written = copy.create(&file).expect("room").write_at(&bytes, 0).expect("room");
        assert_eq!(written, bytes.len());
    }
    copy
}

#[test]
fn whatever_part_of_the_log_survives_no_half_of_a_transaction_does() {
    let disk = FaultDisk::new();
    write_log(
        &disk,
        &[
            &["SET", "a", "0"],
            &["MULTI"],
            &["SET", "a", "1"],
            &["PING"],
            &["SET", "b", "1"],
            &["SELECT", "1"],
            &["SET", "c", "1"],
            &["EXEC"],
        ],
    );
    let mut names = disk.list().expect("a listing");
    names.retain(|name| disk.contents(name).is_some_and(|bytes| bytes.iter().any(|&b| b != 0)));
    names.sort();
    let name = names.first().expect("a segment");
    let bytes = disk.contents(name).expect("a segment");
    let end = bytes.iter().rposition(|&byte| byte != 0).expect("it is written") + 1;
    let (mut whole, mut nothing) = (0, 0);
    for cut in 0..=end {
        // A segment whose header is torn may be refused, which shows no half either.
        let Ok(started) = start(torn(&disk, name, cut), options()) else { continue };
        let mut writer = Writer::new(0, 1);
        writer.now_ms = START_MS;
        let mut get = |db: u8, key: &[u8]| {
            let key = started.keyspace.key(key);
            let mut txn = Txn::single(&started.keyspace, &mut writer, db, &key);
            let found = txn.string(&key).expect("a string").map(|view| view.bytes().to_vec());
            txn.commit();
            found
        };
        let found = (get(0, b"a"), get(0, b"b"), get(1, b"c"));
        let one = Some(b"1".to_vec());
        if found == (one.clone(), one.clone(), one) {
            whole += 1;
        } else {
            let before = found.0.is_none() || found.0 == Some(b"0".to_vec());
            assert!(before && found.1.is_none() && found.2.is_none(), "cut at {cut}: {found:?}");
            nothing += 1;
        }
    }
    assert!(whole > 0 && nothing > 0, "whole {whole}, nothing {nothing}");
}
