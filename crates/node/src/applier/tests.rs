//! Messages in, data out: without a thread, and with one where the queue is paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use trefoil_clock::{Epoch, Hlc};
use trefoil_store::record::{Effect, LogBatch, Stamp};

use super::*;
use crate::exclusive::Wake;
use crate::harness::{START_MS, TestClient, TestNode};
use crate::mail::Mail;
use crate::replication::Role;

/// A leader's records, made by the commands of a node of its own.
struct Leader {
    node: TestNode,
    client: TestClient,
}

impl Leader {
    fn new() -> Leader {
        let mut node = TestNode::new();
        let client = node.client();
        Leader { node, client }
    }

    /// What running these lines made, as one message.
    fn run(&mut self, lines: &[&str]) -> Arc<Received> {
        for line in lines {
            let reply = self.node.run(&mut self.client, line);
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
        received(self.node.node.log.take(None).batches)
    }
}

fn received(batches: Vec<LogBatch>) -> Arc<Received> {
    let mut all = Received { runs: Vec::new(), bytes: Vec::new() };
    for batch in batches {
        for run in &batch.runs {
            let start = all.bytes.len();
            all.bytes.extend_from_slice(&batch.bytes[run.start..run.start + run.len]);
            let range = start..all.bytes.len();
            all.runs.push(ReceivedRun { epoch: Epoch(1), base: run.base, count: run.count, range });
        }
    }
    Arc::new(all)
}

struct Follower {
    node: TestNode,
    client: TestClient,
    applier: Applier,
    told: Arc<AtomicUsize>,
}

impl Follower {
    fn new() -> Follower {
        let mut node = TestNode::with_workers(2);
        node.node.replication.set_role(Role::Following);
        let client = node.client();
        let told = Arc::new(AtomicUsize::new(0));
        let on_applied = {
            let told = Arc::clone(&told);
            Box::new(move || {
                told.fetch_add(1, Ordering::Relaxed);
            })
        };
        let applier = Applier::new(Arc::clone(&node.node), on_applied);
        Follower { node, client, applier, told }
    }

    fn queue(&self) -> &ApplyQueue {
        &self.node.node.applier
    }

    fn apply_all(&mut self, received: &Arc<Received>) {
        self.queue().push(Arc::clone(received));
        self.queue().set_commit(received.last());
        assert_eq!(self.applier.step(), Ok(Step::Idle));
        assert_eq!(self.queue().applied(), received.last());
    }

