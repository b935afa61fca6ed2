//! COMMAND DOCS: summary, since, group, complexity, arguments, subcommands.

use trefoil_commands::{Arg, ArgKind};
use trefoil_wire::resp::Reply;

use crate::table::Entry;

/// Writes the documentation of a command.
pub(super) fn document(reply: &mut Reply<'_>, entry: &Entry) {
    let spec = &entry.spec;
    let (args, subcommands) = (!spec.args.is_empty(), !entry.subcommands.is_empty());
    reply.map(4 + usize::from(args) + usize::from(subcommands));
    let texts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", spec.complexity),
    ];
    for (name, text) in texts {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if args {
        reply.bulk(b"arguments");
        arguments(reply, spec.args);
    }
    if subcommands {
        reply.bulk(b"subcommands");
        reply.map(entry.subcommands.len());
        for subcommand in &entry.subcommands {
            reply.bulk(subcommand.full_name.as_bytes());
            document(reply, subcommand);
        }
    }
}

fn arguments(reply: &mut Reply<'_>, args: &[Arg]) {
    reply.array(args.len());
    for arg in args {
        argument(reply, arg);
    }
}

fn argument(reply: &mut Reply<'_>, arg: &Arg) {
    let inner = match arg.kind {
        ArgKind::OneOf(inner) | ArgKind::Block(inner) => Some(inner),
        _ => None,
    };
    let map = reply.begin_aggregate();
    let mut pairs = 0;
    let mut text = |reply: &mut Reply<'_>, name: &str, text: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
        pairs += 1;
    };
    text(reply, "name", arg.name);
    text(reply, "type", kind(arg.kind));
    if inner.is_none() {
        text(reply, "display_text", arg.name);
    }
    if !arg.token.is_empty() {
        text(reply, "token", arg.token);
    }
    if let ArgKind::Key(spec) = arg.kind {
        reply.bulk(b"key_spec_index");
        reply.integer(i64::from(spec));
        pairs += 1;
    }
    if arg.optional || arg.multiple {
        reply.bulk(b"flags");
        reply.set(usize::from(arg.optional) + usize::from(arg.multiple));
        if arg.optional {
            reply.simple("optional");
        }
        if arg.multiple {
            reply.simple("multiple");
        }
        pairs += 1;
    }
    if let Some(inner) = inner {
        reply.bulk(b"arguments");
        arguments(reply, inner);
        pairs += 1;
    }
    reply.end_map(map, pairs);
}

fn kind(kind: ArgKind) -> &'static str {
    match kind {
        ArgKind::Key(_) => "key",
        ArgKind::String => "string",
        ArgKind::Integer => "integer",
        ArgKind::Double => "double",
        ArgKind::UnixTime => "unix-time",
        ArgKind::Pattern => "pattern",
        ArgKind::PureToken => "pure-token",
        ArgKind::OneOf(_) => "oneof",
        ArgKind::Block(_) => "block",
    }
}
