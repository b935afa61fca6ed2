//! Loading entries of a snapshot: values with the versions that they had.

use crate::key::Key;
use crate::record::Stamp;

use super::{Mode, NewString, Txn};

impl Txn<'_> {
    /// Makes the key hold what a snapshot's piece holds, unless it has that or something newer.
    pub(crate) fn restore(
        &mut self,
        key: &Key<'_>,
        new: NewString<'_>,
        deadline: Option<u64>,
        version: u64,
    ) {
        assert!(matches!(self.mode, Mode::Replaying), "only recovery restores");
        if self.first.as_ref().is_some_and(|held| usize::from(held.number) != key.stripe()) {
            self.release_met();
        }
        let found = self.find(key);
        if found.is_some_and(|(_, entry)| entry.version() >= version) {
            return;
        }
        let stamp = Stamp { lsn: trefoil_clock::Lsn(version), hlc: trefoil_clock::Hlc(0) };
        self.store(key, found, new.value, deadline, new.raw, stamp);
    }
}
