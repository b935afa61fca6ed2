//! CONFIG: the configuration by name.

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec};

use super::help::{container, help, reply_help};
use super::keyspace;
use super::ordered::configure;
use crate::config::{self, ConfigError};
use crate::handler::{Flow, NodeCall, NodeHandler};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[Command {
    spec: Spec {
        name: "config",
        arity: -2,
        group: Group::Server,
        since: "2.0.0",
        summary: "Groups the commands about the configuration.",
        complexity: "Depends on subcommand.",
        ..Spec::BASE
    },
    run: container,
    subcommands: &[GET, HELP, RESETSTAT, REWRITE, SET],
}];

const ADMIN: Spec = Spec {
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE),
    group: Group::Server,
    since: "2.0.0",
    ..Spec::BASE
};

const GET: Command<NodeHandler> = Command::new(
    Spec {
        name: "get",
        arity: -3,
        summary: "Shows parameters whose names match patterns.",
        complexity: "O(N) in the number of patterns",
        args: &[Arg::several("parameter", ArgKind::String)],
        ..ADMIN
    },
    get,
);

fn get(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let mut found: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for pattern in call.args.skip(2) {
        for (name, value) in config::get(&call.worker.node.settings, pattern) {
            if found.iter().all(|(known, _)| *known != name) {
                found.push((name, value));
            }
        }
    }
    let mut reply = call.reply();
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name.as_bytes());
        reply.bulk(&value);
    }
    Ok(Flow::Continue)
}

const SET: Command<NodeHandler> = Command::new(
    Spec {
        name: "set",
        arity: -4,
        summary: "Changes parameters: all that are given, or none.",
        complexity: "O(N) in the number of parameters",
        args: &[Arg {
            multiple: true,
            ..Arg::required(
                "data",
                ArgKind::Block(&[
                    Arg::required("parameter", ArgKind::String),
                    Arg::required("value", ArgKind::String),
                ]),
            )
        }],
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        ..ADMIN
    },
    set,
);

fn set(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if !call.args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity("config|set"));
    }
    let words: Vec<&[u8]> = call.args.skip(2).iter().collect();
    let pairs: Vec<(&[u8], &[u8])> =
        words.as_chunks::<2>().0.iter().map(|[name, value]| (*name, *value)).collect();
    let is_agreed_upon =
        |name: &[u8]| call.worker.node.agreement.is_managed() && keyspace::is_agreed_upon(name);
    if let Some((name, _)) = pairs.iter().find(|(name, _)| is_agreed_upon(name)) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let reason = format!("the cluster agrees on it: KEYSPACE ALTER default {name} ...");
        let error = ConfigError::Refused { name, reason };
        return Err(CommandError::Detailed(format!("ERR {error}")));
    }
    configure(call, &pairs, |error| CommandError::Detailed(format!("ERR {error}")))
}

const REWRITE: Command<NodeHandler> = Command::new(
    Spec {
        name: "rewrite",
        arity: 2,
        since: "2.8.0",
        summary: "Writes the configuration in force to its file.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        ..ADMIN
    },
    rewrite,
);

fn rewrite(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    config::rewrite(&call.worker.node.settings)
        .map_err(|error| CommandError::Detailed(format!("ERR {error}")))?;
    call.reply().ok();
    Ok(Flow::Continue)
}

const RESETSTAT: Command<NodeHandler> = Command::new(
    Spec {
        name: "resetstat",
        arity: 2,
        summary: "Sets the counters that INFO shows to zero.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        ..ADMIN
    },
    resetstat,
);

fn resetstat(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let node = &call.worker.node;
    node.counters.reset();
    node.keyspace.sum(|tally| {
        for count in [&tally.hits, &tally.misses, &tally.expired, &tally.evicted] {
            count.reset();
        }
        &tally.evicted
    });
    call.reply().ok();
    Ok(Flow::Continue)
}

const HELP: Command<NodeHandler> = help(|call| {
    reply_help(
        call,
        &[
            "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "GET <pattern> [<pattern> ...]",
            "    Parameters whose names match the patterns, with their values.",
            "SET <parameter> <value> [<parameter> <value> ...]",
            "    Change parameters: all that are given, or none.",
            "RESETSTAT",
            "    Set the counters of INFO to zero.",
            "REWRITE",
            "    Write the configuration in force to its file.",
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
    fn parameters_are_shown_and_changed() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("CONFIG GET maxmemory", "*2 $9 maxmemory $1 0"),
                ("CONFIG GET none", "*0"),
                ("CONFIG SET maxmemory 1mb timeout 5", "+OK"),
                (
                    "CONFIG GET maxmemory maxmemory timeou?",
                    "*4 $9 maxmemory $7 1048576 $7 timeout $1 5",
                ),
                ("CONFIG SET appendfsync always", "+OK"),
                ("CONFIG GET fsync", "*2 $5 fsync $6 always"),
                ("CONFIG SET maxmemory", "-ERR wrong number of arguments for 'config|set' command"),
                ("CONFIG SET a b c", "-ERR wrong number of arguments for 'config|set' command"),
                (
                    "CONFIG SET nothing 1",
                    "-ERR Unknown option or number of arguments for CONFIG SET - 'nothing'",
                ),
                (
                    "CONFIG SET timeout 6 maxmemory x",
                    "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument \
                     must be a memory value",
                ),
                ("CONFIG GET timeout", "*2 $7 timeout $1 5"),
                ("CONFIG REWRITE", "-ERR The server is running without a config file"),
            ],
        );
        assert_eq!(node.node.log.fsync(), Fsync::Always);
        assert!(node.run(&mut client, "CONFIG HELP").starts_with("*11 +CONFIG"));
    }

    #[test]
    fn a_policy_that_counts_uses_makes_entries_count() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[("CONFIG SET maxmemory-policy allkeys-lfu", "+OK"), ("SET k v", "+OK")],
        );
        assert_eq!(node.run(&mut client, "OBJECT FREQ k"), ":5");
        node.check(&mut client, &[("CONFIG SET maxmemory-policy allkeys-lru", "+OK")]);
        assert!(node.run(&mut client, "OBJECT FREQ k").starts_with("-ERR An LFU maxmemory policy"));
    }

    #[test]
    fn counters_start_again() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[("GET a", "$-1"), ("INCR a b", "-ERR wrong number of arguments for 'incr' command")],
        );
        assert_eq!(node.node.keyspace.sum(|tally| &tally.misses), 1);
        assert_eq!(node.node.counters.errors().len(), 1);
        node.check(&mut client, &[("CONFIG RESETSTAT", "+OK")]);
        assert_eq!(node.node.keyspace.sum(|tally| &tally.misses), 0);
        assert!(node.node.counters.errors().is_empty());
    }
}
