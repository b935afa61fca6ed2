//! The request parser: one per connection, resumable, without a copy of the bytes.
//!
//! The caller keeps the bytes; the parser is handed what has not been consumed yet and answers with
//! spans in it. A command that has arrived whole, as nearly all do, is read in one pass that touches
//! no state. Only a frame that is still incomplete leaves something behind: how far we got.
//!
//! Line ends are checked, as in Valkey 9 and unlike in Redis 7, which skips them unseen: a client that
//! miscounts is stopped before its data is taken for commands. A frame may not exceed 4 GiB, which
//! Redis's query buffer limit forbids too.
//!
//! Invariants:
//! * Between two calls with an incomplete frame the input only grows at its end.
//! * The work over all calls is linear in the bytes, however small the pieces.
//! * Memory follows bytes received, never counts announced.

use memchr::{memchr, memchr2};

use super::count::strict_i64;
use super::inline;
use super::{Limits, ProtocolError, Trust};
use crate::Span;

/// A frame is addressed by 32-bit spans.
const FRAME_LEN_MAX: usize = u32::MAX as usize;
/// `bulk_len` while the next thing is a line that announces a length.
const NO_BULK: u32 = u32::MAX;

/// What a call of [`Parser::parse`] found at the start of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A command; its spans were appended, relative to the start of the input.
    Command {
        /// Bytes of the input that it took.
        consumed: usize,
    },
    /// An inline command with quotes; its spans were appended, relative to `line`.
    Inline {
        /// Bytes of the input that it took.
        consumed: usize,
        /// The words with their quotes and escapes resolved.
        line: Vec<u8>,
    },
    /// Nothing that asks for a reply: an empty line or a command of no arguments.
    Empty {
        /// Bytes of the input that it took.
        consumed: usize,
    },
    /// The frame has not arrived whole; nothing was consumed or appended.
    Incomplete {
        /// Bytes that the input must have at least before another call is useful. Inside an
        /// argument this is the argument's end, so buffers can be sized by it; it is as much as
        /// the client announced, within the limits, and it may never send it.
        want: usize,
    },
}

/// Parses the requests of one connection.
#[derive(Debug)]
pub struct Parser {
    /// Arguments of the incomplete frame so far. Holds no memory between frames.
    spans: Vec<Span>,
    /// First byte of the incomplete frame that has not been understood yet.
    at: u32,
    /// Bytes before this one hold no end of the line that begins at `at`; 0 if unknown.
    scanned: u32,
    /// Arguments still to come, 0 before the frame's first line is understood.
    args_left: u32,
    /// Length of the argument at `at`, or [`NO_BULK`].
    bulk_len: u32,
}

