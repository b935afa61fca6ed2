//! What a caller can do wrong, and the one place that turns it into Redis's own words.

use trefoil_store::txn::WrongType;

/// A mistake of the caller. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandError {
    /// The key holds another type.
    WrongType,
    /// Options that do not exist or do not go together.
    Syntax,
    /// Not a decimal integer of 64 bits.
    NotInteger,
    /// Not a floating point number.
    NotFloat,
    /// An integer that is not in the range the command allows.
    OutOfRange,
    /// INCR and DECR would leave 64 bits.
    Overflow,
    /// DECRBY by the smallest integer.
    DecrementOverflow,
    /// INCRBYFLOAT would yield NaN or infinity.
    NotFinite,
    /// A deadline that is not positive or does not fit; the command's name.
    InvalidExpire(&'static str),
    /// The key must be there.
    NoSuchKey,
    /// SETRANGE before the start, GETRANGE and BIT commands likewise.
    OffsetOutOfRange,
    /// A string longer than `proto-max-bulk-len`.
    TooLong,
    /// SELECT and others.
    DbOutOfRange,
    /// A number of arguments that the command's own syntax forbids; its name.
    WrongArity(&'static str),
    /// Source and destination are the same.
    SameObject,
    /// Anything that only one command says. The text starts with the code (`ERR ...`).
    Other(&'static str),
    /// The same with details.
    Detailed(String),
}

impl CommandError {
    /// The line of the reply, code first, without the leading `-`.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        let text = match self {
            CommandError::WrongType => {
                "WRONGTYPE Operation against a key holding the wrong kind of value"
            }
            CommandError::Syntax => "ERR syntax error",
            CommandError::NotInteger => "ERR value is not an integer or out of range",
            CommandError::NotFloat => "ERR value is not a valid float",
            CommandError::OutOfRange => "ERR value is out of range",
            CommandError::Overflow => "ERR increment or decrement would overflow",
            CommandError::DecrementOverflow => "ERR decrement would overflow",
            CommandError::NotFinite => "ERR increment would produce NaN or Infinity",
            CommandError::InvalidExpire(command) => {
                return format!("ERR invalid expire time in '{command}' command").into();
            }
            CommandError::NoSuchKey => "ERR no such key",
            CommandError::OffsetOutOfRange => "ERR offset is out of range",
            CommandError::TooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            CommandError::DbOutOfRange => "ERR DB index is out of range",
            CommandError::WrongArity(command) => {
                return format!("ERR wrong number of arguments for '{command}' command").into();
            }
            CommandError::SameObject => "ERR source and destination objects are the same",
            CommandError::Other(text) => text,
            CommandError::Detailed(text) => text,
        };
        text.into()
    }
}

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> CommandError {
        CommandError::WrongType
    }
}
