//! A run: records with consecutive LSNs of one `(shard, origin, epoch)`, as a worker hands them to the log.
//!
//! The header says once what all records share; the payload holds the records one after another:
//! `varint length of the body | body`, where body = `varint HLC delta | effects`. The delta counts from
//! the record before, for the first record from `base_hlc`. Effects are opaque here.
//!
//! Invariants:
//! * `count` is at least 1 and the payload holds exactly `count` records.
//! * HLCs within a run do not decrease.

use thiserror::Error;
use trefoil_clock::{Epoch, Hlc, Lsn, Origin, ShardId};

use crate::cursor::{Cursor, put_varint, varint_len};
use crate::position::Stream;

/// What the records of a run share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunHeader {
    /// The shard whose records these are.
    pub shard: ShardId,
    /// Who numbered them.
    pub origin: Origin,
    /// The epoch in which they were made.
    pub epoch: Epoch,
    /// LSN of the first record.
    pub base_lsn: Lsn,
    /// Where HLC deltas start; usually the first record's HLC, never above it.
    pub base_hlc: Hlc,
    /// Number of records, at least 1.
    pub count: u32,
}

impl RunHeader {
    /// Bytes of an encoded header.
    pub(crate) const BYTES: usize = 36;

    /// The stream that the records belong to.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream { shard: self.shard, origin: self.origin }
    }

    /// LSN of the last record.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.base_lsn.0.saturating_add(u64::from(self.count).saturating_sub(1)))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.shard.0.to_le_bytes());
        out.extend_from_slice(&self.origin.0.to_le_bytes());
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.extend_from_slice(&self.base_lsn.0.to_le_bytes());
        out.extend_from_slice(&self.base_hlc.0.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<RunHeader> {
        let header = RunHeader {
            shard: ShardId(cursor.u32()?),
            origin: Origin(cursor.u32()?),
            epoch: Epoch(cursor.u64()?),
            base_lsn: Lsn(cursor.u64()?),
            base_hlc: Hlc(cursor.u64()?),
            count: cursor.u32()?,
        };
        let fits = header.base_lsn.0.checked_add(u64::from(header.count)).is_some();
        (header.count > 0 && header.base_lsn > Lsn::ZERO && fits).then_some(header)
    }
}

/// A run as handed to the writer or found in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run<'a> {
    /// What the records share.
    pub header: RunHeader,
    /// The records, in the encoding described at the top of this file.
    pub payload: &'a [u8],
}

impl<'a> Run<'a> {
    /// The records above `after` and not above `up_to`, as a run of the same bytes: nothing is copied.
    /// `None` if there are none.
    pub fn between(&self, after: Lsn, up_to: Lsn) -> Result<Option<Run<'a>>, RunError> {
        let (first, last) = (self.header.base_lsn, self.header.last_lsn());
        if after < first && last <= up_to {
            return Ok(Some(*self));
        }
        if last <= after || up_to < first || up_to <= after {
            return Ok(None);
        }
        let (mut header, mut reader) = (self.header, self.records());
        while reader.lsn <= after {
            reader.next().transpose()?;
        }
        header.base_lsn = reader.lsn;
        // The first delta counts from the record before, which is not in the run any more.
        header.base_hlc = reader.hlc;
        let start = self.payload.len() - reader.cursor.rest().len();
        while reader.lsn <= up_to && reader.left > 0 {
            reader.next().transpose()?;
        }
        header.count = (reader.lsn.0 - header.base_lsn.0) as u32;
        let end = self.payload.len() - reader.cursor.rest().len();
        Ok(Some(Run { header, payload: &self.payload[start..end] }))
    }

    /// Walks the records.
    #[must_use]
    pub fn records(&self) -> RunReader<'a> {
        RunReader {
            cursor: Cursor::new(self.payload),
            lsn: self.header.base_lsn,
            hlc: self.header.base_hlc,
            left: self.header.count,
        }
    }
}

/// One record of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordView<'a> {
    /// Its position in its stream.
    pub lsn: Lsn,
    /// Its stamp.
    pub hlc: Hlc,
    /// Its effects, as the store encoded them.
    pub effects: &'a [u8],
}

/// A payload that does not hold what its header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RunError {
    /// A length or delta is malformed, or the payload ends inside a record.
    #[error("record {lsn} is cut short or malformed")]
    Malformed {
        /// The record.
        lsn: Lsn,
    },
    /// Bytes are left after the last record.
    #[error("{bytes} bytes follow the last record, {lsn}")]
    Trailing {
        /// The last record.
        lsn: Lsn,
        /// Bytes too many.
        bytes: usize,
    },
}

