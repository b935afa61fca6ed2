//! What a worker does because time passes: deletes keys that have expired though nobody asks for
//! them.
//!
//! Each tick brings an allowance, a part of the time until the next one. It is spent in slices
//! between which commands are served, and only while it is worth it: a walk that meets few expired
//! keys stops until the next tick.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use trefoil_store::expiry::{ExpiryCursor, expire_step};

use crate::log::LogHealth;

use super::Worker;

/// A quarter of the time between two ticks at the highest effort, a tenth of that at the lowest.
const ALLOWANCE_PER_EFFORT: Duration = Duration::from_micros(2_500);
const EFFORT_MAX: u64 = 10;
/// Commands wait this long for chores at most, about.
const SLICE: Duration = Duration::from_micros(500);
/// Steps between two looks at the clock.
const STEPS_PER_LOOK: usize = 16;
/// A walk goes on while at least one in so many keys it met had expired.
const WORTH_ONE_IN: usize = 10;
/// Keys and steps that a tick looks at in any case.
const KEYS_MIN: usize = 64;
const STEPS_MIN: usize = 512;

/// What is left to do of this tick's chores.
#[derive(Default)]
pub(super) struct Chores {
    cursor: ExpiryCursor,
    /// Zero: nothing.
    allowance: Duration,
    /// Of this tick.
    steps: usize,
    looked_at: usize,
    deleted: usize,
}

impl Chores {
    /// Whether the walk has shown that it is not worth going on.
    fn is_idle(&self) -> bool {
        (self.looked_at >= KEYS_MIN || self.steps >= STEPS_MIN)
            && self.deleted * WORTH_ONE_IN < self.looked_at.max(1)
    }
}

impl Worker {
    /// A tick, about ten times a second.
    pub fn on_tick(&mut self) {
        let settings = &self.node.settings;
        let active = settings.active_expire.load(Relaxed);
        let effort = settings.active_expire_effort.load(Relaxed).clamp(1, EFFORT_MAX) as u32;
        let cursor = self.chores.cursor;
        let allowance = if active { ALLOWANCE_PER_EFFORT * effort } else { Duration::ZERO };
        self.chores = Chores { cursor, allowance, ..Chores::default() };
    }

    /// Whether there is something left to do before the next tick.
    #[inline]
    #[must_use]
    pub fn has_chores(&self) -> bool {
        !self.chores.allowance.is_zero()
    }

    /// Does a slice of it, within a turn.
    pub fn do_chores(&mut self) {
        let behind = self.node.log.is_behind() || self.node.log.health() != LogHealth::Writing;
        let paused = self.node.held(self.writer.now_ms).is_some();
        if !self.pass.is_inside() || behind || paused {
            self.chores.allowance = Duration::ZERO;
            return;
        }
        let start = Instant::now();
        let shares = self.node.workers;
        let chores = &mut self.chores;
        loop {
            for _ in 0..STEPS_PER_LOOK {
                let step = expire_step(
                    &self.node.keyspace,
                    &mut self.writer,
                    &mut chores.cursor,
                    self.index,
                    shares,
                );
                chores.steps += 1;
                chores.looked_at += step.looked_at;
                chores.deleted += step.deleted;
                // One walk a tick, unless it found a lot.
                if chores.is_idle() || (step.wrapped && chores.deleted == 0) {
                    chores.allowance = Duration::ZERO;
                    return;
                }
            }
            let spent = start.elapsed();
            if spent >= SLICE || spent >= chores.allowance {
                chores.allowance = chores.allowance.saturating_sub(spent);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::harness::{START_MS, TestNode};

    const KEYS: usize = 100_000;

    /// Ticks until nothing is found any more; how many it took.
    fn ticks_until_empty(node: &mut TestNode, now_ms: u64) -> usize {
        for tick in 0..100_000 {
            if node.node.keyspace.sum(|tally| tally.keys(0)) == 0 {
                return tick;
            }
            for worker in &mut node.workers {
                worker.on_tick();
                while worker.has_chores() {
                    worker.begin_turn(now_ms);
                    worker.do_chores();
                    let _wake = worker.end_turn();
                }
            }
        }
        panic!("expired keys stay");
    }

    #[test]
    fn expired_keys_vanish_though_nobody_reads_them() {
        let mut node = TestNode::with_workers(2);
        let mut client = node.client();
        for index in 0..KEYS {
            let key = format!("key:{index}");
            node.run_words(&mut client, &[b"set", key.as_bytes(), b"value", b"px", b"1000"]);
        }
        node.run_words(&mut client, &[b"set", b"lasting", b"value", b"ex", b"1000"]);
        assert_eq!(node.node.keyspace.sum(|tally| tally.keys(0)), KEYS as i64 + 1);
        node.run_words(&mut client, &[b"del", b"lasting"]);
        ticks_until_empty(&mut node, START_MS + 2_000);
    }

    #[test]
    fn keys_that_live_cost_a_tick_little() {
        let mut node = TestNode::new();
        let mut client = node.client();
        for index in 0..10_000 {
            let key = format!("key:{index}");
            node.run_words(&mut client, &[b"set", key.as_bytes(), b"value", b"ex", b"1000"]);
        }
        let worker = &mut node.workers[0];
        worker.on_tick();
        worker.begin_turn(START_MS);
        worker.do_chores();
        assert!(!worker.has_chores(), "one slice is enough to see that nothing is to be done");
        assert!(worker.chores.looked_at < 1_000);
        let _wake = worker.end_turn();
    }
}
