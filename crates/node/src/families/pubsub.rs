//! SUBSCRIBE and its like, PUBLISH, PUBSUB.

use trefoil_commands::{Access, Arg, ArgKind, Command, CommandError, Flags, Group, KeySpec, Spec};

use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::pubsub::hub::Kind;
use crate::pubsub::subscriptions::Topic;

use super::help::{container, help, reply_help};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[
    PSUBSCRIBE,
    PUBLISH,
    PUBSUB,
    PUNSUBSCRIBE,
    SPUBLISH,
    SSUBSCRIBE,
    SUBSCRIBE,
    SUNSUBSCRIBE,
    UNSUBSCRIBE,
];

const BASE: Spec = Spec {
    flags: Flags::PUBSUB.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE),
    group: Group::Pubsub,
    since: "2.0.0",
    ..Spec::BASE
};

/// Shard channels belong to slots, as keys do: clients of a cluster look for them here.
const CHANNELS_TO_END: &[KeySpec] = &[KeySpec::to_end(1, 1, Access::Channel)];

const SUBSCRIBE: Command<NodeHandler> = Command::new(
    Spec {
        name: "subscribe",
        arity: -2,
        summary: "Listens for messages to these channels.",
        complexity: "O(N) in the number of channels",
        args: &[Arg::several("channel", ArgKind::String)],
        ..BASE
    },
    |call| subscribe(call, Topic::Channel, "subscribe"),
);

const PSUBSCRIBE: Command<NodeHandler> = Command::new(
    Spec {
        name: "psubscribe",
        arity: -2,
        summary: "Listens for messages to channels that match these patterns.",
        complexity: "O(N) in the number of patterns",
        args: &[Arg::several("pattern", ArgKind::Pattern)],
        ..BASE
    },
    |call| subscribe(call, Topic::Pattern, "psubscribe"),
);

const SSUBSCRIBE: Command<NodeHandler> = Command::new(
    Spec {
        name: "ssubscribe",
        arity: -2,
        since: "7.0.0",
        summary: "Listens for messages to these shard channels.",
        complexity: "O(N) in the number of shard channels",
        keys: CHANNELS_TO_END,
        args: &[Arg::several("shardchannel", ArgKind::String)],
        ..BASE
    },
    ssubscribe,
);

