//! The durable store of the control plane's consensus: one small file, `control.log`.
//!
//! Knows opaque bytes and their indexes; does not know terms, votes or members. It isn't the
//! write-ahead log: batches are few and small, each is synced by itself, and all that counts is also kept in memory.
//!
//! Invariants:
//! * A batch is recovered whole or not at all, and batches form a prefix of what was written.
//! * A batch is written only after the one before it was synced. So a whole one behind a bad one proves
//!   that something synced is damaged, and that is refused: a voter that forgot its vote must not vote.
//! * Behind the last synced batch stands a mark that says so. It is not synced, so a power loss may take it,
//!   but damage to the last batch that comes later finds it.
//! * After a failed sync nothing is written any more.
//! * The file is replaced by rename only, with its first batch synced: it is never without one.

mod batch;
mod contents;
mod error;
mod header;
mod read;
mod record;
mod rewrite;

use std::io;

use trefoil_clock::NodeId;

use self::batch::Kind;
use self::contents::Contents;
use self::read::Scanned;
use self::rewrite::{CurrentFile, publish, remove_part, write_part};
use crate::disk::{Disk, DiskFile, read_full_at, write_all_at};

pub use self::contents::{Disorder, Recovered};
pub use self::error::{ControlFault, ControlLogError};
pub use self::record::{ControlRecord, decode_records, encode_records};

/// The name of the file.
pub const CONTROL_LOG: &str = "control.log";

/// How the file grows and shrinks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlLogOptions {
    /// A file shorter than this is never rewritten, bytes.
    pub rewrite_bytes: u64,
    /// The file is allocated in steps of this many bytes, at least 1.
    pub preallocate_bytes: u64,
}

impl Default for ControlLogOptions {
    fn default() -> ControlLogOptions {
        ControlLogOptions { rewrite_bytes: 1 << 20, preallocate_bytes: 64 << 10 }
    }
}

/// The number of a new store's first batch.
const FIRST_SEQ: u64 = 1;

/// A longer file than this many times what counts in it is rewritten.
const GARBAGE_FACTOR: u64 = 4;

/// The open store. One process has one.
#[derive(Debug)]
pub struct ControlLog<D: Disk> {
    disk: D,
    node: NodeId,
    options: ControlLogOptions,
    file: CurrentFile<D::File>,
    /// What the batches in the file say.
    contents: Contents,
    /// The next batch's number.
    next_seq: u64,
    /// Whether a failed write may have left something behind the last batch that is to be cut before the next.
    cut_due: bool,
    /// A file that could not be rewritten is tried again when it is longer than this, bytes.
    rewrite_again_above: u64,
    /// Set by a failed sync, for good.
    stopped: bool,
}

