//! A whole run: open connections, start a thread per worker, watch, collect, report.

use std::io::{IsTerminal, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::args::BenchArgs;
use crate::connection::{Connection, RunClock, WorkerFault};
use crate::cpu::ServerSample;
use crate::greeting;
use crate::plan::{Length, Load, Plan, Target};
use crate::preload::preload;
use crate::progress::Progress;
use crate::report::Report;
use crate::schedule::Schedule;
use crate::stats::Stats;
use crate::table;
use crate::template;
use crate::worker::{Closing, OpenPacing, Pacing, Signals, Window, Worker};
use crate::workload::{Workload, WorkloadStart};

/// The main thread looks at its workers so often.
const WATCH: Duration = Duration::from_millis(100);

/// What a run measured, before it is put into words.
pub(crate) struct Outcome {
    pub(crate) stats: Stats,
    /// From the start of measuring to the last reply.
    pub(crate) elapsed_ns: u64,
    /// Before and after, if a process was named.
    pub(crate) server: Option<(ServerSample, ServerSample)>,
    /// Ended by Ctrl-C.
    pub(crate) interrupted: bool,
}

/// Runs the benchmark and prints its result. Fails if nothing could be measured, or if the result is
/// not what `--expect-hits` demands; the result has been printed by then.
pub fn run(args: BenchArgs) -> anyhow::Result<()> {
    let report = measure(&args)?;
    let mut out = stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        let colours = if out.is_terminal() { table::Style::Colours } else { table::Style::Plain };
        write!(out, "{}", table::render(&report, colours))?;
    }
    out.flush()?;
    match report.failure {
        Some(failure) => bail!("{failure}"),
        None => Ok(()),
    }
}

/// Runs the benchmark and returns its result without printing anything on standard output.
pub fn measure(args: &BenchArgs) -> anyhow::Result<Report> {
    let plan = Plan::from_args(args)?;
    let filled = if plan.preload { Some(preload(&plan)?) } else { None };
    let outcome = if plan.preload_only {
        None
    } else {
        Some(drive("measure", &plan.target, &plan.load, plan.server_pid)?)
    };
    Ok(Report::new(&plan, filled, outcome.as_ref()))
}

