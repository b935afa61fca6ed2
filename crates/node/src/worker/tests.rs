//! What a worker does in a turn that holds more than one command, and next to other workers.

use trefoil_wire::resp::ReplyBuf;
use trefoil_wire::{Args, Span};

use super::*;
use crate::harness::{START_MS, TestClient, TestNode};

/// Runs a command within a turn that has begun.
fn run(worker: &mut Worker, client: &mut TestClient, words: &[&[u8]]) -> Ran {
    let (mut bytes, mut spans) = (Vec::new(), Vec::new());
    for word in words {
        spans.push(Span { start: bytes.len() as u32, len: word.len() as u32 });
        bytes.extend_from_slice(word);
    }
    let args = Args::new(&bytes, &spans);
    let prepared = worker.prepare(&client.session, args, &crossbeam_epoch::pin());
    worker.run(&mut client.session, args, &prepared, &mut ReplyBuf::new())
}

#[test]
fn a_turn_that_writes_much_hands_it_over_before_it_ends() {
    let mut node = TestNode::new();
    let mut client = node.client();
    let value = vec![b'v'; 600 << 10];
    let worker = &mut node.workers[0];
    worker.begin_turn(START_MS);
    for queued in [0, 0, 1] {
        run(worker, &mut client, &[b"SET", b"k", &value]);
        assert_eq!(worker.node.log.bytes() > 1 << 20, queued == 1);
    }
    for command in [&b"MULTI"[..], b"EXEC", b"MULTI"] {
        run(worker, &mut client, &[command]);
    }
    run(worker, &mut client, &[b"SET", b"k", &value]);
    run(worker, &mut client, &[b"EXEC"]);
    let before = worker.node.log.bytes();
    run(worker, &mut client, &[b"MULTI"]);
    run(worker, &mut client, &[b"DEL", b"k"]);
    run(worker, &mut client, &[b"EXEC"]);
    assert!(worker.node.log.bytes() > before);
    let _wake = worker.end_turn();
}

#[test]
fn a_command_on_many_stripes_runs_alone() {
    let mut node = TestNode::with_workers(2);
    let (mut many, mut few) = (node.client_on(0), node.client_on(1));
    let mut words = vec![b"MSET".to_vec()];
    words.extend((0..1_000).map(|i| format!("k{}", i / 2).into_bytes()));
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    node.workers[1].begin_turn(START_MS);
    assert!(node.run_words(&mut many, &words).is_empty());
    assert_eq!(many.flow, Flow::Retry);
    assert_eq!(run(&mut node.workers[1], &mut few, &[b"SET", b"k", b"v"]).flow, Flow::Continue);
    assert_eq!(node.workers[1].end_turn(), Wake::One(0));
    assert_eq!(node.run_words(&mut many, &words), b"+OK\r\n");
    node.check(
        &mut few,
        &[("GET k7", "$2 k7"), ("DBSIZE", ":501"), ("MGET k7 k", "*2 $2 k7 $1 v")],
    );
    let stats = node.run(&mut many, "INFO commandstats");
    assert!(stats.contains("cmdstat_mset:calls=1,"), "{stats}");
}

#[test]
fn replies_behind_a_change_to_fsync_always_wait_for_the_log() {
    let mut node = TestNode::new();
    let mut client = node.client();
    let worker = &mut node.workers[0];
    worker.begin_turn(START_MS);
    assert!(!worker.gated);
    run(worker, &mut client, &[b"CONFIG", b"SET", b"appendfsync", b"always"]);
    assert!(worker.gated);
    assert!(run(worker, &mut client, &[b"SET", b"k", b"v"]).depends_on > Lsn::ZERO);
    let _wake = worker.end_turn();
}
