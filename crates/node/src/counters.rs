//! What INFO reports, besides the counters of the store: one set per worker, written by its owner
//! with relaxed stores, summed by whoever asks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;
use trefoil_store::Count;

use crate::table::TABLE;

/// Samples of rates: this many, this far apart at least.
const SAMPLES: usize = 16;
const SAMPLE_EVERY_MS: u64 = 100;
/// Error codes that are told apart; more are counted as one.
const ERROR_CODES_MAX: usize = 128;

/// What is counted of a command on one worker.
#[derive(Default)]
pub struct Calls {
    /// It ran, well or not.
    pub run: Count,
    /// It answered an error.
    pub failed: Count,
    /// It was refused before it ran.
    pub rejected: Count,
}

/// What the event loop of one worker counts, once per turn.
#[derive(Default)]
pub struct Traffic {
    /// Turns.
    pub turns: Count,
    /// Bytes received.
    pub input_bytes: Count,
    /// Bytes sent.
    pub output_bytes: Count,
}

/// See the module.
pub struct Counters {
    calls: Box<[Arc<[Calls]>]>,
    traffic: Box<[CachePadded<Traffic>]>,
    errors: Mutex<BTreeMap<String, u64>>,
    samples: Mutex<VecDeque<Sample>>,
    started_ms: AtomicU64,
    memory_peak: AtomicU64,
    /// Sessions that wait within a command: see [`crate::session::Waiting`].
    pub waiting: Arc<AtomicU64>,
}

/// The totals at a moment.
#[derive(Clone, Copy, Default, Debug)]
struct Sample {
    now_ms: u64,
    totals: Totals,
}

/// Sums over all workers, or rates per second.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Commands that ran.
    pub commands: u64,
    /// Bytes received.
    pub input_bytes: u64,
    /// Bytes sent.
    pub output_bytes: u64,
}

impl Counters {
    /// All zero.
    #[must_use]
    pub fn new(workers: usize) -> Counters {
        let calls = || (0..TABLE.len()).map(|_| Calls::default()).collect();
        Counters {
            calls: (0..workers).map(|_| calls()).collect(),
            traffic: (0..workers).map(|_| CachePadded::default()).collect(),
            errors: Mutex::default(),
            samples: Mutex::default(),
            started_ms: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            waiting: Arc::default(),
        }
    }

    /// The calls that a worker counts, by [`crate::table::Entry::id`].
    #[must_use]
    pub fn calls(&self, worker: usize) -> Arc<[Calls]> {
        Arc::clone(&self.calls[worker])
    }

    /// What a worker's event loop counts.
    #[must_use]
    pub fn traffic(&self, worker: usize) -> &Traffic {
        &self.traffic[worker]
    }

    /// Calls of a command on all workers.
    pub fn sum_calls(&self, id: u16, count: impl Fn(&Calls) -> &Count) -> u64 {
        sum(self.calls.iter().map(|calls| count(&calls[usize::from(id)])))
    }

    /// An error reply, by its code.
    #[cold]
    pub fn on_error(&self, text: &str) {
        let code = text.split(' ').next().unwrap_or(text);
        let mut errors = lock(&self.errors);
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
        } else if errors.len() < ERROR_CODES_MAX {
            errors.insert(code.to_string(), 1);
        }
    }

    /// Error replies by code.
    #[must_use]
    pub fn errors(&self) -> Vec<(String, u64)> {
        lock(&self.errors).iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    /// The sums over all workers.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let calls = self.calls.iter().flat_map(|calls| calls.iter());
        Totals {
            commands: sum(calls.map(|calls| &calls.run)),
            input_bytes: sum(self.traffic.iter().map(|traffic| &traffic.input_bytes)),
            output_bytes: sum(self.traffic.iter().map(|traffic| &traffic.output_bytes)),
        }
    }

    /// Called by any worker on its tick: remembers the totals and the peak of memory now and then.
    pub fn sample(&self, now_ms: u64, memory: u64) {
        self.memory_peak.fetch_max(memory, Relaxed);
        let mut samples = lock(&self.samples);
        if samples.is_empty() {
            let _already_set = self.started_ms.compare_exchange(0, now_ms, Relaxed, Relaxed);
        }
        if samples.back().is_some_and(|last| now_ms < last.now_ms + SAMPLE_EVERY_MS) {
            return;
        }
        samples.push_back(Sample { now_ms, totals: self.totals() });
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
    }

    /// What was counted per second over the last samples.
    #[must_use]
    pub fn rates(&self) -> Totals {
        let samples = lock(&self.samples);
        let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
            return Totals::default();
        };
        let elapsed_ms = last.now_ms.saturating_sub(first.now_ms).max(1);
        let rate = |count: fn(&Totals) -> u64| {
            count(&last.totals).saturating_sub(count(&first.totals)) * 1_000 / elapsed_ms
        };
        Totals {
            commands: rate(|totals| totals.commands),
            input_bytes: rate(|totals| totals.input_bytes),
            output_bytes: rate(|totals| totals.output_bytes),
        }
    }

    /// When the node began to serve, Unix milliseconds; 0 before its first tick.
    #[must_use]
    pub fn started_ms(&self) -> u64 {
        self.started_ms.load(Relaxed)
    }

    /// The most memory for data that was seen on a tick, bytes.
    #[must_use]
    pub fn memory_peak(&self) -> u64 {
        self.memory_peak.load(Relaxed)
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        for calls in self.calls.iter().flat_map(|calls| calls.iter()) {
            calls.run.reset();
            calls.failed.reset();
            calls.rejected.reset();
        }
        for traffic in &self.traffic {
            traffic.input_bytes.reset();
            traffic.output_bytes.reset();
        }
        lock(&self.errors).clear();
        lock(&self.samples).clear();
        self.memory_peak.store(0, Relaxed);
    }
}

fn sum<'a>(counts: impl Iterator<Item = &'a Count>) -> u64 {
    u64::try_from(counts.map(Count::get).sum::<i64>()).unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_what_happened_between_the_samples() {
        let counters = Counters::new(2);
        counters.sample(1_000, 70);
        counters.calls(0)[3].run.add(100);
        counters.calls(1)[4].run.add(50);
        counters.traffic(1).input_bytes.add(3_000);
        counters.sample(1_050, 60);
        counters.sample(1_500, 60);
        let expected = Totals { commands: 300, input_bytes: 6_000, output_bytes: 0 };
        assert_eq!(counters.rates(), expected);
        assert_eq!((counters.started_ms(), counters.memory_peak()), (1_000, 70));
        counters.reset();
        assert_eq!(counters.totals(), Totals::default());
    }

    #[test]
    fn errors_are_counted_by_code() {
        let counters = Counters::new(1);
        counters.on_error("ERR no such key");
        counters.on_error("ERR syntax error");
        counters.on_error("WRONGTYPE Operation");
        let expected = [("ERR".to_string(), 2), ("WRONGTYPE".to_string(), 1)];
        assert_eq!(counters.errors(), expected);
    }
}
