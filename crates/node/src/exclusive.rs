//! The exclusive gate: either all workers run batches, or one of them runs something alone.
//!
//! A big-reader lock that nobody blocks on. A worker enters its own shared side once per batch, on a
//! cache line of its own. One that needs to be alone claims the gate, which keeps others from
//! entering again, and tries until all have left; meanwhile its connection is parked and its thread
//! goes on.
//!
//! [`ExclusiveGate`] is what the workers share, a [`Pass`] is one worker's dealings with it.
//!
//! Invariants: while a worker is alone, no other is inside; at most one claims at a time; whoever
//! may have kept a claimant waiting wakes it, and whoever gives a claim up wakes all; a claim is
//! given up at the end of a turn in which nobody on that worker wanted it any more.

use crossbeam_utils::CachePadded;

use crate::sync::Ordering::SeqCst;
use crate::sync::{AtomicBool, AtomicUsize};

const FREE: usize = usize::MAX;

/// See the module.
pub struct ExclusiveGate {
    claimed_by: CachePadded<AtomicUsize>,
    inside: Box<[CachePadded<AtomicBool>]>,
}

/// Which other workers are to be woken.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Wake {
    /// Nobody waits.
    #[default]
    None,
    /// One waits to be alone.
    One(usize),
    /// They were kept out, and may come in again.
    All,
}

impl Wake {
    fn and(&mut self, claimant: usize) {
        *self = match *self {
            Wake::None => Wake::One(claimant),
            Wake::One(other) if other == claimant => Wake::One(claimant),
            Wake::One(_) | Wake::All => Wake::All,
        };
    }
}

/// What claiming came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Claim {
    /// Nobody else is inside, and nobody comes in.
    Alone,
    /// It is claimed; others have still to leave.
    Pending,
    /// Another worker has claimed it.
    Refused,
}

impl ExclusiveGate {
    /// An open gate for this many parties: the workers, and perhaps one that [visits].
    ///
    /// [visits]: ExclusiveGate::visit
    #[must_use]
    pub fn new(workers: usize) -> ExclusiveGate {
        ExclusiveGate {
            claimed_by: CachePadded::new(AtomicUsize::new(FREE)),
            inside: (0..workers).map(|_| CachePadded::new(AtomicBool::new(false))).collect(),
        }
    }

    /// Enters the shared side. Some: not entered, because this worker wants to be alone, and it may
    /// have seen us inside for a moment.
    #[inline]
    fn enter(&self, worker: usize) -> Option<usize> {
        self.inside[worker].store(true, SeqCst);
        let claimant = self.claimed_by.load(SeqCst);
        if claimant == FREE {
            return None;
        }
        self.inside[worker].store(false, SeqCst);
        Some(claimant)
    }

    /// Leaves the shared side. Some: the worker that waits for this.
    #[inline]
    fn leave(&self, worker: usize) -> Option<usize> {
        self.inside[worker].store(false, SeqCst);
        Some(self.claimed_by.load(SeqCst)).filter(|&claimant| claimant != FREE)
    }

    /// Does something inside, for a party that is no worker and has the last seat (snapshots). None:
    /// somebody is alone or wants to be. Says which worker is to be woken.
    pub fn visit<T>(&self, work: impl FnOnce() -> T) -> (Option<T>, Wake) {
        let seat = self.inside.len() - 1;
        if let Some(claimant) = self.enter(seat) {
            return (None, Wake::One(claimant));
        }
        let done = work();
        (Some(done), self.leave(seat).map_or(Wake::None, Wake::One))
    }

    fn claim(&self, worker: usize) -> Claim {
        match self.claimed_by.compare_exchange(FREE, worker, SeqCst, SeqCst) {
            Err(claimant) if claimant != worker => Claim::Refused,
            Ok(_) | Err(_) if self.inside.iter().any(|inside| inside.load(SeqCst)) => {
                Claim::Pending
            }
            Ok(_) | Err(_) => Claim::Alone,
        }
    }

    fn release(&self, worker: usize) {
        debug_assert_eq!(self.claimed_by.load(SeqCst), worker, "only a claimant gives up");
        self.claimed_by.store(FREE, SeqCst);
    }
}

