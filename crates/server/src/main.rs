//! The binary `trefoil`: a node, and the tools around it.

mod cluster;
mod configuration;
mod control;
mod event_loop;
mod front;
mod http;
mod identity;
mod log_tool;
mod ops;
mod options;
mod peers;
mod pem;
mod pid_file;
mod serve;
mod snapshots;
mod startup;
mod threads;
mod witness;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use options::{Command, CommandLine, ServerOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(CommandLine::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("trefoil: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Option<Command>) -> Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        None => serve::serve(&ServerOptions::default()).map(done),
        Some(Command::Server(options)) => serve::serve(&options).map(done),
        Some(Command::Witness(options)) => witness::run(&options).map(done),
        Some(Command::Cluster(options)) => cluster::run(&options),
        Some(Command::Status(options)) => ops::status(&options),
        Some(Command::Failover(options)) => ops::failover(&options),
        Some(Command::Keyspace(options)) => ops::keyspace(&options),
        Some(Command::Diverged(options)) => ops::diverged(&options),
        Some(Command::Receipts(options)) => ops::receipts(&options),
        Some(Command::Bench(args)) => trefoil_bench::run(*args).map(done),
        Some(Command::Log(command)) => log_tool::run(command).map(done),
    }
}
