//! What a node keeps over a restart, and what a power loss takes from it.
//!
//! The log loses, when the power goes, a part of what was not synced; small files (role, members,
//! markers) are replaced whole and synced. A disk that is lost is a new [`Disk`] with a new identity.
//!
//! Invariants of the log: records are dense behind `floor`; `floor <= durable <= end`.

use std::collections::VecDeque;

use trefoil_clock::{ClusterId, Epoch, EpochTable, Identity, Lsn, NodeId, Position};
use trefoil_wire::peer::Offer;

use super::healing::Papers;
use super::record::Record;
use super::snapshot::Snapshot;
use super::store::Store;
use crate::dice::Dice;

/// What the role file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Duty {
    /// To lead.
    Lead,
    /// To follow the node at this address.
    Follow {
        whom: usize,
        /// The own history may be given up: until it was, once.
        adopts: bool,
    },
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// The record before the first one.
    pub(crate) floor: Position,
    pub(crate) records: VecDeque<Record>,
    pub(crate) epochs: EpochTable,
    /// What survives a power loss.
    pub(crate) durable: Lsn,
    pub(crate) durable_epochs: EpochTable,
}

impl Log {
    /// The last record that the operating system has.
    pub(crate) fn end(&self) -> Position {
        self.records.back().map_or(self.floor, Record::position)
    }

    /// A record, if it is held.
    pub(crate) fn record(&self, lsn: Lsn) -> Option<&Record> {
        let at = lsn.0.checked_sub(self.floor.lsn.0 + 1)?;
        self.records.get(usize::try_from(at).ok()?)
    }

    /// Hands a record to the operating system.
    pub(crate) fn append(&mut self, record: Record) {
        assert_eq!(self.end().lsn.next(), record.lsn, "a log is dense");
        self.records.push_back(record);
    }

    /// Syncs what was handed over when the sync began.
    pub(crate) fn synced(&mut self, upto: Lsn, epochs: EpochTable) {
        self.durable = self.durable.max(upto.min(self.end().lsn));
        self.durable_epochs = epochs;
    }

    /// Syncs all of it.
    pub(crate) fn sync_all(&mut self) {
        (self.durable, self.durable_epochs) = (self.end().lsn, self.epochs.clone());
    }

    /// Cuts what is behind a record, synced. Returns what was cut.
    pub(crate) fn cut(&mut self, to: Lsn) -> Vec<Record> {
        let kept = usize::try_from(to.0.saturating_sub(self.floor.lsn.0)).expect("a small log");
        let cut = self.records.drain(kept.min(self.records.len())..).collect();
        self.epochs.cut(to);
        self.sync_all();
        cut
    }

    /// Drops records up to and with this one: a snapshot has them.
    pub(crate) fn drop_up_to(&mut self, lsn: Lsn) {
        while self.records.front().is_some_and(|record| record.lsn <= lsn.min(self.durable)) {
            let record = self.records.pop_front().expect("it was just seen");
            self.floor = record.position();
        }
    }

    /// The power goes: what was not synced is gone, but for a part that happened to be written.
    /// Returns the records that are lost.
    fn lose_power(&mut self, dice: &mut Dice) -> Vec<Record> {
        let unsynced = self.end().lsn.0 - self.durable.0;
        let kept = Lsn(self.durable.0 + dice.below(unsynced + 1));
        let at = usize::try_from(kept.0 - self.floor.lsn.0).expect("a small log");
        let lost = self.records.drain(at..).collect();
        if kept > self.durable || dice.one_in(2) {
            self.epochs.cut(kept);
        } else {
            self.epochs = self.durable_epochs.clone();
            self.epochs.cut(kept);
        }
        self.sync_all();
        lost
    }
}

