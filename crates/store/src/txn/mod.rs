//! A transaction: locked stripes, read views and mutators.
//!
//! The only way to change data. A mutator changes the value *and* encodes its effect, so logging
//! cannot be forgotten; replay calls the same mutators. The record's LSN and HLC are taken at the
//! first mutation, under the stripe locks, and the record ends with the transaction.
//!
//! It is not a dispatcher: which stripes to lock, and whether the exclusive gate is needed, is
//! decided before. It never waits for anything but a stripe's lock.
//!
//! Invariants: a key that is read or changed lies in a held stripe (an exclusive transaction takes
//! them as it goes); nothing fails after the first mutation; a panic inside a mutator aborts the
//! process, because the value and the log may differ by then.

mod carry;
mod flush;
mod mutate;
mod read;
mod replay;
#[cfg(test)]
pub(crate) mod tests;
mod walks;

use trefoil_clock::{Hlc, Lsn};

use crate::key::Key;
use crate::keyspace::Keyspace;
use crate::record::{LogBuffer, Stamp};
use crate::stripe::Held;
use crate::tally::Tally;

pub use carry::Carried;
pub(crate) use flush::drop_entries;
pub use mutate::{Deadline, NewString};
pub use read::{Meta, StringView, WrongType};
pub(crate) use replay::Touch;

/// What a worker brings along to every transaction.
pub struct Writer {
    /// Which of the keyspace's tallies is its own.
    pub worker: usize,
    /// Unix milliseconds; set once per batch of commands.
    pub now_ms: u64,
    /// Reads do not count as uses (CLIENT NO-TOUCH); set per command.
    pub no_touch: bool,
    /// Expired keys that are met are not deleted, only not shown (CLIENT PAUSE); set per batch.
    pub hides_expired: bool,
    /// Some: the node follows another, and this is the leader's time as far as it is known, Unix
    /// milliseconds. Keys expire by it, are hidden and never deleted, and a mutator panics. Set per
    /// batch.
    pub following_ms: Option<u64>,
    /// Where its records wait to be published.
    pub log: LogBuffer,
    random: u32,
}

impl Writer {
    /// A writer with its own counters and a seed for sampling.
    #[must_use]
    pub fn new(worker: usize, seed: u32) -> Writer {
        Writer {
            worker,
            now_ms: 0,
            no_touch: false,
            hides_expired: false,
            following_ms: None,
            log: LogBuffer::default(),
            random: seed | 1,
        }
    }

    /// One that runs something in its place for a while: as this one is set, with an empty log.
    #[must_use]
    pub fn stand_in(&mut self) -> Writer {
        let Writer { worker, now_ms, no_touch, hides_expired, following_ms, .. } = *self;
        Writer {
            now_ms,
            no_touch,
            hides_expired,
            following_ms,
            ..Writer::new(worker, self.random())
        }
    }

    /// The time that data knows: whether a key has expired and when it was used goes by this.
    #[inline]
    #[must_use]
    pub fn data_ms(&self) -> u64 {
        self.following_ms.unwrap_or(self.now_ms)
    }

    /// A number from a xorshift generator: for sampling, not for secrets.
    #[inline]
    pub fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}

/// A stripe to be locked: a table and a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StripeId {
    table: u8,
    stripe: u16,
}

impl StripeId {
    /// The stripe of a key of a database.
    #[inline]
    #[must_use]
    pub fn of(keyspace: &Keyspace, db: u8, key: &Key<'_>) -> StripeId {
        StripeId { table: keyspace.table_of(db), stripe: key.stripe() as u16 }
    }

    /// A stripe by its numbers; `stripe` is below [`crate::key::STRIPES`].
    #[must_use]
    pub fn new(table: u8, stripe: u16) -> StripeId {
        StripeId { table, stripe }
    }
}

/// What a finished transaction means for its reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// The record it wrote, if it wrote.
    pub written: Option<Lsn>,
    /// The reply may leave once this is committed: what was written, or the newest that was seen.
    pub depends_on: Lsn,
}

enum Mode {
    /// Mutators log; expired keys are deleted when they are met.
    Serving,
    /// The record is in the log already: mutators change values only, nothing expires.
    Replaying,
}

/// See the module.
pub struct Txn<'a> {
    keyspace: &'a Keyspace,
    writer: &'a mut Writer,
    tally: &'a Tally,
    table: u8,
    first: Option<Held<'a>>,
    /// Ascending.
    rest: Vec<Held<'a>>,
    exclusive: bool,
    mode: Mode,
    stamp: Option<Stamp>,
    /// Version of the newest thing that was seen.
    seen: u64,
}

