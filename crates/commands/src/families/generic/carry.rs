//! RENAME, COPY, MOVE: values that go to another key or database, with their deadlines.

use super::{KEY, database};
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::{STORES, WRITES, WRITES_FAST};
use crate::spec::{Access, Arg, ArgKind, Command, Flags, KeySpec, Spec};

const NEW_KEY: Arg = Arg::required("newkey", ArgKind::Key(1));

pub(super) const RENAME: Command<DataHandler> = Command::new(
    Spec {
        name: "rename",
        arity: 3,
        flags: WRITES,
        keys: &[KeySpec::one(1, Access::ReadDelete), KeySpec::one(2, Access::Overwrite)],
        summary: "Gives a value another key; what that one held is gone.",
        args: &[KEY, NEW_KEY],
        ..Spec::BASE
    },
    rename,
);

fn rename(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let (from, to) = (call.key(1), call.key(2));
    let carried = call.txn.pick_up(&from).ok_or(CommandError::NoSuchKey)?;
    if from.bytes() != to.bytes() {
        call.txn.delete(&from);
        call.txn.put_down(&to, &carried);
    }
    call.out.ok();
    Ok(())
}

pub(super) const RENAMENX: Command<DataHandler> = Command::new(
    Spec {
        name: "renamenx",
        arity: 3,
        flags: WRITES_FAST,
        keys: &[KeySpec::one(1, Access::ReadDelete), KeySpec::one(2, Access::Insert)],
        summary: "Gives a value another key unless that one holds something.",
        args: &[KEY, NEW_KEY],
        ..Spec::BASE
    },
    renamenx,
);

fn renamenx(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let (from, to) = (call.key(1), call.key(2));
    let carried = call.txn.pick_up(&from).ok_or(CommandError::NoSuchKey)?;
    let free = call.txn.peek(&to).is_none();
    if free {
        call.txn.delete(&from);
        call.txn.put_down(&to, &carried);
    }
    call.out.integer(i64::from(free));
    Ok(())
}

pub(super) const COPY: Command<DataHandler> = Command::new(
    Spec {
        name: "copy",
        arity: -3,
        flags: STORES.with(Flags::EXCLUSIVE),
        keys: &[KeySpec::one(1, Access::Read), KeySpec::one(2, Access::Overwrite)],
        since: "6.2.0",
        summary: "Makes another key hold the same value.",
        complexity: "O(1) for strings",
        args: &[
            Arg::required("source", ArgKind::Key(0)),
            Arg::required("destination", ArgKind::Key(1)),
            Arg::optional("destination-db", "DB", ArgKind::Integer),
            Arg::optional("replace", "REPLACE", ArgKind::PureToken),
        ],
        ..Spec::BASE
    },
    copy,
);

