//! Several strings at once: MGET, MSET, MSETNX.

use trefoil_store::txn::Deadline;

use super::reply_string;
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::{READS_FAST, STORES};
use crate::spec::{Access, Arg, ArgKind, Command, Group, KeySpec, Spec};

const DATA: Arg = Arg::several(
    "data",
    ArgKind::Block(&[
        Arg::required("key", ArgKind::Key(0)),
        Arg::required("value", ArgKind::String),
    ]),
);

pub(super) const MGET: Command<DataHandler> = Command::new(
    Spec {
        name: "mget",
        arity: -2,
        flags: READS_FAST,
        keys: &[KeySpec::to_end(1, 1, Access::Read)],
        group: Group::String,
        summary: "Shows the strings of several keys as of one moment.",
        complexity: "O(N) in the number of keys",
        args: &[Arg::several("key", ArgKind::Key(0))],
        tips: &["request_policy:multi_shard"],
        ..Spec::BASE
    },
    mget,
);

fn mget(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    call.out.array(call.len() - 1);
    for at in 1..call.len() {
        let key = call.key(at);
        // A key that holds something else has no string to show.
        reply_string(&mut call.out, call.txn.string(&key).unwrap_or(None));
    }
    Ok(())
}

pub(super) const MSET: Command<DataHandler> = Command::new(
    Spec {
        name: "mset",
        arity: -3,
        flags: STORES,
        keys: &[KeySpec::to_end(1, 2, Access::Overwrite)],
        group: Group::String,
        since: "1.0.1",
        summary: "Makes several keys hold strings, all at one moment.",
        complexity: "O(N) in the number of keys",
        args: &[DATA],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    },
    mset,
);

fn mset(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    if call.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity("mset"));
    }
    put_pairs(call);
    call.out.ok();
    Ok(())
}

pub(super) const MSETNX: Command<DataHandler> = Command::new(
    Spec {
        name: "msetnx",
        arity: -3,
        flags: STORES,
        keys: &[KeySpec::to_end(1, 2, Access::Insert)],
        group: Group::String,
        since: "1.0.1",
        summary: "Makes several keys hold strings unless one of them holds something already.",
        complexity: "O(N) in the number of keys",
        args: &[DATA],
        ..Spec::BASE
    },
    msetnx,
);

fn msetnx(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    if call.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity("msetnx"));
    }
    for at in (1..call.len()).step_by(2) {
        let key = call.key(at);
        if call.txn.peek(&key).is_some() {
            call.out.integer(0);
            return Ok(());
        }
    }
    put_pairs(call);
    call.out.integer(1);
    Ok(())
}

fn put_pairs(call: &mut Call<'_, '_>) {
    for at in (1..call.len()).step_by(2) {
        let key = call.key(at);
        call.txn.put(&key, call.arg(at + 1).into(), Deadline::None);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[test]
    fn several_strings_are_set_and_read_together() {
        let mut server = Server::new();
        server.check(&[
            ("MSET a", "-ERR wrong number of arguments for 'mset' command"),
            ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"),
            ("MSET a 1 b 2 a 3", "+OK"),
            ("MGET a none b a", "*4 $1 3 $-1 $1 2 $1 3"),
            ("MSETNX c 1 a 2", ":0"),
            ("EXISTS c", ":0"),
            ("MSETNX c 1 c 2", ":1"),
            ("GET c", "$1 2"),
            ("MSETNX c 1 d", "-ERR wrong number of arguments for 'msetnx' command"),
            ("SETEX a 10 v", "+OK"),
            ("MSET a v", "+OK"),
            ("TTL a", ":-1"),
        ]);
    }
}