impl<'a> Txn<'a> {
    fn new(keyspace: &'a Keyspace, writer: &'a mut Writer, db: u8) -> Txn<'a> {
        Txn {
            keyspace,
            tally: keyspace.tally(writer.worker),
            table: keyspace.table_of(db),
            writer,
            first: None,
            rest: Vec::new(),
            exclusive: false,
            mode: Mode::Serving,
            stamp: None,
            seen: 0,
        }
    }

    /// A transaction on the keys of one stripe.
    #[inline]
    pub fn single(
        keyspace: &'a Keyspace,
        writer: &'a mut Writer,
        db: u8,
        key: &Key<'_>,
    ) -> Txn<'a> {
        let mut txn = Txn::new(keyspace, writer, db);
        txn.first = Some(keyspace.hold(txn.table, key.stripe() as u16));
        txn
    }

    /// The same for a key of a table, whatever database it is.
    pub(crate) fn single_in_table(
        keyspace: &'a Keyspace,
        writer: &'a mut Writer,
        table: u8,
        key: &Key<'_>,
    ) -> Txn<'a> {
        let mut txn = Txn::new(keyspace, writer, 0);
        txn.table = table;
        txn.first = Some(keyspace.hold(table, key.stripe() as u16));
        txn
    }

    /// A transaction on several stripes; `stripes` is sorted and deduplicated here.
    pub fn several(
        keyspace: &'a Keyspace,
        writer: &'a mut Writer,
        db: u8,
        stripes: &mut Vec<StripeId>,
    ) -> Txn<'a> {
        stripes.sort_unstable();
        stripes.dedup();
        let mut txn = Txn::new(keyspace, writer, db);
        txn.rest = stripes.iter().map(|id| keyspace.hold(id.table, id.stripe)).collect();
        txn
    }

    /// A transaction that may touch anything: the caller holds the exclusive gate. Stripes are
    /// locked as they are met.
    pub fn exclusive(keyspace: &'a Keyspace, writer: &'a mut Writer, db: u8) -> Txn<'a> {
        let mut txn = Txn::new(keyspace, writer, db);
        txn.exclusive = true;
        txn
    }

    /// The keys that follow are those of another database.
    pub fn select(&mut self, db: u8) {
        self.table = self.keyspace.table_of(db);
    }

    pub(crate) fn select_table(&mut self, table: u8) {
        self.table = table;
    }

    /// Unix milliseconds: the time of the batch that this transaction belongs to; on a follower the
    /// leader's.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.writer.data_ms()
    }

    /// A number for sampling, not for secrets.
    pub fn random(&mut self) -> u32 {
        self.writer.random()
    }

    /// The keyspace of this transaction.
    #[must_use]
    pub fn keyspace(&self) -> &'a Keyspace {
        self.keyspace
    }

    /// Computes what the index needs to know of a key.
    #[inline]
    #[must_use]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        self.keyspace.key(bytes)
    }

    /// Notes that the reply depends on something with this version.
    #[inline]
    fn saw(&mut self, version: u64) {
        self.seen = self.seen.max(version);
    }

    /// Lets go of the stripes that an exclusive transaction has met so far, so that a walk over
    /// many does not hold them all.
    fn release_met(&mut self) {
        if self.exclusive {
            self.first = None;
            self.rest.clear();
        }
    }

    /// The same for whoever runs something in between that locks stripes by itself. A transaction
    /// that was opened for certain stripes keeps them.
    pub fn let_go(&mut self) {
        self.release_met();
    }

    /// The held stripe of a key, as an index into `first` and `rest`.
    #[inline(always)]
    fn held(&mut self, stripe: u16) -> &mut Held<'a> {
        let table = self.table;
        let is_it = |held: &Held<'a>| held.number == stripe && held.table == table;
        if self.first.as_ref().is_some_and(is_it) {
            return self.first.as_mut().expect("just seen");
        }
        self.held_among_several(stripe)
    }

    fn held_among_several(&mut self, stripe: u16) -> &mut Held<'a> {
        let wanted = (self.table, stripe);
        let at = match self.rest.binary_search_by_key(&wanted, |held| (held.table, held.number)) {
            Ok(at) => at,
            Err(at) => {
                assert!(self.exclusive, "a command touches keys that it did not declare");
                let held = self.keyspace.hold(self.table, stripe);
                if self.first.is_none() {
                    return self.first.insert(held);
                }
                self.rest.insert(at, held);
                at
            }
        };
        &mut self.rest[at]
    }

    /// Ends the transaction: its record, if it wrote, is complete and waits to be published.
    #[inline]
    pub fn commit(mut self) -> Outcome {
        self.finish_record();
        let written = match self.mode {
            Mode::Serving => self.stamp.map(|stamp| stamp.lsn),
            Mode::Replaying => None,
        };
        Outcome { written, depends_on: written.unwrap_or(Lsn(self.seen)) }
    }

    /// The stamp of this transaction's record, taken at the first mutation.
    pub fn stamp(&self) -> Option<(Lsn, Hlc)> {
        self.stamp.map(|stamp| (stamp.lsn, stamp.hlc))
    }

    /// Bytes of this transaction's record so far. The log takes no record of 4 GiB.
    #[must_use]
    pub fn record_len(&self) -> usize {
        self.writer.log.open_len()
    }

    #[inline]
    fn finish_record(&mut self) {
        if matches!(self.mode, Mode::Serving) {
            self.writer.log.finish();
        }
    }
}

impl Drop for Txn<'_> {
    /// A handler that panicked between mutations leaves a whole record of what it had done.
    fn drop(&mut self) {
        self.finish_record();
    }
}
