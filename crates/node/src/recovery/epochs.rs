//! The epoch table (rule 3): from the snapshot, continued by the log.

use trefoil_log::EpochEntry;

/// The snapshot's table with the log's notes after it.
pub(super) fn join(snapshot: &[EpochEntry], log: Option<&Vec<EpochEntry>>) -> Vec<EpochEntry> {
    let mut epochs = snapshot.to_vec();
    for entry in log.into_iter().flatten() {
        if epochs.last().is_none_or(|last| last.epoch < entry.epoch) {
            push(&mut epochs, *entry);
        }
    }
    epochs
}

/// Adds an epoch. Earlier ones that begin at the same record have none of their own.
pub(super) fn push(epochs: &mut Vec<EpochEntry>, entry: EpochEntry) {
    epochs.retain(|other| other.first_lsn < entry.first_lsn);
    epochs.push(entry);
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{Epoch, Lsn};

    use super::*;

    fn entry(epoch: u64, first_lsn: u64) -> EpochEntry {
        EpochEntry { epoch: Epoch(epoch), first_lsn: Lsn(first_lsn) }
    }

    #[test]
    fn the_log_continues_the_snapshots_table() {
        let snapshot = [entry(1, 1), entry(2, 10)];
        let log = vec![entry(2, 10), entry(3, 20), entry(4, 20)];
        assert_eq!(join(&snapshot, Some(&log)), [entry(1, 1), entry(2, 10), entry(4, 20)]);
        assert_eq!(join(&snapshot, None), snapshot);
    }
}
