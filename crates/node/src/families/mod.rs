//! Commands about connections and the node, one file per theme.

mod acl;
mod client;
mod config;
mod connection;
mod handshake;
mod help;
mod persistence;
mod transactions;

use trefoil_commands::Command;

use crate::handler::NodeHandler;

/// Every command that works on the connection or the node.
pub fn all() -> impl Iterator<Item = &'static Command<NodeHandler>> {
    [acl::COMMANDS, client::COMMANDS, connection::COMMANDS, handshake::COMMANDS, persistence::COMMANDS, transactions::COMMANDS, config::COMMANDS].into_iter().flatten()
}
