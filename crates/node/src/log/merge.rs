//! Puts the workers' runs in the order of their LSNs.
//!
//! Each worker's runs rise, but two workers' interleave; the log holds them dense. A run whose
//! predecessor another worker has not handed over yet waits.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use trefoil_clock::Lsn;
use trefoil_store::record::{LogBatch, Run};

/// Runs that wait for their turn, and the batches their bytes are in.
pub(super) struct Merge {
    next: Lsn,
    waiting: BTreeMap<Lsn, (u64, Run)>,
    batches: VecDeque<Option<Waiting>>,
    /// Number of the first batch in `batches`.
    first: u64,
}

struct Waiting {
    batch: LogBatch,
    runs_left: usize,
}

impl Merge {
    /// Continues after `end`.
    #[must_use]
    pub(super) fn starting_after(end: Lsn) -> Merge {
        Merge { next: end.next(), waiting: BTreeMap::new(), batches: VecDeque::new(), first: 0 }
    }

    /// Takes a batch in.
    pub(super) fn add(&mut self, batch: LogBatch) {
        let number = self.first + self.batches.len() as u64;
        for run in &batch.runs {
            self.waiting.insert(run.base.lsn, (number, *run));
        }
        let runs_left = batch.runs.len();
        self.batches.push_back(Some(Waiting { batch, runs_left }));
    }

    /// The next run in order with its bytes, if it has come. It stays until [`Merge::done`].
    #[must_use]
    pub(super) fn peek(&self) -> Option<(Run, &[u8])> {
        let (lsn, (number, run)) = self.waiting.first_key_value()?;
        debug_assert!(*lsn >= self.next, "two records got one LSN");
        if *lsn != self.next {
            return None;
        }
        let waiting = self.batches[(*number - self.first) as usize].as_ref()?;
        Some((*run, &waiting.batch.bytes[run.start..run.start + run.len]))
    }

    /// The run that `peek` showed is in the log. Returns its batch when that is used up.
    pub(super) fn done(&mut self) -> Option<LogBatch> {
        let (_, (number, run)) = self.waiting.pop_first()?;
        self.next = Lsn(run.base.lsn.0 + u64::from(run.count));
        let slot = &mut self.batches[(number - self.first) as usize];
        let waiting = slot.as_mut()?;
        waiting.runs_left -= 1;
        if waiting.runs_left > 0 {
            return None;
        }
        let batch = slot.take().map(|waiting| waiting.batch);
        while self.batches.front().is_some_and(Option::is_none) {
            self.batches.pop_front();
            self.first += 1;
        }
        batch
    }

    /// Records up to this one came into the log by another way.
    pub(super) fn skip_to(&mut self, last: Lsn) {
        debug_assert!(self.is_empty(), "a node leads or follows");
        self.next = last.next();
    }

    /// The last record that was added, now or before.
    #[must_use]
    pub(super) fn last(&self) -> Lsn {
        let run = self.waiting.last_key_value().map(|(_, (_, run))| run);
        run.map_or(Lsn(self.next.0 - 1), |run| Lsn(run.base.lsn.0 + u64::from(run.count) - 1))
    }

    /// Whether everything that was added is in the log.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trefoil_clock::Hlc;
    use trefoil_store::record::Stamp;

    use super::*;

    fn batch(runs: &[(u64, u32)]) -> LogBatch {
        let mut batch = LogBatch::default();
        for &(lsn, count) in runs {
            let start = batch.bytes.len();
            for i in 0..count {
                batch.bytes.push((lsn + u64::from(i)) as u8);
            }
            let base = Stamp { lsn: Lsn(lsn), hlc: Hlc(lsn) };
            batch.runs.push(Run { base, count, start, len: count as usize });
        }
        batch
    }

    fn drain(merge: &mut Merge, out: &mut Vec<u8>) {
        while let Some((_, bytes)) = merge.peek() {
            out.extend_from_slice(bytes);
            merge.done();
        }
    }

    proptest! {
        #[test]
        fn whatever_the_workers_interleaving_the_log_is_dense(
            owners in prop::collection::vec((0usize..3, 1u32..4), 1..60),
            publish in prop::collection::vec((0usize..3, 1usize..4), 1..60),
        ) {
            let mut queues: Vec<VecDeque<(u64, u32)>> = vec![VecDeque::new(); 3];
            let mut lsn = 1u64;
            for (owner, count) in owners {
                queues[owner].push_back((lsn, count));
                lsn += u64::from(count);
            }
            let (mut merge, mut out) = (Merge::starting_after(Lsn(0)), Vec::new());
            let everything = (0..3).map(|worker| (worker, usize::MAX));
            for (worker, runs) in publish.into_iter().chain(everything) {
                let runs: Vec<_> = (0..runs).map_while(|_| queues[worker].pop_front()).collect();
                if !runs.is_empty() {
                    merge.add(batch(&runs));
                }
                drain(&mut merge, &mut out);
            }
            prop_assert!(merge.is_empty());
            prop_assert_eq!(out, (1..lsn).map(|lsn| lsn as u8).collect::<Vec<_>>());
        }
    }
}
