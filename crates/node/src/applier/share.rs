//! A part of a message: what the applier takes at once, and how it walks over it.

use std::sync::Arc;

use trefoil_clock::{Hlc, Lsn, Origin};
use trefoil_log::{Run, RunError, RunHeader};
use trefoil_store::apply::Record;
use trefoil_store::record::Stamp;

use super::{ApplyLost, Received};
use crate::log::SHARD;

/// A slice of records applied before the gate is left for a moment: a tenth of a millisecond, about.
const SLICE_RECORDS: usize = 256;
const SLICE_BYTES: usize = 32 << 10;

/// Where the next record of a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    run: usize,
    /// Bytes of the run before the record.
    at: usize,
    /// Its number; behind the last record of a run, the number after that.
    pub(super) lsn: Lsn,
    /// The stamp that its own counts from.
    hlc: Hlc,
}

impl Cursor {
    /// The first record of a message that has one.
    pub(super) fn first_of(received: &Received) -> Option<Cursor> {
        Cursor::at_run(received, 0)
    }

    fn at_run(received: &Received, run: usize) -> Option<Cursor> {
        let base = received.runs.get(run)?.base;
        Some(Cursor { run, at: 0, lsn: base.lsn, hlc: base.hlc })
    }
}

/// Records of one message that may be applied.
pub(super) struct Share {
    pub(super) received: Arc<Received>,
    pub(super) cursor: Cursor,
    /// Up to here, at least the next one.
    pub(super) until: Lsn,
    /// The last record that is applied.
    pub(super) applied: Lsn,
}

impl Share {
    /// The next records, at most a slice of them and at most `count`, and the cursor behind them.
    /// Records that are applied already are passed over.
    pub(super) fn gather(&self, count: usize) -> Result<(Vec<Record<'_>>, Cursor), ApplyLost> {
        let mut records = Vec::with_capacity(count.min(SLICE_RECORDS));
        let (mut cursor, mut bytes, mut expected) = (self.cursor, 0, self.applied.next());
        while let Some(run) = self.run_behind(cursor)? {
            let mut reader = run.records();
            loop {
                let enough = records.len() >= count.min(SLICE_RECORDS) || bytes >= SLICE_BYTES;
                if enough || cursor.lsn > self.until {
                    return Ok((records, cursor));
                }
                let Some(record) = reader.next() else { break };
                let record = record.map_err(ApplyLost::Damaged)?;
                cursor.at = self.received.runs[cursor.run].range.len() - reader.rest().len();
                (cursor.lsn, cursor.hlc) = (record.lsn.next(), record.hlc);
                if record.lsn > expected {
                    return Err(ApplyLost::Gap { expected, found: record.lsn });
                }
                if record.lsn == expected {
                    let stamp = Stamp { lsn: record.lsn, hlc: record.hlc };
                    records.push(Record { stamp, effects: record.effects });
                    bytes += record.effects.len();
                    expected = expected.next();
                }
            }
            match Cursor::at_run(&self.received, cursor.run + 1) {
                Some(next) => cursor = next,
                None => break,
            }
        }
        Ok((records, cursor))
    }

    /// The part of the cursor's run that is behind the cursor.
    fn run_behind(&self, cursor: Cursor) -> Result<Option<Run<'_>>, ApplyLost> {
        let Some(run) = self.received.runs.get(cursor.run) else { return Ok(None) };
        let header = RunHeader {
            shard: SHARD,
            origin: Origin::LEADER,
            epoch: run.epoch,
            base_lsn: cursor.lsn,
            base_hlc: cursor.hlc,
            count: (run.base.lsn.0 + u64::from(run.count)).saturating_sub(cursor.lsn.0) as u32,
        };
        let payload = self.received.bytes.get(run.range.clone());
        let payload = payload.and_then(|payload| payload.get(cursor.at..));
        let damaged = ApplyLost::Damaged(RunError::Malformed { lsn: cursor.lsn });
        Ok(Some(Run { header, payload: payload.ok_or(damaged)? }))
    }
}