/// Iterates the records of a run; stops after the first error.
#[derive(Clone, Debug)]
pub struct RunReader<'a> {
    cursor: Cursor<'a>,
    lsn: Lsn,
    hlc: Hlc,
    left: u32,
}

impl<'a> RunReader<'a> {
    /// The bytes of the run behind the records that were read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.cursor.rest()
    }

    #[inline]
    fn read(&mut self) -> Option<RecordView<'a>> {
        let length = usize::try_from(self.cursor.varint()?).ok()?;
        let mut body = Cursor::new(self.cursor.take(length)?);
        self.hlc = Hlc(self.hlc.0.checked_add(body.varint()?)?);
        Some(RecordView { lsn: self.lsn, hlc: self.hlc, effects: body.rest() })
    }
}

impl<'a> Iterator for RunReader<'a> {
    type Item = Result<RecordView<'a>, RunError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let bytes = self.cursor.take(self.cursor.rest().len())?.len();
            let lsn = Lsn(self.lsn.0.saturating_sub(1));
            return (bytes > 0).then_some(Err(RunError::Trailing { lsn, bytes }));
        }
        let Some(record) = self.read() else {
            self.left = 0;
            self.cursor = Cursor::new(&[]);
            return Some(Err(RunError::Malformed { lsn: self.lsn }));
        };
        self.left -= 1;
        self.lsn = self.lsn.next();
        Some(Ok(record))
    }
}

/// Appends one record to a run's payload. `hlc_delta` counts from the record before it.
#[inline]
pub fn put_record(payload: &mut Vec<u8>, hlc_delta: u64, effects: &[u8]) {
    put_varint(payload, (varint_len(hlc_delta) + effects.len()) as u64);
    put_varint(payload, hlc_delta);
    payload.extend_from_slice(effects);
}

/// Collects records with consecutive LSNs.
#[derive(Clone, Debug)]
pub struct RunBuilder {
    header: RunHeader,
    last_hlc: Hlc,
    payload: Vec<u8>,
}

impl RunBuilder {
    /// An empty run that will start at `base_lsn`; no record may be older than `base_hlc`.
    #[must_use]
    pub fn new(stream: Stream, epoch: Epoch, base_lsn: Lsn, base_hlc: Hlc) -> RunBuilder {
        let header = RunHeader {
            shard: stream.shard,
            origin: stream.origin,
            epoch,
            base_lsn,
            base_hlc,
            count: 0,
        };
        RunBuilder { header, last_hlc: base_hlc, payload: Vec::new() }
    }

    /// Adds the next record and returns its LSN. Stamps do not decrease.
    pub fn push(&mut self, hlc: Hlc, effects: &[u8]) -> Lsn {
        assert!(hlc >= self.last_hlc, "stamps within a run do not decrease");
        put_record(&mut self.payload, hlc.0 - self.last_hlc.0, effects);
        self.last_hlc = hlc;
        self.header.count += 1;
        self.header.last_lsn()
    }

    /// The run so far; not to be logged while it is empty.
    #[must_use]
    pub fn run(&self) -> Run<'_> {
        Run { header: self.header, payload: &self.payload }
    }
}

#[cfg(test)]
mod tests {
    use trefoil_clock::ShardId;

    use super::*;

    #[test]
    fn a_part_of_a_run_holds_the_same_records() {
        let mut builder = RunBuilder::new(Stream::leader(ShardId(0)), Epoch(3), Lsn(5), Hlc(40));
        for (hlc, effects) in [(41, &b"a"[..]), (41, b""), (300, b"ccc"), (999, b"d")] {
            builder.push(Hlc(hlc), effects);
        }
        let whole: Vec<_> = builder.run().records().map(|record| record.expect("whole")).collect();
        for after in 0..12 {
            for up_to in 0..12 {
                let inside = |record: &&RecordView<'_>| (after + 1..=up_to).contains(&record.lsn.0);
                let expected: Vec<_> = whole.iter().filter(inside).copied().collect();
                let part = builder.run().between(Lsn(after), Lsn(up_to)).expect("well-formed");
                let part = part.map(|run| run.records().collect::<Result<Vec<_>, _>>());
                let part = part.transpose().expect("well-formed");
                assert_eq!(part.unwrap_or_default(), expected, "{after} to {up_to}");
            }
        }
    }
}
