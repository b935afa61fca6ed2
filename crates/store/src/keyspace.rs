//! A keyspace: sixteen tables of stripes, their sequencer and counters.
//!
//! Databases are names of tables: `SWAPDB` exchanges two names. Tables come into being when they
//! are first written to.
//!
//! Lock order: (table, stripe) ascending. Whoever holds the node's exclusive gate, or at most one
//! stripe at a time, need not care.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use crossbeam_epoch::Guard;
use crossbeam_utils::CachePadded;
use trefoil_clock::{Hlc, Lsn};

use crate::access::AccessMode;
use crate::index::BucketHint;
use crate::key::{Key, KeyHash, KeyHasher, STRIPES};
use crate::record::codec::TABLES;
use crate::sequencer::Sequencer;
use crate::stripe::{Held, Stripe};
use crate::sync::OnceLock;
use crate::tally::{Count, Tally};

/// A logical database with its own replication policy.
pub struct Keyspace {
    tables: [OnceLock<Box<[Stripe]>>; TABLES as usize],
    /// Database number to table number.
    names: [AtomicU8; TABLES as usize],
    /// When `names` last changed, for replay.
    names_version: AtomicU64,
    hasher: KeyHasher,
    sequencer: Sequencer,
    tallies: Box<[CachePadded<Tally>]>,
    access_mode: AccessMode,
}

impl Keyspace {
    /// An empty keyspace for `workers` writers of counters.
    #[must_use]
    pub fn new(hasher: KeyHasher, sequencer: Sequencer, workers: usize) -> Keyspace {
        Keyspace {
            tables: Default::default(),
            names: std::array::from_fn(|db| AtomicU8::new(db as u8)),
            names_version: AtomicU64::new(0),
            hasher,
            sequencer,
            tallies: (0..workers).map(|_| CachePadded::default()).collect(),
            access_mode: AccessMode::default(),
        }
    }

    /// Computes what the index needs to know of a key.
    #[inline]
    #[must_use]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        self.hasher.key(bytes)
    }

    pub(crate) fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// Numbers the records.
    #[must_use]
    pub fn sequencer(&self) -> &Sequencer {
        &self.sequencer
    }

    /// Whether entries remember when or how often they were used.
    #[must_use]
    pub fn access_mode(&self) -> &AccessMode {
        &self.access_mode
    }

    /// The counters of a worker.
    #[inline]
    #[must_use]
    pub fn tally(&self, worker: usize) -> &Tally {
        &self.tallies[worker]
    }

    /// Sums a counter over all workers.
    pub fn sum(&self, count: impl Fn(&Tally) -> &Count) -> i64 {
        self.tallies.iter().map(|tally| count(tally).get()).sum()
    }

    /// Keys in a database.
    #[must_use]
    pub fn len(&self, db: u8) -> u64 {
        let table = self.table_of(db);
        u64::try_from(self.sum(|tally| tally.keys(table))).unwrap_or(0)
    }

    /// Whether a database holds nothing.
    #[must_use]
    pub fn is_empty(&self, db: u8) -> bool {
        self.len(db) == 0
    }

    /// Keys with a deadline in a database.
    #[must_use]
    pub fn deadlines(&self, db: u8) -> u64 {
        let table = self.table_of(db);
        u64::try_from(self.sum(|tally| tally.deadlines(table))).unwrap_or(0)
    }

    /// Bytes of data, counted by ourselves: entries, values and their places in the index.
    #[must_use]
    pub fn memory(&self) -> u64 {
        u64::try_from(self.sum(|tally| &tally.bytes)).unwrap_or(0)
    }

    /// The table that a database's name stands for.
    #[inline]
    #[must_use]
    pub fn table_of(&self, db: u8) -> u8 {
        self.names[usize::from(db)].load(Relaxed)
    }

    /// All names: the table of each database, and the version of that state.
    #[must_use]
    pub fn names(&self) -> ([u8; TABLES as usize], u64) {
        (std::array::from_fn(|db| self.table_of(db as u8)), self.names_version.load(Relaxed))
    }

    /// Sets the names as a snapshot had them. Only while nothing is served.
    pub fn restore_names(&self, tables: [u8; TABLES as usize], version: u64) {
        for (name, table) in self.names.iter().zip(tables) {
            name.store(table, Relaxed);
        }
        self.names_version.store(version, Relaxed);
    }

    pub(crate) fn names_version(&self) -> u64 {
        self.names_version.load(Relaxed)
    }

    pub(crate) fn swap_names(&self, a: u8, b: u8, version: u64) {
        let (was_a, was_b) = (self.table_of(a), self.table_of(b));
        self.names[usize::from(a)].store(was_b, Relaxed);
        self.names[usize::from(b)].store(was_a, Relaxed);
        self.names_version.store(version, Relaxed);
    }

    /// Empties everything, as if new: entries, names, counters of data, and the numbering of records;
    /// counters of events stay, and stamps still rise. The caller holds the exclusive gate, and no
    /// other thread changes data or counts.
    pub fn reset(&self) {
        crate::txn::drop_entries(self);
        self.restore_names(std::array::from_fn(|db| db as u8), 0);
        for tally in &self.tallies {
            tally.forget_data();
        }
        self.sequencer.reset(Lsn::ZERO, Hlc::default());
    }

    #[inline]
    fn stripes(&self, table: u8) -> &[Stripe] {
        self.tables[usize::from(table)]
            .get_or_init(|| (0..STRIPES).map(|_| Stripe::default()).collect())
    }

    /// Whether anything was ever written to a table.
    #[must_use]
    pub fn has_table(&self, table: u8) -> bool {
        self.tables[usize::from(table)].get().is_some()
    }

    #[inline]
    pub(crate) fn hold(&self, table: u8, stripe: u16) -> Held<'_> {
        self.stripes(table)[usize::from(stripe)].hold(table, stripe)
    }

    /// Starts to bring the bucket of a key of a database into the cache.
    #[inline(always)]
    #[must_use]
    pub fn prefetch_bucket(&self, db: u8, key: KeyHash, pinned: &Guard) -> Option<BucketHint> {
        self.prefetch_bucket_in_table(self.table_of(db), key, pinned)
    }

    /// The same for a key of a table, whatever database it is.
    #[inline(always)]
    pub(crate) fn prefetch_bucket_in_table(
        &self,
        table: u8,
        key: KeyHash,
        pinned: &Guard,
    ) -> Option<BucketHint> {
        let stripes = self.tables[usize::from(table)].get()?;
        let bucket = stripes[key.stripe()].hint.bucket(key.place(), pinned)?;
        prefetch(bucket.address());
        Some(bucket)
    }

    /// Starts to bring the entry that a key probably has into the cache.
    #[inline(always)]
    pub fn prefetch_entry(&self, bucket: BucketHint, key: KeyHash, pinned: &Guard) {
        if let Some(entry) = bucket.entry(key.tag(), pinned) {
            prefetch(entry);
            prefetch(entry.wrapping_add(64));
        }
    }
}

