//! Appends frames. One thread drives it: it appends what the workers handed over, writes once per batch,
//! and syncs when the policy says so.
//!
//! Frames are encoded into one buffer (the only copy of a payload) and reach the file with one write;
//! frames of 256 KiB and more are written from where they lie. Every process life starts a segment of its
//! own with its first frame, so a segment's tail is never continued after a crash.
//!
//! Invariants:
//! * A frame is accepted whole or not at all; what was accepted is written in order, exactly once.
//! * `durable <= written <= appended`, for frames and per stream.
//! * A failed or short write leaves no gap: the next attempt writes the same bytes to the same place.
//! * After a failed sync every call is refused.

mod cut;
mod extent;
mod retain;
mod rotate;
mod spares;
mod streams;
mod sync;

use std::collections::VecDeque;
use std::sync::Arc;

use trefoil_clock::{Hlc, Lsn};

pub use self::extent::{StreamFloor, WrittenEnd};
pub use self::retain::Retained;
use self::rotate::Current;
pub use self::spares::Prepared;
use self::spares::SparePool;
use self::streams::StreamTable;
pub use self::sync::{SyncDone, SyncTicket};
use crate::disk::{Disk, write_all_at};
use crate::error::WriteError;
use crate::frame::{
    FRAME_BODY_MAX, FRAME_HEADER_BYTES, FrameHeader, FrameKind, FrameMix, RUN_PREFIX_BYTES,
};
use crate::note::Note;
use crate::position::{FrameSeq, Identity, SegmentNo, Stream};
use crate::recover::LogEnd;
use crate::run::Run;
use crate::segment::SegmentInfo;
use crate::voids::{Void, Voids};

/// Frames from this size on are written without being copied.
const DIRECT_BYTES: u64 = 256 * 1024;

const RUN_COUNT_BYTES: usize = 4;

/// How the blocks of a new segment come to be.
///
/// Measured with writes of 300 and 5000 bytes, each followed by fdatasync (ext4 on a virtual disk, medians
/// of three rounds of 400): over written blocks (zero-filled or recycled) a sync takes 107 to 131 us, over
/// merely allocated ones 86 to 187 us, at a growing end 129 to 178 us. So written blocks are worth nothing
/// while a write stays in one block and a factor of 1.2 to 1.7 once it reaches the next, because then the
/// file system need not journal that the block has become valid. Recycled segments have that for free.
/// A write with RWF_DSYNC instead of write and fdatasync gained nothing beyond the noise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Allocate {
    /// Reserve blocks. Cheap; for `everysec` and `no`.
    #[default]
    Fallocate,
    /// Write zeros ahead, in slices while the log is idle. Faster syncs; for `always`.
    ZeroFill,
}

/// How a log is laid out.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Bytes of a segment; a larger frame gets a segment of its own size.
    pub segment_bytes: u64,
    /// How segments are allocated ahead.
    pub allocate: Allocate,
    /// How many used segments are kept to be overwritten.
    pub recycled_max: usize,
    /// Bytes that are collected before `append` writes by itself.
    pub buffer_bytes: usize,
}

impl Default for WriterOptions {
    fn default() -> WriterOptions {
        WriterOptions {
            segment_bytes: 64 << 20,
            allocate: Allocate::default(),
            recycled_max: 2,
            buffer_bytes: 256 << 10,
        }
    }
}

/// The end of the log.
pub struct Writer<D: Disk> {
    disk: D,
    identity: Identity,
    options: WriterOptions,
    /// The segment being written; `None` before the first frame.
    current: Option<Current<D::File>>,
    /// Accepted bytes that are not written yet; they belong at `current.written_bytes`.
    buffer: Vec<u8>,
    /// Segments before the current one, oldest first.
    sealed: VecDeque<SegmentInfo>,
    /// Their files, as far as they hold frames that are not synced.
    unsynced: Vec<Arc<D::File>>,
    spares: SparePool<D>,
    appended: FrameSeq,
    written: FrameSeq,
    durable: FrameSeq,
    streams: StreamTable,
    /// The Truncate notes that are still in the log.
    voids: Voids,
    /// Stamp for the next segment's header.
    last_hlc: Hlc,
    /// Whether the current segment's name may not be durable yet.
    name_unsynced: bool,
    sync_running: bool,
    stopped: bool,
}

