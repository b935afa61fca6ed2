//! Where two histories part, and whether records continue a log.

use trefoil_clock::{Epoch, EpochTable, Lsn, NodeId, Position};

use crate::RunHead;

/// How another history relates to the own one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fork {
    /// The last record in common.
    pub(crate) at: Position,
    /// An epoch in which they have different leaders, and the other one's.
    pub(crate) two_leaders: Option<(Epoch, NodeId)>,
}

/// Compares the own history, which ends at `end`, with another.
pub(crate) fn fork(own: &EpochTable, end: Lsn, other: &EpochTable, other_end: Lsn) -> Fork {
    let at = own.position(own.fork(end, other, other_end));
    let two_leaders = other.entries().iter().find_map(|theirs| {
        let ours = own.entries().iter().find(|ours| ours.epoch == theirs.epoch)?;
        (ours.leader != theirs.leader).then_some((theirs.epoch, theirs.leader))
    });
    Fork { at, two_leaders }
}

/// The last of the runs, if they are dense, begin right behind `prev` and are of the epochs that the
/// table says.
pub(crate) fn last_of_runs(prev: Lsn, runs: &[RunHead], epochs: &EpochTable) -> Option<Lsn> {
    let mut last = prev;
    for run in runs {
        let of_its_epoch = |lsn| epochs.entry_of(lsn).is_some_and(|entry| entry.epoch == run.epoch);
        if run.count == 0 || last.0.checked_add(1) != Some(run.first.0) {
            return None;
        }
        if !of_its_epoch(run.first) || !of_its_epoch(run.last()) {
            return None;
        }
        last = run.last();
    }
    (last > prev).then_some(last)
}

#[cfg(test)]
mod tests {
    use trefoil_clock::EpochEntry;

    use super::*;

    fn table(entries: &[(u64, u128, u64)]) -> EpochTable {
        let entry = |&(epoch, leader, first)| EpochEntry {
            epoch: Epoch(epoch),
            leader: NodeId(leader),
            first_lsn: Lsn(first),
        };
        EpochTable::from_entries(entries.iter().map(entry).collect()).expect("they ascend")
    }

    fn run(epoch: u64, first: u64, count: u32) -> RunHead {
        RunHead { epoch: Epoch(epoch), first: Lsn(first), count }
    }

    #[test]
    fn two_leaders_of_one_epoch_are_noticed() {
        let own = table(&[(1, 7, 1), (2, 8, 10)]);
        let other = table(&[(1, 7, 1), (2, 9, 12)]);
        let found = fork(&own, Lsn(20), &other, Lsn(20));
        assert_eq!(found.at, Position { epoch: Epoch(1), lsn: Lsn(9) });
        assert_eq!(found.two_leaders, Some((Epoch(2), NodeId(9))));
        assert_eq!(fork(&own, Lsn(20), &own, Lsn(5)).two_leaders, None);
    }

    #[test]
    fn runs_must_be_dense_and_of_the_epoch_that_the_table_says() {
        let epochs = table(&[(1, 7, 1), (2, 8, 10)]);
        let last = |prev, runs: &[RunHead]| last_of_runs(Lsn(prev), runs, &epochs);
        assert_eq!(last(5, &[run(1, 6, 4), run(2, 10, 3)]), Some(Lsn(12)));
        assert_eq!(last(5, &[run(1, 7, 3)]), None, "a gap");
        assert_eq!(last(5, &[run(1, 6, 2), run(1, 7, 2)]), None, "an overlap");
        assert_eq!(last(5, &[run(1, 6, 5)]), None, "a run over the border of epochs");
        assert_eq!(last(5, &[run(2, 6, 1)]), None, "another epoch");
        assert_eq!(last(5, &[run(1, 6, 0)]), None, "an empty run");
        assert_eq!(last(5, &[]), None, "nothing");
    }
}
