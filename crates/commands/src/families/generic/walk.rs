//! SCAN, KEYS, RANDOMKEY, DBSIZE: what looks at a whole database.

use super::type_name;
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::{READS, READS_FAST};
use crate::glob::glob_match;
use crate::numbers::parse_u64;
use crate::spec::{Arg, ArgKind, Command, Flags, Group, Spec};

/// Keys that a step of SCAN looks at unless COUNT says otherwise.
const COUNT_DEFAULT: usize = 10;
/// Types that SCAN may be asked for, whether or not we have keys of them.
const TYPE_NAMES: [&str; 6] = ["string", "list", "set", "zset", "hash", "stream"];

pub(super) const SCAN: Command<DataHandler> = Command::new(
    Spec {
        name: "scan",
        arity: -2,
        flags: READS.with(Flags::WALKS),
        since: "2.8.0",
        summary: "Shows some keys, and the cursor to go on with.",
        complexity: "O(1) for a step, O(N) for all keys of the database",
        args: &[
            Arg::required("cursor", ArgKind::Integer),
            Arg::optional("pattern", "MATCH", ArgKind::Pattern),
            Arg::optional("count", "COUNT", ArgKind::Integer),
            Arg::optional("type", "TYPE", ArgKind::String),
        ],
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        ..Spec::BASE
    },
    scan,
);

struct Filter<'c> {
    pattern: Option<&'c [u8]>,
    type_name: Option<&'static str>,
    count: usize,
}

impl<'c> Filter<'c> {
    fn parse(call: &Call<'c, '_>) -> Result<Filter<'c>, CommandError> {
        let mut filter = Filter { pattern: None, type_name: None, count: COUNT_DEFAULT };
        let mut at = 2;
        while at < call.len() {
            let has_value = at + 1 < call.len();
            match () {
                () if call.is(at, "COUNT") && has_value => {
                    let count = call.integer(at + 1)?;
                    filter.count = usize::try_from(count)
                        .ok()
                        .filter(|&count| count > 0)
                        .ok_or(CommandError::Syntax)?;
                }
                () if call.is(at, "MATCH") && has_value => filter.pattern = Some(call.arg(at + 1)),
                () if call.is(at, "TYPE") && has_value => {
                    filter.type_name = Some(known_type(call.arg(at + 1))?);
                }
                () if call.is(at, "NOVALUES") => {
                    return Err(CommandError::Other(
                        "ERR NOVALUES option can only be used in HSCAN",
                    ));
                }
                () => return Err(CommandError::Syntax),
            }
            at += 2;
        }
        filter.pattern = filter.pattern.filter(|pattern| *pattern != b"*");
        Ok(filter)
    }
}

fn known_type(word: &[u8]) -> Result<&'static str, CommandError> {
    TYPE_NAMES.into_iter().find(|name| word.eq_ignore_ascii_case(name.as_bytes())).ok_or_else(
        || {
            let word = String::from_utf8_lossy(word);
            CommandError::Detailed(format!("ERR unknown type name '{word}'"))
        },
    )
}

fn scan(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let cursor = parse_u64(call.arg(1)).ok_or(CommandError::Other("ERR invalid cursor"))?;
    let filter = Filter::parse(call)?;
    let mut keys: Vec<Box<[u8]>> = Vec::new();
    let next = call.txn.scan(cursor, filter.count, |met| {
        let wanted = filter.type_name.is_none_or(|name| name == type_name(met.kind))
            && filter.pattern.is_none_or(|pattern| glob_match(pattern, met.key));
        if wanted {
            keys.push(met.key.into());
        }
    });
    let mut digits = itoa::Buffer::new();
    call.out.array(2);
    call.out.bulk(digits.format(next).as_bytes());
    call.out.array(keys.len());
    for key in &keys {
        call.out.bulk(key);
    }
    Ok(())
}

pub(super) const KEYS: Command<DataHandler> = Command::new(
    Spec {
        name: "keys",
        arity: 2,
        flags: READS.with(Flags::WALKS).with(Flags::DANGEROUS),
        summary: "Shows all keys that match a pattern.",
        complexity: "O(N) in the number of keys of the database",
        args: &[Arg::required("pattern", ArgKind::Pattern)],
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        ..Spec::BASE
    },
    keys,
);

