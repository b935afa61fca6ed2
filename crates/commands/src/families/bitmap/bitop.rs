//! BITOP: several strings made into one, bit by bit.

use trefoil_store::txn::Deadline;

use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::STORES;
use crate::families::string::store_built;
use crate::spec::{Access, Arg, ArgKind, Command, Group, KeySpec, Spec};

pub(super) const BITOP: Command<DataHandler> = Command::new(
    Spec {
        name: "bitop",
        arity: -4,
        flags: STORES,
        keys: &[KeySpec::one(2, Access::Overwrite), KeySpec::to_end(3, 1, Access::Read)],
        group: Group::Bitmap,
        since: "2.6.0",
        summary: "Joins strings bit by bit and stores the result.",
        complexity: "O(N) in the length of the strings",
        args: &[
            Arg::required(
                "operation",
                ArgKind::OneOf(&[
                    Arg::word("and", "AND"),
                    Arg::word("or", "OR"),
                    Arg::word("xor", "XOR"),
                    Arg::word("not", "NOT"),
                ]),
            ),
            Arg::required("destkey", ArgKind::Key(0)),
            Arg::several("key", ArgKind::Key(1)),
        ],
        ..Spec::BASE
    },
    bitop,
);

#[derive(Clone, Copy)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn parse(call: &Call<'_, '_>) -> Result<Operation, CommandError> {
        match () {
            () if call.is(1, "AND") => Ok(Operation::And),
            () if call.is(1, "OR") => Ok(Operation::Or),
            () if call.is(1, "XOR") => Ok(Operation::Xor),
            () if call.is(1, "NOT") && call.len() == 4 => Ok(Operation::Not),
            () if call.is(1, "NOT") => {
                Err(CommandError::Other("ERR BITOP NOT must be called with a single source key."))
            }
            () => Err(CommandError::Syntax),
        }
    }

    /// Joins another string to what there is; the shorter one counts as padded with zero bytes.
    fn join(self, joined: &mut Vec<u8>, other: &[u8]) {
        if joined.len() < other.len() {
            joined.resize(other.len(), 0);
        }
        let (common, rest) = joined.split_at_mut(other.len());
        let pairs = common.iter_mut().zip(other);
        match self {
            Operation::And => {
                pairs.for_each(|(byte, other)| *byte &= other);
                rest.fill(0);
            }
            Operation::Or => pairs.for_each(|(byte, other)| *byte |= other),
            Operation::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
            Operation::Not => {}
        }
    }
}

fn bitop(call: &mut Call<'_, '_>) -> Result<(), CommandError> {
    let operation = Operation::parse(call)?;
    let mut joined: Option<Vec<u8>> = None;
    for at in 3..call.len() {
        let key = call.key(at);
        let bytes = call.txn.string(&key)?.map_or(&[][..], |view| view.bytes());
        match &mut joined {
            None => joined = Some(bytes.to_vec()),
            Some(joined) => operation.join(joined, bytes),
        }
    }
    let mut joined = joined.unwrap_or_default();
    if matches!(operation, Operation::Not) {
        joined.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let (destination, len) = (call.key(2), joined.len());
    if joined.is_empty() {
        call.txn.delete(&destination);
    } else {
        store_built(call.txn, &destination, joined, Deadline::None);
    }
    call.out.integer(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[test]
    fn strings_are_joined_as_if_padded_with_zeros() {
        let mut server = Server::new();
        server.run_words(&[b"MSET", b"b", b"foobar", b"ff", &[0xff, 0xff], b"e", b""]);
        server.check(&[
            ("BITOP NOT d ff", ":2"),
            ("GET d", "$2 \\x00\\x00"),
            ("BITOP AND d b ff", ":6"),
            ("GET d", "$6 fo\\x00\\x00\\x00\\x00"),
            ("BITOP AND d ff b", ":6"),
            ("GET d", "$6 fo\\x00\\x00\\x00\\x00"),
            ("BITOP XOR d b none", ":6"),
            ("GET d", "$6 foobar"),
            ("BITOP XOR d d b", ":6"),
            ("BITCOUNT d", ":0"),
            ("SET d x EX 10", "+OK"),
            ("BITOP or d e b", ":6"),
            ("TTL d", ":-1"),
            ("OBJECT ENCODING d", "$3 raw"),
            ("BITOP OR d none", ":0"),
            ("EXISTS d", ":0"),
            ("BITOP foo d b", "-ERR syntax error"),
            ("BITOP NOT d b ff", "-ERR BITOP NOT must be called with a single source key."),
        ]);
    }
}
