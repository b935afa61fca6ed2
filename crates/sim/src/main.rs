//! Runs seeds of the simulation: one, or as many as fit into some minutes.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use trefoil_sim::{Sabotage, run};

/// Simulates a node on a disk that forgets, and checks what survives.
#[derive(Parser)]
struct Options {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long to go on with further seeds; 0: only this one.
    #[arg(long, default_value_t = 0)]
    minutes: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let until = Instant::now() + Duration::from_secs(60 * options.minutes);
    let mut seed = options.seed;
    loop {
        if let Err(failure) = run(seed, Sabotage::Nothing) {
            println!("{failure}");
            return ExitCode::FAILURE;
        }
        seed += 1;
        if Instant::now() >= until {
            println!("seeds {} to {} kept every promise", options.seed, seed - 1);
            return ExitCode::SUCCESS;
        }
    }
}
