//! Commands about connections and the node, one file per theme.

mod acl;
mod client;
mod command;
mod config;
mod connection;
mod consistency;
mod fields;
mod handshake;
mod help;
mod info;
mod keyspace;
mod ordered;
mod persistence;
mod pubsub;
mod replication;
mod role;
mod server;
mod transactions;
mod wait;

use trefoil_commands::Command;

use crate::handler::NodeHandler;

/// Every command that works on the connection or the node.
pub fn all() -> impl Iterator<Item = &'static Command<NodeHandler>> {
    [
        acl::COMMANDS,
        client::COMMANDS,
        connection::COMMANDS,
        consistency::COMMANDS,
        handshake::COMMANDS,
        persistence::COMMANDS,
        pubsub::COMMANDS,
        transactions::COMMANDS,
        config::COMMANDS,
        command::COMMANDS,
        info::COMMANDS,
        keyspace::COMMANDS,
        replication::COMMANDS,
        role::COMMANDS,
        server::COMMANDS,
        wait::COMMANDS,
    ]
    .into_iter()
    .flatten()
}
