//! The epochs of a recovered history, and the next one.
//!
//! Invariant: an epoch begins above every epoch that anything on the disk tells of, void records,
//! snapshots and archives included. So records that were cut off or lost never share a position with
//! new ones.

use trefoil_clock::{Epoch, EpochEntry, EpochTable, Lsn};
use trefoil_log::{
    Disk, EpochCause, Note, Recovered, highest_snapshot_epoch, list_diverged, used_epoch,
};

use super::{Loaded, StartError};
use crate::log::{SHARD, stream};

/// What the disk tells of epochs.
pub(super) struct Epochs {
    /// Those of the history that counts.
    pub(super) table: EpochTable,
    /// One that was never used.
    pub(super) next: Epoch,
}

impl Epochs {
    pub(super) fn find<D: Disk>(
        disk: &D,
        of_snapshot: &[EpochEntry],
        log: &Recovered,
    ) -> std::io::Result<Epochs> {
        let mut table = EpochTable::default();
        // From its first note on, the log tells of all that follow.
        for entry in of_snapshot.iter().chain(log.epochs.get(&SHARD).into_iter().flatten()) {
            continue_with(&mut table, *entry);
        }
        let mut highest = log.highest_epoch.max(highest_snapshot_epoch(disk)?);
        highest = highest.max(used_epoch(disk)?);
        for archive in list_diverged(disk)? {
            highest = highest.max(archive.epoch);
        }
        Ok(Epochs { table, next: highest.next() })
    }
}

/// Adds an epoch, in place of those that begin at or behind its first record.
fn continue_with(table: &mut EpochTable, entry: EpochEntry) {
    let before = table.entries().iter().rev().find(|other| other.first_lsn < entry.first_lsn);
    if before.is_none_or(|before| before.epoch < entry.epoch) {
        table.push(entry);
    }
}

impl<D: Disk> Loaded<D> {
    /// Begins an epoch of this node behind the last record, durably; none after a clean stop as the
    /// leader, which continues the old one and notes that.
    ///
    /// # Errors
    /// [`StartError::Hole`] also if the data came from another node and not all records of it: then only
    /// that node's history can be followed.
    pub fn lead(&mut self) -> Result<(), StartError> {
        let end = self.end();
        let report = &mut self.report;
        if end < report.ready_after {
            return Err(StartError::Hole(end.next(), report.ready_after));
        }
        if report.cause == EpochCause::CleanRestart
            && let Some(entry) = report.epochs.last()
        {
            // The log ends with the mark of the clean stop no more: what follows may reach followers
            // and be lost here, and then the next start must not take the stop for a clean one.
            let cause = report.cause;
            self.writer.append_note(&Note::EpochStart { shard: SHARD, entry, cause })?;
            return Ok(self.writer.sync()?);
        }
        let (epoch, leader) = (report.next_epoch, report.identity.node);
        let entry = EpochEntry { epoch, leader, first_lsn: end.next() };
        self.writer.append_note(&Note::EpochStart { shard: SHARD, entry, cause: report.cause })?;
        self.writer.sync()?;
        report.epochs.push(entry);
        (report.epoch, report.next_epoch) = (epoch, epoch.next());
        Ok(())
    }

    /// The last record that was recovered.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.writer.appended(stream())
    }
}
