//! Parts of strings: APPEND, GETRANGE, SETRANGE.

use trefoil_store::txn::Deadline;

use super::{check_len, store_built};
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::{READS, STORES, STORES_FAST};
use crate::spec::{Access, Arg, ArgKind, Command, Group, KeySpec, Spec};

const KEY: Arg = Arg::required("key", ArgKind::Key(0));
const VALUE: Arg = Arg::required("value", ArgKind::String);

pub(super) const APPEND: Command<DataHandler> = Command::new(
    Spec {
        name: "append",
        arity: 3,
        flags: STORES_FAST,
        keys: &[KeySpec::one(1, Access::Extend)],
        group: Group::String,
        since: "2.0.0",
        summary: "Adds bytes to the end of a string; a missing one counts as empty.",
        complexity: "O(1), amortized over the growth of the string",
        args: &[KEY, VALUE],
        ..Spec::BASE
    },
    append,
);

fn append(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let (key, suffix) = (call.key(1), call.arg(2));
    let len = match call.txn.string_to_change(&key)?.map(|view| view.bytes().len()) {
        None => {
            call.txn.put(&key, suffix.into(), Deadline::None);
            suffix.len()
        }
        Some(len) => {
            check_len(call, len.checked_add(suffix.len()))?;
            call.txn.append(&key, suffix);
            len + suffix.len()
        }
    };
    call.out.integer(len as i64);
    Ok(())
}

const GETRANGE_SPEC: Spec = Spec {
    name: "getrange",
    arity: 4,
    flags: READS,
    keys: &[KeySpec::one(1, Access::Read)],
    group: Group::String,
    since: "2.4.0",
    summary: "Shows the bytes of a string from one position to another.",
    complexity: "O(N) in the number of bytes shown",
    args: &[KEY, Arg::required("start", ArgKind::Integer), Arg::required("end", ArgKind::Integer)],
    ..Spec::BASE
};

pub(super) const GETRANGE: Command<DataHandler> = Command::new(GETRANGE_SPEC, getrange);

pub(super) const SUBSTR: Command<DataHandler> = Command::new(
    Spec { name: "substr", since: "1.0.0", summary: "The old name of GETRANGE.", ..GETRANGE_SPEC },
    getrange,
);

fn getrange(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    let key = call.key(1);
    let bytes = call.txn.string(&key)?.map_or(&[][..], |view| view.bytes());
    let both_from_end_and_crossed = start < 0 && end < 0 && start > end;
    let len = bytes.len() as i64;
    let from_start = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if both_from_end_and_crossed || start > end {
        call.out.bulk(b"");
    } else {
        call.out.bulk(&bytes[start as usize..=end as usize]);
    }
    Ok(())
}

pub(super) const SETRANGE: Command<DataHandler> = Command::new(
    Spec {
        name: "setrange",
        arity: 4,
        flags: STORES,
        keys: &[KeySpec::one(1, Access::Update)],
        group: Group::String,
        since: "2.2.0",
        summary: "Overwrites bytes of a string from a position on, padding with zero bytes.",
        complexity: "O(M) in the number of bytes written",
        args: &[KEY, Arg::required("offset", ArgKind::Integer), VALUE],
        ..Spec::BASE
    },
    setrange,
);

fn setrange(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let offset = usize::try_from(call.integer(2)?).map_err(|_| CommandError::OffsetOutOfRange)?;
    let (key, bytes) = (call.key(1), call.arg(3));
    let len = call.txn.string_to_change(&key)?.map(|view| view.bytes().len());
    if bytes.is_empty() {
        call.out.integer(len.unwrap_or(0) as i64);
        return Ok(());
    }
    check_len(call, offset.checked_add(bytes.len()))?;
    let end = offset + bytes.len();
    if len.is_some() {
        call.txn.set_range(&key, offset, bytes);
    } else {
        let mut value = vec![0; end];
        value[offset..].copy_from_slice(bytes);
        store_built(call.txn, &key, value, Deadline::None);
    }
    call.out.integer(len.unwrap_or(0).max(end) as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";

    #[test]
    fn strings_grow_at_the_end() {
        let mut server = Server::new();
        server.check(&[
            ("APPEND k \"\"", ":0"),
            ("EXISTS k", ":1"),
            ("APPEND k ab", ":2"),
            ("SETEX k 10 1", "+OK"),
            ("APPEND k 2", ":2"),
            ("GET k", "$2 12"),
            ("TTL k", ":10"),
        ]);
        server.string_len_max = 4;
        server.check(&[("APPEND k 34", ":4"), ("APPEND k 5", TOO_LONG), ("GET k", "$4 1234")]);
    }

    #[test]
    fn ranges_are_cut_to_the_string() {
        let mut server = Server::new();
        server.check(&[("SET k hello", "+OK")]);
        for (range, part) in [
            ("0 -1", "$5 hello"),
            ("-2 -1", "$2 lo"),
            ("4 2", "$0 "),
            ("-1 -2", "$0 "),
            ("-100 100", "$5 hello"),
            ("5 5", "$0 "),
            ("1 1", "$1 e"),
            ("-100 -50", "$1 h"),
            ("-100 -99999", "$0 "),
            ("0 -9223372036854775808", "$1 h"),
            ("-9223372036854775808 9223372036854775807", "$5 hello"),
            ("a 1", "-ERR value is not an integer or out of range"),
        ] {
            server.check(&[(&format!("GETRANGE k {range}"), part)]);
        }
        server.check(&[("GETRANGE none 0 -1", "$0 "), ("SUBSTR k 0 1", "$2 he")]);
    }

    #[test]
    fn ranges_are_overwritten_with_padding() {
        let mut server = Server::new();
        server.string_len_max = 100;
        server.check(&[
            ("SETRANGE k 5 \"\"", ":0"),
            ("EXISTS k", ":0"),
            ("SETRANGE k -1 a", "-ERR offset is out of range"),
            ("SETRANGE k a \"\"", "-ERR value is not an integer or out of range"),
            ("SETRANGE k 3 ab", ":5"),
            ("GET k", "$5 \\x00\\x00\\x00ab"),
            ("SETRANGE k 1 xy", ":5"),
            ("GET k", "$5 \\x00xyab"),
            ("SETRANGE k 99 ab", TOO_LONG),
            ("SETRANGE k 9223372036854775807 ab", TOO_LONG),
            ("SETRANGE k 200 \"\"", ":5"),
            ("SETRANGE k 6 z", ":7"),
            ("GET k", "$7 \\x00xyab\\x00z"),
        ]);
    }
}