fn keys(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let pattern = call.arg(1);
    let (all, mut count) = (pattern == b"*", 0);
    let array = call.out.begin_aggregate();
    // One step over everything: no key is met twice.
    call.txn.scan(0, usize::MAX, |met| {
        if all || glob_match(pattern, met.key) {
            call.out.bulk(met.key);
            count += 1;
        }
    });
    call.out.end_array(array, count);
    Ok(())
}

pub(super) const RANDOMKEY: Command<DataHandler> = Command::new(
    Spec {
        name: "randomkey",
        arity: 1,
        flags: READS.with(Flags::WALKS),
        summary: "Shows any key.",
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        ..Spec::BASE
    },
    randomkey,
);

fn randomkey(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    match call.txn.random_key() {
        Some(key) => call.out.bulk(&key),
        None => call.out.null(),
    }
    Ok(())
}

pub(super) const DBSIZE: Command<DataHandler> = Command::new(
    Spec {
        name: "dbsize",
        arity: 1,
        flags: READS_FAST.with(Flags::WALKS),
        group: Group::Server,
        summary: "Counts the keys of the database.",
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        ..Spec::BASE
    },
    dbsize,
);

fn dbsize(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let count = call.txn.count_keys();
    call.out.integer(count as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::testing::Server;

    #[test]
    fn a_whole_scan_meets_every_key() {
        let mut server = Server::new();
        let mut expected = BTreeSet::new();
        for i in 0..1000 {
            server.check(&[(&format!("SET key:{i} v"), "+OK")]);
            expected.insert(format!("key:{i}"));
        }
        let (mut met, mut cursor) = (BTreeSet::new(), "0".to_owned());
        loop {
            let reply = server.run(&format!("SCAN {cursor} COUNT 50"));
            let words: Vec<&str> = reply.split(' ').collect();
            cursor = words[2].to_owned();
            met.extend(words[4..].iter().skip(1).step_by(2).map(|&key| key.to_owned()));
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(met, expected);
        assert!(server.run("KEYS *").starts_with("*1000 "));
        assert!(server.run("KEYS key:99?").starts_with("*10 "));
        assert!(server.run("KEYS *7").starts_with("*100 "));
        server.check(&[("DBSIZE", ":1000")]);
    }

    #[test]
    fn filters_and_mistakes_of_scan() {
        let mut server = Server::new();
        const ALL: &str = "*2 $1 0 *1 $2 k3";
        const NONE: &str = "*2 $1 0 *0";
        const COUNT: &str = "COUNT 100000";
        server.check(&[("SET k3 v", "+OK"), ("PSETEX gone 1 v", "+OK")]);
        server.pass_ms(1);
        for (options, reply) in [
            ("", ALL),
            ("TYPE STRING", ALL),
            ("TYPE hash", NONE),
            ("MATCH k*", ALL),
            ("MATCH no*", NONE),
            ("TYPE foo", "-ERR unknown type name 'foo'"),
            ("COUNT 0", "-ERR syntax error"),
            ("COUNT -1", "-ERR syntax error"),
            ("COUNT a", "-ERR value is not an integer or out of range"),
            ("COUNT", "-ERR syntax error"),
            ("foo x", "-ERR syntax error"),
            ("NOVALUES", "-ERR NOVALUES option can only be used in HSCAN"),
        ] {
            server.check(&[(&format!("SCAN 0 {COUNT} {options}"), reply)]);
        }
        server.check(&[
            ("SCAN a", "-ERR invalid cursor"),
            ("SCAN -1", "-ERR invalid cursor"),
            ("SCAN \"\"", "-ERR invalid cursor"),
            ("SCAN 18446744073709551616", "-ERR invalid cursor"),
            ("SCAN 18446744073709551615", NONE),
            ("SCAN 0 COUNT 9223372036854775807", ALL),
        ]);
    }

    #[test]
    fn a_random_key_is_a_live_one() {
        let mut server = Server::new();
        server.check(&[("RANDOMKEY", "$-1"), ("SET k v", "+OK"), ("RANDOMKEY", "$1 k")]);
        server.db = 3;
        server.check(&[("RANDOMKEY", "$-1"), ("KEYS *", "*0"), ("SCAN 0", "*2 $1 0 *0")]);
    }
}