const _: () = assert!(size_of::<Parser>() <= 64, "an idle connection must be cheap");

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the start of a frame.
    pub const fn new() -> Self {
        Self { spans: Vec::new(), at: 0, scanned: 0, args_left: 0, bulk_len: NO_BULK }
    }

    /// Reads the frame at the start of `input`. After [`Parsed::Incomplete`] the next call gets the
    /// same bytes and more behind them. After an error the connection is of no more use.
    #[inline]
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        if self.args_left == 0 {
            let consumed = parse_whole(input, limits, spans);
            if consumed > 0 {
                self.scanned = 0;
                return Ok(Parsed::Command { consumed });
            }
        }
        self.parse_rest(input, limits, spans)
    }

    /// Whether a frame has been begun and not completed.
    pub fn is_midway(&self) -> bool {
        self.args_left > 0 || self.scanned > 0
    }

    /// Heap memory held, in bytes.
    pub fn memory(&self) -> usize {
        self.spans.capacity() * size_of::<Span>()
    }

    /// Everything that [`parse_whole`] leaves aside.
    #[cold]
    #[inline(never)]
    fn parse_rest(
        &mut self,
        input: &[u8],
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        let input = &input[..input.len().min(FRAME_LEN_MAX)];
        let parsed = match input.first() {
            None => return Ok(Parsed::Incomplete { want: 1 }),
            Some(b'*') => self.multibulk(input, limits, spans),
            Some(_) => self.inline(input, limits, spans),
        };
        match parsed {
            Ok(Parsed::Incomplete { want }) if want <= FRAME_LEN_MAX => {}
            Ok(Parsed::Incomplete { .. }) => {
                *self = Self::new();
                return Err(ProtocolError::InvalidBulkLength);
            }
            _ => *self = Self::new(),
        }
        parsed
    }

    /// Goes on with an array of arguments where the last call stopped.
    fn multibulk(
        &mut self,
        input: &[u8],
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        if self.args_left == 0 {
            let Some((text, next)) =
                self.count_line(input, limits, ProtocolError::TooBigMultibulkCount)?
            else {
                return Ok(Parsed::Incomplete { want: input.len() + 1 });
            };
            self.args_left = multibulk_len(text, limits)?;
            self.at = next;
            if self.args_left == 0 {
                return Ok(Parsed::Empty { consumed: next as usize });
            }
        }
        while self.args_left > 0 {
            if let Some(want) = self.argument(input, limits)? {
                return Ok(Parsed::Incomplete { want });
            }
        }
        spans.append(&mut self.spans);
        Ok(Parsed::Command { consumed: self.at as usize })
    }

    /// Reads one argument, or says how many bytes the input must have before that is possible.
    fn argument(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        if self.bulk_len == NO_BULK {
            match input.get(self.at as usize) {
                Some(b'$') => {}
                Some(&other) => return Err(ProtocolError::ExpectedBulk(other)),
                None => return Ok(Some(input.len() + 1)),
            }
            let Some((text, next)) =
                self.count_line(input, limits, ProtocolError::TooBigBulkCount)?
            else {
                return Ok(Some(input.len() + 1));
            };
            self.bulk_len = bulk_len(text, limits)?;
            self.at = next;
        }
        let end = self.at as usize + self.bulk_len as usize + 2;
        if end > input.len() {
            return Ok(Some(end));
        }
        if input[end - 2..end] != *b"\r\n" {
            return Err(ProtocolError::InvalidLineEnd);
        }
        self.spans.push(Span { start: self.at, len: self.bulk_len });
        // The input is cut at what an u32 can address.
        self.at = end as u32;
        self.bulk_len = NO_BULK;
        self.args_left -= 1;
        Ok(None)
    }

    /// The text between the type byte at `at` and the end of that line, and where the next line
    /// begins. `None` while the end has not arrived.
    fn count_line<'a>(
        &mut self,
        input: &'a [u8],
        limits: &Limits,
        too_big: ProtocolError,
    ) -> Result<Option<(&'a [u8], u32)>, ProtocolError> {
        let at = self.at as usize;
        let from = at.max(self.scanned as usize);
        let end = memchr(b'\r', &input[from..]).map_or(input.len(), |found| from + found);
        if end - at > limits.inline_len_max as usize {
            return Err(too_big);
        }
        if end + 2 > input.len() {
            self.scanned = end as u32;
            return Ok(None);
        }
        if input[end + 1] != b'\n' {
            return Err(ProtocolError::InvalidLineEnd);
        }
        self.scanned = 0;
        Ok(Some((&input[at + 1..end], end as u32 + 2)))
    }

    /// Reads a line of words.
    fn inline(
        &mut self,
        input: &[u8],
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        let from = self.scanned as usize;
        let end = memchr(b'\n', &input[from..]).map_or(input.len(), |found| from + found);
        if end > limits.inline_len_max as usize {
            return Err(ProtocolError::TooBigInline);
        }
        if end == input.len() {
            self.scanned = end as u32;
            return Ok(Parsed::Incomplete { want: end + 1 });
        }
        let consumed = end + 1;
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        let first = spans.len();
        if memchr2(b'"', b'\'', line).is_some() {
            return match inline::split_quoted(line, spans) {
                Ok(line) => Ok(Parsed::Inline { consumed, line }),
                Err(inline::Unbalanced) => {
                    spans.truncate(first);
                    Err(ProtocolError::UnbalancedQuotes)
                }
            };
        }
        inline::split_bare(line, spans);
        if spans.len() == first {
            return Ok(Parsed::Empty { consumed });
        }
        Ok(Parsed::Command { consumed })
    }
}

