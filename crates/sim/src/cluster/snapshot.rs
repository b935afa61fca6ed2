//! Snapshots: pieces taken at different moments while writes went on, and the file they travel in.

use trefoil_clock::{Epoch, EpochEntry, EpochTable, Lsn, NodeId, Position};
use trefoil_wire::peer::SnapshotId;

use super::record::{KEYS, take_u64};
use super::store::{Held, Store};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: SnapshotId,
    /// Records behind this one are to be replayed.
    pub(crate) start: Position,
    /// Only from this record on it is a state that existed.
    pub(crate) end: Lsn,
    pub(crate) epochs: EpochTable,
    /// Each key's state, and up to which record it was taken.
    pub(crate) keys: [(Held, Lsn); KEYS],
}

impl Snapshot {
    /// The store right after loading, before the log is replayed.
    pub(crate) fn store(&self) -> Store {
        let mut store = Store { applied: self.start.lsn, ..Store::default() };
        for (key, (held, seen)) in self.keys.iter().enumerate() {
            (store.keys[key], store.seen[key]) = (*held, *seen);
        }
        store
    }

    /// The file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut numbers = vec![
            self.id.0 as u64,
            (self.id.0 >> 64) as u64,
            self.start.epoch.0,
            self.start.lsn.0,
            self.end.0,
            self.epochs.entries().len() as u64,
        ];
        for entry in self.epochs.entries() {
            let leader = entry.leader.0;
            numbers.extend([
                entry.epoch.0,
                leader as u64,
                (leader >> 64) as u64,
                entry.first_lsn.0,
            ]);
        }
        for (held, seen) in &self.keys {
            let value = held.value.map_or(0, |value| value + 1);
            numbers.extend([value, held.by, held.lsn.0, seen.0]);
        }
        numbers.push(checksum(&numbers));
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Reads the file. None: it is damaged.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Snapshot> {
        let mut numbers = Vec::new();
        while !bytes.is_empty() {
            numbers.push(take_u64(&mut bytes)?);
        }
        let sum = numbers.pop()?;
        if sum != checksum(&numbers) {
            return None;
        }
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next();
        let id = wide(next()?, next()?);
        let start = Position { epoch: Epoch(next()?), lsn: Lsn(next()?) };
        let (end, count) = (Lsn(next()?), next()?);
        let mut entries = Vec::new();
        for _ in 0..count {
            let (epoch, leader) = (Epoch(next()?), wide(next()?, next()?));
            entries.push(EpochEntry { epoch, leader: NodeId(leader), first_lsn: Lsn(next()?) });
        }
        let mut keys = [(Held::default(), Lsn::ZERO); KEYS];
        for key in &mut keys {
            let value = next()?.checked_sub(1);
            key.0 = Held { value, by: next()?, lsn: Lsn(next()?) };
            key.1 = Lsn(next()?);
        }
        let epochs = EpochTable::from_entries(entries)?;
        Some(Snapshot { id: SnapshotId(id), start, end, epochs, keys })
    }
}

fn wide(low: u64, high: u64) -> u128 {
    u128::from(low) | u128::from(high) << 64
}

fn checksum(numbers: &[u64]) -> u64 {
    numbers
        .iter()
        .fold(7, |sum, number| (sum ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ sum >> 31)
}

/// A snapshot that is being made: one half of the keys has been taken.
#[derive(Clone, Debug)]
pub(crate) struct Building {
    pub(crate) snapshot: Snapshot,
}

impl Building {
    /// Takes the even keys.
    pub(crate) fn begin(id: SnapshotId, store: &Store, epochs: &EpochTable) -> Building {
        let start = epochs.position(store.applied);
        let mut keys = [(Held::default(), Lsn::ZERO); KEYS];
        for (key, taken) in keys.iter_mut().enumerate().step_by(2) {
            *taken = (store.keys[key], store.applied);
        }
        let epochs = epochs.clone();
        Building { snapshot: Snapshot { id, start, end: store.applied, epochs, keys } }
    }

    /// Takes the odd keys and ends.
    pub(crate) fn finish(mut self, store: &Store, epochs: &EpochTable) -> Snapshot {
        let snapshot = &mut self.snapshot;
        for (key, taken) in snapshot.keys.iter_mut().enumerate().skip(1).step_by(2) {
            *taken = (store.keys[key], store.applied);
        }
        snapshot.end = store.applied;
        snapshot.epochs = epochs.clone();
        snapshot.epochs.cut(store.applied);
        self.snapshot
    }
}
