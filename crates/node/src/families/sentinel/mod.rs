//! SENTINEL: what clients of Redis Sentinel ask, answered by every node about its own cluster, so that
//! an application finds the leader here with nothing changed but the addresses.
//!
//! The service goes by the names of `sentinel-name`, and by the keyspace's. The nodes are the sentinels
//! of each other. What a Sentinel is configured with is agreed upon here, or has no meaning: refused.

mod asks;
mod names;
mod refused;
mod rows;
mod tells;

use trefoil_commands::{Arg, ArgKind, Command, Flags, Group, Spec};

use super::help::{container, help, reply_help};
use crate::handler::NodeHandler;

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[Command {
    spec: Spec {
        name: "sentinel",
        arity: -2,
        group: Group::Sentinel,
        since: "2.8.4",
        summary: "Groups the commands that clients of Sentinel know.",
        complexity: "Depends on subcommand.",
        ..ABOUT
    },
    run: container,
    subcommands: &[
        asks::CKQUORUM,
        refused::CONFIG,
        refused::DEBUG,
        asks::FAILOVER,
        refused::FLUSHCONFIG,
        tells::GET_MASTER_ADDR_BY_NAME,
        tells::GET_PRIMARY_ADDR_BY_NAME,
        HELP,
        asks::IS_MASTER_DOWN_BY_ADDR,
        asks::IS_PRIMARY_DOWN_BY_ADDR,
        tells::MASTER,
        tells::MASTERS,
        refused::MONITOR,
        asks::MYID,
        asks::PENDING_SCRIPTS,
        tells::PRIMARIES,
        tells::PRIMARY,
        refused::REMOVE,
        tells::REPLICAS,
        refused::RESET,
        tells::SENTINELS,
        refused::SET,
        refused::SIMULATE_FAILURE,
        tells::SLAVES,
    ],
}];

const ABOUT: Spec = Spec {
    arity: 2,
    flags: Flags::ADMIN.with(Flags::LOADING).with(Flags::STALE),
    group: Group::Sentinel,
    since: "2.8.4",
    complexity: "O(N) in the number of nodes",
    ..Spec::BASE
};

/// What asks about the service by its name.
const OF_SERVICE: Spec =
    Spec { arity: 3, args: &[Arg::required("master-name", ArgKind::String)], ..ABOUT };

const HELP: Command<NodeHandler> = {
    let command = help(|call| {
        reply_help(
            call,
            &[
                "SENTINEL <subcommand> [<arg> ...]. Subcommands are:",
                "GET-MASTER-ADDR-BY-NAME <master-name>",
                "    Where clients reach the leader.",
                "MASTERS | MASTER <master-name>",
                "    The leader, under each name of `sentinel-name`, or under this one.",
                "REPLICAS <master-name> | SENTINELS <master-name>",
                "    The followers; the nodes but this one.",
                "CKQUORUM <master-name>",
                "    Whether enough nodes answer to agree on another leader.",
                "FAILOVER <master-name>",
                "    Another node is to lead.",
                "IS-MASTER-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
                "    Whether that leader does not answer.",
                "MYID | PENDING-SCRIPTS",
                "    This node's name; an empty list.",
                "HELP",
                "    These lines.",
            ],
        )
    });
    Command { spec: Spec { group: Group::Sentinel, ..command.spec }, ..command }
};

#[cfg(test)]
mod tests;
