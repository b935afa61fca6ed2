//! `cargo xtask sim`: seeds of the simulations, as built for release, with a display of how far it is.

use std::process::Command;

use anyhow::Result;

use crate::terminal::heading;
use crate::workspace;

/// Options of `cargo xtask sim`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is simulated: `cluster` (replication) or `durability` (one node and its disk)
    #[arg(long, default_value = "cluster")]
    mode: String,
    /// The first seed; alone: only this one, with its trace
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds
    #[arg(long, conflicts_with = "minutes")]
    seeds: Option<u64>,
    /// How long to go on with further seeds
    #[arg(long)]
    minutes: Option<u64>,
}

/// Builds the simulator and runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    heading("building the simulator");
    let arguments = ["build", "--release", "--locked", "-p", "trefoil-sim", "--bin", "trefoil-sim"];
    workspace::run(&mut workspace::cargo(&arguments))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(Into::into);
    let target = target.unwrap_or_else(|| workspace::root().join("target"));
    let mut command = Command::new(target.join("release").join("trefoil-sim"));
    command.args(arguments_of(options)).current_dir(workspace::root());
    workspace::run(&mut command)
}

/// What the simulator is told.
fn arguments_of(options: &Options) -> Vec<String> {
    let mut arguments = vec!["--mode".to_owned(), options.mode.clone()];
    let mut add = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            arguments.extend([name.to_owned(), value.to_string()]);
        }
    };
    add("--seed", options.seed);
    add("--seeds", options.seeds);
    add("--minutes", options.minutes);
    let alone = options.seeds.is_none() && options.minutes.is_none();
    match options.seed {
        Some(_) if alone => arguments.push("--trace".to_owned()),
        None if alone => arguments.extend(["--seeds".to_owned(), SEEDS.to_string()]),
        _ => {}
    }
    arguments
}

/// Seeds of a run that says nothing else.
const SEEDS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seed: Option<u64>, seeds: Option<u64>, minutes: Option<u64>) -> String {
        arguments_of(&Options { mode: "cluster".into(), seed, seeds, minutes }).join(" ")
    }

    #[test]
    fn a_single_seed_is_traced_and_no_wish_means_ten_thousand() {
        assert_eq!(told(Some(7), None, None), "--mode cluster --seed 7 --trace");
        assert_eq!(told(Some(7), Some(3), None), "--mode cluster --seed 7 --seeds 3");
        assert_eq!(told(None, None, Some(2)), "--mode cluster --minutes 2");
        assert_eq!(told(None, None, None), "--mode cluster --seeds 10000");
    }
}
