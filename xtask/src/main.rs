//! `cargo xtask`: everything that contributors and CI run, on a machine with nothing but Rust.
//!
//! This file only reads the command line; each command lives in the module of its name.
//! No crate of ours is linked here but the judges of histories, which use no other: the checks run
//! while the workspace does not build.

mod bench;
mod chaos;
mod peers;
mod sim;
mod terminal;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Trefoil's chores: test, peers, tidy, deny, bench, chaos")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run all checks and tests, as CI does
    Test(test::Options),
    /// Check lengths, crate arrows, words and dead files
    Tidy,
    /// Set up the servers and clients that tests and benchmarks compare with (target/peers)
    Peers(peers::Options),
    /// Run seeds of the simulations (release build): --seed N, --seeds N or --minutes M
    Sim(sim::Options),
    /// Check licenses and banned crates with cargo-deny
    Deny,
    /// Compare with Valkey and kevy on this machine and rewrite docs/BENCHMARKS.md
    Bench(bench::Options),
    /// Plague a real cluster with faults and judge what its clients saw
    Chaos(chaos::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::Test(options) => test::run(&options),
        Chore::Tidy => tidy::run(),
        Chore::Peers(options) => peers::run(&options),
        Chore::Sim(options) => sim::run(&options),
        Chore::Deny => test::deny(),
        Chore::Bench(options) => bench::run(&options),
        Chore::Chaos(options) => chaos::run(&options),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
