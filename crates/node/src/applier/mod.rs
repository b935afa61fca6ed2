//! What a follower does with its leader's records: it applies those that are committed, in order,
//! beside its readers.
//!
//! [`ApplyQueue`] is what the node shares, [`Applier`] the work of one thread, which is one more party
//! of the exclusive gate: inside its shared side for a slice of records at a time, alone for those
//! that empty or exchange tables. Sans-IO but for the sleep in [`Applier::run`].
//!
//! It logs nothing and decides nothing: the log thread gets the same messages by another way, and the
//! watermark comes from the leader.
//!
//! Invariants: whatever is visible is committed; the stream's time is never behind a record that
//! [`ApplyQueue::applied`] covers.

#[cfg(all(test, shuttle))]
mod interleavings;
mod queue;
mod received;
mod share;
#[cfg(all(test, not(shuttle)))]
mod tests;

use std::sync::Arc;

use trefoil_clock::Lsn;
use trefoil_log::RunError;
use trefoil_store::apply::{Record, Stop, apply_alone, apply_live};
use trefoil_store::record::DecodeError;
use trefoil_store::txn::Writer;

use crate::exclusive::Pass;
use crate::node::Node;

pub use queue::ApplyQueue;
pub use received::{Received, ReceivedRun};

use queue::Patience;
use share::Share;

/// While there is more to do, others are told at the latest after so many slices.
const SLICES_PER_CALL: u32 = 8;

/// Why nothing more can be applied. What was applied stays; the next record was not touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApplyLost {
    /// A message is not what its head says.
    #[error("the leader's records can't be applied: {0}")]
    Damaged(RunError),
    /// A record is not understood.
    #[error("record {lsn} of the leader can't be applied: {error}")]
    Malformed {
        /// Which.
        lsn: Lsn,
        /// Why.
        error: DecodeError,
    },
    /// A record is missing.
    #[error("record {expected} is missing before record {found}, nothing more can be applied")]
    Gap {
        /// The one that is missing.
        expected: Lsn,
        /// The one that came.
        found: Lsn,
    },
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Everything that may be applied is.
    Idle,
    /// Somebody runs alone, or others have still to leave for the applier to be alone: it is woken
    /// when that is over.
    Blocked,
}

/// What a slice came to.
enum Slice {
    Done,
    Blocked,
}

/// See the module.
pub struct Applier {
    node: Arc<Node>,
    writer: Writer,
    pass: Pass,
    /// The next record can only be applied alone.
    needs_alone: bool,
    /// Called when more is applied; cheap if nobody waits for that.
    on_applied: Box<dyn Fn() + Send>,
    slices_untold: u32,
}

impl Applier {
    /// The applier of a node, with a seat at the gate and counters behind those of the workers.
    #[must_use]
    pub fn new(node: Arc<Node>, on_applied: Box<dyn Fn() + Send>) -> Applier {
        let seat = node.applier_seat();
        Applier {
            writer: Writer::new(seat, 1),
            pass: Pass::new(seat),
            node,
            needs_alone: false,
            on_applied,
            slices_untold: 0,
        }
    }

    /// The thread: applies until the queue is stopped.
    ///
    /// # Errors
    /// Nothing more can be applied; whatever is applied is whole.
    pub fn run(&mut self) -> Result<(), ApplyLost> {
        let mut patience = Patience::Ready;
        while self.node.applier.wait(patience) {
            patience = match self.step()? {
                Step::Idle => Patience::Ready,
                Step::Blocked => Patience::Blocked,
            };
        }
        self.end();
        Ok(())
    }

    /// Applies what may be applied, a slice at a time, between which others may come in.
    ///
    /// # Errors
    /// Nothing more can be applied.
    pub fn step(&mut self) -> Result<Step, ApplyLost> {
        while let Some(mut share) = self.node.applier.share() {
            let slice = self.slice(&mut share);
            let drained = self.node.applier.advance(&share);
            self.tell(drained);
            match slice {
                Ok(Slice::Done) => {}
                Ok(Slice::Blocked) => {
                    if !self.needs_alone {
                        self.node.applier.disengage();
                    }
                    return Ok(Step::Blocked);
                }
                Err(lost) => {
                    self.end();
                    return Err(lost);
                }
            }
        }
        self.end();
        Ok(Step::Idle)
    }

    /// Gives up what it may claim.
    fn end(&mut self) {
        if std::mem::take(&mut self.needs_alone) {
            self.pass.begin(&self.node.exclusive);
            self.node.wake(self.pass.end(&self.node.exclusive));
        }
        self.node.applier.disengage();
        self.tell(true);
    }

    /// One stay inside the gate.
    fn slice(&mut self, share: &mut Share) -> Result<Slice, ApplyLost> {
        let node = Arc::clone(&self.node);
        self.pass.begin(&node.exclusive);
        let before = share.applied;
        let slice = match self.needs_alone {
            true => self.apply_alone(share),
            false if self.pass.is_inside() => self.apply(share),
            false => Ok(Slice::Blocked),
        };
        node.wake(self.pass.end(&node.exclusive));
        self.slices_untold += u32::from(share.applied > before);
        slice
    }

    fn apply(&mut self, share: &mut Share) -> Result<Slice, ApplyLost> {
        let (records, mut cursor) = share.gather(usize::MAX)?;
        let progress = apply_live(&self.node.keyspace, &mut self.writer, &records);
        let Some(stop) = progress.stop else {
            self.note_time(records.last());
            let applied = records.last().map_or(share.applied, |last| last.stamp.lsn);
            (share.cursor, share.applied) = (cursor, applied);
            return Ok(Slice::Done);
        };
        let stopped_at = records[progress.done].stamp.lsn;
        if progress.done > 0 {
            self.note_time(records.get(progress.done - 1));
            cursor = share.gather(progress.done)?.1;
            let applied = Lsn(stopped_at.0 - 1);
            (share.cursor, share.applied) = (cursor, applied);
        }
        match stop {
            Stop::NeedsAlone => {
                self.needs_alone = true;
                self.apply_alone(share)
            }
            Stop::Malformed(error) => Err(ApplyLost::Malformed { lsn: stopped_at, error }),
        }
    }

    /// Applies the next record alone, if that can be now.
    fn apply_alone(&mut self, share: &mut Share) -> Result<Slice, ApplyLost> {
        let node = Arc::clone(&self.node);
        if !self.pass.try_alone(&node.exclusive) {
            return Ok(Slice::Blocked);
        }
        self.needs_alone = false;
        let done = share.gather(1).and_then(|(records, cursor)| {
            let Some(record) = records.first() else { return Ok((cursor, share.applied)) };
            let lsn = record.stamp.lsn;
            apply_alone(&node.keyspace, &mut self.writer, *record)
                .map_err(|error| ApplyLost::Malformed { lsn, error })?;
            self.note_time(Some(record));
            Ok((cursor, lsn))
        });
        self.pass.leave_alone(&node.exclusive);
        (share.cursor, share.applied) = done?;
        Ok(Slice::Done)
    }

    /// Keys expire by the time of the newest record that is applied, or by a later heartbeat's.
    fn note_time(&self, last: Option<&Record<'_>>) {
        if let Some(last) = last {
            self.node.replication.observe_stream_ms(last.stamp.hlc.millis());
        }
    }

    /// Says that more is applied, at once or when it is worth a wake.
    fn tell(&mut self, drained: bool) {
        if self.slices_untold >= SLICES_PER_CALL || (drained && self.slices_untold > 0) {
            self.slices_untold = 0;
            (self.on_applied)();
        }
    }
}
