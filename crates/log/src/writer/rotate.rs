//! From one segment to the next.

use std::sync::Arc;

use super::Writer;
use crate::disk::Disk;
use crate::error::WriteError;
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, SegmentInfo};

/// The segment being written.
pub(super) struct Current<F> {
    pub(super) file: Arc<F>,
    /// What it holds, frames in the buffer included.
    pub(super) info: SegmentInfo,
    /// Bytes that are written; the buffer comes next.
    pub(super) written_bytes: u64,
    /// Bytes that are allocated. Invariant: `written_bytes <= info.bytes <= capacity`.
    pub(super) capacity: u64,
}

impl<D: Disk> Writer<D> {
    /// Starts a segment with room for a frame of `frame_bytes`.
    ///
    /// The old segment's bytes need not be synced first: what is lost of them takes the new one's frames
    /// along, since recovery keeps a prefix. Its name has to be: a log that lacks its first segment does
    /// not show it. The new name becomes durable with the next sync.
    pub(super) fn rotate(&mut self, frame_bytes: u64) -> Result<(), WriteError> {
        self.write()?;
        if self.name_unsynced {
            self.sync_names()?;
        }
        let needed = SEGMENT_HEADER_BYTES as u64 + frame_bytes;
        let spare = self.spares.take(needed, &self.options)?;
        let first_seq = self.appended.next();
        let info = SegmentInfo::empty(spare.number, first_seq);
        if let Err(source) = self.disk.rename(&spare.name(), &info.name()) {
            let failed = WriteError::new(&info.name(), 0, source);
            self.spares.put_back(spare);
            return Err(failed);
        }
        self.name_unsynced = true;
        let header = SegmentHeader {
            identity: self.identity,
            number: spare.number,
            first_seq,
            created: self.last_hlc,
        };
        self.buffer.extend_from_slice(&header.encode());
        let capacity = spare.size;
        let next = Current { file: Arc::new(spare.file), info, written_bytes: 0, capacity };
        // A segment without frames had the same name: its file has just been replaced.
        let is_used = |old: &Current<D::File>| old.info.last_seq >= old.info.first_seq;
        if let Some(old) = self.current.replace(next).filter(is_used) {
            if old.info.last_seq > self.durable {
                self.unsynced.push(old.file);
            }
            self.sealed.push_back(old.info);
        }
        Ok(())
    }

    /// Makes all names durable now.
    pub(super) fn sync_names(&mut self) -> Result<(), WriteError> {
        if let Err(source) = self.disk.sync_dir() {
            self.stopped = true;
            return Err(WriteError::SyncFailed { source });
        }
        self.name_unsynced = false;
        Ok(())
    }
}