/// Puts one load on the server.
pub(crate) fn drive(
    title: &'static str,
    target: &Target,
    load: &Load,
    server_pid: Option<u32>,
) -> anyhow::Result<Outcome> {
    let mut connections = (0..load.connections)
        .map(|n| {
            let stream = greeting::open(target)
                .with_context(|| format!("connection {} of {}", n + 1, load.connections))?;
            Ok(Connection::new(stream)?)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let interrupt = Interrupt::listen()?;
    let signals = Signals::default();
    let mut server = ServerWatch::new(server_pid, load.warmup_ns)?;
    let progress = Progress::new(title, load.length, load.warmup_ns);
    let clock = RunClock::start();
    let mut stats = Stats::new();
    thread::scope(|scope| -> anyhow::Result<()> {
        let (sender, results) = channel();
        for index in 0..load.threads {
            let mine = connections
                .split_off(connections.len() - share(load.connections, load.threads, index));
            let worker = worker(load, index, mine, clock, &signals);
            let sender = sender.clone();
            thread::Builder::new().name(format!("load-{index}")).spawn_scoped(
                scope,
                move || {
                    // Nobody listens any more once another worker has failed.
                    let _ = sender.send(worker.run());
                },
            )?;
        }
        drop(sender);
        let watched =
            watch(&results, &signals, &interrupt, &progress, clock, &mut server, &mut stats);
        // Whatever happened, the other workers are not to go on.
        signals.stop.store(true, Ordering::Relaxed);
        watched
    })?;
    let elapsed_ns = stats.last_reply_ns.saturating_sub(load.warmup_ns);
    Ok(Outcome { stats, elapsed_ns, server: server.finish()?, interrupted: interrupt.is_set() })
}

/// Waits for all workers, drawing progress and passing Ctrl-C on.
fn watch(
    results: &Receiver<Result<Stats, WorkerFault>>,
    signals: &Signals,
    interrupt: &Interrupt,
    progress: &Progress,
    clock: RunClock,
    server: &mut ServerWatch,
    stats: &mut Stats,
) -> anyhow::Result<()> {
    loop {
        match results.recv_timeout(server.wait(clock).min(WATCH)) {
            Ok(result) => stats.merge(&result?),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        server.on_time(clock)?;
        if interrupt.is_set() {
            signals.stop.store(true, Ordering::Relaxed);
        }
        let elapsed = Duration::from_nanos(clock.now_ns());
        progress.update(signals.replies.load(Ordering::Relaxed), elapsed);
    }
}

fn worker<'a>(
    load: &Load,
    index: u32,
    connections: Vec<Connection>,
    clock: RunClock,
    signals: &'a Signals,
) -> Worker<'a> {
    let (threads, thread) = (u64::from(load.threads), u64::from(index));
    let seed = load.seed.wrapping_add(thread.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // Threads walk a sequential key space from starting points as far apart as their budgets are.
    let first_key = (u128::from(load.keys) * u128::from(thread) / u128::from(threads)) as u64;
    let (budget, end_ns) = match load.length {
        Length::Requests(n) => (part(n, threads, thread), u64::MAX),
        Length::Nanoseconds(ns) => (u64::MAX, load.warmup_ns + ns),
    };
    let pacing = match &load.open {
        None => Pacing::Closed,
        Some(open) => {
            let gap_ns = 1e9 * f64::from(load.pipeline) * f64::from(load.threads) / open.rate;
            let first_ns = gap_ns * f64::from(index) / f64::from(load.threads);
            Pacing::Open(OpenPacing {
                schedule: Schedule::new(open.arrival, gap_ns, first_ns, !seed),
                outstanding_max: open.outstanding_max,
                waiting: open.waiting,
            })
        }
    };
    let start = WorkloadStart { seed, first_key };
    Worker {
        clock,
        signals,
        window: Window { measure_from_ns: load.warmup_ns, end_ns, budget },
        pacing,
        pipeline: load.pipeline,
        closing: load.closing.as_ref().map(|closing| Closing {
            bytes: template::encoded(&closing.words),
            when: closing.when,
        }),
        timeout: load.timeout,
        connections,
        workload: Workload::new(&load.mix, load.keys, load.distribution, load.value_size, start),
    }
}

/// The part of `whole` that falls to one of `parts`; the parts add up.
fn part(whole: u64, parts: u64, index: u64) -> u64 {
    let cut = |n: u64| (u128::from(whole) * u128::from(n) / u128::from(parts)) as u64;
    cut(index + 1) - cut(index)
}

fn share(connections: u32, threads: u32, index: u32) -> usize {
    part(connections.into(), threads.into(), index.into()) as usize
}

/// Samples the server when measuring begins and when it ends.
struct ServerWatch {
    pid: Option<u32>,
    measure_from_ns: u64,
    before: Option<ServerSample>,
}

impl ServerWatch {
    fn new(pid: Option<u32>, measure_from_ns: u64) -> anyhow::Result<Self> {
        // Taken even before a warm-up, so that a wrong process id fails at once.
        let before = pid.map(ServerSample::take).transpose()?;
        Ok(Self { pid, measure_from_ns, before: before.filter(|_| measure_from_ns == 0) })
    }

    /// How long until there is something to do.
    fn wait(&self, clock: RunClock) -> Duration {
        if self.pid.is_none() || self.before.is_some() {
            return Duration::MAX;
        }
        Duration::from_nanos(self.measure_from_ns.saturating_sub(clock.now_ns()))
    }

    fn on_time(&mut self, clock: RunClock) -> anyhow::Result<()> {
        if let (Some(pid), None) = (self.pid, &self.before)
            && clock.now_ns() >= self.measure_from_ns
        {
            self.before = Some(ServerSample::take(pid)?);
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<Option<(ServerSample, ServerSample)>> {
        let (Some(pid), Some(before)) = (self.pid, self.before) else { return Ok(None) };
        Ok(Some((before, ServerSample::take(pid)?)))
    }
}

/// Ctrl-C ends the run early, with a report; a second one ends the process.
struct Interrupt {
    flag: Arc<AtomicBool>,
    hooks: Vec<signal_hook::SigId>,
}

impl Interrupt {
    fn listen() -> anyhow::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let signal = signal_hook::consts::SIGINT;
        let hooks = vec![
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?,
            signal_hook::flag::register(signal, Arc::clone(&flag))?,
        ];
        Ok(Self { flag, hooks })
    }

    fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        for hook in self.hooks.drain(..) {
            signal_hook::low_level::unregister(hook);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_differ_by_one_at_most() {
        for (whole, parts) in [(10, 3), (1, 4), (1_000_001, 7), (u64::MAX, 5)] {
            let all: Vec<u64> = (0..parts).map(|index| part(whole, parts, index)).collect();
            assert_eq!(all.iter().sum::<u64>(), whole);
            let (least, most) = (all.iter().min(), all.iter().max());
            assert!(most.expect("parts") - least.expect("parts") <= 1, "{all:?}");
        }
    }
}