/// Asks for a cache line. Never faults, whatever the address.
#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and cannot fault.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        crate::txn::drop_entries(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::txn::{Deadline, Txn, Writer};

    fn put(keyspace: &Keyspace, writer: &mut Writer, db: u8, name: &[u8], deadline: Deadline) {
        let key = keyspace.key(name);
        let mut txn = Txn::single(keyspace, writer, db, &key);
        txn.put(&key, b"value"[..].into(), deadline);
        txn.commit();
    }

    #[test]
    fn a_reset_keyspace_is_as_a_new_one_and_can_be_filled_again() {
        let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
        let keyspace = Keyspace::new(KeyHasher::new(42), sequencer, 2);
        for round in 0..2 {
            let mut writers = [Writer::new(0, 1), Writer::new(1, 1)];
            for i in 0..20_000u64 {
                let deadline = if i % 2 == 0 { Deadline::None } else { Deadline::At(u64::MAX) };
                let (db, name) = ((i % 3) as u8, format!("key:{i}"));
                put(&keyspace, &mut writers[(i % 2) as usize], db, name.as_bytes(), deadline);
            }
            let mut txn = Txn::exclusive(&keyspace, &mut writers[0], 0);
            txn.delete(&keyspace.key(b"key:0"));
            txn.swap(0, 1);
            txn.commit();
            assert_eq!((keyspace.sequencer().last_lsn(), keyspace.len(1)), (Lsn(20_001), 6_666));
            let before = keyspace.sequencer().last().hlc;

            keyspace.reset();
            assert_eq!(keyspace.memory(), 0, "round {round}");
            for db in 0..TABLES {
                assert_eq!((keyspace.len(db), keyspace.deadlines(db)), (0, 0));
            }
            assert_eq!(keyspace.names(), (std::array::from_fn(|db| db as u8), 0));
            assert_eq!(keyspace.sequencer().last().lsn, Lsn::ZERO);
            let key = keyspace.key(b"key:0");
            let mut txn = Txn::single(&keyspace, &mut writers[0], 0, &key);
            assert!(txn.peek(&key).is_none());
            assert_eq!(txn.commit().depends_on, Lsn::ZERO, "nothing was ever deleted");
            assert!(keyspace.sequencer().next(0).hlc > before);
            keyspace.sequencer().reset(Lsn::ZERO, Hlc::default());
        }
    }
}
