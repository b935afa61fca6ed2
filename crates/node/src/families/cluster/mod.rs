//! CLUSTER: what clients of Redis Cluster ask, and what people ask of the cluster.
//!
//! There is one shard with all slots: its leader has them, its followers are replicas. No slot moves, so
//! nobody is sent elsewhere unless `follower-writes` says so.

mod failover;
mod keys;
mod members;
mod nodes;
mod refused;
mod slots;
mod state;
mod view;
mod voters;

use trefoil_clock::NodeId;
use trefoil_commands::{Command, CommandError, Flags, Group, Spec};

use super::help::{container, help, reply_help};
use crate::handler::{NodeCall, NodeHandler};
use crate::topology::{Topology, parse_id};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[Command {
    spec: Spec {
        name: "cluster",
        arity: -2,
        group: Group::Cluster,
        since: "3.0.0",
        summary: "Groups the commands about the cluster.",
        complexity: "Depends on subcommand.",
        ..Spec::BASE
    },
    run: container,
    subcommands: &[
        refused::ADDSLOTS,
        refused::ADDSLOTSRANGE,
        refused::BUMPEPOCH,
        nodes::COUNT_FAILURE_REPORTS,
        keys::COUNTKEYSINSLOT,
        refused::DELSLOTS,
        refused::DELSLOTSRANGE,
        voters::DEMOTE_VOTER,
        failover::FAILOVER,
        refused::FLUSHSLOTS,
        voters::FORGET,
        keys::GETKEYSINSLOT,
        HELP,
        state::INFO,
        keys::KEYSLOT,
        nodes::LINKS,
        refused::MEET,
        members::MEMBERS,
        state::MYID,
        state::MYSHARDID,
        nodes::NODES,
        voters::PROMOTE_VOTER,
        nodes::REPLICAS,
        refused::REPLICATE,
        refused::RESET,
        state::SAVECONFIG,
        refused::SET_CONFIG_EPOCH,
        refused::SETSLOT,
        slots::SHARDS,
        nodes::SLAVES,
        slots::SLOTS,
        view::VIEW,
        voters::VOTERS,
    ],
}];

/// What only tells.
const TELLS: Spec = Spec {
    arity: 2,
    flags: Flags::LOADING.with(Flags::STALE),
    group: Group::Cluster,
    since: "3.0.0",
    complexity: "O(N) in the number of nodes",
    tips: &["nondeterministic_output"],
    ..Spec::BASE
};

/// What changes the cluster, or would in Redis.
const CHANGES: Spec = Spec {
    arity: 3,
    flags: Flags::ADMIN.with(Flags::STALE).with(Flags::NO_ASYNC_LOADING),
    group: Group::Cluster,
    since: "3.0.0",
    ..Spec::BASE
};

/// The one shard has all slots, from the first to this one.
const LAST_SLOT: u16 = trefoil_store::slot::SLOTS - 1;

/// As the client that asks is to be told.
fn topology(call: &NodeCall<'_>) -> Topology {
    Topology::of(&call.worker.node, call.session.record.local)
}

/// A node by its name, in Redis's words if there is none.
fn known(topology: &Topology, text: &[u8]) -> Result<NodeId, CommandError> {
    let node = parse_id(text).filter(|&node| topology.seat(node).is_some());
    node.ok_or_else(|| {
        let text = String::from_utf8_lossy(&text[..text.len().min(128)]);
        CommandError::Detailed(format!("ERR Unknown node {text}"))
    })
}

const HELP: Command<NodeHandler> = {
    let command = help(|call| {
        reply_help(
            call,
            &[
                "CLUSTER <subcommand> [<arg> ...]. Subcommands are:",
                "INFO | MYID | MYSHARDID",
                "    The state of the cluster; the names of this node and of its shard.",
                "SLOTS | SHARDS | NODES | REPLICAS <node> | LINKS",
                "    Who leads and who follows, as clients of Redis Cluster read it.",
                "KEYSLOT <key> | COUNTKEYSINSLOT <slot> | GETKEYSINSLOT <slot> <count>",
                "    The slot of a key, the keys of a slot.",
                "FAILOVER [FORCE]",
                "    This node is to lead.",
                "MEMBERS",
                "    Who belongs to the cluster, and how each is.",
                "VIEW",
                "    All that is agreed upon, as this node knows it.",
                "VOTERS <1|3|5|7>",
                "    How many members are to vote on who leads.",
                "PROMOTE-VOTER <node> | DEMOTE-VOTER <node>",
                "    A member is to vote, or not to.",
                "FORGET <node>",
                "    A node that is gone for good belongs to the cluster no more.",
                "HELP",
                "    These lines.",
            ],
        )
    });
    Command { spec: Spec { group: Group::Cluster, ..command.spec }, ..command }
};

#[cfg(test)]
mod tests;
