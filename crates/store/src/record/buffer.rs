//! Where a worker's transactions write their records until the turn of its loop ends.
//!
//! A record is `varint length, varint HLC delta, effects`. Records whose LSNs follow each other
//! make a *run*; a run begins anew when another worker numbered a record in between, or when it has
//! grown large. The first HLC delta of a run is against the run's base, which is the first record's
//! stamp, so it is 0.
//!
//! Invariant: outside of an open record, `bytes` is a whole number of records, and every record
//! that got an LSN is in it.

use trefoil_clock::{Hlc, Lsn};

use super::varint;

/// Bytes kept for the length of a record: a varint of two bytes, padded if need be.
const LENGTH_SHORT: usize = 2;
const LENGTH_SHORT_MAX: usize = (1 << 14) - 1;
/// The same for a large record.
const LENGTH_LONG: usize = 5;

/// A run that has so many bytes gets no further record: a run is written as one frame, whose length
/// is limited.
const RUN_BYTES_MAX: usize = 16 << 20;

/// The number and the time of a record, taken in one step under the locks of its stripes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Its place in the order of the shard.
    pub lsn: Lsn,
    /// When.
    pub hlc: Hlc,
}

/// Records with consecutive LSNs, few enough for a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The stamp of the first record.
    pub base: Stamp,
    /// Records, at least 1.
    pub count: u32,
    /// Where in the bytes of its batch it starts.
    pub start: usize,
    /// How many bytes it has.
    pub len: usize,
}

/// What a worker hands to the log at the end of a turn.
#[derive(Default, Debug)]
pub struct LogBatch {
    /// Runs in order of LSN.
    pub runs: Vec<Run>,
    /// Their records.
    pub bytes: Vec<u8>,
}

impl LogBatch {
    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> usize {
        self.runs.iter().map(|run| run.count as usize).sum()
    }
}

/// The buffer of one worker.
#[derive(Default, Debug)]
pub struct LogBuffer {
    batch: LogBatch,
    last: Option<Stamp>,
    open: Option<OpenRecord>,
}

#[derive(Clone, Copy, Debug)]
struct OpenRecord {
    start: usize,
    length_bytes: usize,
}

impl LogBuffer {
    /// Begins the record with this stamp; `size_hint` is about how many bytes its effects take.
    #[inline]
    pub(crate) fn begin(&mut self, stamp: Stamp, size_hint: usize) {
        debug_assert!(self.open.is_none(), "a record is open");
        let start = self.batch.bytes.len();
        let previous = self.last.replace(stamp);
        let delta = match (previous, self.batch.runs.last_mut()) {
            (Some(previous), Some(run))
                if previous.lsn.next() == stamp.lsn && run.len < RUN_BYTES_MAX =>
            {
                run.count += 1;
                stamp.hlc.0 - previous.hlc.0
            }
            _ => {
                self.batch.runs.push(Run { base: stamp, count: 1, start, len: 0 });
                0
            }
        };
        let length_bytes =
            if size_hint + 16 < LENGTH_SHORT_MAX { LENGTH_SHORT } else { LENGTH_LONG };
        self.batch.bytes.reserve(size_hint + 32);
        self.batch.bytes.extend_from_slice(&[0; LENGTH_LONG][..length_bytes]);
        varint::put(&mut self.batch.bytes, delta);
        self.open = Some(OpenRecord { start, length_bytes });
    }

