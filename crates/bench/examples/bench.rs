//! The load generator on its own: `cargo run --release -p trefoil-bench --example bench -- --help`.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(flatten)]
    bench: trefoil_bench::BenchArgs,
}

fn main() -> ExitCode {
    match trefoil_bench::run(Cli::parse().bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault:#}");
            ExitCode::FAILURE
        }
    }
}
