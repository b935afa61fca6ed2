//! Counting replies in a byte stream, without building them.
//!
//! One number is enough to know where a reply ends: how many values are still missing. An array of n
//! takes itself away and adds n; so nesting needs no stack and hostile nesting no memory.
//! Chunks may end anywhere. Only an unfinished header line is kept, bodies are skipped.
//!
//! Invariants: `pending` is 0 exactly between replies; `carry` holds no line end and at most
//! [`LINE_BYTES_MAX`].

use crate::stats::Tally;

/// The longest header, simple string or simple error that is accepted, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The largest length or count that a header may announce.
const ANNOUNCED_MAX: u64 = 1 << 40;

/// The most values that one reply may still miss; nested announcements could overflow otherwise.
const PENDING_MAX: u64 = 4 * ANNOUNCED_MAX;

/// Counts complete replies of one connection.
#[derive(Debug, Default)]
pub(crate) struct ReplyCounter {
    /// Values missing from the reply under way.
    pending: u64,
    /// The reply under way is a push message, which answers no request.
    push: bool,
    /// Bytes of a body still to come, without its line end.
    body: Option<u64>,
    /// A body has ended and its line end is awaited.
    body_ended: bool,
    /// Start of a line whose end has not come.
    carry: Vec<u8>,
}

/// What arrived is not RESP. Counting cannot go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplyFault {
    #[error("a reply started with byte 0x{0:02x}, which RESP does not know")]
    Type(u8),
    #[error("a reply announced a length that is not a number or too large")]
    Length,
    #[error("a reply had a line longer than {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    #[error("a reply had a line that did not end with CR LF")]
    LineEnd,
}

impl ReplyCounter {
    /// Takes the next bytes and returns how many replies they completed; errors and nulls at any depth go to
    /// `tally`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], tally: &mut Tally) -> Result<u32, ReplyFault> {
        let mut done = 0;
        loop {
            if let Some(left) = self.body {
                let Some(rest) = self.skip_body(bytes, left)? else { return Ok(done) };
                bytes = rest;
                if !self.body_ended {
                    done += self.value_done();
                    continue;
                }
            }
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.keep(bytes)?;
                return Ok(done);
            };
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            done += if self.carry.is_empty() {
                self.on_line(line, tally)?
            } else {
                self.keep(line)?;
                let line = std::mem::take(&mut self.carry);
                self.on_line(&line, tally)?
            };
        }
    }

    /// Skips what is there of a body. None: more is to come. With its line end in sight the value is
    /// complete, else `body_ended` asks for an empty line.
    fn skip_body<'a>(
        &mut self,
        bytes: &'a [u8],
        left: u64,
    ) -> Result<Option<&'a [u8]>, ReplyFault> {
        let here = bytes.len() as u64;
        if here < left {
            self.body = Some(left - here);
            return Ok(None);
        }
        self.body = None;
        let rest = &bytes[left as usize..];
        match rest {
            [b'\r', b'\n', after @ ..] => Ok(Some(after)),
            [_, _, ..] => Err(ReplyFault::LineEnd),
            _ => {
                self.body_ended = true;
                Ok(Some(rest))
            }
        }
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), ReplyFault> {
        if self.carry.len() + part.len() > LINE_BYTES_MAX {
            return Err(ReplyFault::LineTooLong);
        }
        self.carry.extend_from_slice(part);
        Ok(())
    }

    /// Takes a line without its LF; returns 1 if it completed a reply.
    fn on_line(&mut self, line: &[u8], tally: &mut Tally) -> Result<u32, ReplyFault> {
        let Some((b'\r', line)) = line.split_last() else { return Err(ReplyFault::LineEnd) };
        if self.body_ended {
            self.body_ended = false;
            return if line.is_empty() { Ok(self.value_done()) } else { Err(ReplyFault::LineEnd) };
        }
        let Some((&kind, text)) = line.split_first() else { return Err(ReplyFault::Type(b'\r')) };
        let outermost = self.pending == 0;
        if outermost {
            self.pending = 1;
            self.push = false;
        }
        match kind {
            b'+' | b':' | b',' | b'#' | b'(' => {}
            b'-' => tally.errors.add(text),
            b'_' => tally.nulls += 1,
            b'$' | b'*' if text == b"-1" => tally.nulls += 1,
            b'$' | b'=' => return self.expect_body(text),
            b'!' => {
                tally.errors.add(b"(an error sent as a bulk string)");
                return self.expect_body(text);
            }
            b'*' | b'~' => self.pending += announced(text)?,
            b'%' => self.pending += 2 * announced(text)?,
            b'>' => {
                self.push = outermost;
                self.pending += announced(text)?;
            }
            b'|' => {
                // Attributes stand before the value that they describe: the line completes nothing.
                self.pending += 2 * announced(text)?;
                return if self.pending > PENDING_MAX { Err(ReplyFault::Length) } else { Ok(0) };
            }
            other => return Err(ReplyFault::Type(other)),
        }
        if self.pending > PENDING_MAX {
            return Err(ReplyFault::Length);
        }
        Ok(self.value_done())
    }

    fn expect_body(&mut self, text: &[u8]) -> Result<u32, ReplyFault> {
        self.body = Some(announced(text)?);
        Ok(0)
    }

    /// One value is complete; returns 1 if it was the last of a reply that answers a request.
    fn value_done(&mut self) -> u32 {
        self.pending -= 1;
        u32::from(self.pending == 0 && !self.push)
    }
}

fn announced(text: &[u8]) -> Result<u64, ReplyFault> {
    if text.is_empty() || text.len() > 13 {
        return Err(ReplyFault::Length);
    }
    let mut number = 0_u64;
    for &digit in text {
        if !digit.is_ascii_digit() {
            return Err(ReplyFault::Length);
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    if number > ANNOUNCED_MAX { Err(ReplyFault::Length) } else { Ok(number) }
}

#[cfg(test)]
#[path = "replies_tests.rs"]
mod tests;
