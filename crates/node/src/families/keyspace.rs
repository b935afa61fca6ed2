//! KEYSPACE: the keyspaces and their policies. There is one, `default`.

mod policy;

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec};

use super::fields::Fields;
use super::help::{container, help, reply_help};
use super::ordered::configure;
use crate::config::{self, ConfigError, Value};
use crate::handler::{Flow, NodeCall, NodeHandler};

pub(super) use policy::is_agreed_upon;

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
    subcommands: &[ALTER, HELP, INFO, LIST, SHOW],
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
    Err(CommandError::Detailed(format!("ERR there is no keyspace '{}'", shown(name))))
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned()
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

const SHOW: Command<NodeHandler> =
    Command::new(Spec { name: "show", summary: "The same as KEYSPACE INFO.", ..INFO.spec }, info);

fn info(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    check_name(call, 2)?;
    let node = &call.worker.node;
    let mut fields = Fields::default();
    fields.text("name", DEFAULT);
    fields.text("mode", "single-leader");
    for option in OPTIONS {
        let parameter = config::find(option.as_bytes()).expect("options are parameters");
        match parameter.value(&node.settings) {
            Value::Number(_) if *option == "degrade-after" => {
                fields.number(option, node.settings.policy().degrade_after_ms);
            }
            value => {
                let text = parameter.shape.show(&value);
                fields.text(option, String::from_utf8_lossy(&text));
            }
        }
    }
    policy::show(&policy::agreed(node), &mut fields);
    fields.text("databases", "0-15");
    fields.number("keys", (0..16).map(|db| node.keyspace.len(db)).sum());
    fields.number("memory", node.keyspace.memory());
    fields.number("epoch", node.replication.epoch().0);
    fields.number("lsn", node.keyspace.sequencer().last_lsn().0);
    fields.write(&mut call.reply());
    Ok(Flow::Continue)
}

/// What can be altered: parameters of the configuration, while there is one keyspace.
const OPTIONS: &[&str] = &["fsync", "acks", "ack-level", "on-lost-acks", "degrade-after"];

const ALTER: Command<NodeHandler> = Command::new(
    Spec {
        name: "alter",
        arity: -5,
        flags: ABOUT.flags.with(Flags::ADMIN).with(Flags::NOSCRIPT),
        summary: "Changes policies of a keyspace: all that are given, or none.",
        complexity: "O(N) in the number of policies",
        args: &[
            Arg::required("keyspace", ArgKind::String),
            Arg {
                multiple: true,
                ..Arg::required(
                    "data",
                    ArgKind::Block(&[
                        Arg::required("option", ArgKind::String),
                        Arg::required("value", ArgKind::String),
                    ]),
                )
            },
        ],
        ..ABOUT
    },
    alter,
);

/// The same as CONFIG SET of these parameters while there is one keyspace; in a cluster, what is agreed
/// upon.
fn alter(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    check(call.args.get(2))?;
    let words: Vec<&[u8]> = call.args.skip(3).iter().collect();
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::WrongArity("keyspace|alter"));
    }
    let options = || OPTIONS.iter().chain(policy::OWN).copied();
    let is_option = |name: &[u8]| options().any(|o| name.eq_ignore_ascii_case(o.as_bytes()));
    if let Some([name, _]) = pairs.iter().find(|[name, _]| !is_option(name)) {
        let (name, options) = (shown(name), options().collect::<Vec<_>>().join(", "));
        let text = format!("ERR '{name}' can't be altered; what can: {options}");
        return Err(CommandError::Detailed(text));
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    if policy::is_to_be_agreed(&call.worker.node, &pairs) {
        return policy::alter(call, &pairs);
    }
    configure(call, &pairs, refused)
}

fn refused(error: ConfigError) -> CommandError {
    match error {
        ConfigError::Refused { name, reason } => {
            CommandError::Detailed(format!("ERR {name}: {reason}"))
        }
        ConfigError::Unknown(_) => CommandError::Syntax,
    }
}

