//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use trefoil_node::log::Fsync;

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
    Server(ServerOptions),
    /// Put load on a RESP server and report throughput and latency.
    Bench(trefoil_bench::BenchArgs),
}

/// How a node starts.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerOptions {
    /// Port for Redis clients.
    #[arg(long, default_value_t = 6379)]
    pub(crate) port: u16,
    /// Addresses to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) bind: Vec<IpAddr>,
    /// Where the log, snapshots and the node's identity are kept.
    #[arg(long, default_value = "trefoil-data")]
    pub(crate) data_dir: PathBuf,
    /// Worker threads; 0: one per core.
    #[arg(long, default_value_t = 0)]
    pub(crate) threads: usize,
    /// When the log is synced: before a write is acknowledged, once a second, or when the operating
    /// system likes.
    #[arg(long, default_value = "everysec", value_parser = parse_fsync)]
    pub(crate) fsync: Fsync,
    /// Memory for data, bytes; 0: no limit.
    #[arg(long, default_value_t = 0)]
    pub(crate) maxmemory: u64,
    /// Automatic snapshots: `off` or `on`.
    #[arg(long, default_value = "on")]
    pub(crate) snapshot: String,
    /// Connections at most.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) maxclients: usize,
}

fn parse_fsync(word: &str) -> Result<Fsync, String> {
    Fsync::parse(word.as_bytes()).ok_or_else(|| "use always, everysec or no".to_string())
}

impl CommandLine {
    /// The server's options when no command is given.
    pub(crate) fn default_server() -> ServerOptions {
        match CommandLine::parse_from(["trefoil", "server"]).command {
            Some(Command::Server(options)) => options,
            _ => unreachable!("`trefoil server` is the command server"),
        }
    }
}
