//! Counters of one worker. Only their owner writes them; whoever reports sums all workers'.
//!
//! A key that one worker adds and another deletes counts +1 here and -1 there, so single counters
//! may be negative while the sums are right.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use crate::record::codec::TABLES;

/// What a worker counts.
#[derive(Default)]
pub struct Tally {
    keys: [Count; TABLES as usize],
    deadlines: [Count; TABLES as usize],
    /// Bytes of entries, keys and values.
    pub bytes: Count,
    /// Reads that found their key.
    pub hits: Count,
    /// Reads that did not.
    pub misses: Count,
    /// Keys deleted because their deadline passed.
    pub expired: Count,
    /// Keys deleted because memory was needed.
    pub evicted: Count,
    /// Records logged.
    pub records: Count,
}

/// A counter with one writer.
#[derive(Default)]
pub struct Count(AtomicI64);

impl Count {
    /// Adds, by the owner of the tally.
    #[inline(always)]
    pub fn add(&self, change: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(change), Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }

    /// Starts again at 0 (CONFIG RESETSTAT). Racing with the owner's `add` may lose either.
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

impl Tally {
    /// Counts of what is there start again at 0; those of what happened stay. Only while the owner
    /// does not count.
    pub(crate) fn forget_data(&self) {
        let data = self.keys.iter().chain(&self.deadlines).chain([&self.bytes]);
        data.for_each(Count::reset);
    }

    /// Keys in a table.
    #[inline]
    #[must_use]
    pub fn keys(&self, table: u8) -> &Count {
        &self.keys[usize::from(table)]
    }

    /// Keys with a deadline in a table.
    #[inline]
    #[must_use]
    pub fn deadlines(&self, table: u8) -> &Count {
        &self.deadlines[usize::from(table)]
    }
}
