//! What the batches say so far, in memory.
//!
//! Invariants:
//! * Entries are dense. They begin at most one behind the snapshot and don't end before it.
//! * Without entries the next index is one behind the snapshot.

use std::collections::VecDeque;

use thiserror::Error;

use super::record::{ControlRecord, put_entry, put_hard, put_snapshot};

/// Bytes of a record without its content, at most.
const RECORD_OVERHEAD: u64 = 21;

/// One less than the highest number, so that there is always a next one.
const INDEX_MAX: u64 = u64::MAX - 1;

/// What the store held when it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// The hard state.
    pub hard: Option<Vec<u8>>,
    /// The snapshot and the index of the last entry that it stands for.
    pub snapshot: Option<(u64, Vec<u8>)>,
    /// The entries with their indexes, dense.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// Whether there was no file. A node that has run before and finds that has lost its votes.
    pub created: bool,
    /// Bytes of a torn tail that were cut; 0 if there was none, at most 17 if only the mark was torn.
    pub torn_bytes: u64,
}

/// Records that do not follow from what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Disorder {
    /// An entry is not the next one.
    #[error("entry {expected} should follow, {found} does")]
    EntryGap {
        /// The index that should follow.
        expected: u64,
        /// The index that does.
        found: u64,
    },
    /// A snapshot is older than the one before.
    #[error("a snapshot at {found} would replace the one at {have}")]
    SnapshotBack {
        /// The snapshot that is there.
        have: u64,
        /// The one that should replace it.
        found: u64,
    },
    /// Entries between a snapshot and what is kept behind it would be missing.
    #[error("the snapshot ends at {index}, but the first entry kept would be {first}")]
    SnapshotGap {
        /// The snapshot's index.
        index: u64,
        /// The first entry that stays.
        first: u64,
    },
    /// An index has no successor.
    #[error("index {0} is beyond what can be numbered")]
    Spent(u64),
}

/// Which indexes are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bounds {
    snapshot: Option<u64>,
    /// The first entry. `1 <= first <= next`, unless a foreign header says otherwise.
    first: u64,
    /// One more than the last entry.
    next: u64,
}

impl Bounds {
    fn starting_at(first: u64) -> Bounds {
        Bounds { snapshot: None, first, next: first }
    }

    fn is_empty(self) -> bool {
        self.first == self.next
    }

    fn after(self, record: &ControlRecord) -> Result<Bounds, Disorder> {
        match *record {
            ControlRecord::Hard(_) => Ok(self),
            ControlRecord::Reset => Ok(Bounds::starting_at(1)),
            ControlRecord::Truncate { from } => {
                Ok(Bounds { next: from.clamp(self.first, self.next), ..self }.settled())
            }
            ControlRecord::Entry { index, .. } => self.with_entry(index),
            ControlRecord::Snapshot { index, keep_from, .. } => {
                self.with_snapshot(index, keep_from)
            }
        }
    }

    fn with_entry(self, index: u64) -> Result<Bounds, Disorder> {
        if index != self.next {
            return Err(Disorder::EntryGap { expected: self.next, found: index });
        }
        if index > INDEX_MAX {
            return Err(Disorder::Spent(index));
        }
        Ok(Bounds { next: index + 1, ..self })
    }

    fn with_snapshot(self, index: u64, keep_from: u64) -> Result<Bounds, Disorder> {
        if let Some(have) = self.snapshot.filter(|have| *have > index) {
            return Err(Disorder::SnapshotBack { have, found: index });
        }
        if index > INDEX_MAX {
            return Err(Disorder::Spent(index));
        }
        let first = keep_from.clamp(self.first, self.next);
        let bounds = Bounds { snapshot: Some(index), first, ..self }.settled();
        if bounds.first > index + 1 {
            return Err(Disorder::SnapshotGap { index, first: bounds.first });
        }
        Ok(bounds)
    }

    /// Entries that end before the snapshot go, and without entries the next one follows the snapshot.
    fn settled(self) -> Bounds {
        match self.snapshot {
            Some(index) if self.is_empty() || self.next <= index => {
                Bounds { first: index + 1, next: index + 1, ..self }
            }
            _ => self,
        }
    }
}

/// Everything that counts.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    bounds: Bounds,
    hard: Option<Vec<u8>>,
    /// There is one if the bounds say so.
    snapshot: Option<Vec<u8>>,
    /// The entries of `bounds.first..bounds.next`.
    entries: VecDeque<Vec<u8>>,
}

impl Contents {
    pub(super) fn new() -> Contents {
        Contents::starting_at(1)
    }

    /// Nothing, but the first entry will have this index.
    pub(super) fn starting_at(first: u64) -> Contents {
        let bounds = Bounds::starting_at(first);
        Contents { bounds, hard: None, snapshot: None, entries: VecDeque::new() }
    }

    pub(super) fn first_index(&self) -> u64 {
        self.bounds.first
    }

    /// Whether all of `records` could be applied, one after another.
    pub(super) fn check(&self, records: &[ControlRecord]) -> Result<(), Disorder> {
        records.iter().try_fold(self.bounds, Bounds::after).map(drop)
    }

