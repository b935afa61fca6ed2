//! What a scan has seen: counts, positions, epochs, and what each segment holds.
//!
//! Invariants:
//! * A frame is counted whole or not at all.
//! * `positions` only moves by one record at a time, or back by a Truncate note.

use std::collections::BTreeMap;

use trefoil_clock::{Epoch, Hlc, Lsn, ShardId};

use crate::error::{Fault, ScanError};
use crate::frame::{Frame, FrameBody, Runs};
use crate::note::{EpochEntry, Note};
use crate::position::{FrameSeq, Positions, Stream};
use crate::segment::SegmentInfo;
use crate::voids::{Void, Voids};

/// The sum of the frames read so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Frames read.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of those frames.
    pub bytes: u64,
    /// The last LSN per stream.
    pub positions: Positions,
    /// The highest stamp of a record.
    pub last_hlc: Hlc,
    /// Per shard the epochs whose start was read, ascending by first LSN.
    pub epochs: BTreeMap<ShardId, Vec<EpochEntry>>,
    /// The highest epoch of any record or note, void ones included.
    pub highest_epoch: Epoch,
    /// The cuts of history that were read.
    pub voids: Voids,
    /// The segments read, the last one perhaps in part.
    pub segments: Vec<SegmentInfo>,
    /// Whether the frame read last is a clean stop that agrees with `positions`.
    pub clean_stop: bool,
    /// How far notes say that streams had got: a log that ends below that has lost records.
    pub(crate) claimed: Positions,
    /// The durable mark of the frame read last.
    pub durable: FrameSeq,
    last_seq: FrameSeq,
    /// Where each stream may start at the latest; `None`: anywhere.
    from: Option<Positions>,
    /// The frame under inspection, not counted yet: last LSN per stream.
    staged: Vec<(Stream, Lsn)>,
}

impl Tally {
    pub(crate) fn starting_anywhere() -> Tally {
        Tally::default()
    }

    pub(crate) fn starting_after(from: &Positions) -> Tally {
        Tally { from: Some(from.clone()), ..Tally::default() }
    }

    /// The last frame read.
    #[must_use]
    pub fn last_seq(&self) -> FrameSeq {
        self.last_seq
    }

    pub(crate) fn start_at(&mut self, first_seq: FrameSeq) {
        self.last_seq = FrameSeq(first_seq.0.saturating_sub(1));
    }

    pub(crate) fn enter(&mut self, segment: SegmentInfo) {
        self.segments.push(segment);
    }

    /// Takes the frame into account, unless its records do not follow what came before.
    pub(crate) fn count(&mut self, frame: &Frame<'_>) -> Result<Result<(), Fault>, ScanError> {
        let counted = match &frame.body {
            FrameBody::Runs(runs) => self.count_runs(runs)?,
            FrameBody::Note(note) => {
                self.count_note(note, frame.header.seq);
                Ok(())
            }
        };
        if counted.is_ok() {
            self.frames += 1;
            self.bytes += frame.header.frame_bytes();
            self.last_seq = frame.header.seq;
            self.durable = frame.header.durable;
            let segment =
                self.segments.last_mut().expect("frames are read from an entered segment");
            segment.last_seq = frame.header.seq;
            segment.bytes = frame.offset + frame.header.frame_bytes();
        }
        Ok(counted)
    }

    fn count_runs(&mut self, runs: &Runs<'_>) -> Result<Result<(), Fault>, ScanError> {
        self.staged.clear();
        let (mut records, mut last_hlc) = (0, self.last_hlc);
        for run in runs.iter() {
            let stream = run.header.stream();
            if let Some(expected) = self.expected(stream, run.header.base_lsn)?
                && expected != run.header.base_lsn
            {
                return Ok(Err(Fault::LsnGap { stream, expected, found: run.header.base_lsn }));
            }
            for record in run.records() {
                let Ok(record) = record else { return Ok(Err(Fault::Body)) };
                last_hlc = last_hlc.max(record.hlc);
            }
            records += u64::from(run.header.count);
            self.staged.push((stream, run.header.last_lsn()));
        }
        let segment = self.segments.last_mut().expect("frames are read from an entered segment");
        for run in runs.iter() {
            segment.note_run(run.header.stream(), run.header.base_lsn, run.header.last_lsn());
            self.highest_epoch = self.highest_epoch.max(run.header.epoch);
        }
        for (stream, last) in self.staged.drain(..) {
            self.positions.set(stream, last);
        }
        (self.records, self.last_hlc) = (self.records + records, last_hlc);
        self.clean_stop = false;
        Ok(Ok(()))
    }

    /// The LSN with which `stream` has to go on; `None`: its first record may be any.
    fn expected(&self, stream: Stream, base: Lsn) -> Result<Option<Lsn>, ScanError> {
        let staged = self.staged.iter().rev().find(|(other, _)| *other == stream);
        if let Some((_, last)) = staged {
            return Ok(Some(last.next()));
        }
        if self.positions.contains(stream) {
            return Ok(Some(self.positions.get(stream).next()));
        }
        let needed = self.from.as_ref().map(|from| from.get(stream).next());
        match needed {
            Some(needed) if base > needed => {
                Err(ScanError::Missing { stream, needed, found: base })
            }
            _ => Ok(None),
        }
    }

    fn count_note(&mut self, note: &Note, seq: FrameSeq) {
        self.clean_stop = false;
        match note {
            Note::EpochStart { shard, entry, .. } => {
                self.highest_epoch = self.highest_epoch.max(entry.epoch);
                let table = self.epochs.entry(*shard).or_default();
                // An epoch that starts at or below another's first record replaces it: none of the
                // other's records are left.
                table.retain(|other| other.first_lsn < entry.first_lsn);
                table.push(*entry);
                self.claim(Stream::leader(*shard), Lsn(entry.first_lsn.0.saturating_sub(1)));
            }
            Note::Truncate { shard, lsn } => {
                let stream = Stream::leader(*shard);
                self.voids.push(Void { stream, seq, lsn: *lsn });
                for positions in [&mut self.positions, &mut self.claimed] {
                    if positions.contains(stream) {
                        positions.set(stream, positions.get(stream).min(*lsn));
                    }
                }
                if let Some(table) = self.epochs.get_mut(shard) {
                    table.retain(|entry| entry.first_lsn <= lsn.next());
                }
            }
            Note::CleanStop { ends } => {
                self.clean_stop =
                    self.positions.iter().all(|(stream, lsn)| ends.get(stream) == lsn);
                for (stream, lsn) in ends.iter() {
                    self.claim(stream, lsn);
                }
            }
            Note::SnapshotMark { .. } => {}
        }
    }

    fn claim(&mut self, stream: Stream, lsn: Lsn) {
        self.claimed.set(stream, lsn.max(self.claimed.get(stream)));
    }
}
