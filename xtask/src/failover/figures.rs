//! What the clients' samples of one round say in figures, and percentiles over all rounds.

use super::ledger::Sample;

/// A fault, as the samples after it are judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strike {
    /// Just before it struck: what is measured is measured from here.
    pub(crate) at_us: u64,
    /// When it had struck for certain. What was asked for earlier may still have been done by the
    /// victim.
    pub(crate) struck_us: u64,
    /// Whom it struck. What this node answers is no sign of a new leader: it may have been under way,
    /// or the node may still be allowed to answer.
    pub(crate) victim: usize,
}

impl Strike {
    /// Acknowledged, asked for after the strike was done, and not by the victim.
    fn is_sign_of_life(&self, sample: &Sample) -> bool {
        sample.is_acked() && sample.invoked_us >= self.struck_us && sample.node != self.victim
    }

    /// From the strike to the first such write, microseconds.
    pub(crate) fn first_write_us(&self, samples: &[Sample]) -> Option<u64> {
        let signs = samples.iter().filter(|sample| self.is_sign_of_life(sample));
        signs.map(|sample| sample.answered_us - self.at_us).min()
    }

    /// From the strike until each of so many clients has had such a write, microseconds.
    pub(crate) fn all_write_us(&self, samples: &[Sample], clients: usize) -> Option<u64> {
        let of = |client| {
            let its = samples.iter().filter(|sample| sample.write.client == client);
            let signs = its.filter(|sample| self.is_sign_of_life(sample));
            signs.map(|sample| sample.answered_us - self.at_us).min()
        };
        (0..clients).map(of).try_fold(0, |last, first| Some(last.max(first?)))
    }
}

/// The longest that a client waited for one write, microseconds.
pub(crate) fn longest_us(samples: &[Sample]) -> u64 {
    samples.iter().map(Sample::took_us).max().unwrap_or(0)
}

/// Figures of one kind over all rounds, milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distribution {
    /// In ascending order.
    values_ms: Vec<f64>,
}

impl Distribution {
    pub(crate) fn of(values_ms: impl IntoIterator<Item = f64>) -> Distribution {
        let mut values_ms: Vec<f64> = values_ms.into_iter().collect();
        values_ms.sort_by(f64::total_cmp);
        Distribution { values_ms }
    }

    pub(crate) fn count(&self) -> usize {
        self.values_ms.len()
    }

    /// The smallest value that is not exceeded by so many percent of all (nearest rank).
    pub(crate) fn percentile_ms(&self, percent: usize) -> Option<f64> {
        let rank = (self.values_ms.len() * percent).div_ceil(100).max(1);
        self.values_ms.get(rank - 1).copied()
    }

    pub(crate) fn max_ms(&self) -> Option<f64> {
        self.values_ms.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::ledger::{Outcome, Write};

    fn sample(client: usize, node: usize, times_us: (u64, u64), outcome: Outcome) -> Sample {
        let write = Write { client, number: 0 };
        let (invoked_us, answered_us) = times_us;
        Sample { write, node, invoked_us, answered_us, outcome, tries: 1 }
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred = Distribution::of((1..=100).rev().map(f64::from));
        assert_eq!(hundred.percentile_ms(50), Some(50.0));
        assert_eq!(hundred.percentile_ms(99), Some(99.0));
        assert_eq!(hundred.max_ms(), Some(100.0));
        let three = Distribution::of([3.0, 1.0, 2.0]);
        assert_eq!(three.percentile_ms(50), Some(2.0));
        assert_eq!(three.percentile_ms(99), Some(3.0));
        assert_eq!((three.count(), Distribution::default().percentile_ms(50)), (3, None));
    }

    #[test]
    fn only_writes_asked_for_after_the_strike_and_answered_by_others_count() {
        let strike = Strike { at_us: 95, struck_us: 100, victim: 0 };
        let acked = Outcome::Acked;
        let mut samples = vec![
            sample(0, 1, (99, 120), acked),
            sample(0, 0, (101, 130), acked),
            sample(1, 1, (101, 140), Outcome::Unknown),
        ];
        assert_eq!(strike.first_write_us(&samples), None);
        samples.push(sample(0, 1, (105, 400), acked));
        samples.push(sample(0, 1, (401, 410), acked));
        assert_eq!(strike.first_write_us(&samples), Some(305));
        assert_eq!(strike.all_write_us(&samples, 1), Some(305));
        assert_eq!(strike.all_write_us(&samples, 2), None);
        samples.push(sample(1, 2, (200, 900), acked));
        assert_eq!(strike.all_write_us(&samples, 2), Some(805));
        assert_eq!(longest_us(&samples), 700);
        assert_eq!(longest_us(&[]), 0);
    }
}