    fn check(&mut self, cases: &[(&str, &str)]) {
        self.node.check(&mut self.client, cases);
    }
}

#[test]
fn records_are_applied_up_to_the_watermark_and_not_further() {
    let (mut leader, mut follower) = (Leader::new(), Follower::new());
    let first = leader.run(&["SET a 1", "INCR a", "MSET b 1 c 1", "DEL c"]);
    follower.queue().push(Arc::clone(&first));
    assert_eq!(follower.applier.step(), Ok(Step::Idle));
    follower.check(&[("GET a", "$-1")]);
    assert_eq!((follower.queue().applied(), follower.told.load(Ordering::Relaxed)), (Lsn(0), 0));

    follower.queue().set_commit(Lsn(3));
    assert_eq!(follower.applier.step(), Ok(Step::Idle));
    follower.check(&[("GET a", "$1 2"), ("GET c", "$1 1")]);
    assert_eq!((follower.queue().applied(), follower.told.load(Ordering::Relaxed)), (Lsn(3), 1));
    assert_eq!(follower.queue().bytes(), first.bytes.len());

    follower.queue().set_commit(Lsn(2));
    follower.queue().set_commit(Lsn(9));
    assert_eq!(follower.applier.step(), Ok(Step::Idle));
    follower.check(&[("GET c", "$-1"), ("GET b", "$1 1"), ("DBSIZE", ":2")]);
    assert_eq!((follower.queue().applied(), follower.queue().bytes()), (Lsn(4), 0));
    assert_eq!(follower.node.node.keyspace.sequencer().last_lsn(), Lsn(4));
    assert!(follower.node.workers[0].writer.log.is_empty());
}

#[test]
fn many_slices_of_many_runs_end_where_the_leader_is() {
    let (mut leader, mut follower) = (Leader::new(), Follower::new());
    let lines: Vec<String> =
        (0..3_000).map(|i| format!("SET key:{} {}", i % 1_000, "v".repeat(1 + i % 500))).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let received = leader.run(&lines);
    assert!(received.runs.len() >= 1_000, "each turn made a run");
    follower.apply_all(&received);
    follower.check(&[("DBSIZE", ":1000"), ("STRLEN key:999", ":500")]);
    assert!(follower.told.load(Ordering::Relaxed) < 10, "not after every slice");
    assert_eq!(follower.node.node.keyspace.memory(), leader.node.node.keyspace.memory());

    // The same again, as after a reconnection: nothing is applied twice.
    let more = leader.run(&["APPEND key:0 !"]);
    let both = Received {
        runs: received.runs.iter().cloned().chain([shifted(&more, received.bytes.len())]).collect(),
        bytes: [&received.bytes[..], &more.bytes].concat(),
    };
    follower.apply_all(&Arc::new(both));
    follower.check(&[("GET key:0", "$2 v!")]);
}

fn shifted(message: &Received, by: usize) -> ReceivedRun {
    let run = message.runs[0].clone();
    ReceivedRun { range: run.range.start + by..run.range.end + by, ..run }
}

#[test]
fn a_watched_key_that_the_leader_changed_aborts_exec() {
    let (mut leader, mut follower) = (Leader::new(), Follower::new());
    // A follower leaves transactions to its leader: this one says that it leads.
    follower.node.node.replication.set_role(Role::Leading);
    follower.apply_all(&leader.run(&["SET a 1", "SET b 1"]));
    follower.check(&[("WATCH a", "+OK"), ("MULTI", "+OK"), ("GET b", "+QUEUED")]);
    follower.check(&[("EXEC", "*1 $1 1"), ("WATCH a", "+OK"), ("MULTI", "+OK")]);
    follower.apply_all(&leader.run(&["SET a 2"]));
    follower.check(&[("GET b", "+QUEUED"), ("EXEC", "*-1")]);
    follower.check(&[("WATCH c", "+OK"), ("MULTI", "+OK"), ("GET b", "+QUEUED")]);
    follower.apply_all(&leader.run(&["SET c 1"]));
    follower.check(&[("EXEC", "*-1")]);
}

#[test]
fn keys_expire_by_the_streams_time_and_go_when_the_leader_says() {
    let (mut leader, mut follower) = (Leader::new(), Follower::new());
    follower.apply_all(&leader.run(&["SET k v PX 1000", "SET kept v"]));
    assert_eq!(follower.node.node.replication.stream_ms(), START_MS);
    // The own clock does not count.
    follower.node.pass_ms(60_000);
    follower.check(&[("GET k", "$1 v"), ("PTTL k", ":1000"), ("OBJECT IDLETIME k", ":0")]);
    follower.node.node.replication.observe_stream_ms(START_MS + 1_000);
    follower.check(&[("GET k", "$-1"), ("EXISTS k", ":0"), ("DBSIZE", ":2")]);
    follower.check(&[("RANDOMKEY", "$4 kept"), ("SCAN 0 COUNT 100000", "*2 $1 0 *1 $4 kept")]);
    let worker = &mut follower.node.workers[0];
    worker.on_tick();
    worker.begin_turn(START_MS + 60_000);
    worker.do_chores();
    assert!(!worker.has_chores() && worker.writer.log.is_empty());
    let _wake = worker.end_turn();
    leader.node.pass_ms(2_000);
    follower.apply_all(&leader.run(&["GET k", "SET kept w"]));
    follower.check(&[("DBSIZE", ":1")]);
    assert_eq!(follower.node.node.replication.stream_ms(), START_MS + 2_000);
}

#[test]
fn what_concerns_everything_waits_until_nobody_else_is_inside() {
    let (mut leader, mut follower) = (Leader::new(), Follower::new());
    let received = leader.run(&["SET a 1", "FLUSHALL", "SET b 1", "SWAPDB 0 1"]);
    follower.queue().push(Arc::clone(&received));
    follower.queue().set_commit(Lsn(9));
    follower.node.workers[1].begin_turn(START_MS);
    assert_eq!(follower.applier.step(), Ok(Step::Blocked));
    assert_eq!(follower.queue().applied(), Lsn(1));
    assert!(!follower.queue().try_pause(), "it claims the gate");
    assert_eq!(follower.applier.step(), Ok(Step::Idle));
    assert!(follower.queue().try_pause(), "and gave it up");
    follower.queue().resume();
    assert_eq!(follower.applier.step(), Ok(Step::Blocked));
    assert_eq!(follower.node.workers[1].end_turn(), Wake::One(2), "the applier waits");
    follower.node.mail();
    assert_eq!(follower.applier.step(), Ok(Step::Idle));
    assert_eq!(follower.queue().applied(), Lsn(4));
    let woken = follower.node.mail().iter().filter(|(_, mail)| matches!(mail, Mail::Wake)).count();
    assert_eq!(woken, 4, "both workers, after each of the two");
    follower.check(&[("DBSIZE", ":0"), ("SELECT 1", "+OK"), ("KEYS *", "*1 $1 b")]);
}

#[test]
fn a_claim_is_given_up_when_the_queue_is_paused_and_a_cleared_queue_starts_anew() {
    let (mut leader, mut follower) = (Leader::new(), Follower::new());
    let received = leader.run(&["SET a 1", "FLUSHALL", "SET b 1"]);
    follower.queue().push(Arc::clone(&received));
    follower.queue().set_commit(Lsn(3));
    follower.node.workers[1].begin_turn(START_MS);
    let node = Arc::clone(&follower.node.node);
    let mut applier = follower.applier;
    let thread = thread::spawn(move || applier.run());
    while node.applier.applied() < Lsn(1) {
        thread::yield_now();
    }
    // It claims the gate, or will, and can't be alone: worker 1 is inside.
    node.applier.pause();
    let _wake = follower.node.workers[1].end_turn();
    for worker in &mut follower.node.workers {
        worker.begin_turn(START_MS);
        assert!(worker.may_touch_data(), "nobody claims the gate");
        let _wake = worker.end_turn();
    }
    assert_eq!((node.applier.applied(), node.applier.bytes()), (Lsn(1), received.bytes.len()));

    node.applier.clear(Lsn(0));
    node.keyspace.reset();
    assert_eq!((node.applier.applied(), node.applier.bytes()), (Lsn(0), 0));
    node.applier.push(received);
    node.applier.set_commit(Lsn(3));
    assert_eq!(node.applier.applied(), Lsn(0), "still paused");
    node.applier.resume();
    while node.applier.applied() < Lsn(3) {
        thread::yield_now();
    }
    node.applier.stop();
    assert_eq!(thread.join().expect("it did not panic"), Ok(()));
    assert_eq!((node.keyspace.len(0), node.keyspace.sequencer().last_lsn()), (1, Lsn(3)));
}

#[test]
fn who_waits_for_a_commit_is_not_full_since_it_hears_of_that_by_receiving_more() {
    let queue = ApplyQueue::new(Lsn::ZERO);
    let base = Stamp { lsn: Lsn(1), hlc: Hlc(1) };
    let bytes = vec![0; (64 << 20) + 1];
    let run = ReceivedRun { epoch: Epoch(1), base, count: 9, range: 0..bytes.len() };
    queue.push(Arc::new(Received { runs: vec![run], bytes }));
    assert!(!queue.is_full());
    queue.set_commit(Lsn(1));
    assert!(queue.is_full());
}

#[test]
fn records_that_were_cut_off_are_not_applied() {
    let (mut leader, mut follower) = (Leader::new(), Follower::new());
    let [first, second] =
        [&["SET a 1", "SET b 1", "SET c 1"][..], &["SET d 1"]].map(|lines| leader.run(lines));
    follower.queue().push(Arc::clone(&first));
    follower.queue().push(second);
    follower.queue().set_commit(Lsn(1));
    assert_eq!(follower.applier.step(), Ok(Step::Idle));
    follower.queue().pause();
    follower.queue().cut(Lsn(2));
    assert_eq!(follower.queue().bytes(), first.bytes.len());
    follower.queue().resume();
    // Another leader has other records behind the second.
    let mut effects = Vec::new();
    Effect::Flush { table: 0 }.encode(&mut effects);
    let base = Stamp { lsn: Lsn(3), hlc: Hlc::from_millis(START_MS) };
    let bytes = [&[effects.len() as u8 + 1, 0][..], &effects].concat();
    let runs = vec![ReceivedRun { epoch: Epoch(2), base, count: 1, range: 0..bytes.len() }];
    follower.queue().push(Arc::new(Received { runs, bytes }));
    follower.queue().set_commit(Lsn(2));
    assert_eq!(follower.applier.step(), Ok(Step::Idle));
    follower.check(&[("DBSIZE", ":2")]);
    follower.queue().set_commit(Lsn(3));
    assert_eq!(follower.applier.step(), Ok(Step::Idle));
    follower.check(&[("DBSIZE", ":0")]);
    assert_eq!((follower.queue().applied(), follower.queue().bytes()), (Lsn(3), 0));
}

#[test]
fn a_damaged_message_stops_it_behind_the_last_good_record() {
    let (mut leader, mut follower) = (Leader::new(), Follower::new());
    let good = leader.run(&["SET a 1", "SET b 1", "SET c 1"]);
    let damage = |change: fn(&mut Received)| {
        let mut damaged = Received { runs: good.runs.clone(), bytes: good.bytes.clone() };
        change(&mut damaged);
        Arc::new(damaged)
    };
    let unknown = damage(|message| {
        let last = message.runs[2].range.clone();
        message.bytes[last][3] = 99;
    });
    follower.queue().push(unknown);
    follower.queue().set_commit(Lsn(3));
    let lost = ApplyLost::Malformed { lsn: Lsn(3), error: DecodeError::UnknownOpcode(99) };
    assert_eq!(follower.applier.step(), Err(lost));
    assert_eq!(follower.queue().applied(), Lsn(2));
    follower.check(&[("DBSIZE", ":2")]);
    type Damage = fn(&mut Received);
    let cases: [(Damage, ApplyLost); 2] = [
        (
            |message| message.bytes.truncate(message.bytes.len() - 1),
            ApplyLost::Damaged(RunError::Malformed { lsn: Lsn(3) }),
        ),
        (
            |message| message.runs[2].base.lsn = Lsn(4),
            ApplyLost::Gap { expected: Lsn(3), found: Lsn(4) },
        ),
    ];
    for (change, lost) in cases {
        follower.queue().pause();
        follower.queue().clear(Lsn(2));
        follower.queue().resume();
        follower.queue().push(damage(change));
        follower.queue().set_commit(Lsn(4));
        assert_eq!(follower.applier.step(), Err(lost));
    }
    follower.node.workers[0].begin_turn(START_MS);
    assert!(follower.node.workers[0].may_touch_data(), "it left the gate");
}

#[test]
fn a_write_that_slips_through_on_a_follower_changes_nothing() {
    let (mut leader, mut follower) = (Leader::new(), Follower::new());
    follower.apply_all(&leader.run(&["SET a 1"]));
    // Nothing refuses it before: the session was not told of the role.
    follower.node.node.special.store(0, Ordering::Relaxed);
    let reply = follower.node.run(&mut follower.client, "SET a 2");
    assert!(reply.starts_with("-ERR the command failed inside the server"), "{reply}");
    follower.check(&[("GET a", "$1 1")]);
    assert_eq!(follower.node.node.keyspace.sequencer().last_lsn(), Lsn(1));
}
