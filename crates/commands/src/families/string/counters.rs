//! Strings that are numbers.

use trefoil_store::txn::Deadline;

use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::extended::{Extended, Parsed};
use crate::families::STORES_FAST;
use crate::numbers::parse_i64;
use crate::spec::{Access, Arg, ArgKind, Command, Group, KeySpec, Spec};

const KEY: Arg = Arg::required("key", ArgKind::Key(0));

/// What the five have in common.
const COUNTER: Spec = Spec {
    flags: STORES_FAST,
    keys: &[KeySpec::one(1, Access::ReadUpdate)],
    group: Group::String,
    ..Spec::BASE
};

pub(super) const INCR: Command<DataHandler> = Command::new(
    Spec {
        name: "incr",
        arity: 2,
        summary: "Adds one to an integer; a missing one counts as 0.",
        args: &[KEY],
        ..COUNTER
    },
    |call| add(call, 1),
);

pub(super) const DECR: Command<DataHandler> = Command::new(
    Spec {
        name: "decr",
        arity: 2,
        summary: "Subtracts one from an integer; a missing one counts as 0.",
        args: &[KEY],
        ..COUNTER
    },
    |call| add(call, -1),
);

pub(super) const INCRBY: Command<DataHandler> = Command::new(
    Spec {
        name: "incrby",
        arity: 3,
        summary: "Adds a number to an integer; a missing one counts as 0.",
        args: &[KEY, Arg::required("increment", ArgKind::Integer)],
        ..COUNTER
    },
    |call| add(call, call.integer(2)?),
);

pub(super) const DECRBY: Command<DataHandler> = Command::new(
    Spec {
        name: "decrby",
        arity: 3,
        summary: "Subtracts a number from an integer; a missing one counts as 0.",
        args: &[KEY, Arg::required("decrement", ArgKind::Integer)],
        ..COUNTER
    },
    decrby,
);

fn decrby(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let increment = call.integer(2)?.checked_neg().ok_or(CommandError::DecrementOverflow)?;
    add(call, increment)
}

fn add(call: &mut Call<'_, '_>, increment: i64) -> Result<(), CommandError> {
    let key = call.key(1);
    let number = match call.txn.string_to_change(&key)? {
        None => 0,
        Some(view) => parse_i64(view.bytes()).ok_or(CommandError::NotInteger)?,
    };
    let sum = number.checked_add(increment).ok_or(CommandError::Overflow)?;
    let mut digits = itoa::Buffer::new();
    call.txn.put(&key, digits.format(sum).as_bytes().into(), Deadline::Keep);
    call.out.integer(sum);
    Ok(())
}

pub(super) const INCRBYFLOAT: Command<DataHandler> = Command::new(
    Spec {
        name: "incrbyfloat",
        arity: 3,
        since: "2.6.0",
        summary: "Adds a number to a number with a fraction; a missing one counts as 0.",
        args: &[KEY, Arg::required("increment", ArgKind::Double)],
        ..COUNTER
    },
    incrbyfloat,
);

fn incrbyfloat(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(1);
    let number = match call.txn.string_to_change(&key)? {
        None => Parsed::Finite(Extended::ZERO),
        Some(view) => Extended::parse(view.bytes()).ok_or(CommandError::NotFloat)?,
    };
    let increment = Extended::parse(call.arg(2)).ok_or(CommandError::NotFloat)?;
    let (Parsed::Finite(number), Parsed::Finite(increment)) = (number, increment) else {
        return Err(CommandError::NotFinite);
    };
    let text = number.plus(increment).ok_or(CommandError::NotFinite)?.to_text();
    call.txn.put(&key, text.as_bytes().into(), Deadline::Keep);
    call.out.bulk(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
    const OVERFLOW: &str = "-ERR increment or decrement would overflow";

    #[test]
    fn integers_are_counted_within_64_bits() {
        let mut server = Server::new();
        server.check(&[
            ("INCR n", ":1"),
            ("INCRBY n 41", ":42"),
            ("DECR n", ":41"),
            ("DECRBY n -9", ":50"),
            ("GET n", "$2 50"),
            ("DECRBY n -9223372036854775808", "-ERR decrement would overflow"),
            ("INCRBY n 9223372036854775808", NOT_INTEGER),
            ("DECRBY n x", NOT_INTEGER),
            ("SET n 9223372036854775807", "+OK"),
            ("INCR n", OVERFLOW),
            ("GET n", "$19 9223372036854775807"),
            ("SET n -9223372036854775808", "+OK"),
            ("DECR n", OVERFLOW),
            ("SET n 01", "+OK"),
            ("INCR n", NOT_INTEGER),
            ("SET n \" 1\"", "+OK"),
            ("INCR n", NOT_INTEGER),
            ("SETEX n 10 1", "+OK"),
            ("INCR n", ":2"),
            ("TTL n", ":10"),
        ]);
    }

    #[test]
    fn floats_are_added_and_shown_without_exponent() {
        let mut server = Server::new();
        server.check(&[
            ("INCRBYFLOAT f 10.5", "$4 10.5"),
            ("INCRBYFLOAT f 0.1", "$4 10.6"),
            ("SET f 5.0e3", "+OK"),
            ("INCRBYFLOAT f 200", "$4 5200"),
            ("GET f", "$4 5200"),
            ("INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity"),
            ("INCRBYFLOAT f nan", "-ERR value is not a valid float"),
            ("INCRBYFLOAT f x", "-ERR value is not a valid float"),
            ("SET f x", "+OK"),
            ("INCRBYFLOAT f 1", "-ERR value is not a valid float"),
            ("SETEX f 10 1", "+OK"),
            ("INCRBYFLOAT f -1", "$1 0"),
            ("TTL f", ":10"),
        ]);
    }
}