fn ssubscribe(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if call.worker.is_in_exec() {
        return Err(CommandError::Other("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    subscribe(call, Topic::ShardChannel, "ssubscribe")
}

fn subscribe(call: &mut NodeCall<'_>, topic: Topic, word: &str) -> Result<Flow, CommandError> {
    for name in call.args.skip(1) {
        call.session.subscribe(&call.worker.node.hub, topic, name);
        confirm(call, topic, word, Some(name));
    }
    Ok(Flow::Continue)
}

const UNSUBSCRIBE: Command<NodeHandler> = Command::new(
    Spec {
        name: "unsubscribe",
        summary: "Stops listening to these channels, or to all.",
        complexity: "O(N) in the number of channels",
        args: &[Arg { optional: true, ..Arg::several("channel", ArgKind::String) }],
        ..BASE
    },
    |call| unsubscribe(call, Topic::Channel, "unsubscribe"),
);

const PUNSUBSCRIBE: Command<NodeHandler> = Command::new(
    Spec {
        name: "punsubscribe",
        summary: "Stops listening by these patterns, or by all.",
        complexity: "O(N) in the number of patterns",
        args: &[Arg { optional: true, ..Arg::several("pattern", ArgKind::Pattern) }],
        ..BASE
    },
    |call| unsubscribe(call, Topic::Pattern, "punsubscribe"),
);

const SUNSUBSCRIBE: Command<NodeHandler> = Command::new(
    Spec {
        name: "sunsubscribe",
        since: "7.0.0",
        summary: "Stops listening to these shard channels, or to all.",
        complexity: "O(N) in the number of shard channels",
        keys: CHANNELS_TO_END,
        args: &[Arg { optional: true, ..Arg::several("shardchannel", ArgKind::String) }],
        ..BASE
    },
    |call| unsubscribe(call, Topic::ShardChannel, "sunsubscribe"),
);

fn unsubscribe(call: &mut NodeCall<'_>, topic: Topic, word: &str) -> Result<Flow, CommandError> {
    for name in call.args.skip(1) {
        call.session.unsubscribe(&call.worker.node.hub, topic, name);
        confirm(call, topic, word, Some(name));
    }
    if call.args.len() == 1 {
        let names = call.session.subscribed_to(topic);
        for name in &names {
            call.session.unsubscribe(&call.worker.node.hub, topic, name);
            confirm(call, topic, word, Some(name));
        }
        if names.is_empty() {
            confirm(call, topic, word, None);
        }
    }
    Ok(Flow::Continue)
}

fn confirm(call: &mut NodeCall<'_>, topic: Topic, word: &str, name: Option<&[u8]>) {
    let count = call.session.subscription_count(topic);
    let mut reply = call.reply();
    reply.push(3);
    reply.bulk(word.as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

const PUBLISH: Command<NodeHandler> = Command::new(
    Spec {
        name: "publish",
        arity: 3,
        flags: Flags::PUBSUB
            .with(Flags::LOADING)
            .with(Flags::STALE)
            .with(Flags::FAST)
            .with(Flags::MAY_REPLICATE),
        summary: "Sends a message to all who listen to a channel.",
        complexity: "O(N+M) in the channel's subscribers and all patterns",
        args: &[
            Arg::required("channel", ArgKind::String),
            Arg::required("message", ArgKind::String),
        ],
        ..BASE
    },
    |call| publish(call, Kind::Plain),
);

const SPUBLISH: Command<NodeHandler> = Command::new(
    Spec {
        name: "spublish",
        keys: &[KeySpec::one(1, Access::Channel)],
        since: "7.0.0",
        summary: "Sends a message to all who listen to a shard channel.",
        complexity: "O(N) in the shard channel's subscribers",
        args: &[
            Arg::required("shardchannel", ArgKind::String),
            Arg::required("message", ArgKind::String),
        ],
        ..PUBLISH.spec
    },
    |call| publish(call, Kind::Shard),
);

fn publish(call: &mut NodeCall<'_>, kind: Kind) -> Result<Flow, CommandError> {
    let receivers = call.worker.publish_message(kind, call.args.get(1), call.args.get(2));
    call.reply().integer(receivers as i64);
    Ok(Flow::Continue)
}

const PUBSUB: Command<NodeHandler> = Command {
    spec: Spec {
        name: "pubsub",
        arity: -2,
        flags: Flags::NONE,
        since: "2.8.0",
        summary: "Groups the commands that look at channels.",
        complexity: "Depends on subcommand.",
        ..BASE
    },
    run: container,
    subcommands: &[CHANNELS, help(pubsub_help), NUMPAT, NUMSUB, SHARDCHANNELS, SHARDNUMSUB],
};

const LOOKS: Spec =
    Spec { flags: Flags::PUBSUB.with(Flags::LOADING).with(Flags::STALE), since: "2.8.0", ..BASE };

const CHANNELS: Command<NodeHandler> = Command::new(
    Spec {
        name: "channels",
        arity: -2,
        summary: "Lists channels that somebody listens to.",
        complexity: "O(N) in the number of channels",
        args: &[Arg::optional("pattern", "", ArgKind::Pattern)],
        ..LOOKS
    },
    |call| channels(call, Kind::Plain),
);

const SHARDCHANNELS: Command<NodeHandler> = Command::new(
    Spec {
        name: "shardchannels",
        since: "7.0.0",
        summary: "Lists shard channels that somebody listens to.",
        ..CHANNELS.spec
    },
    |call| channels(call, Kind::Shard),
);

fn channels(call: &mut NodeCall<'_>, kind: Kind) -> Result<Flow, CommandError> {
    if call.args.len() > 3 {
        return Err(unknown_subcommand(call));
    }
    let pattern = (call.args.len() == 3).then(|| call.args.get(2));
    let names = call.worker.node.hub.channels(kind, pattern);
    let mut reply = call.reply();
    reply.array(names.len());
    for name in names {
        reply.bulk(&name);
    }
    Ok(Flow::Continue)
}

const NUMSUB: Command<NodeHandler> = Command::new(
    Spec {
        name: "numsub",
        arity: -2,
        summary: "Counts who listens to these channels, patterns apart.",
        complexity: "O(N) in the number of channels",
        args: &[Arg { optional: true, ..Arg::several("channel", ArgKind::String) }],
        ..LOOKS
    },
    |call| numsub(call, Kind::Plain),
);

const SHARDNUMSUB: Command<NodeHandler> = Command::new(
    Spec {
        name: "shardnumsub",
        since: "7.0.0",
        summary: "Counts who listens to these shard channels.",
        args: &[Arg { optional: true, ..Arg::several("shardchannel", ArgKind::String) }],
        ..NUMSUB.spec
    },
    |call| numsub(call, Kind::Shard),
);

fn numsub(call: &mut NodeCall<'_>, kind: Kind) -> Result<Flow, CommandError> {
    let channels = call.args.skip(2);
    call.reply().array(channels.len() * 2);
    for channel in channels {
        let count = call.worker.node.hub.subscribers(kind, channel);
        call.reply().bulk(channel);
        call.reply().integer(count as i64);
    }
    Ok(Flow::Continue)
}

const NUMPAT: Command<NodeHandler> = Command::new(
    Spec {
        name: "numpat",
        arity: 2,
        summary: "Counts the patterns that somebody listens by.",
        ..LOOKS
    },
    |call| {
        let count = call.worker.node.hub.patterns();
        call.reply().integer(count as i64);
        Ok(Flow::Continue)
    },
);

fn unknown_subcommand(call: &NodeCall<'_>) -> CommandError {
    let name = String::from_utf8_lossy(call.args.get(1));
    CommandError::Detailed(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP."
    ))
}

fn pubsub_help(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    reply_help(
        call,
        &[
            "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "CHANNELS [<pattern>]",
            "    Lists channels with subscribers (those that match the pattern).",
            "NUMPAT",
            "    Counts the patterns with subscribers.",
            "NUMSUB [<channel> ...]",
            "    Counts the subscribers of each channel, without those of patterns.",
            "SHARDCHANNELS [<pattern>]",
            "    Lists shard channels with subscribers.",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Counts the subscribers of each shard channel.",
            "HELP",
            "    Shows this.",
        ],
    )
}
