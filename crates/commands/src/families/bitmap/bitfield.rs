//! BITFIELD and BITFIELD_RO: several integers in one string.

use trefoil_store::Key;
use trefoil_store::txn::Deadline;

use super::field::{Field, Overflow};
use super::{KEY, bit_offset};
use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::families::string::store_built;
use crate::families::{READS_FAST, STORES};
use crate::spec::{Access, Arg, ArgKind, Command, Group, KeySpec, Spec};

const ENCODING: Arg = Arg::required("encoding", ArgKind::String);
const OFFSET: Arg = Arg::required("offset", ArgKind::Integer);
const GET: ArgKind = ArgKind::Block(&[ENCODING, OFFSET]);

pub(super) const BITFIELD: Command<DataHandler> = Command::new(
    Spec {
        name: "bitfield",
        arity: -2,
        flags: STORES,
        keys: &[KeySpec::one(1, Access::Variable)],
        group: Group::Bitmap,
        since: "3.2.0",
        summary: "Reads and changes integers of any width within a string.",
        complexity: "O(1) for each operation",
        args: &[
            KEY,
            Arg {
                multiple: true,
                ..Arg::optional(
                    "operation",
                    "",
                    ArgKind::OneOf(&[Arg::behind("get-block", "GET", GET), WRITE]),
                )
            },
        ],
        ..Spec::BASE
    },
    |call| bitfield(call, Kind::ReadsAndWrites),
);

const WRITE: Arg = Arg::required(
    "write",
    ArgKind::Block(&[
        Arg::optional(
            "overflow-block",
            "OVERFLOW",
            ArgKind::OneOf(&[
                Arg::word("wrap", "WRAP"),
                Arg::word("sat", "SAT"),
                Arg::word("fail", "FAIL"),
            ]),
        ),
        Arg::required(
            "write-operation",
            ArgKind::OneOf(&[
                Arg::behind(
                    "set-block",
                    "SET",
                    ArgKind::Block(&[ENCODING, OFFSET, Arg::required("value", ArgKind::Integer)]),
                ),
                Arg::behind(
                    "incrby-block",
                    "INCRBY",
                    ArgKind::Block(&[
                        ENCODING,
                        OFFSET,
                        Arg::required("increment", ArgKind::Integer),
                    ]),
                ),
            ]),
        ),
    ]),
);

pub(super) const BITFIELD_RO: Command<DataHandler> = Command::new(
    Spec {
        name: "bitfield_ro",
        arity: -2,
        flags: READS_FAST,
        keys: &[KeySpec::one(1, Access::Read)],
        group: Group::Bitmap,
        since: "6.0.0",
        summary: "Reads integers of any width within a string.",
        complexity: "O(1) for each operation",
        args: &[KEY, Arg { multiple: true, ..Arg::optional("get-block", "GET", GET) }],
        ..Spec::BASE
    },
    |call| bitfield(call, Kind::Reads),
);

/// Which of the two commands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reads,
    ReadsAndWrites,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

#[derive(Clone, Copy)]
struct Operation {
    field: Field,
    action: Action,
}

