//! What a node's control keeps on the disk, and what a crash leaves of it.
//!
//! Invariants: writes are kept in their order; what was told to be synced is kept, but for a defect.

use trefoil_cluster::control::{ControlWrite, Ticket};
use trefoil_cluster::raft::{Config, Payload, Start};

use super::super::agenda::MS;
use super::super::sabotage::Defect;
use super::super::task::Task;
use super::super::world::World;

/// How late a sync is that nobody waits for: the defect.
const UNSYNCED: u64 = 1_500 * MS;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Papers {
    /// The sum of what is synced.
    pub(crate) start: Start,
    /// Another one with every start.
    pub(crate) generation: u64,
    /// It is to ask the others to be taken in, as long as it belongs to nobody.
    pub(crate) joins: bool,
}

impl Papers {
    /// Whether somebody else belongs to the cluster that is remembered, agreed upon or not.
    pub(crate) fn is_one_of_several(&self) -> bool {
        let configs = self.start.entries.iter().filter_map(|entry| match &entry.payload {
            Payload::Config(config) => Some(config),
            Payload::Blank | Payload::Command(_) => None,
        });
        let snapshot = self.start.snapshot.as_ref().map(|snapshot| &snapshot.config);
        let several = |config: &Config| config.members().count() > 1;
        configs.chain(snapshot).any(several)
    }

    fn keep(&mut self, write: ControlWrite) {
        match write {
            ControlWrite::Raft(write) => self.start.apply(write),
            ControlWrite::Reset => self.start = Start::default(),
        }
    }
}

impl World {
    /// Something of the control is to be written.
    pub(super) fn put_paper(&mut self, slot: usize, ticket: Ticket, write: ControlWrite) {
        let Some(part) = self.part(slot) else { return };
        part.papers.push_back((ticket, write));
        if self.defect == Defect::VoteNotSynced {
            let count = self.part(slot).map_or(0, |part| part.papers.len());
            self.task(slot, 0, Task::PapersTold(ticket));
            self.task(slot, UNSYNCED, Task::PapersKept(count));
            return;
        }
        self.write_papers(slot);
    }

    /// The thread that writes takes all that waits, unless it is at it.
    fn write_papers(&mut self, slot: usize) {
        let (full, sync) =
            (self.nodes[slot].full_until.saturating_sub(self.now), self.plan.sync_takes);
        let Some(part) = self.part(slot) else { return };
        if part.papers.is_empty() || std::mem::replace(&mut part.writes_papers, true) {
            return;
        }
        let count = part.papers.len();
        let takes = sync / 4 + self.dice.below(sync / 2 + 1);
        self.task(slot, full + takes, Task::PapersKept(count));
    }

    /// The first so many writes are synced.
    pub(crate) fn on_papers_kept(&mut self, slot: usize, count: usize) {
        let Some(part) = self.part(slot) else { return };
        part.writes_papers = false;
        let kept: Vec<_> = part.papers.drain(..count.min(part.papers.len())).collect();
        for (ticket, write) in kept {
            self.nodes[slot].disk.papers.keep(write);
            if self.defect != Defect::VoteNotSynced {
                self.with_control(slot, |control, now, out| control.on_persisted(now, ticket, out));
            }
        }
        if self.defect != Defect::VoteNotSynced {
            self.write_papers(slot);
        }
    }

    /// The defect: the control is told what is not so.
    pub(crate) fn on_papers_told(&mut self, slot: usize, ticket: Ticket) {
        self.with_control(slot, |control, now, out| control.on_persisted(now, ticket, out));
    }

    /// The process is gone: of what was being written a part may be there, in order.
    pub(crate) fn crash_papers(&mut self, slot: usize) {
        let Some(part) = self.part(slot) else { return };
        let papers = std::mem::take(&mut part.papers);
        if self.defect == Defect::VoteNotSynced || papers.is_empty() {
            return;
        }
        let kept = self.dice.below(papers.len() as u64 + 1) as usize;
        for (_, write) in papers.into_iter().take(kept) {
            self.nodes[slot].disk.papers.keep(write);
        }
    }
}
