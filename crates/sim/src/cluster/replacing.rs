//! How a follower replaces what it holds: cuts of its log, and snapshots that it fetches.
//!
//! Each is several steps, and a process may die between any two (pitfall 12).

use trefoil_clock::{Lsn, Position};
use trefoil_replication::{AfterCut, Installed};
use trefoil_wire::peer::Offer;

use super::agenda::MS;
use super::process::Role;
use super::sabotage::Defect;
use super::store::Store;
use super::task::Task;
use super::world::World;

impl World {
    pub(crate) fn on_archive(&mut self, slot: usize, to: Position, then: AfterCut) {
        self.flush_queue(slot);
        let disk = &mut self.nodes[slot].disk;
        if self.defect != Defect::CutWithoutArchive {
            let tail = disk.log.records.iter().filter(|record| record.lsn > to.lsn);
            disk.archive.extend(tail.map(|record| record.id));
        }
        let after = self.dice.below(5 * MS);
        self.task(slot, after, Task::Cut { to, then });
    }

    pub(crate) fn on_cut(&mut self, slot: usize, to: Position, then: AfterCut) {
        self.met.event("cuts");
        let disk = &mut self.nodes[slot].disk;
        if to.lsn < disk.log.floor.lsn {
            disk.wipe();
        }
        disk.log.cut(to.lsn);
        disk.void_snapshots(to.lsn);
        if disk.log.floor.lsn > Lsn::ZERO && disk.load().is_none() {
            disk.wipe();
        }
        let loaded = (then == AfterCut::Rebuild).then(|| disk.load()).flatten();
        let (end, epochs) = (disk.log.end(), disk.log.epochs.clone());
        let process = self.process(slot);
        process.end = end;
        process.epochs = epochs.clone();
        process.received.retain(|record| record.lsn <= end.lsn);
        process.building = None;
        process.made.clear();
        if then == AfterCut::Rebuild || process.store.applied > end.lsn {
            self.met.event("stores rebuilt");
            let (store, whole_from) = loaded.unwrap_or((Store::default(), Lsn::ZERO));
            let process = self.process(slot);
            (process.store, process.whole_from) = (store, whole_from);
            process.received.clear();
        }
        self.forget_commit(slot);
        let applied = self.process(slot).store.applied;
        self.with_follower(slot, |core, now, out| core.on_cut_done(now, end, epochs, applied, out));
        self.check_store(slot);
    }

    pub(crate) fn write_chunk(&mut self, slot: usize, offset: u64) {
        let chunk = std::mem::take(&mut self.process(slot).in_hand.chunk);
        let full = self.nodes[slot].full_until.saturating_sub(self.now);
        let Some(incoming) = &mut self.nodes[slot].disk.incoming else { return };
        incoming.bytes.truncate(offset as usize);
        incoming.bytes.extend(chunk);
        let written = incoming.bytes.len() as u64;
        let after = full + self.dice.below(MS);
        let core = self.process(slot).core;
        self.task(slot, after, Task::ChunkWritten { written, core });
    }

    pub(crate) fn on_mark_install(&mut self, slot: usize, offer: Offer) {
        let whole =
            self.nodes[slot].disk.incoming.as_ref().is_some_and(|incoming| {
                super::snapshot::Snapshot::decode(&incoming.bytes).is_some()
            });
        if !whole {
            self.nodes[slot].disk.incoming = None;
            self.with_follower(slot, |core, now, out| core.on_install_failed(now, out));
            return;
        }
        self.nodes[slot].disk.reseed = true;
        let after = self.dice.below(10 * MS);
        self.task(slot, after, Task::Install(offer));
    }

    pub(crate) fn on_install(&mut self, slot: usize, _offer: &Offer) {
        self.met.event("snapshots installed");
        self.process(slot).queue.clear();
        let disk = &mut self.nodes[slot].disk;
        let installed = disk.install().is_some();
        assert!(installed, "a marked snapshot was read before");
        let (end, epochs) = (disk.log.end(), disk.log.epochs.clone());
        let (store, whole_from) = disk.load().expect("a snapshot was installed");
        let process = self.process(slot);
        process.end = end;
        process.epochs = epochs.clone();
        let applied = store.applied;
        (process.store, process.whole_from) = (store, whole_from);
        process.received.clear();
        process.building = None;
        process.made.clear();
        self.trace(format_args!("n{slot} installed a snapshot {end:?} to {whole_from}"));
        self.forget_commit(slot);
        let installed = Installed { end, epochs, applied };
        self.with_follower(slot, |core, now, out| core.on_installed(now, installed, out));
    }

    /// What was committed on a branch that is given up is not committed any more.
    fn forget_commit(&mut self, slot: usize) {
        let process = self.process(slot);
        let end = process.end.lsn;
        if let Role::Following(following) = &mut process.role {
            following.commit_to = following.commit_to.min(end);
        }
    }
}
