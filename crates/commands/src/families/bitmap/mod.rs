//! Strings as rows of bits: bit 0 is the highest bit of the first byte.

mod bitfield;
mod bitop;
mod count;
mod field;
mod single;

use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::numbers::parse_i64;
use crate::spec::{Arg, ArgKind, Command};

/// The family's commands.
pub(super) const COMMANDS: &[&Command<DataHandler>] = &[
    &single::SETBIT,
    &single::GETBIT,
    &count::BITCOUNT,
    &count::BITPOS,
    &bitop::BITOP,
    &bitfield::BITFIELD,
    &bitfield::BITFIELD_RO,
];

const KEY: Arg = Arg::required("key", ArgKind::Key(0));
const BAD_OFFSET: CommandError =
    CommandError::Other("ERR bit offset is not an integer or out of range");

/// The place of a bit, times `unit`: its byte must lie within the longest string.
fn bit_offset(call: &Call<'_, '_>, number: &[u8], unit: u64) -> Result<u64, CommandError> {
    parse_i64(number)
        .and_then(|number| u64::try_from(number).ok())
        .and_then(|number| number.checked_mul(unit))
        .filter(|bit| bit / 8 < call.string_len_max as u64)
        .ok_or(BAD_OFFSET)
}
