//! Records and pieces of snapshots on their way into the store: changes with the versions that they
//! had when they were made.
//!
//! Nothing is logged here and nothing expires: the log decides. An entry that is as new as a change,
//! or newer, is left alone, see [`crate::apply`].

use trefoil_clock::{Hlc, Lsn};

use crate::entry::Value;
use crate::key::Key;
use crate::keyspace::Keyspace;
use crate::record::{Effect, Stamp};

use super::mutate::{mutation, write_range};
use super::{Mode, NewString, StripeId, Txn, Writer};

/// Whether a record has changed a key before, by an effect further up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Touch {
    /// Not yet: an entry with the record's version has the whole of it.
    First,
    /// It has: the entry's version is the record's own.
    Again,
}

impl<'a> Txn<'a> {
    /// A transaction that replays the record with this stamp, and locks stripes as it meets them.
    pub(crate) fn replaying(
        keyspace: &'a Keyspace,
        writer: &'a mut Writer,
        stamp: Stamp,
    ) -> Txn<'a> {
        let mut txn = Txn::new(keyspace, writer, 0);
        txn.exclusive = true;
        txn.mode = Mode::Replaying;
        txn.stamp = Some(stamp);
        txn
    }

    /// The same for a record of one stripe.
    #[inline]
    pub(crate) fn replaying_single(
        keyspace: &'a Keyspace,
        writer: &'a mut Writer,
        stamp: Stamp,
        stripe: StripeId,
    ) -> Txn<'a> {
        let mut txn = Txn::replaying(keyspace, writer, stamp);
        txn.exclusive = false;
        txn.table = stripe.table;
        txn.first = Some(keyspace.hold(stripe.table, stripe.stripe));
        txn
    }

    /// The same for a record of several; they are in ascending order, each once.
    pub(crate) fn replaying_several(
        keyspace: &'a Keyspace,
        writer: &'a mut Writer,
        stamp: Stamp,
        stripes: &[StripeId],
    ) -> Txn<'a> {
        debug_assert!(stripes.is_sorted_by(|a, b| a < b));
        let mut txn = Txn::replaying(keyspace, writer, stamp);
        txn.exclusive = false;
        txn.rest = stripes.iter().map(|id| keyspace.hold(id.table, id.stripe)).collect();
        txn
    }

    /// Makes the change of a key of the selected table that an effect is, unless the key has it
    /// already. Whether it was made.
    #[inline]
    pub(crate) fn replay(&mut self, key: &Key<'_>, effect: &Effect<'_>, touch: Touch) -> bool {
        let stamp = self.stamp.expect("what is replayed has its stamp");
        let found = self.find(key);
        if touch == Touch::First && found.is_some_and(|(_, entry)| entry.version() >= stamp.lsn.0) {
            return false;
        }
        mutation(|| match (*effect, found) {
            (Effect::PutString { value, deadline, raw, .. }, found) => {
                self.store(key, found, Value::Inline(value), deadline, raw, stamp);
            }
            (Effect::Delete { cause, .. }, Some((found, _))) => {
                self.delete_found(key, found, cause);
            }
            (Effect::SetDeadline { deadline, .. }, Some(found)) => {
                self.change_deadline(key, found, deadline, stamp);
            }
            (Effect::Append { suffix, .. }, Some(found)) => {
                self.edit(key, found, stamp, |value| value.extend_from_slice(suffix));
            }
            (Effect::SetRange { offset, bytes, .. }, Some(found)) => {
                self.edit(key, found, stamp, |value| write_range(value, offset as usize, bytes));
            }
            // No mistake: a record further on deletes the key, or made it.
            (_, None) => {}
            (Effect::Flush { .. } | Effect::Swap { .. }, _) => {
                unreachable!("a key is not what this effect changes")
            }
        });
        true
    }

    /// Makes the key hold what a snapshot's piece holds, unless it has that or something newer.
    pub(crate) fn restore(
        &mut self,
        key: &Key<'_>,
        new: NewString<'_>,
        deadline: Option<u64>,
        version: u64,
    ) {
        assert!(matches!(self.mode, Mode::Replaying), "only a snapshot is restored");
        if self.first.as_ref().is_some_and(|held| usize::from(held.number) != key.stripe()) {
            self.release_met();
        }
        let found = self.find(key);
        if found.is_some_and(|(_, entry)| entry.version() >= version) {
            return;
        }
        let stamp = Stamp { lsn: Lsn(version), hlc: Hlc(0) };
        self.store(key, found, new.value, deadline, new.raw, stamp);
    }
}
