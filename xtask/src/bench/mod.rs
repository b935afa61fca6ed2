//! `cargo xtask bench`: the honest comparison with Valkey and kevy.
//!
//! Honest means: one server runs at a time, pinned to core 0; the load generator is pinned to
//! core 1; the servers take turns and each round starts with another one; all keys are there before
//! anything is read; nobody rewrites its log meanwhile; CPU counts all threads of a server; figures
//! are medians of the rounds. A quiet machine is the caller's duty, a busy one gets a warning.
//!
//! `sections` measures, `figures` collects, `targets` judges, `report` prints.

mod connection;
mod figures;
mod load;
mod process;
mod report;
mod sections;
mod servers;
mod targets;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal::warn;
use crate::workspace::{self, cargo, find_program};
use figures::Figures;
use sections::{Scale, Section};
use servers::Server;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often each server is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seconds of each closed loop; open loops take three times as long
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Only these sections; the document is then left alone
    #[arg(long, value_enum, value_name = "SECTION", value_delimiter = ',')]
    only: Vec<Section>,
    /// Only these servers; the document is then left alone
    #[arg(long, value_enum, value_name = "SERVER", value_delimiter = ',')]
    servers: Vec<Server>,
    /// A tenth of keys and seconds, to see whether it works; the document is then left alone
    #[arg(long)]
    quick: bool,
    /// Measures the binaries that target/release holds, as they are
    #[arg(long)]
    no_build: bool,
}

/// Builds, measures, prints, and rewrites docs/BENCHMARKS.md after a whole run.
pub(crate) fn run(options: &Options) -> Result<()> {
    let servers = chosen(&options.servers, &Server::ALL);
    let sections = chosen(&options.only, &Section::ALL);
    require_machine()?;
    if !options.no_build {
        build()?;
    }
    for server in &servers {
        server.binary()?;
    }
    let full = Scale { seconds: options.seconds, ..Scale::FULL };
    let scale = if options.quick { Scale::QUICK } else { full };
    let plan = sections::Plan { servers, scale, scratch: scratch()? };

    let mut figures = Figures::default();
    let outcome = measure(options.rounds, &sections, &plan, &mut figures);
    std::fs::remove_dir_all(&plan.scratch)
        .with_context(|| format!("cannot clean {}", plan.scratch.display()))?;
    report::print(&figures);
    report::write_raw(&figures)?;
    outcome?;

    let whole = options.only.is_empty() && options.servers.is_empty() && !options.quick;
    if whole && options.rounds >= 5 {
        report::write_document(&figures, options.rounds, &scale)
    } else {
        println!(
            "docs/BENCHMARKS.md is as it was: only a whole run of 5 rounds or more changes it"
        );
        Ok(())
    }
}

/// Rounds outside, servers inside: what changes on the machine over time hits all of them.
fn measure(
    rounds: u32,
    sections: &[Section],
    plan: &sections::Plan,
    into: &mut Figures,
) -> Result<()> {
    let steps = u64::from(rounds) * (sections.len() * plan.servers.len()) as u64;
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}")
        .expect("the template is constant");
    let bar = ProgressBar::new(steps).with_style(style);
    for round in 0..rounds {
        for section in sections {
            let mut servers = plan.servers.clone();
            servers.rotate_left(round as usize % plan.servers.len());
            // The open loop's rate comes from Valkey's maximum: it has to be known first.
            if section.needs_rate() && into.rate().is_none() {
                bar.set_message("Valkey's maximum rate");
                sections::find_rate(plan, into)?;
            }
            for server in servers {
                bar.set_message(format!("round {}, {section}, {server}", round + 1));
                section
                    .measure(plan, server, into)
                    .with_context(|| format!("round {}, {section}, {server}", round + 1))?;
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn chosen<T: Copy + PartialEq>(asked: &[T], all: &[T]) -> Vec<T> {
    all.iter().copied().filter(|item| asked.is_empty() || asked.contains(item)).collect()
}

fn require_machine() -> Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("server and load generator need a core each, this machine has one");
    }
    if ["taskset", "chrt"].iter().any(|program| find_program(program).is_none()) {
        bail!("taskset and chrt are not installed: `apt-get install -y util-linux`");
    }
    let load = std::fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    let busy: f64 = load.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    if busy > 0.5 {
        warn(&format!(
            "the machine is not quiet (load {busy}): figures with something else running mislead"
        ));
    }
    Ok(())
}

fn build() -> Result<()> {
    let generator = ["build", "--release", "-p", "trefoil-bench", "--example", "bench"];
    workspace::run(&mut cargo(&generator)).context("the load generator")?;
    workspace::run(&mut cargo(&["build", "--release", "--bin", "trefoil"]))
}

/// On the disk of target/, because fsync is measured: a file system in memory would lie.
fn scratch() -> Result<PathBuf> {
    let folder = workspace::root().join("target/bench/data");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
