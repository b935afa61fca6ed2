//! Runs seeds of a simulation: one, some, or as many as fit into some minutes.

mod report;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use trefoil_sim::cluster::{self, Defect, Keep, Met};
use trefoil_sim::{Sabotage, run};

/// Simulates nodes that fail, and checks what was promised.
#[derive(Parser)]
struct Options {
    /// What is simulated.
    #[arg(long, value_enum, default_value_t = Mode::Cluster)]
    mode: Mode,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1, conflicts_with = "minutes")]
    seeds: u64,
    /// How long to go on with further seeds.
    #[arg(long)]
    minutes: Option<u64>,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Print the trace (of a single seed).
    #[arg(long)]
    trace: bool,
}

/// See [`Options::mode`].
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Several nodes, links and clients: replication.
    Cluster,
    /// One node on a disk that forgets: durability.
    Durability,
}

impl Options {
    /// Whether the seeds that were asked for are done.
    fn is_over(&self, done: u64, started: Instant) -> bool {
        match self.minutes {
            Some(minutes) => started.elapsed() >= Duration::from_secs(60 * minutes),
            None => done >= self.seeds,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.mode {
        Mode::Cluster => run_cluster(&options),
        Mode::Durability => run_durability(&options),
    }
}

fn run_cluster(options: &Options) -> ExitCode {
    let keep = if options.trace { Keep::Text } else { Keep::Hash };
    let (started, shows) = (Instant::now(), std::io::stderr().is_terminal());
    let mut met = Met::default();
    let mut shown = started;
    let (mut done, mut failed) = (0, 0);
    while done == 0 || !options.is_over(done, started) {
        let seed = options.seed + done;
        let outcome = cluster::run(seed, Defect::None, keep);
        if let Some(trace) = &outcome.trace {
            print!("{trace}");
        }
        if let Some(broken) = &outcome.broken {
            report::failure(seed, "cluster", broken);
            failed += 1;
            if !options.keep_going {
                return ExitCode::FAILURE;
            }
        }
        met.add(&outcome.met);
        done += 1;
        if shows && shown.elapsed() > Duration::from_millis(200) {
            shown = Instant::now();
            report::progress(seed, done, started.elapsed(), met.states.len());
        }
    }
    print!("{met}");
    if failed > 0 {
        println!("{failed} of {done} seeds failed");
        return ExitCode::FAILURE;
    }
    report::success(options.seed, done, started.elapsed());
    ExitCode::SUCCESS
}

fn run_durability(options: &Options) -> ExitCode {
    let (started, mut done) = (Instant::now(), 0);
    while done == 0 || !options.is_over(done, started) {
        if let Err(failure) = run(options.seed + done, Sabotage::Nothing) {
            report::failure(options.seed + done, "durability", &failure.to_string());
            return ExitCode::FAILURE;
        }
        done += 1;
    }
    report::success(options.seed, done, started.elapsed());
    ExitCode::SUCCESS
}
