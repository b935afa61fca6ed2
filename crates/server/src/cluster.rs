//! `trefoil cluster`: a local cluster of real processes, to try things with and to develop against.
//!
//! Each node is this same executable, started as `trefoil server`, with a data directory and a log
//! file of its own. Nothing is shared and nothing is special about the nodes: what can be done to a
//! real one (kill it, stop it, look at it with redis-cli) can be done to these. They end when this
//! process is told to end; if it is killed, they go on.

mod ask;
mod child;
mod display;
mod layout;
mod readiness;
mod supervisor;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::ops::{self, MembersCommand};
use layout::Layout;
use supervisor::Supervisor;

/// A local cluster, or the members of a running one.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct ClusterOptions {
    #[command(subcommand)]
    command: Option<MembersCommand>,
    /// How many nodes to start. The first one leads at first, the others follow it.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    nodes: u16,
    /// Port of the first node for clients; the second node takes the next one, and so on.
    #[arg(long, value_name = "PORT", default_value_t = 6379, value_parser = clap::value_parser!(u16).range(1..=63_000))]
    base_port: u16,
    /// Where the nodes keep their data: DIR/node-0, DIR/node-1, ...
    #[arg(long, value_name = "DIR", default_value = "trefoil-cluster")]
    data_dir: PathBuf,
    /// How many followers acknowledge a write before the client hears of it: async, semi-sync:K or
    /// sync. [default: semi-sync:1 if there are three nodes or more, else async]
    #[arg(long, value_name = "MODE", value_parser = read_acks)]
    acks: Option<String>,
    /// More parameters for each node, as for `trefoil server`.
    #[arg(last = true, value_name = "--NAME VALUE")]
    parameters: Vec<String>,
}

const EXAMPLES: &str = "\
Node i serves clients on BASE+i, HTTP on BASE+1000+i and its peers on BASE+2000+i, all on 127.0.0.1.
Its output goes to DIR/node-i/output.log, its process id is in DIR/node-i/trefoil.pid.

Examples:
  trefoil cluster                                  three nodes on 6379, 6380 and 6381
  trefoil cluster --acks sync -- --fsync always    three disks have a write before its answer
  redis-cli -p 6380 INFO replication               how the second node sees its leader
  kill -9 $(cat trefoil-cluster/node-1/trefoil.pid)   what happens when a follower dies?
  trefoil status                                   one page about it, from another terminal
  trefoil cluster members                          who belongs to a running cluster, and who votes

Ctrl-C stops all nodes cleanly, a second Ctrl-C kills them. The next start with the same DIR goes on
with the same data; to begin anew, delete DIR.";

/// Runs the cluster until it is told to stop, or does something with another one's members.
pub(crate) fn run(options: &ClusterOptions) -> Result<ExitCode> {
    if let Some(command) = &options.command {
        return ops::members(command);
    }
    let layout = Layout::new(std::env::current_exe()?, options);
    layout.check_ports()?;
    Supervisor::start(&layout)?.run()?;
    Ok(ExitCode::SUCCESS)
}

fn read_acks(word: &str) -> Result<String, String> {
    let count = word.strip_prefix("semi-sync:").map(str::parse::<u16>);
    match (word, count) {
        ("async" | "sync", _) | (_, Some(Ok(1..))) => Ok(word.to_owned()),
        _ => Err("it is async, semi-sync:K (K followers, 1 or more) or sync".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_are_one_word_each() {
        for good in ["async", "sync", "semi-sync:1", "semi-sync:2"] {
            assert_eq!(read_acks(good).as_deref(), Ok(good));
        }
        for bad in ["", "semi-sync", "semi-sync:0", "semi-sync:x", "all"] {
            assert!(read_acks(bad).is_err(), "{bad}");
        }
    }
}
