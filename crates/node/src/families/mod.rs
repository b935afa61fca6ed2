//! Commands about connections and the node, one file per theme.

mod acl;
mod asked;
mod client;
mod cluster;
mod command;
mod config;
mod connection;
mod consistency;
mod failover;
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
mod sentinel;
mod server;
mod transactions;
mod wait;

use trefoil_commands::Command;

use crate::handler::NodeHandler;

pub(crate) use role::is_master;

/// Every command that works on the connection or the node.
pub fn all() -> impl Iterator<Item = &'static Command<NodeHandler>> {
    [
        acl::COMMANDS,
        client::COMMANDS,
        cluster::COMMANDS,
        connection::COMMANDS,
        consistency::COMMANDS,
        failover::COMMANDS,
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
        sentinel::COMMANDS,
        server::COMMANDS,
        wait::COMMANDS,
    ]
    .into_iter()
    .flatten()
}
