//! `trefoil witness`: a node that votes and holds no data, so that two nodes with data survive the loss
//! of either.
//!
//! It is a server like any other, with `member-kind witness`. Its clients are told who leads and who
//! belongs to the cluster; commands about data are refused.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::options::ServerOptions;

/// A node that votes only.
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "trefoil witness --join HOST:PEERPORT [--config FILE] [--NAME VALUE]...",
    after_help = EXAMPLES,
    after_long_help = EXAMPLES
)]
pub(crate) struct WitnessOptions {
    /// Read this configuration file first (Redis's syntax).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Parameters and their values.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "--NAME VALUE",
        hide = true
    )]
    words: Vec<String>,
}

const EXAMPLES: &str = "\
Of two nodes neither may lead without the other, for it can't know whether that one still lives. A
witness is the third vote. It needs next to no memory, disk or network; put it where it fails alone:
on a third machine, in a third zone.

It takes the parameters of `trefoil server`; its data directory is ./trefoil-witness unless --data-dir
names another one. Clients may connect to it to find out who leads (PING, INFO, CLUSTER, SENTINEL); it
has no data for them.

Examples:
  trefoil witness --join db-1:7379 --peer 0.0.0.0:7379 --peer-secret WORD
  trefoil witness --join 127.0.0.1:7379 --port 6390 --peer 127.0.0.1:7390   all on one machine
  trefoil cluster members                                                   whether it votes";

/// Where it keeps what it has voted for.
const DATA_DIR: &str = "trefoil-witness";

/// Runs the node until it is told to stop.
pub(crate) fn run(options: &WitnessOptions) -> Result<()> {
    crate::serve::serve(&server_options(options))
}

fn server_options(options: &WitnessOptions) -> ServerOptions {
    let mut words = options.words.clone();
    let says = |name: &str| {
        let assigned = format!("{name}=");
        words.iter().any(|word| word == name || word.starts_with(&assigned))
    };
    let has_file = options.config.is_some()
        || says("--config")
        || words.first().is_some_and(|word| !word.starts_with('-'));
    let needs_dir = !says("--data-dir") && !has_file;
    words.extend(["--member-kind", "witness"].map(str::to_owned));
    if needs_dir {
        words.extend(["--data-dir", DATA_DIR].map(str::to_owned));
    }
    ServerOptions { config: options.config.clone(), words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> String {
        let words = line.split(' ').map(str::to_owned).collect();
        server_options(&WitnessOptions { config: None, words }).words.join(" ")
    }

    #[test]
    fn a_witness_is_a_server_of_another_kind_in_another_directory() {
        let joins = "--join h:1";
        assert_eq!(words(joins), "--join h:1 --member-kind witness --data-dir trefoil-witness");
        assert_eq!(words("--data-dir=d"), "--data-dir=d --member-kind witness");
        assert_eq!(words("w.conf"), "w.conf --member-kind witness", "the file may name one");
    }
}
