//! The protocols between workers under many interleavings: run by `cargo xtask test --only shuttle`.
//!
//! A lost wake-up shows as a deadlock, which shuttle reports. Each test says which line was broken to
//! see it fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Counter, Ordering::SeqCst};

use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;
use trefoil_clock::{Hlc, Lsn};
use trefoil_store::record::{LogBatch, Run, Stamp};
use trefoil_wire::resp::SharedBytes;

use crate::exclusive::{ExclusiveGate, Pass, Wake};
use crate::log::{Fsync, LogQueue};
use crate::mail::{Address, Mail, Post};
use crate::pubsub::hub::{Hub, Kind};

const INTERLEAVINGS: usize = 20_000;

/// How a worker sleeps and is woken, as the shell's mailboxes do it.
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

/// Workers behind one gate, and what is known of them without it.
struct Workers {
    gate: ExclusiveGate,
    bells: Vec<Bell>,
    inside: Counter,
    alone: Counter,
}

#[derive(Clone, Copy, PartialEq)]
enum Job {
    Together,
    Alone,
}

impl Workers {
    fn new(count: usize) -> Arc<Workers> {
        Arc::new(Workers {
            gate: ExclusiveGate::new(count),
            bells: (0..count).map(|_| Bell::default()).collect(),
            inside: Counter::new(0),
            alone: Counter::new(0),
        })
    }

    /// A worker with one connection: turns until all its commands ran.
    fn run(&self, worker: usize, jobs: &[Job]) {
        let mut pass = Pass::new(worker);
        let mut left = jobs;
        loop {
            pass.begin(&self.gate);
            while let [job, rest @ ..] = left
                && self.attempt(&mut pass, *job)
            {
                left = rest;
            }
            self.wake(pass.end(&self.gate));
            if left.is_empty() {
                return;
            }
            self.bells[worker].wait();
        }
    }

    fn attempt(&self, pass: &mut Pass, job: Job) -> bool {
        match job {
            Job::Together if pass.is_inside() => {
                self.inside.fetch_add(1, SeqCst);
                assert_eq!(self.alone.load(SeqCst), 0, "together with one that is alone");
                thread::yield_now();
                assert_eq!(self.alone.load(SeqCst), 0, "together with one that is alone");
                self.inside.fetch_sub(1, SeqCst);
                true
            }
            Job::Together => false,
            Job::Alone => {
                if !pass.try_alone(&self.gate) {
                    return false;
                }
                assert_eq!(self.alone.fetch_add(1, SeqCst), 0, "two are alone");
                assert_eq!(self.inside.load(SeqCst), 0, "alone among others");
                thread::yield_now();
                assert_eq!(self.inside.load(SeqCst), 0, "alone among others");
                self.alone.fetch_sub(1, SeqCst);
                pass.leave_alone(&self.gate);
                true
            }
        }
    }

    fn wake(&self, wake: Wake) {
        match wake {
            Wake::None => {}
            Wake::One(worker) => self.bells[worker].ring(),
            Wake::All => self.bells.iter().for_each(Bell::ring),
        }
    }
}

/// Fails without the store of `false` or without the wake in `Pass::enter`'s refused case (a
/// claimant saw the worker inside for a moment and sleeps for ever), without the wake in
/// `Pass::leave`, without `Wake::All` in `give_up`, and if `claim` looks only at its own seat.
#[test]
fn shuttle_alone_is_alone_and_nobody_waits_for_ever() {
    let check = || {
        let workers = Workers::new(3);
        let plans = [
            [Job::Together, Job::Alone, Job::Together],
            [Job::Alone, Job::Together, Job::Alone],
            [Job::Together, Job::Together, Job::Together],
        ];
        let threads: Vec<_> = (0..3)
            .map(|worker| {
                let workers = Arc::clone(&workers);
                thread::spawn(move || workers.run(worker, &plans[worker]))
            })
            .collect();
        for thread in threads {
            thread.join().expect("no assertion failed");
        }
    };
    shuttle::check_random(check, INTERLEAVINGS);
    shuttle::check_pct(check, INTERLEAVINGS, 3);
}

