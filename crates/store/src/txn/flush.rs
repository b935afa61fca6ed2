//! What empties or exchanges whole tables.

use crate::entry::Entry;
use crate::key::STRIPES;
use crate::keyspace::Keyspace;
use crate::record::codec::TABLES;
use crate::record::{Effect, Stamp};
use crate::stripe::{StripeState, place_of};

use super::mutate::{forget_deadline, mutation, uncount};
use super::{Mode, Txn};

impl Txn<'_> {
    /// Empties the table of a database. The caller holds the exclusive gate.
    pub fn flush(&mut self, db: u8) {
        self.assert_may_change();
        assert!(self.exclusive, "a flush holds the exclusive gate");
        let table = self.keyspace.table_of(db);
        mutation(|| {
            let stamp = self.begin(8);
            self.encode(&Effect::Flush { table });
            self.flush_table(table, stamp);
        });
    }

    /// Exchanges the tables of two databases. The caller holds the exclusive gate.
    pub fn swap(&mut self, a: u8, b: u8) {
        self.assert_may_change();
        assert!(self.exclusive && a < TABLES && b < TABLES, "a swap holds the exclusive gate");
        mutation(|| {
            let stamp = self.begin(8);
            self.encode(&Effect::Swap { a, b });
            self.keyspace.swap_names(a, b, stamp.lsn.0);
        });
    }

    /// Exchanges the tables of two databases as the record that is being replayed says.
    pub(crate) fn replay_swap(&mut self, a: u8, b: u8) {
        if let Some(stamp) = self.stamp {
            self.keyspace.swap_names(a, b, stamp.lsn.0);
        }
    }

    /// Empties a table as the record that is being replayed says.
    pub(crate) fn replay_flush(&mut self, table: u8) {
        if let Some(stamp) = self.stamp {
            self.flush_table(table, stamp);
        }
    }

    /// Deletes what a flush at this stamp deletes: entries that were not changed after it.
    fn flush_table(&mut self, table: u8, stamp: Stamp) {
        if !self.keyspace.has_table(table) {
            return;
        }
        self.release_met();
        for stripe in 0..STRIPES as u16 {
            let mut held = self.keyspace.hold(table, stripe);
            let state = held.state_mut();
            match self.mode {
                Mode::Serving => drop_all(state, self.keyspace, self.writer.worker, table),
                Mode::Replaying => {
                    drop_older(state, self.keyspace, self.writer.worker, table, stamp);
                }
            }
            state.last_delete = state.last_delete.max(stamp.lsn.0);
        }
    }
}

/// Empties a stripe.
fn drop_all(state: &mut StripeState, keyspace: &Keyspace, worker: usize, table: u8) {
    let tally = keyspace.tally(worker);
    state.index.for_each(|pointer| {
        let entry = Entry::from_pointer(pointer);
        uncount(tally, table, entry);
        // SAFETY: both indexes are cleared below, before the lock is released.
        unsafe { entry.free() };
    });
    state.index.clear();
    state.deadlines.clear();
}

/// Deletes the entries of a stripe whose version is below a flush's. Only replay needs it: a
/// snapshot piece may be younger than the flush.
fn drop_older(
    state: &mut StripeState,
    keyspace: &Keyspace,
    worker: usize,
    table: u8,
    stamp: Stamp,
) {
    let mut older = Vec::new();
    state.index.for_each(|pointer| {
        let entry = Entry::from_pointer(pointer);
        if entry.version() < stamp.lsn.0 {
            older.push(entry);
        }
    });
    let tally = keyspace.tally(worker);
    for entry in older {
        let key = keyspace.key(entry.key());
        if entry.deadline().is_some() {
            forget_deadline(state, keyspace, &key, entry);
        }
        let found = state
            .index
            .find(key.place(), key.tag(), |pointer| pointer == entry.pointer())
            .expect("the entry was just met in this index");
        state.index.remove(key.place(), found, place_of(keyspace.hasher()));
        uncount(tally, table, entry);
        // SAFETY: out of both indexes, so this is the last handle; the stripe is locked.
        unsafe { entry.free() };
    }
}

/// Empties every stripe of a keyspace that nobody else uses, as if nothing had ever been there.
pub(crate) fn drop_entries(keyspace: &Keyspace) {
    for table in (0..TABLES).filter(|&table| keyspace.has_table(table)) {
        for stripe in 0..STRIPES as u16 {
            let mut held = keyspace.hold(table, stripe);
            drop_all(held.state_mut(), keyspace, 0, table);
            held.state_mut().last_delete = 0;
        }
    }
}
