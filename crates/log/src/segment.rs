//! Segment files: their names, their header, and what is known about each of them.
//!
//! `wal-<first frame, 20 digits>.log` holds frames; `spare-<segment number, 20 digits>.log` is allocated
//! ahead or recycled and becomes the segment of that number; `*.cut` is what a repair cut off.

use thiserror::Error;
use trefoil_clock::{Hlc, Lsn, NodeId};

use crate::cursor::Cursor;
use crate::frame::{FrameMix, crc32c};
use crate::position::{ClusterId, FrameSeq, Identity, SegmentNo, Stream};

/// Bytes of a segment's header; the first frame starts here.
pub const SEGMENT_HEADER_BYTES: usize = 72;

const MAGIC: [u8; 8] = *b"TREFOILW";
const VERSION: u32 = 1;
const DIGITS: usize = 20;

/// The first bytes of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Whose log it belongs to.
    pub identity: Identity,
    /// Its number, which every frame's checksum is mixed with.
    pub number: SegmentNo,
    /// Its first frame, also in its name.
    pub first_seq: FrameSeq,
    /// A stamp at or before its first record.
    pub created: Hlc,
}

/// Bytes that are not the header of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum HeaderError {
    /// Cut short, not ours, or its checksum fails.
    #[error("the segment header is missing or damaged")]
    Damaged,
    /// Written by a later version.
    #[error("the format version is {version}, this program reads version {VERSION}")]
    Version {
        /// The version found.
        version: u32,
    },
}

impl SegmentHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.identity.node.0.to_le_bytes());
        bytes[28..44].copy_from_slice(&self.identity.cluster.0.to_le_bytes());
        bytes[44..52].copy_from_slice(&self.number.0.to_le_bytes());
        bytes[52..60].copy_from_slice(&self.first_seq.0.to_le_bytes());
        bytes[60..68].copy_from_slice(&self.created.0.to_le_bytes());
        let crc = crc32c(&bytes[..68]);
        bytes[68..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What the checksums of the segment's frames are mixed with.
    #[must_use]
    pub fn mix(&self) -> FrameMix {
        FrameMix::new(self.identity, self.number)
    }

    /// The header at the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let covered = bytes.get(..68).ok_or(HeaderError::Damaged)?;
        SegmentHeader::parse(bytes, crc32c(covered)).unwrap_or(Err(HeaderError::Damaged))
    }

    fn parse(bytes: &[u8], crc: u32) -> Option<Result<SegmentHeader, HeaderError>> {
        let mut cursor = Cursor::new(bytes);
        if cursor.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let version = cursor.u32()?;
        let header = SegmentHeader {
            identity: Identity { node: NodeId(cursor.u128()?), cluster: ClusterId(cursor.u128()?) },
            number: SegmentNo(cursor.u64()?),
            first_seq: FrameSeq(cursor.u64()?),
            created: Hlc(cursor.u64()?),
        };
        if cursor.u32()? != crc {
            return None;
        }
        // Only a version whose checksum holds is believed: a flipped bit is damage, not a newer format.
        Some(if version == VERSION { Ok(header) } else { Err(HeaderError::Version { version }) })
    }
}

/// The LSNs of one stream in one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LsnRange {
    /// The stream.
    pub stream: Stream,
    /// The lowest LSN.
    pub first: Lsn,
    /// The highest LSN.
    pub last: Lsn,
}

/// What is known about a segment without reading it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentInfo {
    /// Its number.
    pub number: SegmentNo,
    /// Its first frame.
    pub first_seq: FrameSeq,
    /// Its last frame; one before `first_seq` while it is empty.
    pub last_seq: FrameSeq,
    /// Bytes in use: header and frames.
    pub bytes: u64,
    /// Which records it holds, one entry per stream, sorted.
    pub ranges: Vec<LsnRange>,
}

impl SegmentInfo {
    pub(crate) fn empty(number: SegmentNo, first_seq: FrameSeq) -> SegmentInfo {
        let last_seq = FrameSeq(first_seq.0.saturating_sub(1));
        SegmentInfo {
            number,
            first_seq,
            last_seq,
            bytes: SEGMENT_HEADER_BYTES as u64,
            ranges: Vec::new(),
        }
    }

    /// Its file's name.
    #[must_use]
    pub fn name(&self) -> String {
        segment_name(self.first_seq)
    }

    /// Which records of `stream` it holds.
    #[must_use]
    pub fn range(&self, stream: Stream) -> Option<LsnRange> {
        let found = self.ranges.binary_search_by_key(&stream, |range| range.stream);
        found.ok().map(|at| self.ranges[at])
    }

    pub(crate) fn note_run(&mut self, stream: Stream, first: Lsn, last: Lsn) {
        match self.ranges.binary_search_by_key(&stream, |range| range.stream) {
            Ok(at) => {
                let range = &mut self.ranges[at];
                (range.first, range.last) = (range.first.min(first), range.last.max(last));
            }
            Err(at) => self.ranges.insert(at, LsnRange { stream, first, last }),
        }
    }
}

/// The name of the segment whose first frame is `first_seq`.
#[must_use]
pub fn segment_name(first_seq: FrameSeq) -> String {
    format!("wal-{:020}.log", first_seq.0)
}

/// The name of the file that will become segment `number`.
pub(crate) fn spare_name(number: SegmentNo) -> String {
    format!("spare-{:020}.log", number.0)
}

/// The first frame of the segment of that name, if it is a segment's name.
#[must_use]
pub fn parse_segment_name(name: &str) -> Option<FrameSeq> {
    digits_between(name, "wal-", ".log").map(FrameSeq)
}

pub(crate) fn parse_spare_name(name: &str) -> Option<SegmentNo> {
    digits_between(name, "spare-", ".log").map(SegmentNo)
}

/// The number in `<prefix><20 digits><suffix>`.
pub(crate) fn digits_between(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let all_digits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok())?
}

/// The number that stands at the start in as many digits as names have, and what follows it.
pub(crate) fn digits_at_start(name: &str) -> Option<(u64, &str)> {
    let (digits, rest) = name.split_at_checked(DIGITS)?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((all_digits.then(|| digits.parse().ok())??, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_strangers_are_not() {
        assert_eq!(parse_segment_name(&segment_name(FrameSeq(42))), Some(FrameSeq(42)));
        assert_eq!(parse_spare_name(&spare_name(SegmentNo(7))), Some(SegmentNo(7)));
        for name in ["wal-1.log", "wal-+0000000000000000042.log", "wal-99999999999999999999.log"] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
    }
}
