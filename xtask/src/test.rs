//! `cargo xtask test`: all checks in a fixed order, the quick ones first.
//!
//! The first step that fails ends the run. One cargo runs at a time. A step that is left out is
//! left out loudly. A step that ran no test at all has failed.

mod steps;
mod tally;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::terminal::{heading, table, warn};
use crate::workspace;
use steps::Step;
use tally::Tally;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only these steps
    #[arg(long, value_enum, value_name = "STEP", value_delimiter = ',')]
    only: Vec<Step>,
    /// Leave these steps out
    #[arg(long, value_enum, value_name = "STEP", value_delimiter = ',', conflicts_with = "only")]
    skip: Vec<Step>,
    /// Whom the client tests talk to: valkey shows whether a test itself is right
    #[arg(long, value_enum, default_value = "trefoil")]
    against: steps::Against,
}

/// Runs the steps.
pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen = |step: &Step| {
        !options.skip.contains(step) && (options.only.is_empty() || options.only.contains(step))
    };
    let (steps, left_out): (Vec<Step>, Vec<Step>) = Step::ALL.into_iter().partition(chosen);
    warn_about(&left_out);
    let mut timings = Vec::new();
    let mut tallies = Vec::new();
    for step in steps {
        heading(&format!("{step}: {}", step.summary()));
        let start = Instant::now();
        let result = step.run(options.against);
        timings.push((step, start.elapsed()));
        match result {
            Ok(tally) => tallies.extend(tally.map(|tally| (step, tally))),
            Err(error) => {
                print_timings(&timings);
                return Err(error).with_context(|| {
                    format!("step `{step}` failed; once mended: `cargo xtask test --only {step}`")
                });
            }
        }
    }
    print_timings(&timings);
    warn_about(&left_out);
    print_closing_lines(&tallies);
    Ok(())
}

/// `cargo xtask deny`.
pub(crate) fn deny() -> Result<()> {
    let installed = workspace::output_of(&mut workspace::cargo(&["deny", "--version"]));
    if installed.is_err() {
        bail!("cargo-deny is not installed (some minutes): `cargo install cargo-deny --locked`");
    }
    workspace::run(&mut workspace::cargo(&["deny", "--locked", "check", "bans", "licenses"]))
}

fn warn_about(left_out: &[Step]) {
    if !left_out.is_empty() {
        let names: Vec<String> = left_out.iter().map(Step::to_string).collect();
        warn(&format!("NOT RUN, as asked: {}", names.join(", ")));
    }
}

fn print_timings(timings: &[(Step, Duration)]) {
    let mut table = table(["step", "seconds"]);
    let mut total = Duration::ZERO;
    for (step, took) in timings {
        table.add_row([step.to_string(), format!("{:.1}", took.as_secs_f64())]);
        total += *took;
    }
    table.add_row(["all".to_owned(), format!("{:.1}", total.as_secs_f64())]);
    println!("\n{table}");
}

/// Repeats what the runners said last, so that it stands at the end of a long log.
fn print_closing_lines(tallies: &[(Step, Tally)]) {
    for (step, tally) in tallies {
        println!("{step}: {tally}");
    }
}
