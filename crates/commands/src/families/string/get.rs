//! GET and its relatives: what is read, and perhaps deleted or given a deadline.

use super::reply_string;
use crate::call::{Call, DataHandler};
use crate::deadline::{EX, EXAT, PX, PXAT, Timing, give_deadline};
use crate::error::CommandError;
use crate::families::{READS_FAST, WRITES_FAST};
use crate::spec::{Access, Arg, ArgKind, Command, Group, KeySpec, Spec};

const KEY: Arg = Arg::required("key", ArgKind::Key(0));

pub(super) const GET: Command<DataHandler> = Command::new(
    Spec {
        name: "get",
        arity: 2,
        flags: READS_FAST,
        keys: &[KeySpec::one(1, Access::Read)],
        group: Group::String,
        summary: "Shows the string that a key holds.",
        args: &[KEY],
        ..Spec::BASE
    },
    get,
);

fn get(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(1);
    reply_string(&mut call.out, call.txn.string(&key)?);
    Ok(())
}

pub(super) const STRLEN: Command<DataHandler> = Command::new(
    Spec {
        name: "strlen",
        arity: 2,
        flags: READS_FAST,
        keys: &[KeySpec::one(1, Access::Inspect)],
        group: Group::String,
        since: "2.2.0",
        summary: "Tells how many bytes a string has.",
        args: &[KEY],
        ..Spec::BASE
    },
    strlen,
);

fn strlen(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(1);
    let len = call.txn.string(&key)?.map_or(0, |view| view.bytes().len());
    call.out.integer(len as i64);
    Ok(())
}

pub(super) const GETDEL: Command<DataHandler> = Command::new(
    Spec {
        name: "getdel",
        arity: 2,
        flags: WRITES_FAST,
        keys: &[KeySpec::one(1, Access::ReadDelete)],
        group: Group::String,
        since: "6.2.0",
        summary: "Shows a string and deletes its key.",
        args: &[KEY],
        ..Spec::BASE
    },
    getdel,
);

fn getdel(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(1);
    reply_string(&mut call.out, call.txn.string(&key)?);
    call.txn.delete(&key);
    Ok(())
}

pub(super) const DELIFEQ: Command<DataHandler> = Command::new(
    Spec {
        name: "delifeq",
        arity: 3,
        flags: WRITES_FAST,
        keys: &[KeySpec::one(1, Access::Delete)],
        group: Group::String,
        since: "9.0.0",
        summary: "Deletes a key that holds exactly this string.",
        args: &[KEY, Arg::required("value", ArgKind::String)],
        ..Spec::BASE
    },
    delifeq,
);

fn delifeq(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let (key, expected) = (call.key(1), call.arg(2));
    let equal = call.txn.string_to_change(&key)?.is_some_and(|view| view.bytes() == expected);
    if equal {
        call.txn.delete(&key);
    }
    call.out.integer(i64::from(equal));
    Ok(())
}

pub(super) const GETEX: Command<DataHandler> = Command::new(
    Spec {
        name: "getex",
        arity: -2,
        flags: WRITES_FAST,
        keys: &[KeySpec::one(1, Access::ReadUpdate)],
        group: Group::String,
        since: "6.2.0",
        summary: "Shows a string and changes or removes its deadline.",
        args: &[
            KEY,
            Arg::optional(
                "expiration",
                "",
                ArgKind::OneOf(&[EX, PX, EXAT, PXAT, Arg::word("persist", "PERSIST")]),
            ),
        ],
        ..Spec::BASE
    },
    getex,
);

/// What GETEX does to the deadline.
#[derive(Clone, Copy)]
enum NewDeadline {
    Same,
    Removed,
    /// The number at this argument.
    Given(Timing, usize),
}

fn getex(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let wanted = getex_option(call)?;
    let deadline = match wanted {
        NewDeadline::Given(timing, at) => Some(call.deadline(at, timing, "getex")?),
        NewDeadline::Same | NewDeadline::Removed => None,
    };
    let key = call.key(1);
    let view = call.txn.string(&key)?;
    let (exists, had_deadline) = (view.is_some(), view.is_some_and(|view| view.deadline.is_some()));
    reply_string(&mut call.out, view);
    match wanted {
        NewDeadline::Given(..) if exists => give_deadline(call.txn, &key, deadline),
        NewDeadline::Removed if had_deadline => give_deadline(call.txn, &key, None),
        _ => false,
    };
    Ok(())
}

fn getex_option(call: &Call<'_, '_>) -> Result<NewDeadline, CommandError> {
    let mut wanted = NewDeadline::Same;
    let mut at = 2;
    while at < call.len() {
        wanted = match (wanted, Timing::announced_by(call.arg(at))) {
            (NewDeadline::Same, Some(timing)) if at + 1 < call.len() => {
                NewDeadline::Given(timing, at + 1)
            }
            (NewDeadline::Given(before, _), Some(timing))
                if before == timing && at + 1 < call.len() =>
            {
                NewDeadline::Given(timing, at + 1)
            }
            (NewDeadline::Same | NewDeadline::Removed, None) if call.is(at, "PERSIST") => {
                NewDeadline::Removed
            }
            _ => return Err(CommandError::Syntax),
        };
        at += if matches!(wanted, NewDeadline::Given(..)) { 2 } else { 1 };
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[test]
    fn strings_are_read() {
        let mut server = Server::new();
        server.check(&[
            ("GET k", "$-1"),
            ("SET k hello", "+OK"),
            ("GET k", "$5 hello"),
            ("GET", "-ERR wrong number of arguments for 'get' command"),
            ("STRLEN k", ":5"),
            ("STRLEN none", ":0"),
            ("GETDEL k", "$5 hello"),
            ("GETDEL k", "$-1"),
            ("SET k a", "+OK"),
            ("DELIFEQ k b", ":0"),
            ("DELIFEQ k a", ":1"),
            ("DELIFEQ k a", ":0"),
        ]);
    }

    #[test]
    fn getex_changes_the_deadline_and_nothing_else() {
        let mut server = Server::new();
        server.check(&[
            ("SET k v", "+OK"),
            ("GETEX k", "$1 v"),
            ("TTL k", ":-1"),
            ("GETEX k EX 10", "$1 v"),
            ("TTL k", ":10"),
            ("GETEX k", "$1 v"),
            ("TTL k", ":10"),
            ("GETEX k ex 10 ex 20", "$1 v"),
            ("TTL k", ":20"),
            ("GETEX k persist", "$1 v"),
            ("TTL k", ":-1"),
            ("GETEX none EX 10", "$-1"),
            ("GETEX none EX 0", "-ERR invalid expire time in 'getex' command"),
            ("GETEX none EX a", "-ERR value is not an integer or out of range"),
            ("GETEX k foo", "-ERR syntax error"),
            ("GETEX k EX", "-ERR syntax error"),
            ("GETEX k KEEPTTL", "-ERR syntax error"),
            ("GETEX k PERSIST EX 1", "-ERR syntax error"),
            ("GETEX k EX 1 PX 1", "-ERR syntax error"),
            ("GETEX k PXAT 1", "$1 v"),
            ("GET k", "$-1"),
        ]);
    }
}
