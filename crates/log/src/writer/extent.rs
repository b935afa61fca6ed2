//! How far the log reaches, for those who read it while it is written: where the written bytes end,
//! from which record on it can be streamed, and how much of it lies behind a position.

use trefoil_clock::Lsn;

use super::Writer;
use crate::disk::Disk;
use crate::position::{FrameSeq, SegmentNo, Stream};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentInfo};

/// From where on the records of a stream can be read from the log as one history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamFloor {
    /// The first record that can be streamed; one behind the last record if none can.
    pub lsn: Lsn,
    /// The newest Truncate note about the stream, 0 if there is none: only later frames count.
    pub cut_by: FrameSeq,
}

/// How far the log is written, that is, handed to the operating system: all of it can be read back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrittenEnd {
    /// The first frame of the segment in which it ends, which is the segment's name. If it is above
    /// `seq`, that segment has no frame yet and need not exist.
    pub segment: FrameSeq,
    /// That segment's number.
    pub number: SegmentNo,
    /// Where in it, bytes.
    pub bytes: u64,
    /// The last frame.
    pub seq: FrameSeq,
    /// The last record of the stream.
    pub lsn: Lsn,
    /// From where on the stream's records can be read.
    pub floor: StreamFloor,
}

impl<D: Disk> Writer<D> {
    /// How far the log is written, for a [`crate::TailReader`] of `stream`. Ends only grow, except that a
    /// Truncate note takes `lsn` back.
    pub fn written_end(&self, stream: Stream) -> WrittenEnd {
        let seq = self.written;
        let (segment, number, bytes) = match (&self.current, self.sealed.back()) {
            (Some(current), _) => {
                (current.info.first_seq, current.info.number, current.written_bytes)
            }
            (None, Some(last)) => (last.first_seq, last.number, last.bytes),
            (None, None) => (seq.next(), SegmentNo::default(), 0),
        };
        let lsn = self.streams.get(stream).written;
        WrittenEnd { segment, number, bytes, seq, lsn, floor: self.stream_floor(stream) }
    }

    /// From where on records of `stream` can be streamed: behind the newest cut of its history, and not
    /// before the oldest record that is still there.
    pub fn stream_floor(&self, stream: Stream) -> StreamFloor {
        if let Some(cut) = self.voids.newest(stream) {
            return StreamFloor { lsn: cut.lsn.next(), cut_by: cut.seq };
        }
        let first = self.segments().find_map(|segment| segment.range(stream));
        let end = self.streams.get(stream).appended.next();
        StreamFloor { lsn: first.map_or(end, |range| range.first), cut_by: FrameSeq::default() }
    }

    /// Bytes of all segments, as far as they are used.
    pub fn log_bytes(&self) -> u64 {
        self.segments().map(|segment| segment.bytes).sum()
    }

    /// About how many bytes of log lie behind a record of `stream`: all segments after the one that holds
    /// it, and of that one a share.
    pub fn bytes_after(&self, stream: Stream, lsn: Lsn) -> u64 {
        let ends_behind =
            |segment: &&SegmentInfo| segment.range(stream).is_none_or(|range| range.last <= lsn);
        let mut behind = self.segments().skip_while(ends_behind);
        let Some(first) = behind.next() else { return 0 };
        let later: u64 = behind.map(|segment| segment.bytes).sum();
        first.range(stream).map_or(0, |range| {
            let bytes = first.bytes - SEGMENT_HEADER_BYTES as u64;
            let held = u128::from(range.last.0 - range.first.0) + 1;
            let left = u128::from(range.last.0 - lsn.0.max(range.first.0 - 1));
            (u128::from(bytes) * left / held) as u64
        }) + later
    }
}
