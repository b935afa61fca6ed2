//! The names of the service, and who serves it.

use trefoil_commands::CommandError;

use crate::families::keyspace::DEFAULT;
use crate::handler::NodeCall;
use crate::topology::{Seat, Topology};

const UNKNOWN: CommandError = CommandError::Other("ERR No such master with that name");

/// Whether the service goes by this name.
pub(super) fn is_known(call: &NodeCall<'_>, name: &[u8]) -> bool {
    let names = call.worker.node.settings.replication.sentinel_names();
    name == DEFAULT.as_bytes() || names.iter().any(|known| known.as_bytes() == name)
}

/// As the client that asks is to be told.
pub(super) fn topology(call: &NodeCall<'_>) -> Topology {
    Topology::of(&call.worker.node, call.session.record.local)
}

/// The name that was asked for, and who serves it.
pub(super) fn service(call: &NodeCall<'_>) -> Result<(String, Topology), CommandError> {
    let name = call.args.get(2);
    if !is_known(call, name) {
        return Err(UNKNOWN);
    }
    Ok((String::from_utf8_lossy(name).into_owned(), topology(call)))
}

/// The leader, which a node that was never told of one does not know.
pub(super) fn leader(topology: &Topology) -> Result<&Seat, CommandError> {
    topology.leader().ok_or(UNKNOWN)
}
