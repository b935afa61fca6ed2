//! Frames out of a stream of bytes.
//!
//! The shell reads from the socket right into [`FrameReader::space`]; messages borrow the buffer until
//! the next call. The greeting that precedes the frames goes through the same buffer
//! ([`FrameReader::unread`], [`FrameReader::consume`]).
//!
//! Invariants:
//! * `start <= end <= buf.len()`; the unread bytes are `buf[start..end]`.
//! * Memory grows with the bytes that came (at most to twice as many, plus a constant), never with a length
//!   that was only announced.
//! * After an error nothing is read any more.

use super::body::read_body;
use super::error::FrameError;
use super::frame::{FENCED_BYTES, PREFIX_BYTES, checksum};
use super::input::Input;
use super::kind::Kind;
use super::message::{Fence, Message};

/// The least room that [`FrameReader::space`] gives.
const SPACE_MIN: usize = 64 << 10;
/// A buffer that grew beyond this for a long frame is given back once it is empty.
const KEEP_MAX: usize = 4 << 20;

/// Collects bytes and hands out the messages that are complete.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// All of it is initialised; its length is the room there is.
    buf: Vec<u8>,
    /// The first byte that is not used up.
    start: usize,
    /// Behind the last byte that came.
    end: usize,
    /// What made the stream unreadable.
    broken: Option<FrameError>,
}

impl FrameReader {
    /// A reader that holds nothing.
    #[must_use]
    pub fn new() -> FrameReader {
        FrameReader::default()
    }

    /// Room for at least 64 KiB that come next; [`FrameReader::filled`] says how many came.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buf.len() > KEEP_MAX {
                self.buf = Vec::new();
            }
        }
        if self.buf.len() - self.end < SPACE_MIN {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buf.len() - self.end < SPACE_MIN {
            let len = (2 * self.end).max(2 * SPACE_MIN);
            self.buf.reserve_exact(len - self.buf.len());
            self.buf.resize(len, 0);
        }
        &mut self.buf[self.end..]
    }

    /// That many bytes were put into [`FrameReader::space`].
    ///
    /// # Panics
    /// If there was less room.
    pub fn filled(&mut self, bytes: usize) {
        assert!(bytes <= self.buf.len() - self.end, "no more came than there was room for");
        self.end += bytes;
    }

    /// Takes bytes that are elsewhere.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// The bytes that are not used up.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// The first of them were used by somebody else.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn consume(&mut self, bytes: usize) {
        assert!(bytes <= self.end - self.start, "no more is used than is there");
        self.start += bytes;
    }

    /// The bytes that the buffer takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.buf.capacity()
    }

    /// The next message, if all of it is there.
    ///
    /// # Errors
    /// The stream is broken, and stays so: the link has to be dropped.
    pub fn next_message(&mut self) -> Result<Option<(Fence, Message<'_>)>, FrameError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        match frame_at(&self.buf[self.start..self.end]) {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => {
                let frame = self.start..self.start + bytes;
                self.start = frame.end;
                read_frame(&self.buf[frame]).map(Some).inspect_err(|error| {
                    self.broken = Some(*error);
                })
            }
            Err(error) => {
                self.broken = Some(error);
                Err(error)
            }
        }
    }
}

/// How long the frame at the start of `bytes` is. `None`: not all of it is there.
fn frame_at(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let mut input = Input::new(bytes);
    let Some(len) = input.u32() else { return Ok(None) };
    if (len as usize) < FENCED_BYTES {
        return Err(FrameError::TooShort { bytes: len });
    }
    let Some(&byte) = bytes.get(PREFIX_BYTES) else { return Ok(None) };
    let kind = Kind::from_byte(byte).ok_or(FrameError::UnknownKind { kind: byte })?;
    if len > kind.len_max() {
        return Err(FrameError::TooLong { kind: byte, bytes: len, max: kind.len_max() });
    }
    let bytes_all = PREFIX_BYTES + len as usize;
    Ok((bytes.len() >= bytes_all).then_some(bytes_all))
}

/// The message of a whole frame.
fn read_frame(frame: &[u8]) -> Result<(Fence, Message<'_>), FrameError> {
    let (prefix, rest) = frame.split_at(PREFIX_BYTES);
    let len = rest.len() as u32;
    let byte = rest[0];
    if prefix[4..] != checksum(len, &[rest]).to_le_bytes() {
        return Err(FrameError::Checksum { bytes: len });
    }
    let malformed = FrameError::Malformed { kind: byte };
    let mut input = Input::new(&rest[1..]);
    let fence = input.fence().ok_or(malformed)?;
    let kind = Kind::from_byte(byte).ok_or(FrameError::UnknownKind { kind: byte })?;
    let message = read_body(kind, input.rest()).ok_or(malformed)?;
    Ok((fence, message))
}