impl<D: Disk> ControlLog<D> {
    /// Opens the store of `node`, or creates an empty one. What is recovered is durable when it returns.
    ///
    /// # Errors
    /// [`ControlLogError::Damaged`], [`ControlLogError::Foreign`] and [`ControlLogError::Version`]: nothing
    /// was changed. Otherwise it can be opened again.
    pub fn open(
        disk: &D,
        node: NodeId,
        options: ControlLogOptions,
    ) -> Result<(ControlLog<D>, Recovered), ControlLogError> {
        remove_part(disk)?;
        let file = match disk.open(CONTROL_LOG) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return ControlLog::create(disk, node, options);
            }
            opened => opened.map_err(ControlLogError::io)?,
        };
        let bytes = read_all(&file).map_err(ControlLogError::io)?;
        let scanned = read::scan(&bytes, node)?;
        let settled = scanned.is_settled();
        let allocated = settle(disk, &file, &bytes, &scanned)?;
        let recovered = scanned.contents.recovered(scanned.torn_bytes);
        let file = CurrentFile { file, mix: scanned.mix, end: scanned.end as u64, allocated };
        let mut log = ControlLog::with(disk, node, options, file, scanned.contents);
        log.next_seq = scanned.next_seq;
        if !settled {
            log.mark_synced();
        }
        Ok((log, recovered))
    }

    fn create(
        disk: &D,
        node: NodeId,
        options: ControlLogOptions,
    ) -> Result<(ControlLog<D>, Recovered), ControlLogError> {
        let contents = Contents::new();
        let file = write_part(disk, node, FIRST_SEQ, &contents, options.preallocate_bytes)?;
        publish(disk)?;
        let recovered = Recovered { created: true, ..contents.recovered(0) };
        let mut log = ControlLog::with(disk, node, options, file, contents);
        log.mark_synced();
        Ok((log, recovered))
    }

    fn with(
        disk: &D,
        node: NodeId,
        options: ControlLogOptions,
        file: CurrentFile<D::File>,
        contents: Contents,
    ) -> ControlLog<D> {
        ControlLog {
            disk: disk.clone(),
            node,
            options,
            file,
            contents,
            next_seq: FIRST_SEQ + 1,
            cut_due: false,
            rewrite_again_above: 0,
            stopped: false,
        }
    }

    /// Writes one batch and syncs it: after a power loss all of it is there or nothing. An empty batch is not
    /// written.
    ///
    /// # Errors
    /// Nothing of the batch was taken, and it may be tried again. [`ControlLogError::SyncFailed`] is final: the batch is
    /// there after a restart or not, and until then everything is refused.
    pub fn write(&mut self, records: &[ControlRecord]) -> Result<(), ControlLogError> {
        if self.stopped {
            return Err(ControlLogError::Stopped);
        }
        if records.is_empty() {
            return Ok(());
        }
        self.contents.check(records)?;
        self.rewrite_if_due()?;
        let mut body = Vec::new();
        encode_records(records, &mut body);
        let frame = batch::encode(self.file.mix, Kind::Batch, self.next_seq, &body)?;
        self.append(&frame)?;
        for record in records {
            self.contents.apply(record.clone()).expect("the batch was checked as a whole");
        }
        self.file.end += frame.len() as u64;
        self.next_seq += 1;
        self.mark_synced();
        Ok(())
    }

    /// The file's bytes in use.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.file.end
    }

    fn append(&mut self, frame: &[u8]) -> Result<(), ControlLogError> {
        if self.cut_due {
            self.cut_back()?;
        }
        let needed = self.file.end + frame.len() as u64 + batch::HEADER_BYTES as u64;
        if needed > self.file.allocated {
            let size = needed.next_multiple_of(self.options.preallocate_bytes.max(1));
            self.file.file.preallocate(size).map_err(ControlLogError::io)?;
            self.file.allocated = size;
        }
        if let Err(partial) = write_all_at(&self.file.file, frame, self.file.end) {
            self.cut_due = true;
            // If this fails, too, the next batch tries again before it is written.
            let _ = self.cut_back();
            return Err(ControlLogError::io(partial.source));
        }
        let synced = self.file.file.sync_data().map_err(ControlLogError::sync);
        self.stop_if_final(synced)
    }

    /// Removes what a failed write left, and the mark that it overwrote comes back.
    fn cut_back(&mut self) -> Result<(), ControlLogError> {
        self.file.file.truncate(self.file.end).map_err(ControlLogError::io)?;
        self.file.allocated = self.file.end;
        self.cut_due = false;
        self.mark_synced();
        Ok(())
    }

    /// Says behind the last batch that it was synced. The next batch overwrites that, so whatever a failed write
    /// leaves of it does no harm.
    fn mark_synced(&mut self) {
        let mark = batch::mark(self.file.mix, self.next_seq);
        if write_all_at(&self.file.file, &mark, self.file.end).is_ok() {
            self.file.allocated = self.file.allocated.max(self.file.end + mark.len() as u64);
        }
    }

    /// A rewrite that fails is put off, since the old file is as good as before, except after a failed sync.
    fn rewrite_if_due(&mut self) -> Result<(), ControlLogError> {
        let least = self.options.rewrite_bytes.max(self.rewrite_again_above);
        if self.file.end <= least || self.file.end <= GARBAGE_FACTOR * self.contents.encoded_bytes()
        {
            return Ok(());
        }
        match self.rewrite() {
            Err(failed) if failed.is_final() => self.stop_if_final(Err(failed)),
            Err(_) => {
                self.rewrite_again_above = self.file.end + self.options.rewrite_bytes;
                match remove_part(&self.disk) {
                    Err(failed) if failed.is_final() => self.stop_if_final(Err(failed)),
                    // What cannot be removed now is removed before the next attempt.
                    _ => Ok(()),
                }
            }
            Ok(()) => Ok(()),
        }
    }

    fn rewrite(&mut self) -> Result<(), ControlLogError> {
        remove_part(&self.disk)?;
        let step = self.options.preallocate_bytes;
        let file = write_part(&self.disk, self.node, self.next_seq, &self.contents, step)?;
        publish(&self.disk)?;
        self.file = file;
        self.next_seq += 1;
        self.cut_due = false;
        self.rewrite_again_above = 0;
        self.mark_synced();
        Ok(())
    }

    fn stop_if_final(
        &mut self,
        result: Result<(), ControlLogError>,
    ) -> Result<(), ControlLogError> {
        self.stopped |= result.as_ref().is_err_and(ControlLogError::is_final);
        result
    }
}

fn read_all(file: &impl DiskFile) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.size()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; size];
    let filled = read_full_at(file, &mut bytes, 0)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// Cuts the torn tail and makes the rest durable. Returns the file's length.
///
/// An unmarked last batch may be in the kernel's memory only, and after a failed sync the kernel may hold it for
/// written. So it is written once more, with the same bytes, before it is synced.
fn settle<D: Disk>(
    disk: &D,
    file: &D::File,
    bytes: &[u8],
    scanned: &Scanned,
) -> Result<u64, ControlLogError> {
    let mut size = bytes.len() as u64;
    if !scanned.is_settled() {
        if scanned.has_tail {
            size = scanned.end as u64;
            file.truncate(size).map_err(ControlLogError::io)?;
        }
        let last = scanned.last.clone();
        let rewritten = write_all_at(file, &bytes[last.clone()], last.start as u64);
        rewritten.map_err(|partial| ControlLogError::io(partial.source))?;
        file.sync_data().map_err(ControlLogError::sync)?;
    }
    disk.sync_dir().map_err(ControlLogError::sync)?;
    Ok(size)
}
