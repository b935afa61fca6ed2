//! Writes a snapshot as a stream.
//!
//! Invariant: the file gets its final name only after all of it is synced.

use std::io;

use super::catalog::{part_name, snapshot_name};
use super::format::{PieceHead, SnapshotEnd, SnapshotFooter, SnapshotHeader};
use crate::disk::{Disk, DiskFile, write_all_at};

/// Bytes between two syncs, so that the disk's queue and the last sync stay short.
const SYNC_BYTES: u64 = 8 << 20;

/// Bytes that are collected before they are written; a larger payload is written from where it lies.
const BUFFER_BYTES: usize = 1 << 20;

/// A snapshot being written. Dropping it leaves a `.part` file that [`super::remove_unfinished`] removes.
pub struct SnapshotWriter<D: Disk> {
    disk: D,
    file: D::File,
    part: String,
    buffer: Vec<u8>,
    written_bytes: u64,
    synced_bytes: u64,
    pieces: u64,
    records: u64,
    start_lsn: trefoil_clock::Lsn,
}

impl<D: Disk> SnapshotWriter<D> {
    /// Begins a snapshot. A leftover of the same start is replaced.
    pub fn create(disk: D, header: &SnapshotHeader) -> io::Result<SnapshotWriter<D>> {
        let part = part_name(header.start_lsn);
        match disk.remove(&part) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = disk.create(&part)?;
        Ok(SnapshotWriter {
            disk,
            file,
            part,
            buffer: header.encode(),
            written_bytes: 0,
            synced_bytes: 0,
            pieces: 0,
            records: 0,
            start_lsn: header.start_lsn,
        })
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// The snapshot is to be abandoned.
    /// # Panics
    /// If the piece is older than the snapshot's start, or its payload is 4 GiB or more.
    pub fn piece(&mut self, head: &PieceHead, payload: &[u8]) -> io::Result<()> {
        assert!(head.lsn >= self.start_lsn, "no piece is older than its snapshot's start");
        self.buffer.extend_from_slice(&head.seal(payload));
        if payload.len() >= BUFFER_BYTES {
            self.flush()?;
            self.write(payload)?;
        } else {
            self.buffer.extend_from_slice(payload);
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        self.pieces += 1;
        self.records += u64::from(head.records);
        if self.written_bytes - self.synced_bytes >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.written_bytes + self.buffer.len() as u64
    }

    /// Completes the snapshot and returns its name. The log has to be flushed up to `end` before.
    ///
    /// # Errors
    /// There is no snapshot then, or only one whose name may not survive a power loss.
    pub fn finish(mut self, end: SnapshotEnd) -> io::Result<String> {
        let footer = SnapshotFooter { end, pieces: self.pieces, records: self.records };
        self.buffer.extend_from_slice(&footer.encode());
        self.flush()?;
        self.sync()?;
        let name = snapshot_name(end.lsn);
        self.disk.rename(&self.part, &name)?;
        self.disk.sync_dir()?;
        Ok(name)
    }

    /// Gives up and removes the file.
    pub fn abandon(self) -> io::Result<()> {
        self.disk.remove(&self.part)
    }

    fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        written
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&self.file, bytes, self.written_bytes).map_err(|partial| partial.source)?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced_bytes = self.written_bytes;
        Ok(())
    }
}
