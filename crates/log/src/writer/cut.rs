//! Cutting off the end of a stream's history, because its leader's history is another one from there on.
//!
//! In this order: [`Writer::archive_tail`], then [`Writer::truncate_stream`], then whoever holds the
//! records in memory throws them away and recovers.
//!
//! Invariants:
//! * What is cut off is archived before, unless nobody asked for that.
//! * No snapshot ends behind a cut: it is void before the note that cuts is written. A crash on the way
//!   leaves the whole history, to be recovered from an older snapshot.

use std::io;

use trefoil_clock::{Lsn, ShardId};

use super::Writer;
use crate::disk::Disk;
use crate::diverged::{ArchiveError, DivergedName, DivergedWriter};
use crate::error::{Fault, WriteError};
use crate::frame::FrameBody;
use crate::note::Note;
use crate::position::{FrameSeq, Stream};
use crate::scan::SegmentScan;
use crate::segment::SegmentInfo;
use crate::snapshot::{
    SnapshotName, list_snapshots, remove_unfinished, seeded_until, void_snapshots_after,
};

impl<D: Disk> Writer<D> {
    /// Copies the records of `stream` above `above`, as far as they count and are still in the log, to an
    /// archive. Returns `None` if there are none.
    ///
    /// # Errors
    /// There is no archive then; the log is as it was.
    pub fn archive_tail(
        &mut self,
        stream: Stream,
        above: Lsn,
    ) -> Result<Option<DivergedName>, ArchiveError> {
        self.write()?;
        let failed = |source| ArchiveError::io("diverged.part", source);
        let mut archive =
            DivergedWriter::create(&self.disk, self.identity, stream).map_err(failed)?;
        let is_behind = |info: &&SegmentInfo| info.range(stream).is_some_and(|r| r.last > above);
        let mut last = None;
        for segment in self.segments().filter(is_behind) {
            self.archive_segment(segment, stream, above, &mut last, &mut archive)?;
        }
        archive.finish().map_err(failed)
    }

    fn archive_segment(
        &self,
        segment: &SegmentInfo,
        stream: Stream,
        above: Lsn,
        last: &mut Option<Lsn>,
        archive: &mut DivergedWriter<'_, D>,
    ) -> Result<(), ArchiveError> {
        let file = segment.name();
        let opened =
            self.disk.open(&file).and_then(|opened| SegmentScan::glance(opened, segment.bytes));
        let opened = opened.map_err(|source| ArchiveError::io(&file, source))?;
        let damaged = |offset, fault| ArchiveError::Damaged { file: file.clone(), offset, fault };
        let mut scan = opened.map_err(|_| damaged(0, Fault::SegmentHeader))?;
        scan.read_to(segment.bytes);
        let frames = segment.last_seq.0 + 1 - segment.first_seq.0;
        for seq in (0..frames).map(|index| FrameSeq(segment.first_seq.0 + index)) {
            let stepped = scan.advance().map_err(|source| ArchiveError::io(&file, source))?;
            stepped.map_err(|fault| damaged(scan.offset(), fault))?;
            let frame = scan.frame().ok_or_else(|| damaged(scan.offset(), Fault::Body))?;
            let FrameBody::Runs(runs) = frame.body else { continue };
            for run in runs.iter().filter(|run| run.header.stream() == stream) {
                let part = run.between(above, self.voids.end_of(stream, seq));
                let part = part.map_err(|_| damaged(frame.offset, Fault::Body))?;
                let Some(part) = part else { continue };
                let found = part.header.base_lsn;
                if let Some(expected) = last.map(Lsn::next).filter(|expected| *expected != found) {
                    return Err(damaged(frame.offset, Fault::LsnGap { stream, expected, found }));
                }
                archive.add(&part).map_err(|source| ArchiveError::io("diverged.part", source))?;
                *last = Some(part.header.last_lsn());
            }
        }
        Ok(())
    }

    /// Whether the history of a shard can be cut behind `lsn`: something is left to recover the rest from,
    /// the log from its first record on or an older snapshot. Otherwise only a reseed helps.
    pub fn can_truncate(&self, shard: ShardId, lsn: Lsn) -> io::Result<bool> {
        let stream = Stream::leader(shard);
        let oldest = self.segments().find_map(|segment| segment.range(stream));
        let from_first = oldest.map_or(self.appended(stream) == Lsn::ZERO, |r| r.first <= Lsn(1));
        // A seed is not whole before the records up to its end have come.
        let seeded = seeded_until(&self.disk)?;
        let is_older =
            |one: &SnapshotName| one.end_lsn <= lsn && seeded.is_none_or(|end| end <= lsn);
        Ok(from_first || list_snapshots(&self.disk)?.iter().any(is_older))
    }

    /// Cuts the history of a shard: its leader records above `lsn` are void, the next one is `lsn + 1`.
    /// Snapshots that end above it are void as well, and one that is being taken will not be completed.
    /// Returns the void snapshots' new names. Durable when it returns.
    ///
    /// Only if [`Writer::can_truncate`] says so.
    ///
    /// # Errors
    /// The history may be cut or not; the records are still there. After
    /// [`WriteError::SyncFailed`] the writer refuses everything.
    pub fn truncate_stream(&mut self, shard: ShardId, lsn: Lsn) -> Result<Vec<String>, WriteError> {
        self.check_running()?;
        let failed = |source| WriteError::new(".", 0, source);
        remove_unfinished(&self.disk).map_err(failed)?;
        let voided = void_snapshots_after(&self.disk, lsn).map_err(failed)?;
        self.sync_names()?;
        self.append_note(&Note::Truncate { shard, lsn })?;
        self.sync()?;
        Ok(voided)
    }
}
