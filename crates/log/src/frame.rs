//! A frame: the atomic unit of the log. Either all of it is there after a crash or none of it.
//!
//! `crc u32 | len u32 | kind u8 | seq u64 | durable u64 | body (len bytes)`, little-endian. The checksum
//! is CRC-32C over everything after it, mixed with who wrote it and the number of the segment. `durable` is the last frame
//! that was known to be on disk when this one was written: it lets recovery tell a torn tail (nothing
//! later claims the bad frame was synced) from damage (something does). See docs/formats/log.md.
//!
//! Invariants:
//! * `durable < seq`; sequence numbers in a segment are dense.
//! * A checksum made for one segment number fails under every other near it. So a value of a client that
//!   holds a frame, of a copy of this log or of another node's, is never taken for one.

use crate::cursor::Cursor;
use crate::note::Note;
use crate::position::{FrameSeq, Identity, SegmentNo};
use crate::run::{Run, RunHeader};

/// Bytes before the body.
pub const FRAME_HEADER_BYTES: usize = 25;

/// The longest body.
pub const FRAME_BODY_MAX: u64 = u32::MAX as u64;

const CRC_BYTES: usize = 4;

/// Bytes in front of a run's payload: its header and the payload's length.
pub(crate) const RUN_PREFIX_BYTES: usize = RunHeader::BYTES + 4;

/// What a frame's body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum FrameKind {
    /// One or more runs of records, all or nothing.
    Runs = 1,
    /// [`Note::EpochStart`].
    EpochStart = 2,
    /// [`Note::CleanStop`].
    CleanStop = 3,
    /// [`Note::Truncate`].
    Truncate = 4,
    /// [`Note::SnapshotMark`].
    SnapshotMark = 5,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<FrameKind> {
        use FrameKind::{CleanStop, EpochStart, Runs, SnapshotMark, Truncate};
        [Runs, EpochStart, CleanStop, Truncate, SnapshotMark]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A frame's header without the checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Bytes of the body.
    pub len: u32,
    /// What the body is.
    pub kind: FrameKind,
    /// The frame's number.
    pub seq: FrameSeq,
    /// The last frame that was known to be synced when this one was written.
    pub durable: FrameSeq,
}

impl FrameHeader {
    /// The header with its checksum, for a body given in parts.
    pub(crate) fn seal(&self, mix: FrameMix, body: &[&[u8]]) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8] = self.kind as u8;
        bytes[9..17].copy_from_slice(&self.seq.0.to_le_bytes());
        bytes[17..25].copy_from_slice(&self.durable.0.to_le_bytes());
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        digest.update(&bytes[CRC_BYTES..]);
        for part in body {
            digest.update(part);
        }
        let crc = digest.finalize() as u32 ^ mix.0;
        bytes[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, with its checksum unchecked. `None`: no such header exists.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<FrameHeader> {
        let mut cursor = Cursor::new(bytes);
        cursor.u32()?;
        let len = cursor.u32()?;
        let kind = FrameKind::from_byte(cursor.u8()?)?;
        let (seq, durable) = (FrameSeq(cursor.u64()?), FrameSeq(cursor.u64()?));
        (durable < seq).then_some(FrameHeader { len, kind, seq, durable })
    }

    /// The number that header bytes hold, whatever the rest of them says.
    pub(crate) fn numbered(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<FrameSeq> {
        bytes.get(SEQ).and_then(|seq| seq.try_into().ok()).map(u64::from_le_bytes).map(FrameSeq)
    }

    /// The header that these bytes would be with another number, and its bytes.
    pub(crate) fn renumbered(
        bytes: &[u8; FRAME_HEADER_BYTES],
        seq: FrameSeq,
    ) -> Option<(FrameHeader, [u8; FRAME_HEADER_BYTES])> {
        let mut bytes = *bytes;
        bytes[SEQ].copy_from_slice(&seq.0.to_le_bytes());
        FrameHeader::decode(&bytes).map(|header| (header, bytes))
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES as u64 + u64::from(self.len)
    }
}

/// What the checksums of a segment's frames are mixed with: who wrote them, and in which segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameMix(u32);

impl FrameMix {
    /// The mix of one segment of one node.
    #[must_use]
    pub fn new(identity: Identity, segment: SegmentNo) -> FrameMix {
        FrameMix(identity_mix(identity) ^ (segment.0 as u32).wrapping_mul(MIX))
    }

    /// The only mix under which the checksum of `frame`, exactly one frame's bytes, holds.
    pub(crate) fn of_frame(frame: &[u8]) -> Option<FrameMix> {
        let (stored, covered) = frame.split_first_chunk::<CRC_BYTES>()?;
        Some(FrameMix(u32::from_le_bytes(*stored) ^ crc32c(covered)))
    }

    /// The lower 32 bits of the only segment number that a node's frames have with this mix.
    pub(crate) fn segment(self, identity: Identity) -> u32 {
        (self.0 ^ identity_mix(identity)).wrapping_mul(UNMIX)
    }
}

/// Whether `frame`, exactly one frame's bytes, carries the checksum of a frame with that mix.
#[must_use]
pub fn checksum_holds(frame: &[u8], mix: FrameMix) -> bool {
    FrameMix::of_frame(frame) == Some(mix)
}

/// CRC-32C (Castagnoli).
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Where a header holds its frame's number.
const SEQ: std::ops::Range<usize> = 9..17;

/// An odd factor is a bijection modulo 2^32, so numbers closer than 2^32 never share a mix.
const MIX: u32 = 0x9e37_79b1;
const UNMIX: u32 = 0x0e8b_2f51;

fn identity_mix(identity: Identity) -> u32 {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&identity.node.0.to_le_bytes());
    bytes[16..].copy_from_slice(&identity.cluster.0.to_le_bytes());
    crc32c(&bytes)
}

/// A frame's decoded body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FrameBody<'a> {
    /// Records.
    Runs(Runs<'a>),
    /// What the log says about itself.
    Note(Note),
}

impl<'a> FrameBody<'a> {
    /// Decodes a body. `None`: it is not what its kind says, although its checksum may hold.
    #[must_use]
    pub fn decode(kind: FrameKind, body: &'a [u8]) -> Option<FrameBody<'a>> {
        match kind {
            FrameKind::Runs => Runs::decode(body).map(FrameBody::Runs),
            _ => Note::decode(kind, body).map(FrameBody::Note),
        }
    }
}

/// The runs of a frame. Their headers and lengths have been checked, their records have not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Runs<'a> {
    count: u32,
    encoded: &'a [u8],
}

impl<'a> Runs<'a> {
    fn decode(body: &'a [u8]) -> Option<Runs<'a>> {
        let mut cursor = Cursor::new(body);
        let count = cursor.u32()?;
        let runs = Runs { count, encoded: cursor.rest() };
        for _ in 0..count {
            decode_run(&mut cursor)?;
        }
        (count > 0 && cursor.is_empty()).then_some(runs)
    }

    /// How many runs there are, at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Never true: a frame holds at least one run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Iterates the runs in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = Run<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.encoded);
        std::iter::from_fn(move || decode_run(&mut cursor))
    }
}

pub(crate) fn decode_run<'a>(cursor: &mut Cursor<'a>) -> Option<Run<'a>> {
    let header = RunHeader::decode(cursor)?;
    let payload_bytes = cursor.u32()?;
    Some(Run { header, payload: cursor.take(payload_bytes as usize)? })
}

/// A frame as read from the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    /// The segment it is in.
    pub segment: SegmentNo,
    /// Where in the segment's file it starts, bytes.
    pub offset: u64,
    /// Its content.
    pub body: FrameBody<'a>,
}
