//! How processes start, stop and die, and what their snapshots are.

use trefoil_clock::Lsn;
use trefoil_replication::{AckLevel, LocalRule, SnapshotReady};

use super::agenda::MS;
use super::disk::Duty;
use super::leading::Begins;
use super::network::Told;
use super::process::{Process, Role};
use super::sabotage::Defect;
use super::snapshot::Building;
use super::store::Store;
use super::task::Task;
use super::world::World;

impl World {
    /// Starts a node's process on what its disk holds.
    pub(crate) fn start(&mut self, slot: usize) {
        let node = &mut self.nodes[slot];
        node.life += 1;
        let disk = &mut node.disk;
        if disk.reseed {
            let installed = disk.install().is_some();
            assert!(installed, "a marked snapshot was read before");
            self.met.event("installs finished by a start");
        }
        let disk = &mut self.nodes[slot].disk;
        let clean = std::mem::take(&mut disk.clean);
        let (store, whole_from) = match disk.load() {
            Some(loaded) => loaded,
            None => {
                disk.wipe();
                (Store::default(), Lsn::ZERO)
            }
        };
        let (end, epochs, duty) = (disk.log.end(), disk.log.epochs.clone(), disk.duty);
        let forgets = self.defect == Defect::SnapshotBeforeFlush;
        let whole_from = if forgets { Lsn::ZERO } else { whole_from };
        let mut process = Process::new(store, end, epochs, whole_from);
        if forgets {
            process.store.applied = end.lsn;
        }
        self.nodes[slot].process = Some(process);
        self.trace(format_args!("n{slot} starts, {duty:?}, clean {clean}, end {end:?}"));
        match duty {
            _ if self.healing.is_some() => self.start_part(slot, clean),
            Duty::Lead => self.start_leading(slot, clean),
            Duty::Follow { whom, .. } => {
                self.follow(slot, whom, Lsn::ZERO, end.lsn.max(whole_from));
            }
        }
        let gap = 1 + self.dice.below(self.plan.snapshot_gap);
        self.task(slot, gap, Task::SnapshotBegins);
        self.task(slot, 50 * MS, Task::Housekeep);
        self.task(slot, 300 * MS, Task::SyncNow);
    }

    pub(crate) fn start_leading(&mut self, slot: usize, clean: bool) {
        let disk = &self.nodes[slot].disk;
        let led = disk.log.epochs.last();
        let epoch = led.map(|entry| entry.epoch).unwrap_or_default();
        let own = led.is_some_and(|entry| entry.leader == disk.identity.node);
        if own && (clean || self.defect == Defect::OldEpochContinued) {
            self.lead(slot, epoch, Begins::Nothing, Lsn::ZERO);
        } else if disk.members.is_empty() {
            self.lead(slot, epoch.next(), Begins::Epoch, Lsn::ZERO);
        } else {
            self.recover(slot);
        }
    }

    /// The process is gone: kill -9. What the operating system has stays.
    pub(crate) fn kill(&mut self, slot: usize) {
        if self.nodes[slot].process.is_none() {
            return;
        }
        self.trace(format_args!("n{slot} is killed"));
        self.crash_papers(slot);
        self.break_clients(slot);
        self.drop_links(slot, Told::Yes);
        self.nodes[slot].process = None;
        self.nodes[slot].paused_until = 0;
        self.start_later(slot);
    }

    /// The process stops as asked: everything is synced, the log says so.
    pub(crate) fn stop_cleanly(&mut self, slot: usize) {
        if self.nodes[slot].process.is_none() || !self.takes_orders(slot) {
            return;
        }
        self.trace(format_args!("n{slot} stops"));
        self.crash_papers(slot);
        self.flush_queue(slot);
        // A leader that still asks its members may lack records: its stop proves nothing.
        let whole = !matches!(self.process(slot).role, Role::Recovering { .. });
        let disk = &mut self.nodes[slot].disk;
        disk.log.sync_all();
        disk.clean = whole;
        self.break_clients(slot);
        self.drop_links(slot, Told::Yes);
        self.nodes[slot].process = None;
        self.start_later(slot);
    }

    /// The power goes.
    pub(crate) fn lose_power(&mut self, slot: usize) {
        if self.nodes[slot].process.is_none() {
            return;
        }
        self.crash_papers(slot);
        self.break_clients(slot);
        self.drop_links(slot, Told::No);
        let lost = self.nodes[slot].disk.lose_power(&mut self.dice);
        self.trace(format_args!("n{slot} loses power and {} records", lost.len()));
        let received = self.policy_of(slot).level == AckLevel::Received;
        let synced = self.plan.local == LocalRule::Durable && !received;
        self.nodes[slot].disk.intact &= synced;
        let node = self.nodes[slot].disk.identity.node;
        self.judge.on_power_loss(node, self.plan.local, &lost);
        self.nodes[slot].process = None;
        self.nodes[slot].paused_until = 0;
        self.start_later(slot);
    }

