//! Commands about connections and the node, one file per theme.

mod config;
mod connection;
mod help;
mod persistence;
mod transactions;

use trefoil_commands::Command;

use crate::handler::NodeHandler;

/// Every command that works on the connection or the node.
pub fn all() -> impl Iterator<Item = &'static Command<NodeHandler>> {
    [connection::COMMANDS, persistence::COMMANDS, transactions::COMMANDS, config::COMMANDS].into_iter().flatten()
}
