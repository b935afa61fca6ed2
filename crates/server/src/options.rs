//! The command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use trefoil_node::config;

/// An in-memory, durable, replicated data store that Redis clients use unchanged.
///
/// Without a command it starts one node on 127.0.0.1:6379 that keeps its data in ./trefoil-data.
#[derive(Parser, Debug)]
#[command(name = "trefoil", version, about, long_about)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Start a node.
    ///
    /// Every parameter of the configuration is an option here: `--name value`. The same names stand
    /// in the configuration file, one `name value` a line, and in CONFIG GET and SET. The command
    /// line wins over the file. One line `ready` with the addresses is printed when it serves.
    Server(ServerOptions),
    /// Start a node that votes and holds no data, for sites with two nodes that do.
    Witness(crate::witness::WitnessOptions),
    /// Start a local cluster of real processes, or change the members of a running one.
    ///
    /// Without a subcommand: one leader and its followers on this machine, to try things with.
    Cluster(crate::cluster::ClusterOptions),
    /// Show one page about a running cluster; the exit code tells whether it is well.
    Status(crate::ops::StatusOptions),
    /// Let another node lead, without an error for anybody, or tell what a failover would do.
    Failover(crate::ops::FailoverOptions),
    /// List, show or change keyspaces and their policies.
    Keyspace(crate::ops::KeyspaceOptions),
    /// Look at writes that were cut off from a log after a failover; write them again, or drop them.
    Diverged(crate::ops::DivergedOptions),
    /// Tell what was ever cut off from the logs of a cluster, and what had been promised about it.
    Receipts(crate::ops::ReceiptsOptions),
    /// Put load on a RESP server and report throughput and latency.
    Bench(Box<trefoil_bench::BenchArgs>),
    /// Look at the log of a node that is stopped, or repair it.
    #[command(subcommand)]
    Log(crate::log_tool::LogCommand),
}

/// How a node starts.
#[derive(Args, Clone, Default, Debug)]
#[command(
    override_usage = "trefoil server [--config FILE] [--NAME VALUE]...",
    after_help = parameters(),
    after_long_help = parameters(),
)]
pub(crate) struct ServerOptions {
    /// Read this configuration file first (Redis's syntax).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Parameters and their values.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "--NAME VALUE",
        hide = true
    )]
    pub(crate) words: Vec<String>,
}

/// All parameters for the help text.
fn parameters() -> String {
    let mut text = String::from(
        "Examples:\n  \
           trefoil server --port 7000 --data-dir /var/lib/trefoil\n  \
           trefoil server --maxmemory 2gb --maxmemory-policy allkeys-lru\n  \
           trefoil server --config trefoil.conf --fsync always\n  \
           trefoil server --bind 127.0.0.1 192.0.2.7 --requirepass secret\n\n\
         Parameters (default in brackets):\n",
    );
    for parameter in config::all() {
        let default = if parameter.default.is_empty() { "\"\"" } else { parameter.default };
        text.push_str(&format!("  --{} [{default}]\n      {}\n", parameter.name, parameter.doc));
    }
    text
}

/// Prints what `trefoil server --help` does.
pub(crate) fn print_server_help() -> std::io::Result<()> {
    let mut command = CommandLine::command();
    let server = command.find_subcommand_mut("server").expect("`server` is a command");
    server.print_long_help()
}
