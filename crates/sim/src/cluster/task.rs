//! What the threads of a process do when their turn comes.

use trefoil_clock::{EpochTable, Lsn, NodeId, Position};
use trefoil_cluster::control::Ticket;
use trefoil_replication::AfterCut;
use trefoil_wire::peer::Offer;

use super::agenda::MS;
use super::process::{Queued, Role};
use super::sabotage::Defect;
use super::world::World;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// The peers thread dials the leader.
    Dial,
    /// A dial that nobody answered is given up.
    DialTimeout(usize),
    /// The core's deadline may have come.
    Tick,
    /// The log thread hands over what is queued.
    WriteLog,
    /// A sync ends that covers this much.
    Synced {
        upto: Lsn,
        epochs: EpochTable,
    },
    /// The log's own pace of syncs (`everysec`).
    SyncNow,
    /// The applier applies what it may.
    Apply,
    /// The members are written down.
    Members(Vec<NodeId>),
    /// The tail behind a record is archived, then it is cut.
    Archive {
        to: Position,
        then: AfterCut,
    },
    Cut {
        to: Position,
        then: AfterCut,
    },
    /// A snapshot's second half is taken.
    SnapshotEnds,
    SnapshotBegins,
    /// Bytes of a fetched snapshot are in its file.
    ChunkWritten {
        written: u64,
        core: u64,
    },
    /// The fetched snapshot is complete: mark it, then put it in place.
    MarkInstall(Offer),
    Install(Offer),
    /// What has waited too long is answered.
    Housekeep,
    /// The control's deadline may have come.
    ControlTick,
    /// The thread that controls looks at what other threads want.
    ControlBeat,
    ControlLook,
    /// So many of the control's writes are synced.
    PapersKept(usize),
    /// A defect says so.
    PapersTold(Ticket),
    /// The thread that replicates looks at its orders.
    PeersStep,
    /// An epoch that was granted begins.
    TakeLead,
    /// Replies whose work is done leave, if they may.
    LetGo,
}

impl World {
    pub(crate) fn on_task(&mut self, slot: usize, task: Task) {
        match task {
            Task::Dial => self.on_dial(slot),
            Task::DialTimeout(link) => self.on_dial_timeout(slot, link),
            Task::Tick => self.on_tick(slot),
            Task::WriteLog => self.on_write_log(slot),
            Task::Synced { upto, epochs } => self.on_synced(slot, upto, epochs),
            Task::SyncNow => {
                self.begin_sync(slot);
                self.task(slot, 300 * MS, Task::SyncNow);
            }
            Task::Apply => self.on_apply(slot),
            Task::Members(members) => self.on_members_written(slot, members),
            Task::Archive { to, then } => self.on_archive(slot, to, then),
            Task::Cut { to, then } => self.on_cut(slot, to, then),
            Task::SnapshotBegins => {
                let gap = self.plan.snapshot_gap;
                let again = gap / 2 + self.dice.below(gap);
                self.task(slot, again, Task::SnapshotBegins);
                self.begin_snapshot(slot);
            }
            Task::SnapshotEnds => self.on_snapshot_ends(slot),
            Task::ChunkWritten { written, core } => {
                if self.process(slot).core == core {
                    self.with_follower(slot, |c, now, out| c.on_chunk_written(now, written, out));
                }
            }
            Task::MarkInstall(offer) => self.on_mark_install(slot, offer),
            Task::Install(offer) => self.on_install(slot, &offer),
            Task::Housekeep => {
                self.answer_late(slot);
                self.note_state();
                self.task(slot, 50 * MS, Task::Housekeep);
            }
            Task::ControlTick => self.on_control_tick(slot),
            Task::ControlBeat => self.on_control_beat(slot),
            Task::ControlLook => self.on_control_look(slot),
            Task::PapersKept(count) => self.on_papers_kept(slot, count),
            Task::PapersTold(ticket) => self.on_papers_told(slot, ticket),
            Task::PeersStep => self.on_peers_step(slot),
            Task::TakeLead => self.on_take_lead(slot),
            Task::LetGo => self.on_let_go(slot),
        }
    }

    /// Puts a record or an epoch table on the log thread's queue.
    pub(crate) fn enqueue(&mut self, slot: usize, queued: Queued) {
        self.process(slot).queue.push_back(queued);
        self.wake_log(slot);
    }