    /// Changes nothing if the record does not follow.
    pub(super) fn apply(&mut self, record: ControlRecord) -> Result<(), Disorder> {
        let after = self.bounds.after(&record)?;
        match record {
            ControlRecord::Hard(bytes) => self.hard = Some(bytes),
            ControlRecord::Truncate { .. } => {}
            ControlRecord::Entry { bytes, .. } => self.entries.push_back(bytes),
            ControlRecord::Snapshot { bytes, .. } => self.snapshot = Some(bytes),
            ControlRecord::Reset => *self = Contents::new(),
        }
        if after.is_empty() {
            self.entries.clear();
        } else {
            self.entries.drain(..(after.first - self.bounds.first) as usize);
            self.entries.truncate((after.next - after.first) as usize);
        }
        self.bounds = after;
        Ok(())
    }

    /// Appends records that make these contents out of nothing that starts at [`Contents::first_index`].
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        if let Some(hard) = &self.hard {
            put_hard(out, hard);
        }
        for (index, bytes) in (self.bounds.first..).zip(&self.entries) {
            put_entry(out, index, bytes);
        }
        if let (Some(index), Some(bytes)) = (self.bounds.snapshot, &self.snapshot) {
            put_snapshot(out, index, self.bounds.first, bytes);
        }
    }

    /// At least the bytes that [`Contents::encode`] appends.
    pub(super) fn encoded_bytes(&self) -> u64 {
        let all = self.hard.iter().chain(&self.snapshot).chain(&self.entries);
        all.map(|bytes| bytes.len() as u64 + RECORD_OVERHEAD).sum()
    }

    pub(super) fn recovered(&self, torn_bytes: u64) -> Recovered {
        Recovered {
            hard: self.hard.clone(),
            snapshot: self.bounds.snapshot.zip(self.snapshot.clone()),
            entries: (self.bounds.first..).zip(self.entries.iter().cloned()).collect(),
            created: false,
            torn_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64) -> ControlRecord {
        ControlRecord::Entry { index, bytes: vec![index as u8] }
    }

    fn snapshot(index: u64, keep_from: u64) -> ControlRecord {
        ControlRecord::Snapshot { index, keep_from, bytes: b"all".to_vec() }
    }

    fn applied(records: &[ControlRecord]) -> Contents {
        let mut contents = Contents::new();
        for record in records {
            contents.apply(record.clone()).expect("in order");
        }
        contents
    }

    fn indexes(records: &[ControlRecord]) -> Vec<u64> {
        applied(records).recovered(0).entries.into_iter().map(|(index, _)| index).collect()
    }

    #[test]
    fn a_snapshot_keeps_the_entries_that_it_is_told_to() {
        let five: Vec<_> = (1..=5).map(entry).collect();
        let with = |last| [&five[..], &[last]].concat();
        assert_eq!(indexes(&with(snapshot(3, 2))), [2, 3, 4, 5]);
        assert_eq!(indexes(&with(snapshot(3, 4))), [4, 5]);
        assert_eq!(indexes(&with(snapshot(3, u64::MAX))), [0u64; 0]);
        assert_eq!(indexes(&with(snapshot(9, 2))), [0u64; 0], "nothing could follow entry 5");
        assert_eq!(indexes(&[with(snapshot(9, 2)), vec![entry(10)]].concat()), [10]);
    }

    #[test]
    fn entries_that_are_cut_below_the_snapshot_go_altogether() {
        let records = [&(1..=5).map(entry).collect::<Vec<_>>()[..], &[snapshot(3, 1)]].concat();
        let cut = |from| indexes(&[&records[..], &[ControlRecord::Truncate { from }]].concat());
        assert_eq!((cut(5), cut(4)), (vec![1, 2, 3, 4], vec![1, 2, 3]));
        assert_eq!((cut(3), cut(0), cut(9)), (vec![], vec![], vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn what_does_not_follow_changes_nothing() {
        let records = [entry(1), entry(2), entry(3), entry(4), snapshot(2, 2)];
        let mut contents = applied(&records);
        let before = contents.recovered(0);
        let refused = [
            (entry(4), Disorder::EntryGap { expected: 5, found: 4 }),
            (snapshot(1, 1), Disorder::SnapshotBack { have: 2, found: 1 }),
            (snapshot(2, 4), Disorder::SnapshotGap { index: 2, first: 4 }),
            (snapshot(u64::MAX, 0), Disorder::Spent(u64::MAX)),
        ];
        for (record, disorder) in refused {
            assert_eq!(contents.check(std::slice::from_ref(&record)), Err(disorder));
            assert_eq!(contents.apply(record), Err(disorder));
            assert_eq!(contents.recovered(0), before);
        }
    }

    #[test]
    fn the_encoded_contents_make_the_same_contents() {
        let records = [
            vec![],
            vec![ControlRecord::Hard(b"vote".to_vec()), entry(1)],
            vec![entry(1), entry(2), entry(3), snapshot(2, 2)],
            vec![entry(1), snapshot(7, 0)],
            vec![entry(1), ControlRecord::Reset],
        ];
        for records in &records {
            let contents = applied(records);
            let mut body = Vec::new();
            contents.encode(&mut body);
            assert!(body.len() as u64 <= contents.encoded_bytes());
            let mut again = Contents::starting_at(contents.first_index());
            for record in super::super::decode_records(&body).expect("records") {
                again.apply(record).expect("in order");
            }
            assert_eq!(
                (again.recovered(0), again.bounds),
                (contents.recovered(0), contents.bounds)
            );
        }
    }
}
