//! The exclusive gate: either all workers run batches, or one of them runs something alone.
//!
//! A big-reader lock that nobody blocks on. A worker enters its own shared side once per batch, on a
//! cache line of its own. One that needs to be alone claims the gate, which keeps others from
//! entering again, and tries until all have left; meanwhile its connection is parked and its thread
//! goes on.
//!
//! Invariants: while a worker is alone, no other is inside; at most one claims at a time; a claim
//! is given up when nobody on that worker wants it any more.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crossbeam_utils::CachePadded;

const FREE: usize = usize::MAX;

/// See the module.
pub struct ExclusiveGate {
    claimed_by: CachePadded<AtomicUsize>,
    inside: Box<[CachePadded<AtomicBool>]>,
}

impl ExclusiveGate {
    /// An open gate for this many workers.
    #[must_use]
    pub fn new(workers: usize) -> ExclusiveGate {
        ExclusiveGate {
            claimed_by: CachePadded::new(AtomicUsize::new(FREE)),
            inside: (0..workers).map(|_| CachePadded::default()).collect(),
        }
    }

    /// Enters the shared side. False: somebody wants to be alone; try again when woken.
    #[must_use]
    pub fn enter(&self, worker: usize) -> bool {
        self.inside[worker].store(true, SeqCst);
        if self.claimed_by.load(SeqCst) == FREE {
            return true;
        }
        self.inside[worker].store(false, SeqCst);
        false
    }

    /// Leaves the shared side. The worker that waits for this, if one does: it is to be woken.
    #[must_use]
    pub fn leave(&self, worker: usize) -> Option<usize> {
        self.inside[worker].store(false, SeqCst);
        Some(self.claimed_by.load(SeqCst)).filter(|&claimant| claimant != FREE)
    }

    /// Claims the gate, or goes on claiming it. True: the caller, which has left the shared side, is
    /// alone until [`ExclusiveGate::release`].
    #[must_use]
    pub fn try_alone(&self, worker: usize) -> bool {
        match self.claimed_by.compare_exchange(FREE, worker, SeqCst, SeqCst) {
            Err(claimant) if claimant != worker => return false,
            Ok(_) | Err(_) => {}
        }
        self.inside.iter().all(|inside| !inside.load(SeqCst))
    }

    /// Gives up the gate or the claim to it. Whether others may have been kept out and are to be
    /// woken.
    pub fn release(&self, worker: usize) -> bool {
        self.claimed_by.compare_exchange(worker, FREE, SeqCst, SeqCst).is_ok()
            && self.inside.len() > 1
    }

    /// Whether this worker has claimed the gate.
    #[must_use]
    pub fn is_claimed_by(&self, worker: usize) -> bool {
        self.claimed_by.load(SeqCst) == worker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_keeps_others_out_until_it_is_released() {
        let gate = ExclusiveGate::new(2);
        assert!(gate.enter(1));
        assert!(!gate.try_alone(0), "worker 1 is inside");
        assert!(!gate.try_alone(1), "worker 0 has claimed the gate");
        assert_eq!(gate.leave(1), Some(0));
        assert!(!gate.enter(1));
        assert!(gate.try_alone(0));
        assert!(gate.release(0));
        assert!(gate.enter(1));
    }
}