    fn wake_log(&mut self, slot: usize) {
        if !std::mem::replace(&mut self.process(slot).writing, true) {
            let after = self.dice.below(MS);
            self.task(slot, after, Task::WriteLog);
        }
    }

    fn on_write_log(&mut self, slot: usize) {
        let full_until = self.nodes[slot].full_until;
        if full_until > self.now {
            self.task(slot, full_until - self.now, Task::WriteLog);
            return;
        }
        self.process(slot).writing = false;
        self.flush_queue(slot);
        if self.syncs_each_turn(slot) {
            self.begin_sync(slot);
        }
        self.tell_log(slot);
    }

    /// Hands everything that is queued to the operating system.
    pub(crate) fn flush_queue(&mut self, slot: usize) {
        let node = &mut self.nodes[slot];
        let Some(process) = &mut node.process else { return };
        for queued in process.queue.drain(..) {
            match queued {
                Queued::Record(record) => node.disk.log.append(record),
                Queued::Epochs(epochs) => node.disk.log.epochs = epochs,
            }
        }
    }

    fn syncs_each_turn(&self, slot: usize) -> bool {
        let leads = self.nodes[slot]
            .process
            .as_ref()
            .is_some_and(|process| matches!(process.role, Role::Leading(_)));
        !leads || self.plan.local == trefoil_replication::LocalRule::Durable
    }

    /// The log thread asks for a sync, unless one runs; that one's end asks again.
    pub(crate) fn begin_sync(&mut self, slot: usize) {
        let node = &mut self.nodes[slot];
        let (log, Some(process)) = (&node.disk.log, &mut node.process) else { return };
        let dirty = log.durable < log.end().lsn || log.durable_epochs != log.epochs;
        if !dirty || std::mem::replace(&mut process.syncing, true) {
            return;
        }
        let (upto, epochs) = (log.end().lsn, log.epochs.clone());
        let takes = self.plan.sync_takes / 2 + self.dice.below(self.plan.sync_takes);
        self.task(slot, takes, Task::Synced { upto, epochs });
    }

    fn on_synced(&mut self, slot: usize, upto: Lsn, epochs: EpochTable) {
        self.process(slot).syncing = false;
        let log = &mut self.nodes[slot].disk.log;
        // A cut that came between has synced what it left.
        if upto <= log.end().lsn
            && epochs.entries().iter().all(|e| log.epochs.entries().contains(e))
        {
            log.synced(upto, epochs);
        }
        if self.syncs_each_turn(slot) {
            self.begin_sync(slot);
        }
        self.check_snapshots(slot);
        self.tell_log(slot);
    }

    /// Tells the core where its log stands.
    pub(crate) fn tell_log(&mut self, slot: usize) {
        let log = &self.nodes[slot].disk.log;
        let (end, durable) = (log.end().lsn, log.durable);
        let state = self.log_state(slot);
        let flushed = if self.defect == Defect::AckBeforeFlush { end } else { durable };
        self.with_leader(slot, |core, now, out| core.on_log(now, state, out));
        self.with_follower(slot, |core, now, out| core.on_log(now, end, flushed, out));
    }

    /// Wakes the applier of a follower.
    pub(crate) fn wake_applier(&mut self, slot: usize) {
        if !std::mem::replace(&mut self.process(slot).applying, true) {
            let after = self.dice.below(2 * MS);
            self.task(slot, after, Task::Apply);
        }
    }

    fn on_apply(&mut self, slot: usize) {
        self.process(slot).applying = false;
        let batch = 1 + self.dice.below(20) as usize;
        let process = self.process(slot);
        let Role::Following(following) = &process.role else { return };
        let upto = following.commit_to;
        for _ in 0..batch {
            let Some(record) = process.received.pop_front_if(|record| record.lsn <= upto) else {
                break;
            };
            process.store.apply(&record);
        }
        let applied = process.store.applied;
        let more = process.received.front().is_some_and(|record| record.lsn <= upto);
        if more {
            self.wake_applier(slot);
        }
        self.with_follower(slot, |core, now, out| core.on_applied(now, applied, out));
        self.check_store(slot);
        self.look_again(slot);
        self.check_snapshots(slot);
    }
}