impl<D: Disk> Writer<D> {
    /// Continues the log where recovery found its end. Creates nothing before the first frame.
    pub fn open(
        disk: D,
        identity: Identity,
        end: LogEnd,
        options: WriterOptions,
    ) -> Result<Writer<D>, WriteError> {
        let next_segment = end.next_segment.max(SegmentNo(1));
        let spares = SparePool::clear(disk.clone(), next_segment)?;
        Ok(Writer {
            disk,
            identity,
            options,
            current: None,
            buffer: Vec::new(),
            sealed: end.segments.into(),
            unsynced: Vec::new(),
            spares,
            appended: end.last_seq,
            written: end.last_seq,
            durable: end.last_seq,
            streams: StreamTable::starting_at(&end.positions),
            voids: end.voids,
            last_hlc: end.last_hlc,
            name_unsynced: false,
            sync_running: false,
            stopped: false,
        })
    }

    /// Accepts the runs as one frame: after a crash all of them are there or none.
    ///
    /// # Errors
    /// The frame was not accepted, and the call can be repeated.
    /// # Panics
    /// If the runs do not continue their streams without a gap.
    pub fn append_runs(&mut self, runs: &[Run<'_>]) -> Result<FrameSeq, WriteError> {
        assert!(!runs.is_empty(), "a frame holds at least one run");
        self.streams.check_dense(runs);
        let payload: u64 = runs.iter().map(|run| run.payload.len() as u64).sum();
        let body_bytes = (RUN_COUNT_BYTES + runs.len() * RUN_PREFIX_BYTES) as u64 + payload;
        self.admit(body_bytes)?;
        let header = self.next_header(FrameKind::Runs, body_bytes);
        if header.frame_bytes() >= DIRECT_BYTES {
            self.write_direct(&header, runs)?;
        } else {
            self.buffer_frame(&header, |out| {
                out.extend_from_slice(&(runs.len() as u32).to_le_bytes());
                for run in runs {
                    put_run_prefix(run, out);
                    out.extend_from_slice(run.payload);
                }
            });
        }
        self.appended = header.seq;
        let current = self.current.as_mut().expect("a frame was admitted to a segment");
        current.info.last_seq = header.seq;
        for run in runs {
            current.info.note_run(run.header.stream(), run.header.base_lsn, run.header.last_lsn());
            self.streams.append(run.header.stream(), run.header.last_lsn());
            self.last_hlc = self.last_hlc.max(run.header.base_hlc);
        }
        if header.frame_bytes() >= DIRECT_BYTES {
            self.mark_written();
        }
        Ok(header.seq)
    }

    /// Accepts a note as a frame.
    ///
    /// # Errors
    /// The frame was not accepted, and the call can be repeated.
    pub fn append_note(&mut self, note: &Note) -> Result<FrameSeq, WriteError> {
        let mut body = Vec::new();
        note.encode(&mut body);
        self.admit(body.len() as u64)?;
        let header = self.next_header(note.kind(), body.len() as u64);
        self.buffer_frame(&header, |out| out.extend_from_slice(&body));
        self.appended = header.seq;
        self.current.as_mut().expect("a frame was admitted to a segment").info.last_seq =
            header.seq;
        if let Note::Truncate { shard, lsn } = note {
            let stream = Stream::leader(*shard);
            self.streams.truncate(stream, *lsn);
            self.voids.push(Void { stream, seq: header.seq, lsn: *lsn });
        }
        Ok(header.seq)
    }

    /// Hands everything accepted so far to the operating system.
    ///
    /// # Errors
    /// Nothing is lost; the next call tries again.
    pub fn write(&mut self) -> Result<(), WriteError> {
        self.check_running()?;
        if let Some(current) = &mut self.current
            && !self.buffer.is_empty()
        {
            let bytes = self.buffer.len() as u64;
            write_all_at(&*current.file, &self.buffer, current.written_bytes)
                .map_err(|partial| WriteError::new(&current.info.name(), bytes, partial.source))?;
            current.written_bytes += bytes;
            self.buffer.clear();
            self.buffer.shrink_to(self.options.buffer_bytes * 2);
        }
        self.mark_written();
        Ok(())
    }

    /// Syncs everything, marks the stop as clean, syncs the mark, and refuses everything from then on.
    pub fn clean_stop(&mut self) -> Result<(), WriteError> {
        self.sync()?;
        self.append_note(&Note::CleanStop { ends: self.streams.appended_all() })?;
        self.sync()?;
        self.stopped = true;
        Ok(())
    }

    /// The last frame accepted.
    pub fn appended_seq(&self) -> FrameSeq {
        self.appended
    }

    /// The last frame handed to the operating system.
    pub fn written_seq(&self) -> FrameSeq {
        self.written
    }

    /// The last frame known to be synced.
    pub fn durable_seq(&self) -> FrameSeq {
        self.durable
    }

    /// The last record accepted.
    pub fn appended(&self, stream: Stream) -> Lsn {
        self.streams.get(stream).appended
    }

    /// The last record handed to the operating system.
    pub fn written(&self, stream: Stream) -> Lsn {
        self.streams.get(stream).written
    }

    /// The last record known to be synced.
    pub fn durable(&self, stream: Stream) -> Lsn {
        self.streams.get(stream).durable
    }

    /// All segments, oldest first, and what they hold.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentInfo> {
        self.sealed.iter().chain(self.current.as_ref().map(|current| &current.info))
    }

