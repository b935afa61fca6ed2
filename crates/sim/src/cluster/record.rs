//! Records as the simulation writes them, and how they travel.
//!
//! A record's `id` is given once in a run, by the simulation, not by the code under test: it is what
//! checkers compare. Ids are dense from 1; 0 stands for the beginning.

use trefoil_clock::{Epoch, Lsn, Position};
use trefoil_replication::RunHead;

/// Keys: registers, then counters, then the two halves of pairs.
pub(crate) const REGISTERS: u8 = 5;
pub(crate) const COUNTERS: u8 = 2;
pub(crate) const PAIR: [u8; 2] = [REGISTERS + COUNTERS, REGISTERS + COUNTERS + 1];
/// All keys.
pub(crate) const KEYS: usize = (REGISTERS + COUNTERS + 2) as usize;

/// Bytes of one record in a frame, in files and in counts of lag.
pub(crate) const RECORD_BYTES: u64 = 18;

/// What a record does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// Sets a register to the record's id.
    Put(u8),
    /// Removes a register.
    Remove(u8),
    /// Adds to a counter.
    Add(u8, u64),
    /// Sets both halves of the pair to the record's id.
    Pair,
    /// Nothing: the first record of an epoch.
    Barrier,
}

impl Change {
    /// The keys that it changes.
    pub(crate) fn keys(self) -> &'static [u8] {
        const EACH: [u8; KEYS] = {
            let mut each = [0; KEYS];
            let mut at = 0;
            while at < KEYS {
                each[at] = at as u8;
                at += 1;
            }
            each
        };
        match self {
            Change::Put(key) | Change::Remove(key) | Change::Add(key, _) => {
                &EACH[usize::from(key)..=usize::from(key)]
            }
            Change::Pair => &EACH[usize::from(PAIR[0])..],
            Change::Barrier => &[],
        }
    }

    fn code(self) -> (u8, u8, u64) {
        match self {
            Change::Put(key) => (0, key, 0),
            Change::Remove(key) => (1, key, 0),
            Change::Add(key, by) => (2, key, by),
            Change::Pair => (3, 0, 0),
            Change::Barrier => (4, 0, 0),
        }
    }

    fn from_code(kind: u8, key: u8, by: u64) -> Option<Change> {
        Some(match kind {
            0 => Change::Put(key),
            1 => Change::Remove(key),
            2 => Change::Add(key, by),
            3 => Change::Pair,
            4 => Change::Barrier,
            _ => return None,
        })
    }
}

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) epoch: Epoch,
    pub(crate) lsn: Lsn,
    pub(crate) id: u64,
    pub(crate) change: Change,
}

impl Record {
    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.epoch, lsn: self.lsn }
    }
}

/// Records as the payload of an Append: one run per epoch.
pub(crate) fn encode_runs(records: &[Record], out: &mut Vec<u8>) {
    for run in records.chunk_by(|a, b| a.epoch == b.epoch) {
        out.extend_from_slice(&run[0].epoch.0.to_le_bytes());
        out.extend_from_slice(&run[0].lsn.0.to_le_bytes());
        out.extend_from_slice(&(run.len() as u32).to_le_bytes());
        for record in run {
            let (kind, key, by) = record.change.code();
            out.extend_from_slice(&record.id.to_le_bytes());
            out.push(kind);
            out.push(key);
            out.extend_from_slice(&by.to_le_bytes());
        }
    }
}

/// The runs of an Append and their records. None: they are not what [`encode_runs`] wrote.
pub(crate) fn decode_runs(mut bytes: &[u8]) -> Option<(Vec<RunHead>, Vec<Record>)> {
    let (mut heads, mut records) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        let epoch = Epoch(take_u64(&mut bytes)?);
        let first = Lsn(take_u64(&mut bytes)?);
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        bytes = rest;
        let count = u32::from_le_bytes(*count);
        heads.push(RunHead { epoch, first, count });
        for lsn in first.0..first.0 + u64::from(count) {
            let id = take_u64(&mut bytes)?;
            let ([kind, key], rest) = bytes.split_first_chunk::<2>()?;
            bytes = rest;
            let change = Change::from_code(*kind, *key, take_u64(&mut bytes)?)?;
            records.push(Record { epoch, lsn: Lsn(lsn), id, change });
        }
    }
    Some((heads, records))
}

pub(crate) fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}
