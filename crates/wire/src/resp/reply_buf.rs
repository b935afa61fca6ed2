//! The output of one connection: bytes, and big values that are referenced instead of copied.
//!
//! The stream is what was appended, in order. Its bytes have absolute positions that count from the
//! connection's first byte, so that a reply gate can remember "up to here" as one number. Which part
//! may be sent, and when, is the caller's affair.
//!
//! Invariants:
//! * `sent <= position`; nothing below `sent` is ever looked at again.
//! * Values in `shared` stand in the order of their positions, and none is empty when appended.
//! * An empty buffer that was shrunk holds no heap memory.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

/// A value that the store and replies share; it is never changed while shared.
pub type SharedBytes = Arc<Vec<u8>>;

/// Sent bytes are moved out of the way once they are this many and at least half of the buffer.
const COMPACT_LEN_MIN: usize = 4096;

/// Replies that have not been written to the socket yet.
#[derive(Debug, Default)]
pub struct ReplyBuf {
    /// Own bytes from number `own_base` on. Replies append here and touch nothing else.
    pub(super) bytes: Vec<u8>,
    /// How many of `bytes` have been sent.
    head: usize,
    /// Own bytes that were sent and dropped from `bytes`.
    own_base: u64,
    /// Referenced values that have not been sent entirely.
    shared: VecDeque<Shared>,
    /// How many bytes of the first referenced value have been sent.
    shared_sent: usize,
    /// Length of all referenced values ever appended, the sent ones included.
    shared_total: u64,
    /// Position up to which everything was sent.
    sent: u64,
}

/// A referenced value and where it stands.
#[derive(Debug)]
struct Shared {
    /// Own bytes that come before it, counted from the connection's start.
    own: u64,
    /// Position of its first byte.
    start: u64,
    /// How many of its bytes belong to the stream; less than it has only after a cut.
    len: usize,
    value: SharedBytes,
}

impl ReplyBuf {
    /// An empty buffer without heap memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Position behind the last byte appended.
    #[inline]
    pub fn position(&self) -> u64 {
        self.own_end() + self.shared_total
    }

    /// Position behind the last byte sent.
    #[inline]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes appended and not sent.
    #[inline]
    pub fn len(&self) -> usize {
        (self.position() - self.sent) as usize
    }

