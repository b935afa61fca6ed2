//! Reads a stream's records back from the segments while the writer goes on writing them: what a leader
//! sends to its followers, near and far ones alike.
//!
//! Reads only what is known to be written, so the last segment's unused space is never looked at and the
//! newest frames cost one read of exactly their bytes. Frames are checked as in recovery. Changes nothing.
//!
//! Invariants:
//! * Runs are delivered in the order of the log, and their records are dense from the position asked for.
//! * Nothing that a Truncate note voids is delivered after the note was written; a reader that delivered
//!   such records before says [`TailError::Gone`].
//! * A segment that is removed or recycled under the reader is noticed, never read as something else.

use std::io;

use thiserror::Error;
use trefoil_clock::Lsn;

use crate::disk::Disk;
use crate::error::Fault;
use crate::frame::{Frame, FrameBody, RUN_PREFIX_BYTES};
use crate::note::Note;
use crate::position::{FrameSeq, Identity, Stream};
use crate::run::{Run, RunHeader};
use crate::scan::{SegmentScan, list_segments, read_header};
use crate::segment::segment_name;
use crate::writer::WrittenEnd;

/// Bytes of frames that one call looks at: a far follower's place is found in slices.
const LOOKED_AT_MAX: u64 = 16 << 20;

/// Why records cannot be read from the log.
#[derive(Debug, Error)]
pub enum TailError {
    /// The records behind the position are not in the log any more, or not as one history: retained away,
    /// or history was cut. Compare histories anew and seek, or send a snapshot.
    #[error("the records after {after} are not in the log any more")]
    Gone {
        /// The position.
        after: Lsn,
    },
    /// The position is behind the end of the log.
    #[error("record {after} is behind the end of the log, {end}")]
    Ahead {
        /// The position.
        after: Lsn,
        /// The last record written.
        end: Lsn,
    },
    /// What was written cannot be read back.
    #[error("{file} is damaged at byte {offset}: {fault}")]
    Damaged {
        /// The segment's file.
        file: String,
        /// Where in it, bytes.
        offset: u64,
        /// What is wrong there.
        fault: Fault,
    },
    /// The disk refused.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The file, or `.` for the directory.
        file: String,
        /// Why.
        source: io::Error,
    },
}

/// What one call of [`TailReader::read`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TailRead {
    /// Runs delivered.
    pub runs: u64,
    /// Their bytes: headers and payloads.
    pub bytes: u64,
    /// Whether there is more to read by another call with the same arguments.
    pub more: bool,
}

/// Reads one stream behind a position. [`TailReader::seek`] first.
pub struct TailReader<D: Disk> {
    disk: D,
    identity: Identity,
    stream: Stream,
    /// The last record that was delivered, or that the reader's user has anyway.
    after: Lsn,
    /// The frame that is read next, or stood on.
    next: FrameSeq,
    /// The segment that is read; `None`: the next frame is the first of one.
    place: Option<Place<D::File>>,
}

struct Place<F> {
    scan: SegmentScan<F>,
    /// Whether its writer is known to be done with it.
    sealed: bool,
    /// Whether the scan stands on a frame that may hold more to deliver.
    on_frame: bool,
}

impl<D: Disk> TailReader<D> {
    /// A reader at no place yet: at the beginning of everything.
    pub fn new(disk: D, identity: Identity, stream: Stream) -> TailReader<D> {
        TailReader { disk, identity, stream, after: Lsn::ZERO, next: FrameSeq(1), place: None }
    }

    /// The last record that was delivered, or the position that was sought.
    pub fn after(&self) -> Lsn {
        self.after
    }

    /// Goes to the place in the log from which the records after `after` are read. At the end of the log,
    /// where a follower that is up to date stands, that reads next to nothing; elsewhere it looks at the
    /// beginnings of segments, the newest first.
    ///
    /// # Errors
    /// The reader is at no place afterwards; seek again before reading.
    pub fn seek(&mut self, written: &WrittenEnd, after: Lsn) -> Result<(), TailError> {
        (self.after, self.place, self.next) = (after, None, FrameSeq::default());
        if after > written.lsn {
            return Err(TailError::Ahead { after, end: written.lsn });
        }
        if after.next() < written.floor.lsn {
            return Err(TailError::Gone { after });
        }
        if after == written.lsn {
            return self.seek_end(written);
        }
        let files = list_segments(&self.disk).map_err(|source| read_error(".", source))?;
        let mut continued = written.seq.next();
        for file in files.iter().rev().filter(|file| file.first_seq <= written.seq) {
            if let Some(first) = self.first_run(written, file.first_seq, continued)?
                && first <= after.next()
            {
                return Ok(());
            }
            if file.first_seq <= written.floor.cut_by {
                break;
            }
            continued = file.first_seq;
        }
        (self.place, self.next) = (None, FrameSeq::default());
        Err(TailError::Gone { after })
    }

