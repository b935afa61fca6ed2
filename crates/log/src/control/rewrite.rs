//! A new file that holds only what counts: written beside the old one, synced, then renamed.
//!
//! Invariant: a leftover of an earlier attempt is gone for certain before a new one begins, so a rename that
//! survives a power loss without the file that it renamed has nothing to rename.

use std::io;

use trefoil_clock::NodeId;

use super::CONTROL_LOG;
use super::batch::{self, HEADER_BYTES, Kind, Mix};
use super::contents::Contents;
use super::error::ControlLogError;
use super::header::FileHeader;
use crate::disk::{Disk, DiskFile, write_all_at};

/// The name of a file that is being written.
const PART: &str = "control.log.part";

/// The file in use, or one that is going to be.
#[derive(Debug)]
pub(super) struct CurrentFile<F> {
    pub(super) file: F,
    pub(super) mix: Mix,
    /// Where its last batch ends, bytes.
    pub(super) end: u64,
    /// Its length, bytes; at least `end`.
    pub(super) allocated: u64,
}

/// Removes the leftover of an earlier attempt.
pub(super) fn remove_part<D: Disk>(disk: &D) -> Result<(), ControlLogError> {
    match disk.remove(PART) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(ControlLogError::io(e)),
        Ok(()) => disk.sync_dir().map_err(ControlLogError::sync),
    }
}

/// Writes and syncs a new file whose first batch has the number `first_seq` and holds all of `contents`.
pub(super) fn write_part<D: Disk>(
    disk: &D,
    node: NodeId,
    first_seq: u64,
    contents: &Contents,
    step: u64,
) -> Result<CurrentFile<D::File>, ControlLogError> {
    let mix = Mix::new(node, first_seq);
    let mut body = Vec::new();
    contents.encode(&mut body);
    let header = FileHeader { node, first_seq, first_index: contents.first_index() };
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(&batch::encode(mix, Kind::Batch, first_seq, &body)?);
    let end = bytes.len() as u64;
    let allocated = (end + HEADER_BYTES as u64).next_multiple_of(step.max(1));
    let file = disk.create(PART).map_err(ControlLogError::io)?;
    file.preallocate(allocated).map_err(ControlLogError::io)?;
    write_all_at(&file, &bytes, 0).map_err(|partial| ControlLogError::io(partial.source))?;
    file.sync_data().map_err(ControlLogError::sync)?;
    Ok(CurrentFile { file, mix, end, allocated })
}

/// Gives the new file its name. After an error of the sync either file may have it, with the same contents.
pub(super) fn publish<D: Disk>(disk: &D) -> Result<(), ControlLogError> {
    disk.rename(PART, CONTROL_LOG).map_err(ControlLogError::io)?;
    disk.sync_dir().map_err(ControlLogError::sync)
}
