//! REPLICATION: what is promised about acknowledged writes, how far followers are, who is electable.

mod copy;
mod diff;
mod diverged;
mod lag;
mod members;
mod peer;
mod promise;

use trefoil_commands::{Command, Flags, Group, Spec};

use super::help::{container, help, reply_help};
use crate::handler::NodeHandler;

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[Command {
    spec: Spec {
        name: "replication",
        arity: -2,
        group: Group::Server,
        since: "7.2.0",
        summary: "Groups the commands about replication.",
        complexity: "Depends on subcommand.",
        ..Spec::BASE
    },
    run: container,
    subcommands: &[
        diverged::DIVERGED,
        members::FORGET,
        HELP,
        lag::LAG,
        members::MEMBERS,
        peer::PEER,
        promise::PROMISE,
        diverged::RECEIPTS,
    ],
}];

/// What only tells.
const ABOUT: Spec = Spec {
    arity: -2,
    flags: Flags::LOADING.with(Flags::STALE),
    group: Group::Server,
    since: "7.2.0",
    ..Spec::BASE
};

const HELP: Command<NodeHandler> = help(|call| {
    reply_help(
        call,
        &[
            "REPLICATION <subcommand> [<arg> ...]. Subcommands are:",
            "PROMISE [<keyspace>]",
            "    What holds for acknowledged writes now, and what could be lost.",
            "LAG [<keyspace>]",
            "    How far each follower is.",
            "MEMBERS",
            "    The followers whose acknowledgements count.",
            "FORGET <node>",
            "    A follower that is gone for good counts no more, and nothing is kept for it.",
            "PEER",
            "    The port for other nodes.",
            "DIVERGED LIST | SHOW <id> [<count>] | DIFF <id> [<count>] | APPLY <id> [IF-UNCHANGED] |",
            "DROP <id>",
            "    What was cut off from the log: list it, show its changes, compare its keys with what is",
            "    here now, write again those that have not changed since, delete it.",
            "DIVERGED FETCH <id> <offset> | STORE <file> <offset> <bytes> | STORE <file> <length> END",
            "    Copies an archive to the leader, where it can be applied: `trefoil diverged apply`.",
            "RECEIPTS",
            "    What was cut off, and what had been promised about it.",
            "HELP",
            "    These lines.",
        ],
    )
});