    pub(crate) fn start_later(&mut self, slot: usize) {
        let after = if self.healed {
            50 * MS
        } else {
            self.plan.restart_after / 2 + self.dice.below(self.plan.restart_after)
        };
        self.agenda.put(self.now + after, super::world::Event::Start(slot));
    }

    /// Begins a snapshot of the node's own, unless one is being made.
    pub(crate) fn begin_snapshot(&mut self, slot: usize) {
        let (node, life) = (self.nodes[slot].disk.identity.node.0, self.nodes[slot].life);
        let process = self.process(slot);
        let serves = match &process.role {
            Role::Leading(_) => true,
            Role::Following(following) => following.core.is_ready(),
            Role::Recovering { .. } | Role::Fenced => false,
        };
        let empty = process.store.applied == Lsn::ZERO;
        if !serves
            || empty
            || process.building.is_some()
            || process.store.applied < process.whole_from
        {
            return;
        }
        let id = process.name_snapshot(node, life);
        process.building = Some(Building::begin(id, &process.store, &process.epochs));
        let after = self.dice.below(60) * MS;
        self.task(slot, after, Task::SnapshotEnds);
    }

    pub(crate) fn on_snapshot_ends(&mut self, slot: usize) {
        let process = self.process(slot);
        let Some(building) = process.building.take() else { return };
        let snapshot = building.finish(&process.store, &process.epochs);
        process.made.push(snapshot);
        self.check_snapshots(slot);
    }

    /// Snapshots become valid once the log is synced and committed to their ends; then they free it.
    pub(crate) fn check_snapshots(&mut self, slot: usize) {
        let early = self.defect == Defect::SnapshotBeforeFlush;
        let node = &mut self.nodes[slot];
        let Some(process) = &mut node.process else { return };
        let (durable, commit) = (node.disk.log.durable, process.commit());
        let mut at = 0;
        let mut became_valid = false;
        while at < process.made.len() {
            let end = process.made[at].end;
            if early || end <= durable && end <= commit {
                let snapshot = process.made.remove(at);
                node.disk.snapshots.push(snapshot);
                became_valid = true;
            } else {
                at += 1;
            }
        }
        if became_valid {
            self.met.event("snapshots that became valid");
            let disk = &mut self.nodes[slot].disk;
            disk.snapshots.sort_by_key(|snapshot| snapshot.end);
            let surplus = disk.snapshots.len().saturating_sub(2);
            disk.snapshots.drain(..surplus);
        }
        self.offer_snapshot(slot);
        self.free_log(slot);
    }

    /// Drops log that a valid snapshot has and that nobody needs.
    fn free_log(&mut self, slot: usize) {
        let node = &mut self.nodes[slot];
        let Some(process) = &node.process else { return };
        let Some(oldest) = node.disk.snapshots.last().map(|snapshot| snapshot.start.lsn) else {
            return;
        };
        let upto = match &process.role {
            Role::Leading(leading) => oldest.min(leading.core.needed_after()),
            Role::Following(_) => Lsn(oldest.0.saturating_sub(20)),
            Role::Recovering { .. } | Role::Fenced => return,
        };
        let before = node.disk.log.floor;
        node.disk.log.drop_up_to(upto);
        if node.disk.log.floor != before {
            self.met.event("logs freed");
            self.tell_log(slot);
        }
    }

    /// Gives the leader's core a snapshot, if it wants one and there is one that is synced.
    pub(crate) fn offer_snapshot(&mut self, slot: usize) -> bool {
        let node = &mut self.nodes[slot];
        let durable = node.disk.log.durable;
        let Some(process) = &mut node.process else { return false };
        let Role::Leading(leading) = &mut process.role else { return false };
        let Some(start_min) = leading.wanted else { return false };
        let synced = process.made.iter().filter(|snapshot| snapshot.end <= durable);
        let fits = node.disk.snapshots.iter().chain(synced).rfind(|s| s.start.lsn >= start_min);
        let Some(snapshot) = fits else { return false };
        let file = snapshot.encode();
        let ready = SnapshotReady {
            snapshot: snapshot.id,
            start: snapshot.start,
            end: snapshot.end,
            bytes: file.len() as u64,
        };
        leading.wanted = None;
        leading.offered.insert(snapshot.id.0, file);
        self.with_leader(slot, |core, now, out| core.on_snapshot_ready(now, ready, out));
        true
    }

    /// Compares what a node shows with what its history makes of it.
    pub(crate) fn check_store(&mut self, slot: usize) {
        let cluster = self.nodes[slot].disk.identity.cluster;
        let Some(process) = &self.nodes[slot].process else { return };
        let applied = process.store.applied;
        if applied < process.whole_from || applied == Lsn::ZERO {
            return;
        }
        let id = self.judge.id_at(cluster, &process.epochs, applied);
        self.judge.check_state(slot, id, process.store.digest());
    }
}
