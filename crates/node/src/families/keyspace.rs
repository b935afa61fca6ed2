//! KEYSPACE: the keyspaces and their policies. There is one, `default`.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec};

use super::help::{container, help, reply_help};
use crate::config;
use crate::handler::{Flow, NodeCall, NodeHandler};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[Command {
    spec: Spec {
        name: "keyspace",
        arity: -2,
        group: Group::Server,
        since: "7.2.0",
        summary: "Groups the commands about keyspaces and their policies.",
        complexity: "Depends on subcommand.",
        ..Spec::BASE
    },
    run: container,
    subcommands: &[ALTER, HELP, INFO, LIST],
}];

/// The keyspace of databases 0 to 15.
pub(super) const DEFAULT: &str = "default";

/// The name of a keyspace; `default` without.
pub(super) const NAME: Arg = Arg::optional("keyspace", "", ArgKind::String);

const ABOUT: Spec = Spec {
    flags: Flags::LOADING.with(Flags::STALE),
    group: Group::Server,
    since: "7.2.0",
    ..Spec::BASE
};

/// Refuses a name that is no keyspace's, and more than one.
pub(super) fn check_name(call: &NodeCall<'_>, at: usize) -> Result<(), CommandError> {
    match call.args.len() {
        len if len <= at => Ok(()),
        len if len > at + 1 => Err(CommandError::Syntax),
        _ => check(call.args.get(at)),
    }
}

fn check(name: &[u8]) -> Result<(), CommandError> {
    if name == DEFAULT.as_bytes() {
        return Ok(());
    }
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned();
    Err(CommandError::Detailed(format!("ERR there is no keyspace '{name}'")))
}

const LIST: Command<NodeHandler> = Command::new(
    Spec { name: "list", arity: 2, summary: "Lists the keyspaces.", ..ABOUT },
    |call| {
        let mut reply = call.reply();
        reply.array(1);
        reply.bulk(DEFAULT.as_bytes());
        Ok(Flow::Continue)
    },
);

const INFO: Command<NodeHandler> = Command::new(
    Spec {
        name: "info",
        arity: -2,
        summary: "Tells the policies and the size of a keyspace.",
        args: &[NAME],
        ..ABOUT
    },
    info,
);

fn info(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    check_name(call, 2)?;
    let node = &call.worker.node;
    let (fsync, epoch) = (node.log.fsync().name(), node.replication.epoch().0);
    let keys: u64 = (0..16).map(|db| node.keyspace.len(db)).sum();
    let (memory, last) = (node.keyspace.memory(), node.keyspace.sequencer().last_lsn().0);
    let mut reply = call.reply();
    reply.map(8);
    for (name, text) in
        [("name", DEFAULT), ("mode", "single-leader"), ("fsync", fsync), ("databases", "0-15")]
    {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    for (name, number) in [("keys", keys), ("memory", memory), ("epoch", epoch), ("lsn", last)] {
        reply.bulk(name.as_bytes());
        reply.integer(number.cast_signed());
    }
    Ok(Flow::Continue)
}

const ALTER: Command<NodeHandler> = Command::new(
    Spec {
        name: "alter",
        arity: 5,
        flags: ABOUT.flags.with(Flags::ADMIN).with(Flags::NOSCRIPT),
        summary: "Changes a policy of a keyspace.",
        args: &[
            Arg::required("keyspace", ArgKind::String),
            Arg::behind(
                "fsync",
                "FSYNC",
                ArgKind::OneOf(&[
                    Arg::word("always", "ALWAYS"),
                    Arg::word("everysec", "EVERYSEC"),
                    Arg::word("no", "NO"),
                ]),
            ),
        ],
        ..ABOUT
    },
    alter,
);

/// The same as CONFIG SET fsync while there is one keyspace.
fn alter(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    check(call.args.get(2))?;
    if !call.args.get(3).eq_ignore_ascii_case(b"fsync") {
        return Err(CommandError::Other("ERR only `fsync` can be altered"));
    }
    config::set(&call.worker.node, &[(b"fsync", call.args.get(4))])
        .map_err(|_| CommandError::Other("ERR fsync is one of: always, everysec, no"))?;
    call.reply().ok();
    Ok(Flow::Continue)
}

const HELP: Command<NodeHandler> = help(|call| {
    reply_help(
        call,
        &[
            "KEYSPACE <subcommand> [<arg> ...]. Subcommands are:",
            "LIST",
            "    Names of keyspaces.",
            "INFO [<keyspace>]",
            "    Policies and size of a keyspace.",
            "ALTER <keyspace> FSYNC (ALWAYS|EVERYSEC|NO)",
            "    Change when the log is synced.",
            "HELP",
            "    These lines.",
        ],
    )
});

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;
    use crate::log::Fsync;

    #[test]
    fn the_keyspace_is_told_and_altered() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("KEYSPACE LIST", "*1 $7 default"),
                ("KEYSPACE ALTER default FSYNC always", "+OK"),
                (
                    "KEYSPACE ALTER default fsync never",
                    "-ERR fsync is one of: always, everysec, no",
                ),
                ("KEYSPACE ALTER default mode x", "-ERR only `fsync` can be altered"),
                ("KEYSPACE ALTER none fsync no", "-ERR there is no keyspace 'none'"),
                ("KEYSPACE INFO a b", "-ERR syntax error"),
            ],
        );
        assert_eq!(node.node.log.fsync(), Fsync::Always);
        let info = node.run(&mut client, "KEYSPACE INFO");
        assert!(info.contains("$5 fsync $6 always"), "{info}");
    }
}
