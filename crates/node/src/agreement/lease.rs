//! The lease under which a leader serves (rules 5 to 11): replies leave only while it is held, and it is
//! looked at after the work, before they do.
//!
//! A node that leads alone needs none. In a cluster the control thread renews it, workers look at it.
//!
//! Invariants: `until_ms` rises while it is needed, except that [`Lease::require`] begins it anew;
//! whoever reads it compares with a clock that was read after the work.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Needed by nobody.
const FREE: u64 = u64::MAX;

/// See the module.
#[derive(Default)]
pub struct Lease {
    /// Milliseconds of the clock.
    until_ms: AtomicU64,
    /// Since when it is known to have lapsed, milliseconds of the clock; 0: it has not.
    lapsed_since_ms: AtomicU64,
    /// A clock that runs while the machine sleeps, and that nobody sets.
    clock: OnceLock<fn() -> u64>,
}

impl Lease {
    /// Of a node that needs none.
    #[must_use]
    pub fn free() -> Lease {
        Lease { until_ms: AtomicU64::new(FREE), ..Lease::default() }
    }

    /// The shell's clock. Set once, before a lease is required.
    pub fn set_clock(&self, clock: fn() -> u64) {
        let _ = self.clock.set(clock);
    }

    /// Milliseconds of the clock.
    pub(crate) fn now_ms(&self) -> u64 {
        // Without a clock every lease is over.
        self.clock.get().map_or(FREE, |clock| clock())
    }

    /// Whether replies wait for it.
    #[inline]
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.until_ms.load(Ordering::Acquire) != FREE
    }

    /// Whether replies to what was done before now may leave.
    #[inline]
    #[must_use]
    pub fn holds(&self) -> bool {
        let until_ms = self.until_ms.load(Ordering::Acquire);
        until_ms == FREE || self.now_ms() < until_ms
    }

    /// From now on it is needed, and not held.
    pub fn require(&self) {
        self.until_ms.store(0, Ordering::Release);
    }

    /// This node does not lead, or leads alone: it is not needed.
    pub fn release(&self) {
        self.until_ms.store(FREE, Ordering::Release);
        self.lapsed_since_ms.store(0, Ordering::Release);
    }

    /// It is held until then. Does nothing while it is not needed. Whether it was not held before.
    pub fn renew(&self, until_ms: u64) -> bool {
        let renewed = self.until_ms.fetch_update(Ordering::AcqRel, Ordering::Acquire, |before| {
            (before != FREE).then_some(before.max(until_ms.min(FREE - 1)))
        });
        let now_ms = self.now_ms();
        let Ok(before) = renewed else { return false };
        if now_ms >= until_ms {
            return false;
        }
        let had_lapsed = self.lapsed_since_ms.swap(0, Ordering::AcqRel) != 0;
        had_lapsed || now_ms >= before
    }

    /// Told by the control thread when it sees that it has lapsed. Whether that is news.
    pub fn note_lapse(&self) -> bool {
        if self.holds() {
            return false;
        }
        let since_ms = self.now_ms().max(1);
        self.lapsed_since_ms
            .compare_exchange(0, since_ms, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// For how long it is known to have lapsed, milliseconds. None: it has not.
    #[must_use]
    pub fn lapsed_ms(&self) -> Option<u64> {
        match self.lapsed_since_ms.load(Ordering::Acquire) {
            0 => None,
            since_ms => Some(self.now_ms().saturating_sub(since_ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NOW: AtomicU64 = AtomicU64::new(1_000);

    #[test]
    fn a_lease_holds_until_its_end_and_lapses_once() {
        let lease = Lease::free();
        assert!(lease.holds() && !lease.is_required());
        assert!(!lease.renew(5), "nobody needs it");
        lease.set_clock(|| NOW.load(Ordering::Relaxed));
        lease.require();
        assert!(!lease.holds());
        assert!(lease.note_lapse() && !lease.note_lapse());
        assert_eq!(lease.lapsed_ms(), Some(0));
        assert!(lease.renew(1_350));
        assert!(lease.holds() && lease.lapsed_ms().is_none());
        assert!(!lease.renew(1_200), "it does not go back");
        NOW.store(1_349, Ordering::Relaxed);
        assert!(lease.holds());
        NOW.store(1_350, Ordering::Relaxed);
        assert!(!lease.holds() && lease.note_lapse());
        lease.release();
        assert!(lease.holds() && lease.lapsed_ms().is_none());
    }
}
