//! Numbers the records of a shard: LSN and HLC in one step, under the locks of the record's stripes.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use trefoil_clock::{Hlc, HlcClock, Lsn};

use crate::record::Stamp;
use crate::sync::{Mutex, lock};

/// The sequencer of one shard. Its LSNs are dense; LSN and HLC rise together.
pub struct Sequencer {
    state: CachePadded<Mutex<State>>,
    /// The highest LSN handed out; behind `state`, never ahead.
    last: CachePadded<AtomicU64>,
}

struct State {
    lsn: Lsn,
    clock: HlcClock,
}

impl Sequencer {
    /// Continues after what recovery found.
    #[must_use]
    pub fn starting_after(lsn: Lsn, hlc: Hlc) -> Sequencer {
        let state = State { lsn, clock: HlcClock::starting_after(hlc) };
        Sequencer {
            state: CachePadded::new(Mutex::new(state)),
            last: CachePadded::new(AtomicU64::new(lsn.0)),
        }
    }

    /// The next stamp.
    #[inline]
    pub fn next(&self, wall_ms: u64) -> Stamp {
        let mut state = lock(&self.state);
        state.lsn = state.lsn.next();
        let hlc = state.clock.tick(wall_ms);
        self.last.store(state.lsn.0, Ordering::Release);
        Stamp { lsn: state.lsn, hlc }
    }

    /// The last stamp that was handed out or found.
    #[must_use]
    pub fn last(&self) -> Stamp {
        let state = lock(&self.state);
        Stamp { lsn: state.lsn, hlc: state.clock.last() }
    }

    /// The last LSN that was handed out, without a lock.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.last.load(Ordering::Acquire))
    }

    /// Goes on from a record that was numbered elsewhere: by recovery, while nothing is served, and by
    /// a follower for each record, under the locks of the record's stripes and before it is applied.
    #[inline]
    pub fn resume(&self, lsn: Lsn, hlc: Hlc) {
        let mut state = lock(&self.state);
        state.lsn = state.lsn.max(lsn);
        state.clock.observe(hlc);
        self.last.store(state.lsn.0, Ordering::Release);
    }

    /// Starts again after this record, though more may have been numbered; stamps still rise. Only
    /// while nobody else touches data.
    pub fn reset(&self, lsn: Lsn, hlc: Hlc) {
        let mut state = lock(&self.state);
        state.lsn = lsn;
        state.clock.observe(hlc);
        self.last.store(lsn.0, Ordering::Release);
    }
}