/// One worker's dealings with the gate, from turn to turn.
#[derive(Debug)]
pub struct Pass {
    worker: usize,
    /// Within the shared side.
    inside: bool,
    /// The gate is ours, or will be once the others have left.
    claiming: bool,
    /// A command of this turn wanted to be alone and could not be yet.
    wanted: bool,
    wake: Wake,
}

impl Pass {
    /// Outside.
    #[must_use]
    pub fn new(worker: usize) -> Pass {
        Pass { worker, inside: false, claiming: false, wanted: false, wake: Wake::None }
    }

    /// Whether commands may touch data.
    #[inline]
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.inside
    }

    /// Begins a turn: comes in, unless somebody is alone or wants to be.
    #[inline]
    pub fn begin(&mut self, gate: &ExclusiveGate) {
        self.wanted = false;
        self.enter(gate);
    }

    #[inline]
    fn enter(&mut self, gate: &ExclusiveGate) {
        if self.claiming {
            return;
        }
        match gate.enter(self.worker) {
            None => self.inside = true,
            Some(claimant) => self.wake.and(claimant),
        }
    }

    #[inline]
    fn leave(&mut self, gate: &ExclusiveGate) {
        if std::mem::take(&mut self.inside)
            && let Some(claimant) = gate.leave(self.worker)
        {
            self.wake.and(claimant);
        }
    }

    /// Ends a turn. Says which workers are to be woken.
    #[inline]
    pub fn end(&mut self, gate: &ExclusiveGate) -> Wake {
        self.leave(gate);
        if self.claiming && !self.wanted {
            self.give_up(gate);
        }
        std::mem::take(&mut self.wake)
    }

    /// Claims the gate, or goes on claiming it. True: this worker is alone until
    /// [`Pass::leave_alone`]. False: it is outside, because others can't be alone or leave us alone
    /// while it runs batches; the command is to be run again when the worker is woken.
    #[must_use]
    pub fn try_alone(&mut self, gate: &ExclusiveGate) -> bool {
        self.leave(gate);
        let claim = gate.claim(self.worker);
        self.claiming = claim != Claim::Refused;
        self.wanted |= claim != Claim::Alone;
        claim == Claim::Alone
    }

    /// Gives the gate back and goes on as one of many.
    pub fn leave_alone(&mut self, gate: &ExclusiveGate) {
        self.give_up(gate);
        self.enter(gate);
    }

    /// A connection that may have wanted to be alone is gone. True: its claim is given up, and all
    /// workers, this one as well, are to be woken.
    #[must_use]
    pub fn abandon(&mut self, gate: &ExclusiveGate) -> bool {
        let claiming = self.claiming;
        if claiming {
            self.give_up(gate);
        }
        claiming
    }

    fn give_up(&mut self, gate: &ExclusiveGate) {
        gate.release(self.worker);
        self.claiming = false;
        self.wake = Wake::All;
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_claim_keeps_others_out_until_it_is_released() {
        let gate = ExclusiveGate::new(2);
        let (mut a, mut b) = (Pass::new(0), Pass::new(1));
        b.begin(&gate);
        a.begin(&gate);
        assert!(!a.try_alone(&gate), "worker 1 is inside");
        assert_eq!(a.end(&gate), Wake::None);
        assert!(!b.try_alone(&gate), "worker 0 has claimed the gate");
        assert_eq!(b.end(&gate), Wake::One(0));
        b.begin(&gate);
        assert!(!b.is_inside());
        assert_eq!(b.end(&gate), Wake::One(0), "it may have been seen inside");
        a.begin(&gate);
        assert!(!a.is_inside());
        assert!(a.try_alone(&gate));
        a.leave_alone(&gate);
        assert!(a.is_inside());
        assert_eq!(a.end(&gate), Wake::All);
        b.begin(&gate);
        assert!(b.is_inside());
    }

    #[test]
    fn a_claim_that_nobody_wants_any_more_is_given_up() {
        let gate = ExclusiveGate::new(2);
        let (mut a, mut b) = (Pass::new(0), Pass::new(1));
        b.begin(&gate);
        a.begin(&gate);
        assert!(!a.try_alone(&gate));
        assert_eq!(a.end(&gate), Wake::None);
        a.begin(&gate);
        assert_eq!(a.end(&gate), Wake::All);
        a.begin(&gate);
        assert!(a.is_inside());
        assert!(!a.try_alone(&gate) && a.abandon(&gate) && !a.abandon(&gate));
    }
}
