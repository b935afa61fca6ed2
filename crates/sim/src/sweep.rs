//! Many seeds of the cluster simulation, several at the same time: a run has nothing to do with another.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use trefoil_sim::cluster::{self, Defect, Keep, Met, Outcome};

use super::{Options, report};

/// What came of the seeds so far.
struct Sum {
    met: Met,
    done: u64,
    failed: u64,
    shown: Instant,
}

/// What the threads share.
struct Sweep<'a> {
    options: &'a Options,
    started: Instant,
    /// Seeds that were begun.
    begun: AtomicU64,
    stop: AtomicBool,
    sum: Mutex<Sum>,
}

/// Runs the seeds; stops at the first one that fails, unless it is to go on.
pub(crate) fn run(options: &Options) -> ExitCode {
    let started = Instant::now();
    let sum = Sum { met: Met::default(), done: 0, failed: 0, shown: started };
    let (begun, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let sweep = Sweep { options, started, begun, stop, sum: Mutex::new(sum) };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..options.threads.unwrap_or(processors).max(1) {
            scope.spawn(|| sweep.go());
        }
    });
    let sum = sweep.sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    print!("{}", sum.met);
    if sum.failed > 0 {
        println!("{} of {} seeds failed", sum.failed, sum.done);
        return ExitCode::FAILURE;
    }
    report::success(options.seed, sum.done, started.elapsed());
    ExitCode::SUCCESS
}

impl Sweep<'_> {
    fn go(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let nth = self.begun.fetch_add(1, Ordering::Relaxed);
            if self.options.is_over(nth, self.started) {
                return;
            }
            let seed = self.options.seed + nth;
            for &family in self.options.families() {
                let outcome = cluster::run(family, seed, Defect::None, Keep::Hash);
                self.add(seed, report::place(family), &outcome);
            }
            self.finish(seed);
        }
    }

    fn add(&self, seed: u64, place: &str, outcome: &Outcome) {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.met.add(&outcome.met);
        if let Some(broken) = &outcome.broken {
            report::failure(seed, place, broken);
            sum.failed += 1;
            if !self.options.keep_going {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    fn finish(&self, seed: u64) {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.done += 1;
        if std::io::stderr().is_terminal() && sum.shown.elapsed() > Duration::from_millis(200) {
            sum.shown = Instant::now();
            report::progress(seed, sum.done, self.started.elapsed(), sum.met.states.len());
        }
    }
}
