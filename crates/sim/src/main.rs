//! Runs seeds of a simulation: one, some, or as many as fit into some minutes.

mod report;
mod sweep;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use trefoil_sim::cluster::{self, Defect, Family, Keep};
use trefoil_sim::{Sabotage, run};

/// Simulates nodes that fail, and checks what was promised.
#[derive(Parser)]
struct Options {
    /// What is simulated.
    #[arg(long, value_enum, default_value_t = Mode::Cluster)]
    mode: Mode,
    /// Who sets the leader of a cluster.
    #[arg(long, value_enum, default_value_t = Who::Both)]
    family: Who,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1, conflicts_with = "minutes")]
    seeds: u64,
    /// How long to go on with further seeds.
    #[arg(long)]
    minutes: Option<u64>,
    /// How many run at the same time; as many as there are processors, if it isn't said.
    #[arg(long)]
    threads: Option<usize>,
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

/// See [`Options::family`].
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Who {
    /// A person.
    ByHand,
    /// Nodes agree on it.
    Healing,
    /// Each seed is run both ways.
    Both,
}

impl Options {
    /// Whether the seeds that were asked for are begun.
    fn is_over(&self, begun: u64, started: Instant) -> bool {
        match self.minutes {
            Some(minutes) => begun > 0 && started.elapsed() >= Duration::from_secs(60 * minutes),
            None => begun >= self.seeds,
        }
    }

    fn families(&self) -> &'static [Family] {
        match self.family {
            Who::ByHand => &[Family::ByHand],
            Who::Healing => &[Family::Healing],
            Who::Both => &[Family::ByHand, Family::Healing],
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.mode {
        Mode::Cluster if options.trace => show(&options),
        Mode::Cluster => sweep::run(&options),
        Mode::Durability => run_durability(&options),
    }
}

/// Prints the trace of a seed.
fn show(options: &Options) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for &family in options.families() {
        let outcome = cluster::run(family, options.seed, Defect::None, Keep::Text);
        print!("{}", outcome.trace.unwrap_or_default());
        if let Some(broken) = &outcome.broken {
            report::failure(options.seed, report::place(family), broken);
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn run_durability(options: &Options) -> ExitCode {
    let (started, mut done) = (Instant::now(), 0);
    while done == 0 || !options.is_over(done, started) {
        if let Err(failure) = run(options.seed + done, Sabotage::Nothing) {
            report::failure(options.seed + done, "--mode durability", &failure.to_string());
            return ExitCode::FAILURE;
        }
        done += 1;
    }
    report::success(options.seed, done, started.elapsed());
    ExitCode::SUCCESS
}
