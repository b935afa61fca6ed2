//! SETBIT and GETBIT.

use trefoil_store::txn::Deadline;

use super::{KEY, bit_offset};
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::string::store_built;
use crate::families::{READS_FAST, STORES};
use crate::spec::{Access, Arg, ArgKind, Command, Group, KeySpec, Spec};

pub(super) const SETBIT: Command<DataHandler> = Command::new(
    Spec {
        name: "setbit",
        arity: 4,
        flags: STORES,
        keys: &[KeySpec::one(1, Access::ReadUpdate)],
        group: Group::Bitmap,
        since: "2.2.0",
        summary: "Sets or clears a bit of a string and tells what it was.",
        args: &[
            KEY,
            Arg::required("offset", ArgKind::Integer),
            Arg::required("value", ArgKind::Integer),
        ],
        ..Spec::BASE
    },
    setbit,
);

fn setbit(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let bit = bit_offset(call, call.arg(2), 1)?;
    let set = match call.arg(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(CommandError::Other("ERR bit is not an integer or out of range")),
    };
    let key = call.key(1);
    let (at, mask) = place(bit);
    let current = call.txn.string_to_change(&key)?;
    let (exists, byte) =
        (current.is_some(), current.and_then(|view| view.bytes().get(at).copied()));
    let was_set = byte.is_some_and(|byte| byte & mask != 0);
    let changed = if set { byte.unwrap_or(0) | mask } else { byte.unwrap_or(0) & !mask };
    if !exists {
        let mut bytes = vec![0; at + 1];
        bytes[at] = changed;
        store_built(call.txn, &key, bytes, Deadline::None);
    } else if byte != Some(changed) {
        call.txn.set_range(&key, at, &[changed]);
    }
    call.out.integer(i64::from(was_set));
    Ok(())
}

pub(super) const GETBIT: Command<DataHandler> = Command::new(
    Spec {
        name: "getbit",
        arity: 3,
        flags: READS_FAST,
        keys: &[KeySpec::one(1, Access::Read)],
        group: Group::Bitmap,
        since: "2.2.0",
        summary: "Shows a bit of a string.",
        args: &[KEY, Arg::required("offset", ArgKind::Integer)],
        ..Spec::BASE
    },
    getbit,
);

fn getbit(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let (at, mask) = place(bit_offset(call, call.arg(2), 1)?);
    let key = call.key(1);
    let byte = call.txn.string(&key)?.and_then(|view| view.bytes().get(at).copied());
    call.out.integer(i64::from(byte.unwrap_or(0) & mask != 0));
    Ok(())
}

/// The byte that a bit is in, and its mask.
fn place(bit: u64) -> (usize, u8) {
    ((bit / 8) as usize, 0x80 >> (bit % 8))
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    const BAD_OFFSET: &str = "-ERR bit offset is not an integer or out of range";
    const BAD_BIT: &str = "-ERR bit is not an integer or out of range";

    #[test]
    fn bits_are_set_and_shown() {
        let mut server = Server::new();
        server.check(&[
            ("SETBIT k 7 1", ":0"),
            ("GET k", "$1 \\x01"),
            ("SETBIT k 7 0", ":1"),
            ("SETBIT k 17 1", ":0"),
            ("STRLEN k", ":3"),
            ("GETBIT k 17", ":1"),
            ("GETBIT k 16", ":0"),
            ("GETBIT k 4294967295", ":0"),
            ("GETBIT none 1", ":0"),
            ("SETBIT e 8 0", ":0"),
            ("STRLEN e", ":2"),
            ("OBJECT ENCODING e", "$3 raw"),
            ("SETBIT k a 1", BAD_OFFSET),
            ("SETBIT k -1 1", BAD_OFFSET),
            ("SETBIT k 4294967296 1", BAD_OFFSET),
            ("GETBIT k 4294967296", BAD_OFFSET),
            ("SETBIT k 4294967295 2", BAD_BIT),
            ("SETBIT k 7 x", BAD_BIT),
        ]);
    }
}