    /// Whether everything was sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.position() == self.sent
    }

    /// Memory that the buffer keeps alive, in bytes, referenced values included.
    pub fn memory(&self) -> usize {
        let referenced = match self.shared.front() {
            Some(first) => self.shared_total - (first.start - first.own),
            None => 0,
        };
        self.bytes.capacity()
            + self.shared.capacity() * size_of::<Shared>()
            + usize::try_from(referenced).unwrap_or(usize::MAX)
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a value by reference. Worth it from a few KiB on.
    pub fn extend_shared(&mut self, value: &SharedBytes) {
        if value.is_empty() {
            return;
        }
        self.shared.push_back(Shared {
            own: self.own_end(),
            start: self.position(),
            len: value.len(),
            value: Arc::clone(value),
        });
        self.shared_total += value.len() as u64;
    }

    /// The next bytes to send below position `upto`, as far as they lie together; empty if there
    /// are none.
    #[inline]
    pub fn next_slice(&self, upto: u64) -> &[u8] {
        self.pieces(upto).next().unwrap_or_default()
    }

    /// Fills `out` with the next bytes to send below position `upto` and returns how many entries
    /// were filled. With more pieces than entries the rest waits for the next call.
    pub fn io_slices<'a>(&'a self, upto: u64, out: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (entry, piece) in out.iter_mut().zip(self.pieces(upto)) {
            *entry = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// The next `count` bytes were sent. Panics if that is more than there are.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "only what was appended can have been sent");
        self.sent += count as u64;
        if self.is_empty() {
            self.forget_sent();
            return;
        }
        let mut left = count;
        while left > 0 {
            let own_end = self.shared.front().map_or(self.bytes.len(), |s| self.index_of(s.own));
            let own = left.min(own_end - self.head);
            self.head += own;
            left -= own;
            if self.head == own_end {
                left -= self.advance_shared(left);
            }
        }
        self.compact();
    }

    /// Drops everything that was not sent.
    pub fn clear(&mut self) {
        self.truncate_to(self.sent);
        self.forget_sent();
    }

    /// Drops what was appended behind `position`, so that another reply can take its place. Panics
    /// if bytes behind it were sent or if it was never reached.
    pub fn truncate_to(&mut self, position: u64) {
        assert!(self.sent <= position && position <= self.position(), "cut among unsent bytes");
        while let Some(last) = self.shared.back_mut() {
            let keep = position.saturating_sub(last.start).min(last.len as u64) as usize;
            self.shared_total -= (last.len - keep) as u64;
            last.len = keep;
            if keep > 0 {
                break;
            }
            self.shared.pop_back();
        }
        let own = self.index_of(position - self.shared_total);
        self.bytes.truncate(own);
        if self.is_empty() {
            self.forget_sent();
        }
    }

    /// Gives back memory that the bytes still to send do not need.
    pub fn shrink(&mut self) {
        self.drop_head();
        self.bytes.shrink_to_fit();
        self.shared.shrink_to_fit();
    }

    /// Number of own bytes ever appended.
    #[inline]
    pub(super) fn own_end(&self) -> u64 {
        self.own_base + self.bytes.len() as u64
    }

    /// Replaces the `old_len` own bytes from number `own` on by a longer or equally long `header`;
    /// everything behind moves.
    pub(super) fn replace_header(&mut self, own: u64, old_len: usize, header: &[u8]) {
        let at = self.index_of(own);
        assert!(at >= self.head && header.len() >= old_len, "a header is set once, before sending");
        let grown = header.len() - old_len;
        if grown > 0 {
            let end = self.bytes.len();
            self.bytes.resize(end + grown, 0);
            self.bytes.copy_within(at + old_len..end, at + header.len());
            for value in self.shared.iter_mut().rev().take_while(|value| value.own > own) {
                value.own += grown as u64;
                value.start += grown as u64;
            }
        }
        self.bytes[at..at + header.len()].copy_from_slice(header);
    }

    /// Where own byte number `own` stands in `bytes`.
    #[inline]
    fn index_of(&self, own: u64) -> usize {
        (own - self.own_base) as usize
    }

    /// Up to `count` bytes of the first referenced value were sent; returns how many.
    fn advance_shared(&mut self, count: usize) -> usize {
        let Some(first) = self.shared.front() else {
            return 0;
        };
        let left = first.len - self.shared_sent;
        if count < left {
            self.shared_sent += count;
            return count;
        }
        self.shared.pop_front();
        self.shared_sent = 0;
        left
    }

    /// Everything was sent: start over in the memory at hand.
    fn forget_sent(&mut self) {
        self.own_base = self.own_end();
        self.bytes.clear();
        self.head = 0;
        self.shared.clear();
        self.shared_sent = 0;
    }

    /// Moves the unsent bytes to the front if at least as many were sent, so that each byte is
    /// moved less than once on average.
    fn compact(&mut self) {
        if self.head >= COMPACT_LEN_MIN && self.head >= self.bytes.len() / 2 {
            self.drop_head();
        }
    }

    /// Drops the own bytes that were sent.
    fn drop_head(&mut self) {
        self.bytes.drain(..self.head);
        self.own_base += self.head as u64;
        self.head = 0;
    }

    /// The unsent bytes below `upto`, piece by piece.
    #[inline]
    fn pieces(&self, upto: u64) -> Pieces<'_> {
        let left = upto.min(self.position()).saturating_sub(self.sent) as usize;
        Pieces { buf: self, own: self.head, next: 0, skip: self.shared_sent, left }
    }
}

/// Walks over the unsent bytes.
struct Pieces<'a> {
    buf: &'a ReplyBuf,
    /// Index of the next own byte.
    own: usize,
    /// Index of the next referenced value.
    next: usize,
    /// Bytes of that value to leave out.
    skip: usize,
    /// Bytes still to hand out.
    left: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let buf = self.buf;
        while self.left > 0 {
            let shared = buf.shared.get(self.next);
            let own_end = shared.map_or(buf.bytes.len(), |s| buf.index_of(s.own));
            let piece = if self.own < own_end {
                let own = &buf.bytes[self.own..own_end];
                self.own = own_end;
                own
            } else {
                let shared = shared?;
                let value = &shared.value[self.skip..shared.len];
                self.skip = 0;
                self.next += 1;
                value
            };
            let piece = &piece[..piece.len().min(self.left)];
            self.left -= piece.len();
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        None
    }
}
