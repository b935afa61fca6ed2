//! A frame on the wire: `len u32 | crc u32 | kind u8 | fence | body`, little-endian.
//!
//! `len` counts what follows the checksum. The checksum is CRC-32C over the length and all that follows
//! the checksum. See docs/formats/peer.md.

use super::body::{put_body, put_fence};
use super::message::{Fence, Message};

/// Bytes of length and checksum.
pub(super) const PREFIX_BYTES: usize = 8;

/// Bytes of kind and fence: the shortest frame.
pub(super) const FENCED_BYTES: usize = 1 + 16 + 4 + 8 + 16;

/// Bytes of an [`Append`](super::Append)'s frame that are not runs.
pub const APPEND_HEAD_BYTES: usize = PREFIX_BYTES + FENCED_BYTES + 33;

/// The most bytes of runs that one [`Append`](super::Append) can carry.
pub const RUNS_BYTES_MAX: usize = (u32::MAX as usize) - (APPEND_HEAD_BYTES - PREFIX_BYTES);

/// Appends a message's frame to `out`.
///
/// # Panics
/// If the message is longer than a frame can be: who gathers payloads keeps to
/// [`FRAME_MAX`](super::FRAME_MAX), and a single record to [`RUNS_BYTES_MAX`].
pub fn encode(fence: &Fence, message: &Message<'_>, out: &mut Vec<u8>) {
    let payload = encode_head(fence, message, out);
    out.extend_from_slice(payload);
}

/// Appends a message's frame but for its payload, which is returned: it is to be sent right behind. So
/// records and parts of snapshots go from where they are to the socket without a copy.
///
/// # Panics
/// As [`encode`] does.
#[must_use = "the payload belongs behind the head"]
pub fn encode_head<'a>(fence: &Fence, message: &Message<'a>, out: &mut Vec<u8>) -> &'a [u8] {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    out.push(message.kind() as u8);
    put_fence(out, fence);
    let payload = put_body(out, message);
    let bytes = out.len() - start - PREFIX_BYTES + payload.len();
    let len = u32::try_from(bytes).expect("a frame is shorter than 4 GiB");
    assert!(len <= message.kind().len_max(), "a frame is no longer than its kind allows");
    let crc = checksum(len, &[&out[start + PREFIX_BYTES..], payload]);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + PREFIX_BYTES].copy_from_slice(&crc.to_le_bytes());
    payload
}

/// CRC-32C over the length and what follows the checksum, given in parts.
pub(super) fn checksum(len: u32, parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&len.to_le_bytes());
    for part in parts {
        digest.update(part);
    }
    digest.finalize() as u32
}