    fn seek_end(&mut self, written: &WrittenEnd) -> Result<(), TailError> {
        // Without a frame the segment need not exist; it will have the name of its first one.
        if written.segment <= written.seq {
            self.enter(written, written.segment)?;
            let place = self.place.as_mut().expect("a segment was entered");
            place.scan.skip_to(written.bytes, written.seq.next());
        }
        self.next = written.seq.next();
        Ok(())
    }

    /// Enters a segment, stands on its first frame with records of the stream that count, and says with
    /// which one that begins. `continued`: the frame behind the segment's last one.
    fn first_run(
        &mut self,
        written: &WrittenEnd,
        segment: FrameSeq,
        continued: FrameSeq,
    ) -> Result<Option<Lsn>, TailError> {
        self.next = segment;
        self.enter(written, segment)?;
        while self.next < continued {
            if let Err(fault) = self.advance(written)? {
                return Err(self.lost(fault));
            }
            if let FrameBody::Runs(runs) = self.frame()?.body
                && self.next > written.floor.cut_by
            {
                let mut of_stream = runs.iter().filter(|run| run.header.stream() == self.stream);
                if let Some(run) = of_stream.next() {
                    return Ok(Some(run.header.base_lsn));
                }
            }
            self.leave_frame();
        }
        Ok(None)
    }