/// One worker claims the gate, `then` its connection is closed; the other must not be kept out.
fn claim_and_close(then: fn(&Workers, &mut Pass)) {
    shuttle::check_random(
        move || {
            let workers = Workers::new(2);
            let other = {
                let workers = Arc::clone(&workers);
                thread::spawn(move || workers.run(1, &[Job::Together, Job::Alone, Job::Together]))
            };
            let mut pass = Pass::new(0);
            pass.begin(&workers.gate);
            if pass.try_alone(&workers.gate) {
                pass.leave_alone(&workers.gate);
            }
            workers.wake(pass.end(&workers.gate));
            then(&workers, &mut pass);
            other.join().expect("it was not kept out");
        },
        INTERLEAVINGS,
    );
}

/// Fails if `abandon` does not give up.
#[test]
fn shuttle_a_claim_dies_with_its_connection() {
    claim_and_close(|workers, pass| {
        if pass.abandon(&workers.gate) {
            workers.wake(Wake::All);
        }
    });
}

/// Fails if `end` keeps a claim that nobody wanted in the turn.
#[test]
fn shuttle_a_claim_that_nobody_repeats_is_given_up() {
    claim_and_close(|workers, pass| {
        pass.begin(&workers.gate);
        workers.wake(pass.end(&workers.gate));
    });
}

#[derive(Default)]
struct Boxes([Mutex<Vec<SharedBytes>>; 2]);

impl Post for Boxes {
    fn post(&self, worker: u32, mail: Mail) {
        let Mail::Deliver(delivery) = mail else { return };
        self.0[worker as usize].lock().expect("no panic").push(delivery.body().clone());
    }
}

fn last_line(body: &SharedBytes) -> String {
    String::from_utf8_lossy(body).trim_end().rsplit('\n').next().unwrap_or_default().to_string()
}

/// Fails if `Hub::publish` drops the shard's lock before it has sent to all.
#[test]
fn shuttle_all_subscribers_see_one_order() {
    let check = || {
        let (hub, boxes) = (Arc::new(Hub::new()), Arc::new(Boxes::default()));
        hub.subscribe(Kind::Plain, b"x", Address { worker: 0, slot: 0, id: 1 });
        hub.subscribe_pattern(b"x*", Address { worker: 1, slot: 0, id: 2 });
        let publishers: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|name| {
                let (hub, boxes) = (Arc::clone(&hub), Arc::clone(&boxes));
                thread::spawn(move || {
                    for i in 0..2 {
                        let payload = format!("{name}{i}");
                        hub.publish(&*boxes, Kind::Plain, (b"x", payload.as_bytes()), Lsn::ZERO);
                    }
                })
            })
            .collect();
        for publisher in publishers {
            publisher.join().expect("no panic");
        }
        let [one, other] = [0, 1].map(|worker| {
            let got = boxes.0[worker].lock().expect("no panic");
            got.iter().map(last_line).collect::<Vec<_>>()
        });
        assert_eq!(one, other);
        assert_eq!(one.len(), 4);
    };
    shuttle::check_random(check, INTERLEAVINGS);
}

fn batch(lsn: u64) -> LogBatch {
    let base = Stamp { lsn: Lsn(lsn), hlc: Hlc(lsn) };
    LogBatch { runs: vec![Run { base, count: 1, start: 0, len: 1 }], bytes: vec![1] }
}

/// Fails if `push` looks at `asleep` before it has queued its batch, and if it never notifies.
#[test]
fn shuttle_the_log_thread_gets_every_batch() {
    let check = || {
        let queue = Arc::new(LogQueue::new(Fsync::Everysec, Lsn::ZERO));
        let workers: Vec<_> = [1, 3]
            .into_iter()
            .map(|first| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    for lsn in [first, first + 1] {
                        let spare = queue.push(batch(lsn));
                        assert!(spare.runs.is_empty() && spare.bytes.is_empty());
                    }
                })
            })
            .collect();
        let mut lsns = Vec::new();
        while lsns.len() < 4 {
            let taken = queue.take(None);
            lsns.extend(taken.batches.iter().map(|batch| batch.runs[0].base.lsn.0));
            queue.give_back(taken.batches.into_iter());
        }
        for worker in workers {
            worker.join().expect("no panic");
        }
        assert_eq!(queue.bytes(), 0);
        let of = |worker: std::ops::RangeInclusive<u64>| {
            lsns.iter().copied().filter(|lsn| worker.contains(lsn)).collect::<Vec<_>>()
        };
        assert_eq!((of(1..=2), of(3..=4)), (vec![1, 2], vec![3, 4]));
    };
    shuttle::check_random(check, INTERLEAVINGS);
}
