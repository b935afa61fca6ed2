//! FLUSHDB, FLUSHALL, SWAPDB: whole databases.

use super::{DATABASES, database_or};
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::{WRITES, WRITES_FAST};
use crate::spec::{Arg, ArgKind, Command, Flags, Group, Spec};

const FLUSHES: Spec = Spec {
    arity: -1,
    flags: WRITES.with(Flags::EXCLUSIVE).with(Flags::DANGEROUS),
    group: Group::Server,
    args: &[Arg::optional(
        "flush-type",
        "",
        ArgKind::OneOf(&[Arg::word("async", "ASYNC"), Arg::word("sync", "SYNC")]),
    )],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    ..Spec::BASE
};

pub(super) const FLUSHDB: Command<DataHandler> = Command::new(
    Spec {
        name: "flushdb",
        summary: "Deletes all keys of the database.",
        complexity: "O(N) in the number of keys of the database",
        ..FLUSHES
    },
    flushdb,
);

fn flushdb(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    check_flush_type(call)?;
    flush(call, call.db);
    call.out.ok();
    Ok(())
}

pub(super) const FLUSHALL: Command<DataHandler> = Command::new(
    Spec {
        name: "flushall",
        summary: "Deletes all keys of all databases.",
        complexity: "O(N) in the number of keys of all databases",
        ..FLUSHES
    },
    flushall,
);

fn flushall(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    check_flush_type(call)?;
    for db in 0..DATABASES {
        flush(call, db);
    }
    call.out.ok();
    Ok(())
}

/// ASYNC and SYNC are accepted; memory is given back before the reply in both.
fn check_flush_type(call: &Call<'_, '_>) -> Result<(), CommandError> {
    match call.len() {
        1 => Ok(()),
        2 if call.is(1, "ASYNC") || call.is(1, "SYNC") => Ok(()),
        _ => Err(CommandError::Syntax),
    }
}

/// Empties a database; one that is empty is not worth a record.
fn flush(call: &mut Call<'_, '_>, db: u8) {
    if !call.txn.keyspace().is_empty(db) {
        call.txn.flush(db);
    }
}

pub(super) const SWAPDB: Command<DataHandler> = Command::new(
    Spec {
        name: "swapdb",
        arity: 3,
        flags: WRITES_FAST.with(Flags::EXCLUSIVE).with(Flags::DANGEROUS),
        group: Group::Server,
        since: "4.0.0",
        summary: "Exchanges two databases for all clients at once.",
        args: &[
            Arg::required("index1", ArgKind::Integer),
            Arg::required("index2", ArgKind::Integer),
        ],
        ..Spec::BASE
    },
    swapdb,
);

fn swapdb(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let first = database_or(call, 1, CommandError::Other("ERR invalid first DB index"));
    let second = database_or(call, 2, CommandError::Other("ERR invalid second DB index"));
    // Words that are no numbers are told first.
    let (a, b) = match (first, second) {
        (Err(CommandError::DbOutOfRange), Err(error)) => return Err(error),
        (first, second) => (first?, second?),
    };
    if a != b {
        call.txn.swap(a, b);
        // Its selected database has another table now.
        call.txn.select(call.db);
    }
    call.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[test]
    fn databases_are_emptied() {
        let mut server = Server::new();
        server.check(&[("SET a v EX 10", "+OK"), ("COPY a a DB 1", ":1")]);
        server.check(&[
            ("FLUSHDB foo", "-ERR syntax error"),
            ("FLUSHALL SYNC x", "-ERR syntax error"),
            ("DBSIZE", ":1"),
            ("FLUSHDB async", "+OK"),
            ("DBSIZE", ":0"),
            ("GET a", "$-1"),
        ]);
        server.db = 1;
        server.check(&[("DBSIZE", ":1"), ("FLUSHALL", "+OK"), ("DBSIZE", ":0")]);
        assert_eq!(server.keyspace.memory(), 0);
    }

    #[test]
    fn databases_are_exchanged() {
        let mut server = Server::new();
        server.check(&[
            ("SET a v", "+OK"),
            ("SWAPDB x y", "-ERR invalid first DB index"),
            ("SWAPDB 0 y", "-ERR invalid second DB index"),
            ("SWAPDB 99 y", "-ERR invalid second DB index"),
            ("SWAPDB 0 99", "-ERR DB index is out of range"),
            ("SWAPDB -1 0", "-ERR DB index is out of range"),
            ("SWAPDB 1 1", "+OK"),
            ("SWAPDB 0 1", "+OK"),
            ("GET a", "$-1"),
        ]);
        server.db = 1;
        server.check(&[("GET a", "$1 v")]);
    }
}