    /// Delivers the runs behind the position, up to and with record `up_to` if that is written, until
    /// about `bytes_max` bytes are delivered. Runs are whole, except where the position or `up_to` lies
    /// inside one. Copies nothing; the runs last until `deliver` returns.
    ///
    /// # Errors
    /// What was delivered before the error is good, and [`TailReader::after`] is behind it.
    pub fn read(
        &mut self,
        written: &WrittenEnd,
        up_to: Lsn,
        bytes_max: u64,
        mut deliver: impl FnMut(Run<'_>),
    ) -> Result<TailRead, TailError> {
        let floor = written.floor;
        if self.after.next() < floor.lsn || self.next < floor.cut_by {
            return Err(TailError::Gone { after: self.after });
        }
        let up_to = up_to.min(written.lsn);
        let (mut done, mut looked_at) = (TailRead::default(), 0);
        while self.after < up_to {
            if done.bytes >= bytes_max || looked_at >= LOOKED_AT_MAX {
                done.more = true;
                break;
            }
            let stood = match self.stand(written) {
                // Frames that were not read yet are gone, but they need not have held records of the
                // stream: the next ones may still be there.
                Err(TailError::Gone { after }) => {
                    self.seek(written, after)?;
                    self.stand(written)?
                }
                stood => stood?,
            };
            if !stood {
                break;
            }
            looked_at += self.deliver_frame(up_to, bytes_max, &mut done, &mut deliver)?;
        }
        Ok(done)
    }

    /// Delivers what the frame under the reader holds, and leaves it once nothing more is in it. Returns
    /// the frame's bytes.
    fn deliver_frame(
        &mut self,
        up_to: Lsn,
        bytes_max: u64,
        done: &mut TailRead,
        deliver: &mut impl FnMut(Run<'_>),
    ) -> Result<u64, TailError> {
        let frame = self.frame()?;
        let bytes = frame.header.frame_bytes();
        let mut after = self.after;
        let emptied = match frame.body {
            FrameBody::Runs(runs) => {
                let runs = runs.iter().filter(|run| run.header.stream() == self.stream);
                deliver_runs(runs, &mut after, up_to, bytes_max, done, deliver)
                    .map_err(|fault| self.damage(fault))
            }
            FrameBody::Note(Note::Truncate { shard, lsn })
                if Stream::leader(shard) == self.stream && lsn < after =>
            {
                Err(TailError::Gone { after })
            }
            FrameBody::Note(_) => Ok(true),
        };
        self.after = after;
        if emptied? {
            self.leave_frame();
        }
        Ok(bytes)
    }

    /// Stands on the next frame, if it is written.
    fn stand(&mut self, written: &WrittenEnd) -> Result<bool, TailError> {
        loop {
            if self.place.as_ref().is_some_and(|place| place.on_frame) {
                return Ok(true);
            }
            if self.next > written.seq {
                return Ok(false);
            }
            if self.place.is_none() {
                self.enter(written, self.next)?;
            }
            if let Err(fault) = self.advance(written)? {
                self.follow(written, fault)?;
            }
        }
    }

    /// Steps onto the next frame of the segment, or says why there is none.
    fn advance(&mut self, written: &WrittenEnd) -> Result<Result<(), Fault>, TailError> {
        let place = self.place.as_mut().expect("a segment was entered");
        let first_seq = place.scan.first_seq();
        let advance = |place: &mut Place<D::File>| {
            if first_seq == written.segment {
                place.scan.read_to(written.bytes);
            } else if !place.sealed {
                place.scan.read_to_file_end()?;
                place.sealed = true;
            }
            place.scan.advance()
        };
        let stepped =
            advance(place).map_err(|source| read_error(&segment_name(first_seq), source))?;
        place.on_frame = stepped.is_ok();
        Ok(stepped)
    }

    /// Where no more frames are in the segment: goes on to the one that continues it.
    fn follow(&mut self, written: &WrittenEnd, fault: Fault) -> Result<(), TailError> {
        let place = self.place.as_ref().expect("a segment was entered");
        if !place.sealed || place.scan.first_seq() == self.next {
            return Err(self.lost(fault));
        }
        let ended = self.place.take();
        self.enter(written, self.next).map_err(|error| {
            // Nothing continues it: then the frame should have been in it.
            self.place = ended;
            match error {
                TailError::Gone { .. } => self.lost(fault),
                other => other,
            }
        })
    }

    /// Opens the segment that begins with a frame, which is written.
    fn enter(&mut self, written: &WrittenEnd, first_seq: FrameSeq) -> Result<(), TailError> {
        let gone = TailError::Gone { after: self.after };
        let name = segment_name(first_seq);
        let end = if first_seq == written.segment { written.bytes } else { u64::MAX };
        let opened = self.disk.open(&name).and_then(|file| SegmentScan::glance(file, end));
        let scan = match opened {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(gone),
            opened => opened.map_err(|source| read_error(&name, source))?,
        };
        match scan {
            // Another header: the file got another name, and content, after it was opened.
            Ok(scan) if scan.first_seq() != first_seq || scan.identity() != self.identity => {
                Err(gone)
            }
            Ok(scan) => {
                self.place = Some(Place { scan, sealed: false, on_frame: false });
                Ok(())
            }
            Err(_) => match read_header(&self.disk, &name) {
                // The file was about to become another segment.
                Err(e) if e.kind() == io::ErrorKind::NotFound => Err(gone),
                _ => Err(TailError::Damaged { file: name, offset: 0, fault: Fault::SegmentHeader }),
            },
        }
    }

    fn frame(&self) -> Result<Frame<'_>, TailError> {
        let place = self.place.as_ref().expect("a segment was entered");
        place.scan.frame().ok_or_else(|| self.damage(Fault::Body))
    }

    fn leave_frame(&mut self) {
        if let Some(place) = &mut self.place {
            place.on_frame = false;
        }
        self.next = self.next.next();
    }

    /// What it means that a written frame is not there: damage if its segment still is.
    fn lost(&self, fault: Fault) -> TailError {
        let place = self.place.as_ref().expect("a segment was entered");
        let name = segment_name(place.scan.first_seq());
        match read_header(&self.disk, &name) {
            Ok(Ok(header)) if header.number == place.scan.number() => self.damage(fault),
            Err(e) if e.kind() != io::ErrorKind::NotFound => read_error(&name, e),
            _ => TailError::Gone { after: self.after },
        }
    }

    fn damage(&self, fault: Fault) -> TailError {
        let place = self.place.as_ref().expect("a segment was entered");
        let file = segment_name(place.scan.first_seq());
        TailError::Damaged { file, offset: place.scan.offset(), fault }
    }
}

/// Delivers runs behind `after`, which moves along, and says whether all of them are delivered.
fn deliver_runs<'a>(
    runs: impl Iterator<Item = Run<'a>>,
    after: &mut Lsn,
    up_to: Lsn,
    bytes_max: u64,
    done: &mut TailRead,
    deliver: &mut impl FnMut(Run<'_>),
) -> Result<bool, Fault> {
    for run in runs {
        let RunHeader { base_lsn: found, .. } = run.header;
        let (stream, last) = (run.header.stream(), run.header.last_lsn());
        if last <= *after {
            continue;
        }
        if *after >= up_to || done.bytes >= bytes_max {
            return Ok(false);
        }
        if found > after.next() {
            return Err(Fault::LsnGap { stream, expected: after.next(), found });
        }
        if let Some(part) = run.between(*after, up_to).map_err(|_| Fault::Body)? {
            done.runs += 1;
            done.bytes += (RUN_PREFIX_BYTES + part.payload.len()) as u64;
            *after = part.header.last_lsn();
            deliver(part);
        }
        if *after < last {
            return Ok(false);
        }
    }
    Ok(true)
}

fn read_error(file: &str, source: io::Error) -> TailError {
    TailError::Io { file: file.to_owned(), source }
}