/// A snapshot that is being fetched.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) offer: Offer,
    pub(crate) bytes: Vec<u8>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) identity: Identity,
    pub(crate) log: Log,
    /// Valid ones, oldest first.
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) incoming: Option<Incoming>,
    /// The marker: `incoming` is complete and takes the place of everything else.
    pub(crate) reseed: bool,
    pub(crate) duty: Duty,
    /// The electable set as this node wrote it down when it led.
    pub(crate) members: Vec<NodeId>,
    /// The newest epoch that this node began, whatever became of its log since.
    pub(crate) began: Epoch,
    /// The last stop was clean; the marker goes away at the next start.
    pub(crate) clean: bool,
    /// Nothing that was acknowledged is known to have been at risk since it was whole.
    pub(crate) intact: bool,
    /// Ids of records in the diverged archive.
    pub(crate) archive: Vec<u64>,
    /// Where the snapshots in it end: what was before the archived records.
    pub(crate) archived_snapshots: Vec<(ClusterId, EpochTable, Lsn)>,
    /// What the control keeps.
    pub(crate) papers: Papers,
}

impl Disk {
    pub(crate) fn format(identity: Identity, duty: Duty) -> Disk {
        Disk {
            identity,
            log: Log::default(),
            snapshots: Vec::new(),
            incoming: None,
            reseed: false,
            duty,
            members: Vec::new(),
            began: Epoch(0),
            clean: false,
            intact: true,
            archive: Vec::new(),
            archived_snapshots: Vec::new(),
            papers: Papers::default(),
        }
    }

    /// The power goes. Returns the records that are lost.
    pub(crate) fn lose_power(&mut self, dice: &mut Dice) -> Vec<Record> {
        if let Some(incoming) = self.incoming.as_mut().filter(|_| !self.reseed) {
            incoming.bytes.truncate(dice.below(incoming.bytes.len() as u64 + 1) as usize);
        }
        self.log.lose_power(dice)
    }

    /// The newest snapshot that the log reaches, if one is needed or useful.
    fn usable_snapshot(&self) -> Option<&Snapshot> {
        let reaches = |snapshot: &&Snapshot| snapshot.start.lsn >= self.log.floor.lsn;
        self.snapshots.iter().rev().find(reaches)
    }

    /// The state that snapshot and log make, and from which record on it is one that existed.
    /// None: the log lacks its beginning and no snapshot has it.
    pub(crate) fn load(&self) -> Option<(Store, Lsn)> {
        let (mut store, whole_from) = match self.usable_snapshot() {
            Some(snapshot) => (snapshot.store(), snapshot.end),
            None if self.log.floor.lsn == Lsn::ZERO => (Store::default(), Lsn::ZERO),
            None => return None,
        };
        for record in &self.log.records {
            if record.lsn > store.applied {
                store.apply(record);
            }
        }
        Some((store, whole_from))
    }

    /// Snapshots that end behind a cut are void.
    pub(crate) fn void_snapshots(&mut self, to: Lsn) {
        self.snapshots.retain(|snapshot| snapshot.end <= to);
    }

    /// Everything is given up but the identity; the log is archived.
    pub(crate) fn wipe(&mut self) {
        self.archive.extend(self.log.records.iter().map(|record| record.id));
        if self.log.floor.lsn > Lsn::ZERO {
            let before = (self.identity.cluster, self.log.epochs.clone(), self.log.floor.lsn);
            self.archived_snapshots.push(before);
        }
        self.log = Log::default();
        self.snapshots.clear();
        // What it acknowledged comes back with a leader.
        self.intact = false;
    }

    /// Puts the fetched snapshot in place of log and snapshots. None: it is damaged.
    pub(crate) fn install(&mut self) -> Option<()> {
        self.reseed = false;
        let incoming = self.incoming.take()?;
        let snapshot = Snapshot::decode(&incoming.bytes)?;
        let intact = self.intact;
        self.wipe();
        // A snapshot begins no earlier than what it takes the place of ended.
        self.intact = intact;
        let mut epochs = EpochTable::from_entries(incoming.offer.epochs)?;
        epochs.cut(snapshot.start.lsn);
        self.log = Log { floor: snapshot.start, epochs, ..Log::default() };
        self.log.sync_all();
        self.snapshots.push(snapshot);
        Some(())
    }
}