    /// Bytes that can be appended without allocating: what to hand out as reservations. A frame that does
    /// not fit what is left of the current segment leaves that unused, so keep the largest frame in reserve.
    pub fn room(&self) -> u64 {
        let current =
            self.current.as_ref().map_or(0, |current| current.capacity - current.info.bytes);
        current + self.spares.ready_bytes()
    }

    /// Does a slice of the work of having a segment ready before the current one is full. To be called
    /// while there is nothing else to do, until it says [`Prepared::Ready`].
    pub fn prepare(&mut self) -> Result<Prepared, WriteError> {
        self.check_running()?;
        self.spares.prepare(&self.options)
    }

    fn check_running(&self) -> Result<(), WriteError> {
        if self.stopped { Err(WriteError::Stopped) } else { Ok(()) }
    }

    /// Makes sure that the current segment has room for a frame with such a body.
    fn admit(&mut self, body_bytes: u64) -> Result<(), WriteError> {
        self.check_running()?;
        if body_bytes > FRAME_BODY_MAX {
            return Err(WriteError::TooLarge { bytes: body_bytes, max: FRAME_BODY_MAX });
        }
        let frame_bytes = FRAME_HEADER_BYTES as u64 + body_bytes;
        let fits =
            |current: &Current<D::File>| current.info.bytes + frame_bytes <= current.capacity;
        if !self.current.as_ref().is_some_and(fits) {
            self.rotate(frame_bytes)?;
        }
        if self.buffer.len() >= self.options.buffer_bytes || frame_bytes >= DIRECT_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn next_header(&self, kind: FrameKind, body_bytes: u64) -> FrameHeader {
        let len = u32::try_from(body_bytes).expect("a body beyond the limit was refused");
        FrameHeader { len, kind, seq: self.appended.next(), durable: self.durable }
    }

    /// Encodes a frame at the end of the buffer.
    fn buffer_frame(&mut self, header: &FrameHeader, put_body: impl FnOnce(&mut Vec<u8>)) {
        let current = self.current.as_mut().expect("a frame was admitted to a segment");
        let start = self.buffer.len();
        self.buffer.resize(start + FRAME_HEADER_BYTES, 0);
        put_body(&mut self.buffer);
        let (head, body) = self.buffer[start..].split_at_mut(FRAME_HEADER_BYTES);
        debug_assert_eq!(body.len(), header.len as usize);
        let mix = FrameMix::new(self.identity, current.info.number);
        head.copy_from_slice(&header.seal(mix, &[body]));
        current.info.bytes += header.frame_bytes();
    }

    /// Writes a large frame from where it lies. The buffer is empty.
    fn write_direct(&mut self, header: &FrameHeader, runs: &[Run<'_>]) -> Result<(), WriteError> {
        let current = self.current.as_mut().expect("a frame was admitted to a segment");
        let mut prefixes = vec![Vec::new(); runs.len()];
        prefixes[0].extend_from_slice(&(runs.len() as u32).to_le_bytes());
        for (run, prefix) in runs.iter().zip(&mut prefixes) {
            put_run_prefix(run, prefix);
        }
        let body: Vec<&[u8]> = prefixes
            .iter()
            .zip(runs)
            .flat_map(|(prefix, run)| [&prefix[..], run.payload])
            .collect();
        let head = header.seal(FrameMix::new(self.identity, current.info.number), &body);
        let mut at = current.written_bytes;
        for part in std::iter::once(&head[..]).chain(body) {
            write_all_at(&*current.file, part, at).map_err(|partial| {
                WriteError::new(&current.info.name(), header.frame_bytes(), partial.source)
            })?;
            at += part.len() as u64;
        }
        current.written_bytes = at;
        current.info.bytes = at;
        Ok(())
    }

    fn mark_written(&mut self) {
        self.written = self.appended;
        self.streams.mark_written();
    }
}

pub(crate) fn put_run_prefix(run: &Run<'_>, out: &mut Vec<u8>) {
    run.header.encode(out);
    let payload_bytes =
        u32::try_from(run.payload.len()).expect("a body beyond the limit was refused");
    out.extend_from_slice(&payload_bytes.to_le_bytes());
}
