//! TTL and its relatives: when a key expires.

use super::KEY;
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::READS_FAST;
use crate::spec::{Access, Command, KeySpec, Spec};

/// What the four have in common.
const SHOWS: Spec = Spec {
    arity: 2,
    flags: READS_FAST,
    keys: &[KeySpec::one(1, Access::Read)],
    args: &[KEY],
    ..Spec::BASE
};

pub(super) const TTL: Command<DataHandler> = Command::new(
    Spec {
        name: "ttl",
        summary: "Tells how many seconds a key has left.",
        tips: &["nondeterministic_output"],
        ..SHOWS
    },
    |call| show(call, |deadline, now| seconds(deadline.saturating_sub(now))),
);

pub(super) const PTTL: Command<DataHandler> = Command::new(
    Spec {
        name: "pttl",
        since: "2.6.0",
        summary: "Tells how many milliseconds a key has left.",
        tips: &["nondeterministic_output"],
        ..SHOWS
    },
    |call| show(call, u64::saturating_sub),
);

pub(super) const EXPIRETIME: Command<DataHandler> = Command::new(
    Spec {
        name: "expiretime",
        since: "7.0.0",
        summary: "Tells when a key expires, as a Unix time in seconds.",
        ..SHOWS
    },
    |call| show(call, |deadline, _| seconds(deadline)),
);

pub(super) const PEXPIRETIME: Command<DataHandler> = Command::new(
    Spec {
        name: "pexpiretime",
        since: "7.0.0",
        summary: "Tells when a key expires, as a Unix time in milliseconds.",
        ..SHOWS
    },
    |call| show(call, |deadline, _| deadline),
);

/// Milliseconds to the nearest second.
fn seconds(millis: u64) -> u64 {
    millis.saturating_add(500) / 1000
}

/// Answers what `of` makes of (deadline, now), -1 for a key without a deadline and -2 for no key.
fn show(call: &mut Call<'_, '_>, of: fn(u64, u64) -> u64) -> Result<(), CommandError> {
    let key = call.key(1);
    let answer = match call.txn.meta(&key).map(|meta| meta.deadline) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => i64::try_from(of(deadline, call.txn.now_ms())).unwrap_or(i64::MAX),
    };
    call.out.integer(answer);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[test]
    fn times_are_rounded_to_the_nearest_second() {
        let mut server = Server::new();
        server.check(&[
            ("TTL none", ":-2"),
            ("EXPIRETIME none", ":-2"),
            ("SET k v", "+OK"),
            ("TTL k", ":-1"),
            ("PEXPIRETIME k", ":-1"),
            ("PEXPIRE k 1499", ":1"),
            ("TTL k", ":1"),
            ("PTTL k", ":1499"),
            ("PEXPIRE k 1500", ":1"),
            ("TTL k", ":2"),
            ("PEXPIREAT k 4000000000501", ":1"),
            ("EXPIRETIME k", ":4000000001"),
            ("PEXPIRETIME k", ":4000000000501"),
        ]);
    }
}
