//! Making frames durable, in one step or with the slow part on another thread.

use std::io;
use std::sync::Arc;

use super::Writer;
use crate::disk::{Disk, DiskFile};
use crate::error::WriteError;
use crate::position::FrameSeq;

/// A sync that was begun. [`SyncTicket::run`] may run on any thread while the writer goes on appending.
#[must_use = "a sync that is begun has to be run and finished"]
pub struct SyncTicket<D: Disk> {
    files: Vec<Arc<D::File>>,
    /// Set if names have to be synced too.
    dir: Option<D>,
    up_to: FrameSeq,
    /// The first frame of the segment that was current when the sync began.
    named: Option<FrameSeq>,
}

/// The outcome of a [`SyncTicket`].
#[must_use = "the writer learns of a sync only by finish_sync"]
#[derive(Debug)]
pub struct SyncDone {
    result: io::Result<()>,
    up_to: FrameSeq,
    /// The first frame of the segment whose name was synced as well.
    named: Option<FrameSeq>,
}

impl<D: Disk> SyncTicket<D> {
    /// Waits for the disk.
    pub fn run(self) -> SyncDone {
        let sync = || {
            for file in &self.files {
                file.sync_data()?;
            }
            self.dir.as_ref().map_or(Ok(()), Disk::sync_dir)
        };
        SyncDone { result: sync(), up_to: self.up_to, named: self.named }
    }
}

impl<D: Disk> Writer<D> {
    /// Writes and syncs everything accepted so far.
    ///
    /// # Errors
    /// [`WriteError::SyncFailed`] is final: the writer refuses everything afterwards.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        let ticket = self.start_sync()?;
        self.finish_sync(ticket.run())
    }

    /// Writes everything accepted so far and begins to sync it. One sync at a time.
    ///
    /// # Panics
    /// If a sync was begun and not finished.
    pub fn start_sync(&mut self) -> Result<SyncTicket<D>, WriteError> {
        assert!(!self.sync_running, "one sync runs at a time");
        self.write()?;
        let mut files = std::mem::take(&mut self.unsynced);
        if let Some(current) = &self.current
            && self.written > self.durable
        {
            files.push(Arc::clone(&current.file));
        }
        let dir = self.name_unsynced.then(|| self.disk.clone());
        self.sync_running = true;
        self.streams.mark_syncing();
        Ok(SyncTicket { files, dir, up_to: self.written, named: self.current_first() })
    }

    /// Takes note of how a sync ended.
    ///
    /// # Errors
    /// [`WriteError::SyncFailed`] is final: the writer refuses everything afterwards.
    pub fn finish_sync(&mut self, done: SyncDone) -> Result<(), WriteError> {
        self.sync_running = false;
        if let Err(source) = done.result {
            self.stopped = true;
            return Err(WriteError::SyncFailed { source });
        }
        self.durable = self.durable.max(done.up_to);
        self.streams.mark_durable();
        // A segment that was begun while the sync ran has a name of its own to be synced.
        if done.named == self.current_first() {
            self.name_unsynced = false;
        }
        Ok(())
    }

    fn current_first(&self) -> Option<FrameSeq> {
        self.current.as_ref().map(|current| current.info.first_seq)
    }
}