const HELP: Command<NodeHandler> = help(|call| {
    reply_help(
        call,
        &[
            "KEYSPACE <subcommand> [<arg> ...]. Subcommands are:",
            "LIST",
            "    Names of keyspaces.",
            "INFO [<keyspace>] | SHOW [<keyspace>]",
            "    Policies and size of a keyspace.",
            "ALTER <keyspace> <option> <value> [<option> <value> ...]",
            "    Change policies, all or none: fsync always|everysec|no,",
            "    acks async|semi-sync:k|sync, ack-level received|flushed|applied,",
            "    on-lost-acks block|degrade, degrade-after <milliseconds>,",
            "    failover automatic|manual, max-loss <records>|any.",
            "HELP",
            "    These lines.",
        ],
    )
});

#[cfg(test)]
mod tests {
    use crate::harness::TestNode;
    use crate::log::Fsync;
    use crate::replication::Order;

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
                    "-ERR fsync: argument(s) must be one of the following: always, everysec, no",
                ),
                (
                    "KEYSPACE ALTER default mode x",
                    "-ERR 'mode' can't be altered; what can: fsync, acks, ack-level, on-lost-acks, \
                     degrade-after, failover, max-loss",
                ),
                (
                    "KEYSPACE ALTER default fsync no acks",
                    "-ERR wrong number of arguments for 'keyspace|alter' command",
                ),
                ("KEYSPACE ALTER none fsync no", "-ERR there is no keyspace 'none'"),
                ("KEYSPACE INFO a b", "-ERR syntax error"),
            ],
        );
        assert_eq!(node.node.log.fsync(), Fsync::Always);
        let info = node.run(&mut client, "KEYSPACE INFO");
        assert!(info.contains("$5 fsync $6 always"), "{info}");
    }

    #[test]
    fn policies_are_altered_together_or_not_at_all() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                (
                    "KEYSPACE ALTER default acks semi-sync:2 ack-level flushed on-lost-acks degrade \
                     degrade-after 50",
                    "+OK",
                ),
                (
                    "KEYSPACE ALTER default acks sync ack-level seen",
                    "-ERR ack-level: argument(s) must be one of the following: received, flushed, \
                     applied",
                ),
                (
                    "KEYSPACE ALTER default acks most",
                    "-ERR acks: argument must be async, semi-sync:k with k from 1 to 64, or sync",
                ),
                ("KEYSPACE ALTER default acks sync ACKS async", "-ERR ACKS: duplicate parameter"),
                ("CONFIG GET acks", "*2 $4 acks $11 semi-sync:2"),
            ],
        );
        let info = node.run(&mut client, "KEYSPACE INFO default");
        let policies = "$4 acks $11 semi-sync:2 $9 ack-level $7 flushed $12 on-lost-acks $7 degrade \
                        $13 degrade-after :50";
        assert!(info.contains(policies), "{info}");
        let mut asked = std::iter::from_fn(|| node.node.replication.orders.take());
        assert!(asked.any(|order| order == Order::Reconfigure));
    }

    #[test]
    fn a_policy_is_in_force_when_the_reply_comes() {
        let mut node = TestNode::new();
        let mut client = node.client();
        let replication = &node.node.replication;
        replication.set_configured(replication.configuration());
        node.check(&mut client, &[("KEYSPACE ALTER default acks sync", "")]);
        let replication = &node.node.replication;
        replication.set_configured(replication.configuration());
        node.check(
            &mut client,
            &[
                ("KEYSPACE ALTER default acks sync", "+OK"),
                ("KEYSPACE ALTER default fsync always", "+OK"),
                ("CONFIG SET min-replicas-to-write 1", ""),
            ],
        );
        node.pass_ms(10_000);
        let answer = node.run(&mut client, "CONFIG SET min-replicas-to-write 1");
        assert!(answer.starts_with("-UNKNOWN the order was given"), "{answer}");
    }
}
