//! The applier beside a worker under many interleavings, see [`crate::interleavings`].

use std::sync::Arc;

use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;
use trefoil_clock::{ClusterId, Epoch, EpochTable, Hlc, Identity, Lsn, NodeId};
use trefoil_store::record::{Effect, Stamp};
use trefoil_store::{KeyHasher, Keyspace, Sequencer};

use super::*;
use crate::log::{Fsync, LogQueue};
use crate::mail::{Mail, Post};
use crate::settings::Settings;

const INTERLEAVINGS: usize = 10_000;

/// How the worker sleeps.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().expect("no panic") = true;
        self.ringing.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().expect("no panic");
        while !*rung {
            rung = self.ringing.wait(rung).expect("no panic");
        }
        *rung = false;
    }
}

impl Post for Bell {
    fn post(&self, _worker: u32, _mail: Mail) {
        self.ring();
    }
}

fn node() -> (Arc<Node>, Arc<Bell>) {
    let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
    let keyspace = Keyspace::new(KeyHasher::new(42), sequencer, 3);
    let (log, bell) = (Arc::new(LogQueue::new(Fsync::No, Lsn::ZERO)), Arc::new(Bell::default()));
    let post = Arc::clone(&bell) as Arc<dyn Post>;
    let place = (Identity { node: NodeId(1), cluster: ClusterId(2) }, EpochTable::default());
    (Arc::new(Node::new(keyspace, log, place, 2, Settings::default(), post)), bell)
}

/// One record: a put, or what has to be applied alone.
fn message(lsn: u64, effect: &Effect<'_>) -> Arc<Received> {
    let mut effects = Vec::new();
    effect.encode(&mut effects);
    let bytes = [&[effects.len() as u8 + 1, 0][..], &effects].concat();
    let base = Stamp { lsn: Lsn(lsn), hlc: Hlc(lsn) };
    let run = ReceivedRun { epoch: Epoch(1), base, count: 1, range: 0..bytes.len() };
    Arc::new(Received { runs: vec![run], bytes })
}

fn put(lsn: u64) -> Arc<Received> {
    let (key, value) = (&b"k"[..], &b"v"[..]);
    message(lsn, &Effect::PutString { table: 0, key, value, deadline: None, raw: false })
}

fn flush(lsn: u64) -> Arc<Received> {
    message(lsn, &Effect::Flush { table: 0 })
}

fn start(node: &Arc<Node>, bell: &Arc<Bell>) -> thread::JoinHandle<()> {
    let bell = Arc::clone(bell);
    let mut applier = Applier::new(Arc::clone(node), Box::new(move || bell.ring()));
    thread::spawn(move || applier.run().expect("good records"))
}

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq)]
enum Job {
    BeAlone,
    /// Until this record is applied.
    ReadBehind(Lsn),
}

/// A worker with one connection: turns until it got what it wants, asleep in between.
fn work(node: &Node, bell: &Bell, jobs: &[Job]) {
    let (mut pass, mut left) = (Pass::new(0), jobs);
    loop {
        pass.begin(&node.exclusive);
        while let [job, rest @ ..] = left {
            let done = match *job {
                Job::ReadBehind(wanted) => node.applier.applied() >= wanted,
                Job::BeAlone => {
                    let alone = pass.try_alone(&node.exclusive);
                    if alone {
                        pass.leave_alone(&node.exclusive);
                    }
                    alone
                }
            };
            if !done {
                break;
            }
            left = rest;
        }
        node.wake(pass.end(&node.exclusive));
        if left.is_empty() {
            return;
        }
        bell.wait();
    }
}

/// Fails if `push` or `set_commit` notifies nobody, if `wait` forgets that it was rung, if `step` does
/// not pass on whom the gate says to wake, and if `tell` does not call after the last slice.
#[test]
fn shuttle_what_is_committed_is_applied_and_a_parked_reader_hears_of_it() {
    let check = || {
        let (node, bell) = node();
        let applier = start(&node, &bell);
        let receiver = {
            let node = Arc::clone(&node);
            thread::spawn(move || {
                node.applier.push(put(1));
                node.applier.set_commit(Lsn(2));
                node.applier.push(flush(2));
            })
        };
        work(&node, &bell, &[Job::BeAlone, Job::ReadBehind(Lsn(2))]);
        node.applier.push(put(3));
        node.applier.set_commit(Lsn(3));
        work(&node, &bell, &[Job::ReadBehind(Lsn(3))]);
        receiver.join().expect("no panic");
        node.applier.stop();
        applier.join().expect("no panic");
        assert_eq!((node.keyspace.len(0), node.applier.bytes()), (1, 0));
    };
    shuttle::check_random(check, INTERLEAVINGS);
    shuttle::check_pct(check, INTERLEAVINGS, 3);
}

/// Fails if `pause` does not ring, if `wait` sleeps on with a claim while it is paused, if `end` keeps
/// the claim, if `disengage` wakes nobody, and if `resume` does not ring.
#[test]
fn shuttle_a_pause_ends_the_dealings_with_the_gate() {
    let check = || {
        let (node, bell) = node();
        let applier = start(&node, &bell);
        node.applier.push(flush(1));
        let loader = {
            let node = Arc::clone(&node);
            thread::spawn(move || load_anew(&node))
        };
        work(&node, &bell, &[Job::ReadBehind(Lsn(2))]);
        loader.join().expect("no panic");
        node.applier.stop();
        applier.join().expect("no panic");
        assert_eq!(node.keyspace.len(0), 1);
    };
    shuttle::check_random(check, INTERLEAVINGS);
    shuttle::check_pct(check, INTERLEAVINGS, 3);
}

/// A worker that pauses the applier from inside the gate, so that its record can't be applied.
fn load_anew(node: &Node) {
    let mut pass = Pass::new(1);
    pass.begin(&node.exclusive);
    assert!(pass.is_inside(), "nobody has asked to be alone");
    node.applier.set_commit(Lsn(1));
    node.applier.pause();
    assert_eq!(node.applier.applied(), Lsn::ZERO, "it can't be alone");
    node.wake(pass.end(&node.exclusive));
    pass.begin(&node.exclusive);
    assert!(pass.is_inside(), "it does not ask to be alone any more");
    node.wake(pass.end(&node.exclusive));
    node.applier.clear(Lsn(1));
    node.applier.push(put(2));
    node.applier.set_commit(Lsn(2));
    assert_eq!(node.applier.applied(), Lsn(1), "it is paused");
    node.applier.resume();
}
