//! REPLICATION: what is promised about acknowledged writes, now.

use trefoil_commands::{Command, CommandError, Flags, Group, Spec};

use super::help::{container, help, reply_help};
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::log::{Fsync, LogHealth};

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
    subcommands: &[HELP, PROMISE],
}];

const PROMISE: Command<NodeHandler> = Command::new(
    Spec {
        name: "promise",
        arity: -2,
        flags: Flags::LOADING.with(Flags::STALE),
        group: Group::Server,
        since: "7.2.0",
        summary: "Tells what holds for acknowledged writes now, and what could be lost.",
        args: &[super::keyspace::NAME],
        ..Spec::BASE
    },
    promise,
);

/// The answer of a node without followers: its own log is all that there is.
fn promise(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    super::keyspace::check_name(call, 2)?;
    let node = &call.worker.node;
    let fsync = node.log.fsync();
    let last = node.keyspace.sequencer().last_lsn().0;
    let unsynced = last.saturating_sub(node.log.durable().0);
    let unwritten = last.saturating_sub(node.log.appended().0);
    let refused = node.log.health() != LogHealth::Writing;
    let queued = node.log.bytes();
    let (survives, records, millis) = match fsync {
        Fsync::Always => ("power loss: a write is on disk before it is acknowledged", 0, Some(0)),
        Fsync::Everysec => (
            "a crash of the process, but for writes not handed over yet; power loss, but for the last second",
            unsynced,
            Some(1_000),
        ),
        Fsync::No => (
            "a crash of the process, but for writes not handed over yet; after power loss what the operating system had written",
            unsynced,
            None,
        ),
    };
    let mut reply = call.reply();
    reply.map(11);
    for (name, text) in [
        ("keyspace", super::keyspace::DEFAULT),
        ("mode", "single-leader"),
        ("role", "leader"),
        ("fsync", fsync.name()),
        ("acknowledged-writes-survive", survives),
        ("writes", if refused { "refused: the log can't be written" } else { "accepted" }),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    for (name, number) in [
        ("followers", Some(0)),
        ("may-be-lost-on-power-loss-records", Some(records)),
        ("may-be-lost-on-power-loss-ms", millis),
        ("not-handed-to-the-system-records", Some(unwritten)),
        ("not-handed-to-the-system-bytes", Some(queued as u64)),
    ] {
        reply.bulk(name.as_bytes());
        match number {
            Some(number) => reply.integer(number.cast_signed()),
            None => reply.null(),
        }
    }
    Ok(Flow::Continue)
}

const HELP: Command<NodeHandler> = help(|call| {
    reply_help(
        call,
        &[
            "REPLICATION <subcommand> [<arg> ...]. Subcommands are:",
            "PROMISE [<keyspace>]",
            "    What holds for acknowledged writes now, and what could be lost.",
            "HELP",
            "    These lines.",
        ],
    )
});

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;

    #[test]
    fn the_promise_follows_the_policy_and_the_log() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[("KEYSPACE ALTER default fsync everysec", "+OK"), ("SET k v", "+OK")],
        );
        let promise = node.run(&mut client, "REPLICATION PROMISE");
        for part in [
            "$4 mode $13 single-leader",
            "$5 fsync $8 everysec",
            "$33 may-be-lost-on-power-loss-records :1",
            "$28 may-be-lost-on-power-loss-ms :1000",
            "$6 writes $8 accepted",
        ] {
            assert!(promise.contains(part), "{part}: {promise}");
        }
        node.check(&mut client, &[("KEYSPACE ALTER default fsync always", "+OK")]);
        let promise = node.run(&mut client, "REPLICATION PROMISE default");
        assert!(promise.contains("$33 may-be-lost-on-power-loss-records :0"), "{promise}");
        node.check(
            &mut client,
            &[("REPLICATION PROMISE other", "-ERR there is no keyspace 'other'")],
        );
    }
}
