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
    /// Who sets the leader of a cluster: `by-hand`, `healing` (nodes agree), or `both`: each seed is run both ways
    #[arg(long, default_value = "both")]
    family: String,
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
    let mut arguments =
        ["--mode", &options.mode, "--family", &options.family].map(str::to_owned).to_vec();
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
        let (mode, family) = ("cluster".into(), "both".into());
        arguments_of(&Options { mode, family, seed, seeds, minutes }).join(" ")
    }

    #[test]
    fn a_single_seed_is_traced_and_no_wish_means_ten_thousand() {
        assert_eq!(told(Some(7), None, None), "--mode cluster --family both --seed 7 --trace");
        assert_eq!(told(Some(7), Some(3), None), "--mode cluster --family both --seed 7 --seeds 3");
        assert_eq!(told(None, None, Some(2)), "--mode cluster --family both --minutes 2");
        assert_eq!(told(None, None, None), "--mode cluster --family both --seeds 10000");
    }
}
