//! Reading the file: which batches count, where they end, and whether that end is torn or damaged.

use std::ops::Range;

use trefoil_clock::NodeId;

use super::batch::{Frame, HEADER_BYTES, Kind, Mix};
use super::contents::Contents;
use super::decode_records;
use super::error::{ControlFault, ControlLogError};
use super::header::{FILE_HEADER_BYTES, FileHeader};

/// What a file holds.
pub(super) struct Scanned {
    pub(super) mix: Mix,
    pub(super) contents: Contents,
    pub(super) next_seq: u64,
    /// Where the last batch ends.
    pub(super) end: usize,
    /// The bytes of the last batch's frame; never empty.
    pub(super) last: Range<usize>,
    /// Whether the mark behind the last batch says that it was synced.
    marked: bool,
    /// Whether there is more than zeros behind the last batch and its mark.
    pub(super) has_tail: bool,
    /// From the last batch, or its mark, to the last byte that is not zero.
    pub(super) torn_bytes: u64,
}

impl Scanned {
    /// Whether nothing has to be cut or synced.
    pub(super) fn is_settled(&self) -> bool {
        self.marked && !self.has_tail
    }
}

/// Reads a whole file of `node`.
///
/// # Errors
/// If it is damaged, foreign, or of a later version.
pub(super) fn scan(bytes: &[u8], node: NodeId) -> Result<Scanned, ControlLogError> {
    let header = FileHeader::decode(bytes)?;
    if header.node != node {
        return Err(ControlLogError::Foreign { found: header.node, expected: node });
    }
    let mix = Mix::new(node, header.first_seq);
    let mut contents = Contents::starting_at(header.first_index);
    let (mut seq, mut at) = (header.first_seq, FILE_HEADER_BYTES);
    let mut last = at..at;
    let mut marked = false;
    while let Some(frame) = Frame::decode(&bytes[at..], mix, |found| found == seq) {
        if frame.kind == Kind::Mark {
            marked = true;
            break;
        }
        apply(&mut contents, &frame, at)?;
        last = at..at + frame.frame_bytes();
        (seq, at) = (seq.saturating_add(1), last.end);
    }
    let damaged = |fault| ControlLogError::Damaged { offset: at as u64, fault };
    if last.is_empty() {
        return Err(damaged(ControlFault::FirstBatch));
    }
    if let Some(found) = whole_frame_behind(&bytes[at..], mix, seq) {
        return Err(damaged(ControlFault::Batch { missing: seq, found }));
    }
    let tail = &bytes[if marked { at + HEADER_BYTES } else { at }..];
    let torn_bytes = tail.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1);
    let has_tail = torn_bytes > 0;
    Ok(Scanned { mix, contents, next_seq: seq, end: at, last, marked, has_tail, torn_bytes })
}

fn apply(contents: &mut Contents, frame: &Frame<'_>, at: usize) -> Result<(), ControlLogError> {
    let malformed = || {
        let fault = ControlFault::Malformed { seq: frame.seq };
        ControlLogError::Damaged { offset: at as u64, fault }
    };
    for record in decode_records(frame.body).ok_or_else(malformed)? {
        contents.apply(record).map_err(|_| malformed())?;
    }
    Ok(())
}

/// The number of a frame that could only be written after `missing` had been synced.
fn whole_frame_behind(bytes: &[u8], mix: Mix, missing: u64) -> Option<u64> {
    // More batches than that do not fit, so most bytes that look like a number are not worth a checksum.
    let most = missing.saturating_add((bytes.len() / HEADER_BYTES) as u64 + 1);
    let later = |seq| seq > missing && seq <= most;
    (0..bytes.len()).find_map(|at| Frame::decode(&bytes[at..], mix, later)).map(|frame| frame.seq)
}