fn copy(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let (mut to_db, mut replace) = (call.db, false);
    let mut at = 3;
    while at < call.len() {
        if call.is(at, "REPLACE") {
            replace = true;
        } else if call.is(at, "DB") && at + 1 < call.len() {
            at += 1;
            to_db = database(call, at)?;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    let (from, to) = (call.key(1), call.key(2));
    if to_db == call.db && from.bytes() == to.bytes() {
        return Err(CommandError::SameObject);
    }
    let mut copied = false;
    if let Some(carried) = call.txn.pick_up(&from) {
        call.txn.select(to_db);
        copied = replace || call.txn.peek(&to).is_none();
        if copied {
            call.txn.put_down(&to, &carried);
        }
        call.txn.select(call.db);
    }
    call.out.integer(i64::from(copied));
    Ok(())
}

pub(super) const MOVE: Command<DataHandler> = Command::new(
    Spec {
        name: "move",
        arity: 3,
        flags: WRITES_FAST.with(Flags::EXCLUSIVE),
        keys: &[KeySpec::one(1, Access::ReadUpdate)],
        summary: "Moves a key to another database unless it is there already.",
        args: &[KEY, Arg::required("db", ArgKind::Integer)],
        ..Spec::BASE
    },
    move_to,
);

fn move_to(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let to_db = database(call, 2)?;
    if to_db == call.db {
        return Err(CommandError::SameObject);
    }
    let key = call.key(1);
    let mut moved = false;
    if let Some(carried) = call.txn.pick_up(&key) {
        call.txn.select(to_db);
        moved = call.txn.peek(&key).is_none();
        if moved {
            call.txn.put_down(&key, &carried);
        }
        call.txn.select(call.db);
        if moved {
            call.txn.delete(&key);
        }
    }
    call.out.integer(i64::from(moved));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    const SAME: &str = "-ERR source and destination objects are the same";

    #[test]
    fn a_renamed_value_keeps_its_deadline() {
        let mut server = Server::new();
        server.check(&[
            ("RENAME none x", "-ERR no such key"),
            ("RENAME none none", "-ERR no such key"),
            ("RENAMENX none x", "-ERR no such key"),
            ("SET a v EX 100", "+OK"),
            ("RENAME a a", "+OK"),
            ("RENAMENX a a", ":0"),
            ("SET b w EX 5", "+OK"),
            ("RENAMENX a b", ":0"),
            ("RENAME a b", "+OK"),
            ("MGET a b", "*2 $-1 $1 v"),
            ("TTL b", ":100"),
            ("RENAMENX b c", ":1"),
            ("SET b w", "+OK"),
            ("RENAME b c", "+OK"),
            ("TTL c", ":-1"),
            ("DBSIZE", ":1"),
        ]);
    }

    #[test]
    fn copies_are_values_of_their_own() {
        let mut server = Server::new();
        server.check(&[
            ("SET a v EX 100", "+OK"),
            ("COPY a a", SAME),
            ("COPY none none", SAME),
            ("COPY a a DB 0", SAME),
            ("COPY a b", ":1"),
            ("APPEND a w", ":2"),
            ("COPY a b", ":0"),
            ("GET b", "$1 v"),
            ("TTL b", ":100"),
            ("COPY a b REPLACE replace", ":1"),
            ("GET b", "$2 vw"),
            ("COPY none c", ":0"),
            ("COPY a a DB 1", ":1"),
            ("COPY a a DB 1", ":0"),
            ("COPY a b DB 1 DB 2 REPLACE", ":1"),
            ("COPY a b DB 99", "-ERR DB index is out of range"),
            ("COPY a b DB -1", "-ERR DB index is out of range"),
            ("COPY a b DB x", "-ERR value is not an integer or out of range"),
            ("COPY a b DB", "-ERR syntax error"),
            ("COPY a b FOO", "-ERR syntax error"),
            ("KEYS b", "*1 $1 b"),
        ]);
        server.db = 2;
        server.check(&[("GET b", "$2 vw"), ("DBSIZE", ":1")]);
    }

    #[test]
    fn large_values_are_shared_by_copies_until_one_changes() {
        let mut server = Server::new();
        server.run_words(&[b"SET", b"a", &[b'x'; 20_000]]);
        server.check(&[
            ("COPY a b", ":1"),
            ("RENAME a c", "+OK"),
            ("APPEND b y", ":20001"),
            ("STRLEN c", ":20000"),
            ("GETRANGE c 19999 -1", "$1 x"),
            ("GETRANGE b 20000 -1", "$1 y"),
        ]);
    }

    #[test]
    fn keys_move_between_databases() {
        let mut server = Server::new();
        server.check(&[
            ("SET a v EX 100", "+OK"),
            ("MOVE a 0", SAME),
            ("MOVE none 0", SAME),
            ("MOVE none 1", ":0"),
            ("MOVE a x", "-ERR value is not an integer or out of range"),
            ("MOVE a 16", "-ERR DB index is out of range"),
            ("MOVE a -1", "-ERR DB index is out of range"),
            ("MOVE a 1", ":1"),
            ("EXISTS a", ":0"),
            ("SET a w", "+OK"),
            ("MOVE a 1", ":0"),
            ("GET a", "$1 w"),
        ]);
        server.db = 1;
        server.check(&[("GET a", "$1 v"), ("TTL a", ":100")]);
    }
}
