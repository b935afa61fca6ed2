//! COMMAND INFO: name, arity, flags, keys, categories, tips, key specifications, subcommands.

use trefoil_commands::{Flags, Group, KeySpec, Spec};
use trefoil_wire::resp::Reply;

use crate::table::Entry;

/// Writes the description of a command.
pub(super) fn describe(reply: &mut Reply<'_>, entry: &Entry) {
    let spec = &entry.spec;
    reply.array(10);
    reply.bulk(entry.full_name.as_bytes());
    reply.integer(i64::from(spec.arity));
    statuses(reply, spec.flags.names());
    let (first, last, step) = range(spec.keys);
    for number in [first, last, step] {
        reply.integer(number);
    }
    let categories: Vec<String> = categories(entry).map(|name| format!("@{name}")).collect();
    statuses(reply, categories.iter().map(String::as_str));
    reply.set(spec.tips.len());
    for tip in spec.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(spec.keys.len());
    for keys in spec.keys {
        describe_keys(reply, keys);
    }
    reply.set(entry.subcommands.len());
    for subcommand in &entry.subcommands {
        describe(reply, subcommand);
    }
}

fn statuses<'a>(reply: &mut Reply<'_>, names: impl Iterator<Item = &'a str>) {
    let set = reply.begin_aggregate();
    let mut count = 0;
    for name in names {
        reply.simple(name);
        count += 1;
    }
    reply.end_set(set, count);
}

/// First key, last key, step, as Redis told them before there were key specifications: one range
/// over all of them.
fn range(keys: &[KeySpec]) -> (i64, i64, i64) {
    let Some(first) = keys.iter().map(|keys| keys.first).min() else { return (0, 0, 0) };
    let last = keys.iter().map(|keys| i64::from(keys.last));
    let last = if keys.iter().any(|keys| keys.last < 0) { last.min() } else { last.max() };
    let step = keys.iter().map(|keys| keys.step).max().unwrap_or(1);
    (i64::from(first), last.unwrap_or(0), i64::from(step))
}

fn describe_keys(reply: &mut Reply<'_>, keys: &KeySpec) {
    reply.map(3);
    reply.bulk(b"flags");
    statuses(reply, keys.access.names().iter().copied());
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"index");
    reply.bulk(b"spec");
    reply.map(1);
    reply.bulk(b"index");
    reply.integer(i64::from(keys.first));
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"range");
    reply.bulk(b"spec");
    reply.map(3);
    reply.bulk(b"lastkey");
    // Counted from the first key, unless from the end.
    let last = i64::from(keys.last);
    reply.integer(if last < 0 { last } else { last - i64::from(keys.first) });
    reply.bulk(b"keystep");
    reply.integer(i64::from(keys.step));
    reply.bulk(b"limit");
    reply.integer(0);
}

/// The categories of access control, in Redis's order.
pub(super) fn categories(entry: &Entry) -> impl Iterator<Item = &'static str> + use<> {
    let (spec, flags) = (&entry.spec, entry.spec.flags);
    // A container that can't be called by itself is in no chapter.
    let is_container = spec.arity < -1 && !entry.subcommands.is_empty();
    let is_of = |group: Group| spec.group == group && !is_container;
    let is_generic = is_of(Group::Generic) && !is_about_connections(spec);
    [
        ("keyspace", is_generic || is_about_all(spec)),
        ("read", flags.has(Flags::READONLY)),
        ("write", flags.has(Flags::WRITE)),
        ("string", is_of(Group::String)),
        ("bitmap", is_of(Group::Bitmap)),
        ("pubsub", is_of(Group::Pubsub) || flags.has(Flags::PUBSUB)),
        ("admin", flags.has_any(Flags::ADMIN | Flags::REVEALS)),
        ("fast", flags.has(Flags::FAST)),
        ("slow", !flags.has(Flags::FAST)),
        ("blocking", flags.has(Flags::BLOCKING)),
        ("dangerous", flags.has_any(Flags::ADMIN | Flags::REVEALS | Flags::DANGEROUS)),
        ("connection", is_of(Group::Connection) || is_about_connections(spec)),
        ("transaction", is_of(Group::Transactions)),
    ]
    .into_iter()
    .filter_map(|(name, is_in)| is_in.then_some(name))
}

/// COMMAND, WAIT and WAITAOF.
fn is_about_connections(spec: &Spec) -> bool {
    let waits = spec.group == Group::Generic && spec.flags.has(Flags::BLOCKING);
    spec.flags.has(Flags::CONNECTION) || waits && spec.keys.is_empty()
}

/// Commands of the server's chapter that are about the data: FLUSHALL, SWAPDB, DBSIZE.
fn is_about_all(spec: &Spec) -> bool {
    spec.group == Group::Server
        && spec.keys.is_empty()
        && spec.flags.has_any(Flags::WRITE | Flags::READONLY)
}
