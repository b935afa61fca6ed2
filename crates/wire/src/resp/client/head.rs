//! The first line of a reply: its type, and a text, a length or a count.

use memchr::memchr;

use crate::resp::count::strict_i64;

/// The server sent something that is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// No type begins with this byte.
    #[error("no reply begins with byte {0:#04x}")]
    UnknownType(u8),
    /// A length or count is no number or out of range.
    #[error("a reply's length is no number or out of range")]
    InvalidLength,
    /// An integer, double or boolean cannot be read.
    #[error("a reply's number cannot be read")]
    InvalidNumber,
    /// A line or a string does not end where it should.
    #[error("a reply's line end is missing")]
    MissingLineEnd,
    /// Aggregates are nested deeper than the decoder follows.
    #[error("a reply is nested too deeply")]
    TooDeep,
}

/// The type of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// `+`
    Simple,
    /// `-`, and RESP3's `!`
    Error,
    /// `:`
    Integer,
    /// `$`
    Bulk,
    /// `_`, and RESP2's `$-1` and `*-1`
    Null,
    /// `*`
    Array,
    /// `%`
    Map,
    /// `~`
    Set,
    /// `>`
    Push,
    /// `,`
    Double,
    /// `#`
    Boolean,
    /// `(`
    BigNumber,
    /// `=`
    Verbatim,
}

/// What a first line says.
pub(super) enum Head<'a> {
    /// The whole reply is this text.
    Line(ReplyKind, &'a [u8]),
    /// A string of so many bytes and a line end follow.
    Text(ReplyKind, usize),
    /// So many replies follow; for a map keys and values are counted.
    Aggregate(ReplyKind, u64),
    /// So many replies follow that are about the one behind them.
    Attribute(u64),
}

/// Reads the line that begins at `at`; also returns where the next one begins. `None` while its
/// end has not arrived.
pub(super) fn read_head(input: &[u8], at: usize) -> Result<Option<(Head<'_>, usize)>, ReplyError> {
    let Some(&type_byte) = input.get(at) else {
        return Ok(None);
    };
    let kind = match type_byte {
        b'+' => ReplyKind::Simple,
        b'-' | b'!' => ReplyKind::Error,
        b':' => ReplyKind::Integer,
        b'$' => ReplyKind::Bulk,
        b'_' => ReplyKind::Null,
        b'*' => ReplyKind::Array,
        b'%' | b'|' => ReplyKind::Map,
        b'~' => ReplyKind::Set,
        b'>' => ReplyKind::Push,
        b',' => ReplyKind::Double,
        b'#' => ReplyKind::Boolean,
        b'(' => ReplyKind::BigNumber,
        b'=' => ReplyKind::Verbatim,
        other => return Err(ReplyError::UnknownType(other)),
    };
    let Some(end) = memchr(b'\r', &input[at + 1..]).map(|found| at + 1 + found) else {
        return Ok(None);
    };
    match input.get(end + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(ReplyError::MissingLineEnd),
    }
    let line = &input[at + 1..end];
    let null = matches!(type_byte, b'$' | b'*') && line == b"-1";
    let head = match type_byte {
        _ if null => Head::Line(ReplyKind::Null, b""),
        b'$' | b'=' | b'!' => Head::Text(kind, length(line)? as usize),
        b'*' | b'~' | b'>' => Head::Aggregate(kind, length(line)?),
        b'%' => Head::Aggregate(kind, length(line)? * 2),
        b'|' => Head::Attribute(length(line)? * 2),
        _ => Head::Line(kind, line),
    };
    Ok(Some((head, end + 2)))
}

/// A string of `len` bytes that begins at `at`, and where the next line begins. `None` while its
/// end has not arrived.
pub(super) fn read_text(
    input: &[u8],
    at: usize,
    len: usize,
) -> Result<Option<(&[u8], usize)>, ReplyError> {
    let end = at + len;
    match input.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((&input[at..end], end + 2))),
        Some(_) => Err(ReplyError::MissingLineEnd),
    }
}

/// A length or count, which no server makes longer than 32 bits say.
fn length(line: &[u8]) -> Result<u64, ReplyError> {
    let len = strict_i64(line).and_then(|len| u32::try_from(len).ok());
    len.map(u64::from).ok_or(ReplyError::InvalidLength)
}
