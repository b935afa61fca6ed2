//! SET and the commands that it replaced.

use trefoil_store::txn::Deadline;

use super::{reply_string, store};
use crate::call::{Call, DataHandler};
use crate::deadline::{EX, EXAT, PX, PXAT, Timing};
use crate::error::CommandError;
use crate::families::{STORES, STORES_FAST};
use crate::spec::{Access, Arg, ArgKind, Command, Group, KeySpec, Spec};

const KEY: Arg = Arg::required("key", ArgKind::Key(0));
const VALUE: Arg = Arg::required("value", ArgKind::String);

pub(super) const SET: Command<DataHandler> = Command::new(
    Spec {
        name: "set",
        arity: -3,
        flags: STORES,
        keys: &[KeySpec::one(1, Access::Variable)],
        group: Group::String,
        summary: "Makes a key hold a string, whatever it held before.",
        args: &[
            KEY,
            VALUE,
            Arg::optional(
                "condition",
                "",
                ArgKind::OneOf(&[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::behind("comparison-value", "IFEQ", ArgKind::String),
                ]),
            ),
            Arg::optional("get", "GET", ArgKind::PureToken),
            Arg::optional(
                "expiration",
                "",
                ArgKind::OneOf(&[EX, PX, EXAT, PXAT, Arg::word("keepttl", "KEEPTTL")]),
            ),
        ],
        ..Spec::BASE
    },
    set,
);

fn set(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    if call.len() > 3 {
        return set_with_options(call);
    }
    let key = call.key(1);
    call.txn.put(&key, call.arg(2).into(), Deadline::None);
    call.out.ok();
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition<'c> {
    Always,
    Absent,
    Present,
    Equal(&'c [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expiration {
    Never,
    Kept,
    /// The number at this argument.
    Given(Timing, usize),
}

struct Options<'c> {
    condition: Condition<'c>,
    get: bool,
    expiration: Expiration,
}

impl<'c> Options<'c> {
    fn parse(call: &Call<'c, '_>) -> Result<Options<'c>, CommandError> {
        let mut options =
            Options { condition: Condition::Always, get: false, expiration: Expiration::Never };
        let mut at = 3;
        while at < call.len() {
            at += options.accept(call, at).ok_or(CommandError::Syntax)?;
        }
        Ok(options)
    }

    /// Takes the option at `at` and says how many arguments it has. None: it is unknown or does not
    /// go with what came before.
    fn accept(&mut self, call: &Call<'c, '_>, at: usize) -> Option<usize> {
        let has_value = at + 1 < call.len();
        if let Some(timing) = Timing::announced_by(call.arg(at)) {
            let fits = match self.expiration {
                Expiration::Never => true,
                Expiration::Kept => false,
                Expiration::Given(before, _) => before == timing,
            };
            self.expiration = Expiration::Given(timing, at + 1);
            return (fits && has_value).then_some(2);
        }
        if call.is(at, "KEEPTTL") {
            let fits = !matches!(self.expiration, Expiration::Given(..));
            self.expiration = Expiration::Kept;
            return fits.then_some(1);
        }
        if call.is(at, "GET") {
            self.get = true;
            return Some(1);
        }
        if call.is(at, "IFEQ") && has_value && self.condition == Condition::Always {
            self.condition = Condition::Equal(call.arg(at + 1));
            return Some(2);
        }
        let condition = match () {
            () if call.is(at, "NX") => Condition::Absent,
            () if call.is(at, "XX") => Condition::Present,
            () => return None,
        };
        let fits = self.condition == Condition::Always || self.condition == condition;
        self.condition = condition;
        fits.then_some(1)
    }
}

fn set_with_options(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let options = Options::parse(call)?;
    let deadline = match options.expiration {
        Expiration::Never => Deadline::None,
        Expiration::Kept => Deadline::Keep,
        Expiration::Given(timing, at) => Deadline::At(call.deadline(at, timing, "set")?),
    };
    let (key, value) = (call.key(1), call.arg(2));
    let applies = match options.condition {
        Condition::Always if !options.get => true,
        Condition::Absent if !options.get => call.txn.peek(&key).is_none(),
        Condition::Present if !options.get => call.txn.peek(&key).is_some(),
        condition => {
            let view = call.txn.string(&key)?;
            if options.get {
                reply_string(&mut call.out, view);
            }
            match condition {
                Condition::Always => true,
                Condition::Absent => view.is_none(),
                Condition::Present => view.is_some(),
                Condition::Equal(expected) => view.is_some_and(|view| view.bytes() == expected),
            }
        }
    };
    if applies {
        store(call.txn, &key, value, deadline);
    }
    match (options.get, applies) {
        (true, _) => {}
        (false, true) => call.out.ok(),
        (false, false) => call.out.null(),
    }
    Ok(())
}

pub(super) const SETNX: Command<DataHandler> = Command::new(
    Spec {
        name: "setnx",
        arity: 3,
        flags: STORES_FAST,
        keys: &[KeySpec::one(1, Access::Insert)],
        group: Group::String,
        summary: "Makes a key hold a string unless it holds something already.",
        args: &[KEY, VALUE],
        ..Spec::BASE
    },
    setnx,
);

fn setnx(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(1);
    let absent = call.txn.peek(&key).is_none();
    if absent {
        call.txn.put(&key, call.arg(2).into(), Deadline::None);
    }
    call.out.integer(i64::from(absent));
    Ok(())
}

