//! Walks from within a transaction: SCAN, KEYS, RANDOMKEY, DBSIZE.
//!
//! A walk locks a stripe at a time, so the transaction must not hold any: it is exclusive, and lets
//! go of what it has met, or it was opened for no key at all.

use crate::walk::{Met, random_key_of_table, scan_table};

use super::Txn;

impl Txn<'_> {
    /// One step over the keys of the selected database, see [`crate::walk::scan`].
    pub fn scan(&mut self, cursor: u64, count: usize, visit: impl FnMut(Met<'_>)) -> u64 {
        self.prepare_to_walk();
        let next = scan_table(self.keyspace, self.writer, self.table, cursor, count, visit);
        self.saw_everything();
        next
    }

    /// A live key of the selected database, see [`crate::walk::random_key`].
    pub fn random_key(&mut self) -> Option<Vec<u8>> {
        self.prepare_to_walk();
        let key = random_key_of_table(self.keyspace, self.writer, self.table);
        self.saw_everything();
        key
    }

    /// Keys in the selected database; those that have expired but were not met since count.
    pub fn count_keys(&mut self) -> u64 {
        self.saw_everything();
        let table = self.table;
        u64::try_from(self.keyspace.sum(|tally| tally.keys(table))).unwrap_or(0)
    }

    fn prepare_to_walk(&mut self) {
        self.release_met();
        assert!(self.first.is_none() && self.rest.is_empty(), "a walk holds one stripe at a time");
    }

    /// What a walk shows, or does not show any more, may be as new as the newest record.
    fn saw_everything(&mut self) {
        let newest = self.keyspace.sequencer().last_lsn();
        self.saw(newest.0);
    }
}
