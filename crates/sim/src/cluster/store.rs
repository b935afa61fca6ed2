//! What a node shows: a few keys, each with the record that changed it last.

use trefoil_clock::Lsn;

use super::record::{Change, KEYS, Record};

/// A key's state.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Held {
    /// The value: a record's id, a sum, or nothing.
    pub(crate) value: Option<u64>,
    /// The record that made it so; 0: never changed.
    pub(crate) by: u64,
    /// Its number.
    pub(crate) lsn: Lsn,
}

/// See the module.
#[derive(Clone, Default, Debug)]
pub(crate) struct Store {
    pub(crate) keys: [Held; KEYS],
    /// The last record that was applied.
    pub(crate) applied: Lsn,
    /// Up to here a key's piece of the snapshot had seen records already.
    pub(crate) seen: [Lsn; KEYS],
}

impl Store {
    /// Applies the next record. Effects that a key's piece of the snapshot has already are skipped.
    pub(crate) fn apply(&mut self, record: &Record) {
        self.applied = record.lsn;
        for &key in record.change.keys() {
            if record.lsn <= self.seen[usize::from(key)] {
                continue;
            }
            let held = &mut self.keys[usize::from(key)];
            held.value = match record.change {
                Change::Put(_) | Change::Pair => Some(record.id),
                Change::Add(_, by) => Some(held.value.unwrap_or(0) + by),
                Change::Remove(_) | Change::Barrier => None,
            };
            (held.by, held.lsn) = (record.id, record.lsn);
        }
    }

    /// A number that equal contents have in common.
    pub(crate) fn digest(&self) -> u64 {
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        for held in &self.keys {
            for part in [held.value.map_or(u64::MAX, |value| value), held.by] {
                digest = (digest ^ part).wrapping_mul(0x0000_0100_0000_01b3);
                digest ^= digest >> 29;
            }
        }
        digest
    }
}
