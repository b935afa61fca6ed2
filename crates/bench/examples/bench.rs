//! The load generator on its own: `cargo run --release -p trefoil-bench --example bench -- --help`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(flatten)]
    bench: trefoil_bench::BenchArgs,
}

fn main() -> anyhow::Result<()> {
    trefoil_bench::run(Cli::parse().bench)
}
