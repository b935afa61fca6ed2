//! The frame around a batch, and the mark behind the last one.
//!
//! `crc u32 | len u32 | kind u8 | seq u64 | body (len bytes)`, little-endian. The checksum is CRC-32C over
//! everything after it, mixed with the node and with the file's first number, so that a frame of another file is
//! never taken for one of this. See docs/formats/control.md.

use trefoil_clock::NodeId;

use super::error::ControlLogError;
use crate::cursor::Cursor;
use crate::frame::crc32c;

/// Bytes before the body.
pub(super) const HEADER_BYTES: usize = 17;

/// The longest body.
const BODY_MAX: u64 = u32::MAX as u64;

const CRC_BYTES: usize = 4;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// Records, all or nothing.
    Batch = 1,
    /// Without a body: everything before it was synced. The next batch has its number and its place.
    Mark = 2,
}

/// What the checksums of a file's frames are mixed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mix(u32);

impl Mix {
    pub(super) fn new(node: NodeId, first_seq: u64) -> Mix {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&node.0.to_le_bytes());
        bytes[16..].copy_from_slice(&first_seq.to_le_bytes());
        Mix(crc32c(&bytes))
    }
}

/// A whole frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) seq: u64,
    pub(super) body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, if its checksum holds and `wanted` says yes to its number.
    pub(super) fn decode(
        bytes: &'a [u8],
        mix: Mix,
        wanted: impl FnOnce(u64) -> bool,
    ) -> Option<Frame<'a>> {
        let mut cursor = Cursor::new(bytes);
        let (crc, len) = (cursor.u32()?, cursor.u32()?);
        let kind = cursor.u8()?;
        let kind = [Kind::Batch, Kind::Mark].into_iter().find(|known| *known as u8 == kind)?;
        let seq = cursor.u64()?;
        if !wanted(seq) || (kind == Kind::Mark && len > 0) {
            return None;
        }
        let body = cursor.take(len as usize)?;
        let covered = &bytes[CRC_BYTES..HEADER_BYTES + body.len()];
        (crc32c(covered) ^ mix.0 == crc).then_some(Frame { kind, seq, body })
    }

    /// Bytes of the whole frame.
    pub(super) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// A frame's bytes.
pub(super) fn encode(
    mix: Mix,
    kind: Kind,
    seq: u64,
    body: &[u8],
) -> Result<Vec<u8>, ControlLogError> {
    let bytes = body.len() as u64;
    if bytes > BODY_MAX {
        return Err(ControlLogError::TooLarge { bytes, max: BODY_MAX });
    }
    let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
    frame.extend_from_slice(&header(kind, seq, bytes as u32));
    frame.extend_from_slice(body);
    seal(mix, &mut frame);
    Ok(frame)
}

/// The bytes of the mark in front of batch `seq`.
pub(super) fn mark(mix: Mix, seq: u64) -> [u8; HEADER_BYTES] {
    let mut frame = header(Kind::Mark, seq, 0);
    seal(mix, &mut frame);
    frame
}

fn header(kind: Kind, seq: u64, len: u32) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[4..8].copy_from_slice(&len.to_le_bytes());
    bytes[8] = kind as u8;
    bytes[9..].copy_from_slice(&seq.to_le_bytes());
    bytes
}

fn seal(mix: Mix, frame: &mut [u8]) {
    let crc = crc32c(&frame[CRC_BYTES..]) ^ mix.0;
    frame[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
}
