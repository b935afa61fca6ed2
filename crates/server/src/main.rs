//! The binary `trefoil`: a node, and the tools around it.

mod cluster;
mod control;
mod configuration;
mod event_loop;
mod front;
mod http;
mod identity;
mod log_tool;
mod options;
mod peers;
mod pem;
mod pid_file;
mod serve;
mod snapshots;
mod startup;
mod threads;

use clap::Parser as _;
use options::{Command, CommandLine, ServerOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let command = CommandLine::parse().command;
    let result = match command {
        None => serve::serve(&ServerOptions::default()),
        Some(Command::Server(options)) => serve::serve(&options),
        Some(Command::Cluster(options)) => cluster::run(&options),
        Some(Command::Bench(args)) => trefoil_bench::run(*args),
        Some(Command::Log(command)) => log_tool::run(command),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trefoil: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
