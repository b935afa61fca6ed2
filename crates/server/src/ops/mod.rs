//! What operators do with a running cluster, from the command line: look at it, make another node lead,
//! change policies and members, see what was cut off.
//!
//! Each command asks a node over the protocol of its clients and knows nothing that a client could not
//! ask for. Nothing here reads a data directory: that is `trefoil log`.

mod connection;
mod diverged;
mod failover;
mod keyspace;
mod members;
mod names;
mod paint;
mod record;
mod reply_json;
mod status;
mod target;
#[cfg(test)]
mod testing;
mod units;

use std::io::{self, ErrorKind, Write as _};

pub(crate) use diverged::{
    DivergedOptions, ReceiptsOptions, run as diverged, run_receipts as receipts,
};
pub(crate) use failover::{FailoverOptions, run as failover};
pub(crate) use keyspace::{KeyspaceOptions, run as keyspace};
pub(crate) use members::{MembersCommand, run as members};
pub(crate) use status::{StatusOptions, run as status};

/// Whether anybody reads on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Reads,
    /// A pager or `head` that has seen enough.
    Gone,
}

/// Writes to standard output.
fn print(text: &str) -> io::Result<Reader> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}