fn bitfield(call: &mut Call<'_, '_>, kind: Kind) -> Result<(), CommandError> {
    let operations = parse(call)?;
    let is_write = |operation: &&Operation| !matches!(operation.action, Action::Get);
    let writes_to = operations.iter().filter(is_write).map(|operation| operation.field.end()).max();
    if kind == Kind::Reads && writes_to.is_some() {
        return Err(CommandError::Other("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    let key = call.key(1);
    let len = match writes_to {
        None => call.txn.string(&key)?.map(|view| view.bytes().len()),
        Some(_) => call.txn.string_to_change(&key)?.map(|view| view.bytes().len()),
    };
    if let Some(end) = writes_to {
        grow(call, &key, len, end);
    }
    call.out.array(operations.len());
    for operation in operations {
        match run(call, &key, operation)? {
            Some(number) => call.out.integer(number),
            None => call.out.null(),
        }
    }
    Ok(())
}

fn parse(call: &Call<'_, '_>) -> Result<Vec<Operation>, CommandError> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while at < call.len() {
        let left = call.len() - at - 1;
        if call.is(at, "OVERFLOW") && left >= 1 {
            overflow = parse_overflow(call, at + 1)?;
            at += 2;
            continue;
        }
        let (is_get, is_set) = (call.is(at, "GET"), call.is(at, "SET"));
        let values = if is_get { 2 } else { 3 };
        if !(is_get || is_set || call.is(at, "INCRBY")) || left < values {
            return Err(CommandError::Syntax);
        }
        let field = parse_field(call, at + 1)?;
        let action = if is_get {
            Action::Get
        } else if is_set {
            Action::Set(call.integer(at + 3)?, overflow)
        } else {
            Action::Add(call.integer(at + 3)?, overflow)
        };
        operations.push(Operation { field, action });
        at += 1 + values;
    }
    Ok(operations)
}

fn parse_overflow(call: &Call<'_, '_>, at: usize) -> Result<Overflow, CommandError> {
    match () {
        () if call.is(at, "WRAP") => Ok(Overflow::Wrap),
        () if call.is(at, "SAT") => Ok(Overflow::Saturate),
        () if call.is(at, "FAIL") => Ok(Overflow::Fail),
        () => Err(CommandError::Other("ERR Invalid OVERFLOW type specified")),
    }
}

/// Reads a type and an offset; `#` counts in fields of this type.
fn parse_field(call: &Call<'_, '_>, at: usize) -> Result<Field, CommandError> {
    let (signed, width) = Field::parse_type(call.arg(at)).ok_or(CommandError::Other(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but \
         i64 is.",
    ))?;
    let bit = match call.arg(at + 1) {
        [b'#', number @ ..] => bit_offset(call, number, u64::from(width))?,
        number => bit_offset(call, number, 1)?,
    };
    Ok(Field { bit, width, signed })
}

/// Makes the string as long as the fields that may be written need it.
fn grow(call: &mut Call<'_, '_>, key: &Key<'_>, len: Option<usize>, end: usize) {
    match len {
        None => store_built(call.txn, key, vec![0; end], Deadline::None),
        Some(len) if len < end => call.txn.set_range(key, end - 1, &[0]),
        Some(_) => {}
    }
}

/// Runs an operation. None: the result did not fit and was to fail.
fn run(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    operation: Operation,
) -> Result<Option<i64>, CommandError> {
    let field = operation.field;
    let string = call.txn.string_to_change(key)?.map_or(&[][..], |view| view.bytes());
    let old = field.read(string);
    let (result, overflow) = match operation.action {
        Action::Get => return Ok(Some(old)),
        Action::Set(number, overflow) if field.signed => (i128::from(number), overflow),
        // A negative number for a field without a sign is a huge one.
        Action::Set(number, overflow) => (i128::from(number as u64), overflow),
        Action::Add(number, overflow) => (i128::from(old) + i128::from(number), overflow),
    };
    let Some(new) = field.fit(result, overflow) else { return Ok(None) };
    let (at, bytes) = field.written(string, new);
    call.txn.set_range(key, at, &bytes);
    Ok(Some(if matches!(operation.action, Action::Set(..)) { old } else { new }))
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    const BAD_TYPE: &str = "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 \
                            is not supported but i64 is.";
    const BAD_OFFSET: &str = "-ERR bit offset is not an integer or out of range";

    #[test]
    fn fields_are_read_and_written() {
        let mut server = Server::new();
        server.check(&[
            ("BITFIELD q", "*0"),
            ("BITFIELD q GET u8 0", "*1 :0"),
            ("EXISTS q", ":0"),
            ("BITFIELD q SET u8 0 255", "*1 :0"),
            ("BITFIELD q INCRBY u8 0 1", "*1 :0"),
            ("BITFIELD q SET i8 0 -1 GET u8 0", "*2 :0 :255"),
            ("BITFIELD q OVERFLOW SAT INCRBY u8 0 10", "*1 :255"),
            ("BITFIELD q OVERFLOW FAIL INCRBY u8 0 10", "*1 $-1"),
            ("BITFIELD q OVERFLOW FAIL SET u8 0 256", "*1 $-1"),
            ("BITFIELD q SET u8 0 256 GET u8 0", "*2 :255 :0"),
            ("BITFIELD q OVERFLOW SAT SET u8 0 -1 GET u8 0", "*2 :0 :255"),
            ("BITFIELD q OVERFLOW SAT SET i8 0 -300 GET i8 0", "*2 :-1 :-128"),
            ("BITFIELD q OVERFLOW SAT INCRBY i8 0 -300", "*1 :-128"),
            ("BITFIELD q OVERFLOW WRAP INCRBY i8 0 -300", "*1 :84"),
            ("BITFIELD q OVERFLOW FAIL SET u8 800 999", "*1 $-1"),
            ("STRLEN q", ":101"),
            ("BITFIELD q GET u8 #3 SET u4 #5 7 GET u8 20", "*3 :0 :0 :112"),
            ("BITFIELD_RO q OVERFLOW WRAP GET u8 0", "*1 :84"),
            ("BITFIELD q GET u8 4294967288", "*1 :0"),
        ]);
        let max = "9223372036854775807";
        server.check(&[
            (
                &format!(
                    "BITFIELD z SET i64 3 -9223372036854775808 INCRBY i64 3 -1 OVERFLOW SAT INCRBY \
                     i64 3 {max} GET i64 3"
                ),
                &format!("*4 :0 :{max} :{max} :{max}"),
            ),
            (
                &format!(
                    "BITFIELD y SET u63 1 {max} INCRBY u63 1 {max} OVERFLOW SAT INCRBY u63 1 {max} \
                     INCRBY u63 1 -9223372036854775808 INCRBY u63 1 -1"
                ),
                &format!("*5 :0 :9223372036854775806 :{max} :0 :0"),
            ),
        ]);
    }

    #[test]
    fn mistakes_are_found_before_anything_changes() {
        let mut server = Server::new();
        for (operations, error) in [
            ("GET u64 0", BAD_TYPE),
            ("GET U8 0", BAD_TYPE),
            ("GET u8 -1", BAD_OFFSET),
            ("GET u8 a", BAD_OFFSET),
            ("GET u8 #a", BAD_OFFSET),
            ("GET u8 4294967296", BAD_OFFSET),
            ("GET u8 #9223372036854775807", BAD_OFFSET),
            ("SET u8 0 a", "-ERR value is not an integer or out of range"),
            ("SET u8 0 1 GET u8", "-ERR syntax error"),
            ("SET u8 0 1 OVERFLOW foo", "-ERR Invalid OVERFLOW type specified"),
            ("OVERFLOW", "-ERR syntax error"),
            ("foo u8 0", "-ERR syntax error"),
            ("SET u8 0", "-ERR syntax error"),
        ] {
            server.check(&[(&format!("BITFIELD q {operations}"), error)]);
        }
        server.check(&[
            ("BITFIELD_RO q SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"),
            ("EXISTS q", ":0"),
        ]);
    }
}
