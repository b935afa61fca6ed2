//! EXPIRE and its relatives, and PERSIST.

use super::KEY;
use crate::call::{Call, DataHandler};
use crate::deadline::{Timing, give_deadline};
use crate::error::CommandError;
use crate::families::WRITES_FAST;
use crate::spec::{Access, Arg, ArgKind, Command, KeySpec, Spec};

const CONDITION: Arg = Arg::optional(
    "condition",
    "",
    ArgKind::OneOf(&[
        Arg::word("nx", "NX"),
        Arg::word("xx", "XX"),
        Arg::word("gt", "GT"),
        Arg::word("lt", "LT"),
    ]),
);

/// What the four have in common.
const EXPIRES: Spec =
    Spec { arity: -3, flags: WRITES_FAST, keys: &[KeySpec::one(1, Access::Update)], ..Spec::BASE };

pub(super) const EXPIRE: Command<DataHandler> = Command::new(
    Spec {
        name: "expire",
        summary: "Lets a key live for some seconds more.",
        args: &[KEY, Arg::required("seconds", ArgKind::Integer), CONDITION],
        ..EXPIRES
    },
    |call| expire(call, Timing::InSeconds, "expire"),
);

pub(super) const PEXPIRE: Command<DataHandler> = Command::new(
    Spec {
        name: "pexpire",
        since: "2.6.0",
        summary: "Lets a key live for some milliseconds more.",
        args: &[KEY, Arg::required("milliseconds", ArgKind::Integer), CONDITION],
        ..EXPIRES
    },
    |call| expire(call, Timing::InMillis, "pexpire"),
);

pub(super) const EXPIREAT: Command<DataHandler> = Command::new(
    Spec {
        name: "expireat",
        since: "1.2.0",
        summary: "Lets a key live until a Unix time in seconds.",
        args: &[KEY, Arg::required("unix-time-seconds", ArgKind::UnixTime), CONDITION],
        ..EXPIRES
    },
    |call| expire(call, Timing::AtSeconds, "expireat"),
);

pub(super) const PEXPIREAT: Command<DataHandler> = Command::new(
    Spec {
        name: "pexpireat",
        since: "2.6.0",
        summary: "Lets a key live until a Unix time in milliseconds.",
        args: &[KEY, Arg::required("unix-time-milliseconds", ArgKind::UnixTime), CONDITION],
        ..EXPIRES
    },
    |call| expire(call, Timing::AtMillis, "pexpireat"),
);

/// When a deadline may be changed.
#[derive(Default)]
struct Conditions {
    has_none: bool,
    has_one: bool,
    later: bool,
    earlier: bool,
}