/// The pass that matters: a command that is there to its last byte, with lengths of up to five
/// digits. Returns the bytes it took; 0, with `spans` as they were, for everything else.
#[inline]
fn parse_whole(input: &[u8], limits: &Limits, spans: &mut Vec<Span>) -> usize {
    let input = &input[..input.len().min(FRAME_LEN_MAX)];
    let Some((args, mut rest)) = short_count(b'*', input) else {
        return 0;
    };
    if args > limits.multibulk_len_max {
        return 0;
    }
    let first = spans.len();
    for _ in 0..args {
        let Some((len, tail)) = short_count(b'$', rest) else {
            spans.truncate(first);
            return 0;
        };
        let Some((payload, [b'\r', b'\n', next @ ..])) = tail.split_at_checked(len as usize) else {
            spans.truncate(first);
            return 0;
        };
        if payload.len() > limits.bulk_len_max as usize {
            spans.truncate(first);
            return 0;
        }
        spans.push(Span { start: (input.len() - tail.len()) as u32, len });
        rest = next;
    }
    if args == 0 { 0 } else { input.len() - rest.len() }
}

/// A type byte, a number of one to five digits and the end of its line; and what follows.
#[inline(always)]
fn short_count(kind: u8, line: &[u8]) -> Option<(u32, &[u8])> {
    let (&first, line) = line.split_first()?;
    if first != kind {
        return None;
    }
    let (&lead, mut rest) = line.split_first()?;
    let mut value = digit(lead)?;
    if let [b'\r', b'\n', tail @ ..] = rest {
        return Some((value, tail));
    }
    if value == 0 {
        return None;
    }
    for _ in 0..4 {
        let (&next, tail) = rest.split_first()?;
        value = value * 10 + digit(next)?;
        if let [b'\r', b'\n', tail @ ..] = tail {
            return Some((value, tail));
        }
        rest = tail;
    }
    None
}

/// The value of a decimal digit.
#[inline(always)]
fn digit(byte: u8) -> Option<u32> {
    let value = byte.wrapping_sub(b'0');
    (value <= 9).then_some(u32::from(value))
}

/// The number of arguments that a line announces; a negative one is none, as in Redis.
fn multibulk_len(text: &[u8], limits: &Limits) -> Result<u32, ProtocolError> {
    let announced = strict_i64(text)
        .filter(|&len| len <= i64::from(Limits::MULTIBULK_LEN_MAX))
        .ok_or(ProtocolError::InvalidMultibulkLength)?;
    let len = u32::try_from(announced.max(0)).unwrap_or(u32::MAX);
    if len <= limits.multibulk_len_max {
        return Ok(len);
    }
    match limits.trust {
        Trust::Authenticated => Err(ProtocolError::InvalidMultibulkLength),
        Trust::Unauthenticated => Err(ProtocolError::UnauthenticatedMultibulkLength),
    }
}

/// The length of an argument that a line announces.
fn bulk_len(text: &[u8], limits: &Limits) -> Result<u32, ProtocolError> {
    let len = strict_i64(text)
        .and_then(|len| u32::try_from(len).ok())
        .filter(|&len| len < NO_BULK)
        .ok_or(ProtocolError::InvalidBulkLength)?;
    if len <= limits.bulk_len_max {
        return Ok(len);
    }
    match limits.trust {
        Trust::Unauthenticated if len <= Limits::BULK_LEN_MAX => {
            Err(ProtocolError::UnauthenticatedBulkLength)
        }
        _ => Err(ProtocolError::InvalidBulkLength),
    }
}
