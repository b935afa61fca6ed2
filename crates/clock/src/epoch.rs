//! Positions of single-leader shards, and the tables that say which epoch a record belongs to.
//!
//! `(epoch, lsn)` names one record (rule 3). LSNs run on over epochs, so a table of first records is
//! enough to know the epoch of every record, and where two histories part.

use crate::id::{Epoch, Lsn, NodeId};

/// A record of a single-leader shard, or (LSN 0) the beginning. Ordered by epoch, then LSN: of two
/// logs the one with the greater last position is the newer one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position {
    /// The epoch in which the record was made.
    pub epoch: Epoch,
    /// Its number.
    pub lsn: Lsn,
}

/// An entry of an epoch table: the epoch's first record, and who led.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: Epoch,
    /// The node that led in it. Two nodes that lead in one epoch, by a mistake of people, make two
    /// histories, which this tells apart.
    pub leader: NodeId,
    /// LSN of the first record of that epoch (which need not exist yet).
    pub first_lsn: Lsn,
}

/// The epochs of a history, ascending by epoch and by first record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EpochTable {
    /// Invariant: epochs and first records strictly increase.
    entries: Vec<EpochEntry>,
}

impl EpochTable {
    /// A table from entries as a file or a peer has them. None: they do not ascend.
    #[must_use]
    pub fn from_entries(entries: Vec<EpochEntry>) -> Option<EpochTable> {
        let ascends = |pair: &[EpochEntry]| {
            pair[0].epoch < pair[1].epoch && pair[0].first_lsn < pair[1].first_lsn
        };
        entries.windows(2).all(ascends).then_some(EpochTable { entries })
    }

    /// The entries, ascending.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The last epoch that began.
    #[must_use]
    pub fn last(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// Adds an epoch. Earlier ones that begin at or behind the same record have none of their own.
    ///
    /// # Panics
    /// If it is not above all that remain.
    pub fn push(&mut self, entry: EpochEntry) {
        self.entries.retain(|other| other.first_lsn < entry.first_lsn);
        assert!(
            self.entries.last().is_none_or(|last| last.epoch < entry.epoch),
            "epochs only increase"
        );
        self.entries.push(entry);
    }

    /// The entry of the epoch that the record belongs to, or would belong to.
    #[must_use]
    pub fn entry_of(&self, lsn: Lsn) -> Option<EpochEntry> {
        self.entries.iter().rev().find(|entry| entry.first_lsn <= lsn).copied()
    }

    /// The position of a record of this history; LSN 0 is the beginning.
    #[must_use]
    pub fn position(&self, lsn: Lsn) -> Position {
        if lsn == Lsn::ZERO {
            return Position::default();
        }
        let epoch = self.entry_of(lsn).map_or(Epoch::default(), |entry| entry.epoch);
        Position { epoch, lsn }
    }

    /// Whether a record is part of this history, which ends at `end`.
    #[must_use]
    pub fn holds(&self, position: Position, end: Lsn) -> bool {
        position.lsn <= end && self.position(position.lsn) == position
    }

    /// Forgets epochs that begin behind `end`: their records were cut off. An epoch that begins right
    /// behind it stays, its records are yet to come.
    pub fn cut(&mut self, end: Lsn) {
        self.entries.retain(|entry| entry.first_lsn <= end.next());
    }

    /// The last record that two histories have in common: this one ends at `end`, the other at
    /// `other_end`. Histories agree as far as their tables say so, because an epoch has one leader.
    #[must_use]
    pub fn fork(&self, end: Lsn, other: &EpochTable, other_end: Lsn) -> Lsn {
        let mut common = Lsn::ZERO;
        for (at, (own, theirs)) in self.entries.iter().zip(&other.entries).enumerate() {
            if own != theirs {
                break;
            }
            common = self.last_of(at, end).min(other.last_of(at, other_end));
        }
        common
    }

    /// The last record of the epoch at an index, in a history that ends at `end`.
    fn last_of(&self, at: usize, end: Lsn) -> Lsn {
        self.entries.get(at + 1).map_or(end, |next| Lsn(next.first_lsn.0 - 1)).min(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(u64, u128, u64)]) -> EpochTable {
        let entry = |&(epoch, leader, first)| EpochEntry {
            epoch: Epoch(epoch),
            leader: NodeId(leader),
            first_lsn: Lsn(first),
        };
        EpochTable::from_entries(entries.iter().map(entry).collect()).expect("they ascend")
    }

    #[test]
    fn a_record_belongs_to_the_last_epoch_that_began_before_it() {
        let table = table(&[(1, 7, 1), (3, 8, 10)]);
        assert_eq!(table.position(Lsn(9)).epoch, Epoch(1));
        assert_eq!(table.position(Lsn(10)).epoch, Epoch(3));
        assert_eq!(table.position(Lsn::ZERO), Position::default());
        assert!(table.holds(Position { epoch: Epoch(3), lsn: Lsn(12) }, Lsn(12)));
        assert!(!table.holds(Position { epoch: Epoch(3), lsn: Lsn(13) }, Lsn(12)));
        assert!(!table.holds(Position { epoch: Epoch(2), lsn: Lsn(11) }, Lsn(12)));
    }

    #[test]
    fn histories_part_where_their_tables_do() {
        let leader = table(&[(1, 7, 1), (3, 8, 10)]);
        // Behind, but on the same branch.
        assert_eq!(leader.fork(Lsn(20), &table(&[(1, 7, 1)]), Lsn(5)), Lsn(5));
        // The old leader went on after record 9.
        assert_eq!(leader.fork(Lsn(20), &table(&[(1, 7, 1)]), Lsn(15)), Lsn(9));
        // It restarted and led on in epoch 2.
        assert_eq!(leader.fork(Lsn(20), &table(&[(1, 7, 1), (2, 7, 12)]), Lsn(15)), Lsn(9));
        // Two nodes led in epoch 3.
        assert_eq!(leader.fork(Lsn(20), &table(&[(1, 7, 1), (3, 9, 10)]), Lsn(15)), Lsn(9));
        // In the same epoch, further than we are.
        assert_eq!(leader.fork(Lsn(12), &leader.clone(), Lsn(20)), Lsn(12));
        assert_eq!(leader.fork(Lsn(20), &EpochTable::default(), Lsn::ZERO), Lsn::ZERO);
    }

    #[test]
    fn epochs_without_records_are_replaced() {
        let mut epochs = table(&[(1, 7, 1), (2, 7, 10)]);
        epochs.push(EpochEntry { epoch: Epoch(4), leader: NodeId(9), first_lsn: Lsn(10) });
        assert_eq!(epochs, table(&[(1, 7, 1), (4, 9, 10)]));
        epochs.cut(Lsn(8));
        assert_eq!(epochs, table(&[(1, 7, 1)]));
    }
}