impl Conditions {
    fn parse(call: &Call<'_, '_>) -> Result<Conditions, CommandError> {
        let mut conditions = Conditions::default();
        for at in 3..call.len() {
            match () {
                () if call.is(at, "NX") => conditions.has_none = true,
                () if call.is(at, "XX") => conditions.has_one = true,
                () if call.is(at, "GT") => conditions.later = true,
                () if call.is(at, "LT") => conditions.earlier = true,
                () => {
                    let word = String::from_utf8_lossy(call.arg(at));
                    return Err(CommandError::Detailed(format!("ERR Unsupported option {word}")));
                }
            }
        }
        if conditions.has_none && (conditions.has_one || conditions.later || conditions.earlier) {
            return Err(CommandError::Other(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if conditions.later && conditions.earlier {
            return Err(CommandError::Other(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(conditions)
    }

    /// A key without a deadline lives for ever: no deadline is later than that.
    fn allow(&self, current: Option<u64>, moment: i64) -> bool {
        let current = current.map(|current| i64::try_from(current).unwrap_or(i64::MAX));
        !(self.has_none && current.is_some()
            || self.has_one && current.is_none()
            || self.later && current.is_none_or(|current| moment <= current)
            || self.earlier && current.is_some_and(|current| moment >= current))
    }
}

fn expire(
    call: &mut Call<'_, '_>,
    timing: Timing,
    command: &'static str,
) -> Result<(), CommandError> {
    let conditions = Conditions::parse(call)?;
    let moment = timing
        .moment(call.integer(2)?, call.txn.now_ms())
        .ok_or(CommandError::InvalidExpire(command))?;
    let key = call.key(1);
    let allowed = call.txn.peek(&key).is_some_and(|meta| conditions.allow(meta.deadline, moment));
    if allowed {
        // What lies before 1970 has passed, whatever the clock says.
        give_deadline(call.txn, &key, Some(u64::try_from(moment).unwrap_or(0)));
    }
    call.out.integer(i64::from(allowed));
    Ok(())
}

pub(super) const PERSIST: Command<DataHandler> = Command::new(
    Spec {
        name: "persist",
        arity: 2,
        since: "2.2.0",
        summary: "Lets a key live for ever.",
        args: &[KEY],
        ..EXPIRES
    },
    persist,
);

fn persist(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let key = call.key(1);
    let had_deadline = call.txn.peek(&key).is_some_and(|meta| meta.deadline.is_some());
    if had_deadline {
        call.txn.set_deadline(&key, None);
    }
    call.out.integer(i64::from(had_deadline));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[test]
    fn deadlines_come_and_go() {
        let mut server = Server::new();
        server.check(&[
            ("EXPIRE none 10", ":0"),
            ("SET k v", "+OK"),
            ("EXPIRE k 10", ":1"),
            ("TTL k", ":10"),
            ("PERSIST k", ":1"),
            ("PERSIST k", ":0"),
            ("PERSIST none", ":0"),
            ("PEXPIRE k 1500", ":1"),
            ("PTTL k", ":1500"),
            ("EXPIREAT k 2000000", ":1"),
            ("PEXPIRETIME k", ":2000000000"),
            ("PEXPIREAT k 9223372036854775807", ":1"),
            ("PEXPIRETIME k", ":9223372036854775807"),
            ("PEXPIRE k 5", ":1"),
        ]);
        server.pass_ms(4);
        server.check(&[("GET k", "$1 v")]);
        server.pass_ms(1);
        server.check(&[("GET k", "$-1"), ("DBSIZE", ":0")]);
    }

    #[test]
    fn a_deadline_in_the_past_deletes() {
        let mut server = Server::new();
        for line in [
            "EXPIRE k -1",
            "EXPIRE k 0",
            "PEXPIRE k -9223372036854775808",
            "EXPIREAT k 1",
            "PEXPIREAT k -5",
            "EXPIRE k -1 LT",
        ] {
            server.check(&[("SET k v", "+OK"), (line, ":1"), ("DBSIZE", ":0")]);
        }
        server.check(&[
            ("SET k v EX 100", "+OK"),
            ("EXPIRE k -1 GT", ":0"),
            ("EXPIRE k -1 NX", ":0"),
            ("TTL k", ":100"),
        ]);
    }

    #[test]
    fn conditions_compare_with_the_deadline_that_is() {
        let mut server = Server::new();
        server.check(&[
            ("SET k v", "+OK"),
            ("EXPIRE k 10 XX GT", ":0"),
            ("EXPIRE k 10 XX", ":0"),
            ("EXPIRE k 10 GT", ":0"),
            ("EXPIRE k 10 LT", ":1"),
            ("EXPIRE k 20 LT", ":0"),
            ("EXPIRE k 10 GT", ":0"),
            ("EXPIRE k 20 gt", ":1"),
            ("EXPIRE k 20 NX", ":0"),
            ("EXPIRE k 10 XX XX LT", ":1"),
            ("TTL k", ":10"),
        ]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut server = Server::new();
        server.check(&[
            ("SET k v", "+OK"),
            ("EXPIRE k a", "-ERR value is not an integer or out of range"),
            ("EXPIRE none a", "-ERR value is not an integer or out of range"),
            ("EXPIRE none 10 foo", "-ERR Unsupported option foo"),
            ("EXPIRE k a foo", "-ERR Unsupported option foo"),
            (
                "EXPIRE k 10 NX XX",
                "-ERR NX and XX, GT or LT options at the same time are not compatible",
            ),
            (
                "EXPIRE k 10 NX GT",
                "-ERR NX and XX, GT or LT options at the same time are not compatible",
            ),
            ("EXPIRE k 10 GT LT", "-ERR GT and LT options at the same time are not compatible"),
            ("EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command"),
            ("EXPIRE k -9223372036854775808", "-ERR invalid expire time in 'expire' command"),
            ("PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"),
            ("EXPIREAT k 9223372036854775807", "-ERR invalid expire time in 'expireat' command"),
            ("TTL k", ":-1"),
        ]);
    }
}