    /// The bytes of the open record grow at the end of these.
    #[inline]
    pub(crate) fn effects(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.open.is_some(), "effects belong to a record");
        &mut self.batch.bytes
    }

    /// Bytes of the open record so far.
    pub(crate) fn open_len(&self) -> usize {
        self.open.map_or(0, |open| self.batch.bytes.len() - open.start)
    }

    /// Ends the open record, if there is one.
    #[inline]
    pub(crate) fn finish(&mut self) {
        let Some(OpenRecord { start, length_bytes }) = self.open.take() else { return };
        let bytes = &mut self.batch.bytes;
        let mut len = bytes.len() - start - length_bytes;
        let mut length_bytes = length_bytes;
        if length_bytes == LENGTH_SHORT && len > LENGTH_SHORT_MAX {
            // The hint was too low (a transaction of many effects): make room for a longer length.
            let more = [0; LENGTH_LONG - LENGTH_SHORT];
            bytes.splice(start..start, more);
            length_bytes = LENGTH_LONG;
        }
        for i in 0..length_bytes {
            let more = if i + 1 < length_bytes { 0x80 } else { 0 };
            bytes[start + i] = (len & 0x7f) as u8 | more;
            len >>= 7;
        }
        assert_eq!(len, 0, "a record is shorter than 2^35 bytes");
        let end = bytes.len();
        let run = self.batch.runs.last_mut().expect("a record is part of a run");
        run.len = end - run.start;
    }

    /// Whether there is nothing to publish.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.runs.is_empty()
    }

    /// Bytes that wait to be published.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.bytes.len()
    }

    /// Takes what is there, leaving `spare` (emptied, its memory reused) in its place.
    pub fn take(&mut self, mut spare: LogBatch) -> LogBatch {
        assert!(self.open.is_none(), "records are whole when they are published");
        spare.runs.clear();
        spare.bytes.clear();
        self.last = None;
        std::mem::replace(&mut self.batch, spare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(lsn: u64, hlc: u64) -> Stamp {
        Stamp { lsn: Lsn(lsn), hlc: Hlc(hlc) }
    }

    fn record(buffer: &mut LogBuffer, stamp: Stamp, hint: usize, effects: &[u8]) {
        buffer.begin(stamp, hint);
        buffer.effects().extend_from_slice(effects);
        buffer.finish();
    }

    #[test]
    fn consecutive_records_make_one_run() {
        let mut buffer = LogBuffer::default();
        record(&mut buffer, stamp(5, 100), 3, b"abc");
        record(&mut buffer, stamp(6, 103), 1, b"d");
        record(&mut buffer, stamp(9, 110), 1, b"e");
        let batch = buffer.take(LogBatch::default());
        assert_eq!(batch.bytes, b"\x84\x00\x00abc\x82\x00\x03d\x82\x00\x00e");
        assert_eq!(
            batch.runs,
            [
                Run { base: stamp(5, 100), count: 2, start: 0, len: 10 },
                Run { base: stamp(9, 110), count: 1, start: 10, len: 4 },
            ]
        );
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_run_that_has_grown_large_ends() {
        let mut buffer = LogBuffer::default();
        let large = vec![b'x'; RUN_BYTES_MAX];
        record(&mut buffer, stamp(1, 5), large.len(), &large);
        record(&mut buffer, stamp(2, 7), 1, b"y");
        record(&mut buffer, stamp(3, 8), 1, b"z");
        let batch = buffer.take(LogBatch::default());
        let runs: Vec<_> = batch.runs.iter().map(|run| (run.base, run.count)).collect();
        assert_eq!(runs, [(stamp(1, 5), 1), (stamp(2, 7), 2)]);
        assert_eq!(&batch.bytes[batch.runs[1].start..], b"\x82\x00\x00y\x82\x00\x01z");
    }

    #[test]
    fn a_record_that_outgrows_its_hint_gets_a_longer_length() {
        let mut buffer = LogBuffer::default();
        record(&mut buffer, stamp(1, 1), 0, &[b'x'; 20_000]);
        let batch = buffer.take(LogBatch::default());
        let len = 20_001u32;
        let expected: Vec<u8> =
            (0..5).map(|i| (len >> (7 * i)) as u8 & 0x7f | if i < 4 { 0x80 } else { 0 }).collect();
        assert_eq!(batch.bytes[..5], expected);
        assert_eq!(batch.runs[0].len, 5 + 20_001);
    }
}