pub(super) const SETEX: Command<DataHandler> = Command::new(
    Spec {
        name: "setex",
        arity: 4,
        flags: STORES,
        keys: &[KeySpec::one(1, Access::Overwrite)],
        group: Group::String,
        since: "2.0.0",
        summary: "Makes a key hold a string for some seconds.",
        args: &[KEY, Arg::required("seconds", ArgKind::Integer), VALUE],
        ..Spec::BASE
    },
    |call| set_for(call, Timing::InSeconds, "setex"),
);

pub(super) const PSETEX: Command<DataHandler> = Command::new(
    Spec {
        name: "psetex",
        arity: 4,
        flags: STORES,
        keys: &[KeySpec::one(1, Access::Overwrite)],
        group: Group::String,
        since: "2.6.0",
        summary: "Makes a key hold a string for some milliseconds.",
        args: &[KEY, Arg::required("milliseconds", ArgKind::Integer), VALUE],
        ..Spec::BASE
    },
    |call| set_for(call, Timing::InMillis, "psetex"),
);

fn set_for(
    call: &mut Call<'_, '_>,
    timing: Timing,
    command: &'static str,
) -> Result<(), CommandError> {
    let deadline = call.deadline(2, timing, command)?;
    let key = call.key(1);
    call.txn.put(&key, call.arg(3).into(), Deadline::At(deadline));
    call.out.ok();
    Ok(())
}

pub(super) const GETSET: Command<DataHandler> = Command::new(
    Spec {
        name: "getset",
        arity: 3,
        flags: STORES_FAST,
        keys: &[KeySpec::one(1, Access::ReadUpdate)],
        group: Group::String,
        summary: "Makes a key hold a string and shows the one it held before.",
        args: &[KEY, VALUE],
        ..Spec::BASE
    },
    getset,
);

fn getset(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(1);
    reply_string(&mut call.out, call.txn.string(&key)?);
    call.txn.put(&key, call.arg(2).into(), Deadline::None);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    const INVALID: &str = "-ERR invalid expire time in 'set' command";

    #[test]
    fn conditions_decide_whether_set_stores() {
        let mut server = Server::new();
        server.check(&[
            ("SET k v XX", "$-1"),
            ("SET k v XX GET", "$-1"),
            ("EXISTS k", ":0"),
            ("SET k v NX", "+OK"),
            ("SET k w NX", "$-1"),
            ("SET k w nx get", "$1 v"),
            ("GET k", "$1 v"),
            ("SET k w XX GET", "$1 v"),
            ("SET k x IFEQ v", "$-1"),
            ("SET k x IFEQ w", "+OK"),
            ("SET k y IFEQ w GET", "$1 x"),
            ("SET k y IFEQ x GET", "$1 x"),
            ("GET k", "$1 y"),
            ("SET none y IFEQ x", "$-1"),
            ("SET fresh y GET", "$-1"),
            ("GET fresh", "$1 y"),
            ("SETNX k z", ":0"),
            ("SETNX new z", ":1"),
            ("GETSET k 1", "$1 y"),
            ("GETSET newer 1", "$-1"),
        ]);
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let mut server = Server::new();
        for options in [
            "NX XX",
            "EX",
            "EX 10 PX 10",
            "KEEPTTL EX 10",
            "EX 10 KEEPTTL",
            "IFEQ",
            "IFEQ v NX",
            "XX IFEQ v",
            "IFEQ v IFEQ w",
            "PERSIST",
            "FOO",
        ] {
            server.check(&[(&format!("SET k v {options}"), "-ERR syntax error")]);
        }
        server.check(&[
            ("SET k v EX a NX XX", "-ERR syntax error"),
            ("SET k v GET GET NX NX", "$-1"),
            ("SET k v KEEPTTL KEEPTTL", "+OK"),
        ]);
    }

    #[test]
    fn deadlines_are_checked_and_kept() {
        let mut server = Server::new();
        server.check(&[
            ("SET k v EX 0", INVALID),
            ("SET k v EX -1", INVALID),
            ("SET k v PXAT -1", INVALID),
            ("SET k v EX 9223372036854775807", INVALID),
            ("SET k v PX 9223372036854775807", INVALID),
            ("SET k v EXAT 9223372036854776", INVALID),
            ("SET k v EX a", "-ERR value is not an integer or out of range"),
            ("SET k v PX 1.5", "-ERR value is not an integer or out of range"),
            ("EXISTS k", ":0"),
            ("SET k v EXAT 9223372036854775", "+OK"),
            ("SET k v EX 10 EX 20", "+OK"),
            ("TTL k", ":20"),
            ("SET k w KEEPTTL", "+OK"),
            ("TTL k", ":20"),
            ("SET k w", "+OK"),
            ("TTL k", ":-1"),
            ("SET k w PX 1500", "+OK"),
            ("PTTL k", ":1500"),
            ("SET k w PXAT 1", "+OK"),
            ("GET k", "$-1"),
            ("SETEX k 10 v", "+OK"),
            ("TTL k", ":10"),
            ("SETEX k 0 v", "-ERR invalid expire time in 'setex' command"),
            ("SETEX k a v", "-ERR value is not an integer or out of range"),
            ("PSETEX k -1 v", "-ERR invalid expire time in 'psetex' command"),
            ("PSETEX k 10 v", "+OK"),
            ("PTTL k", ":10"),
        ]);
        server.pass_ms(10);
        server.check(&[("GET k", "$-1"), ("TTL k", ":-2")]);
    }

    #[test]
    fn null_is_spelled_as_the_protocol_says() {
        let mut server = Server::new();
        server.speak_resp3();
        server.check(&[("GET k", "_"), ("SET k v XX", "_"), ("MGET k", "*1 _")]);
    }
}
