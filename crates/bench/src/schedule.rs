//! Open loop: the times at which batches of requests are due, fixed before anything is sent.
//!
//! The schedule knows nothing of replies; when sending falls behind, the times stay what they were.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::args::Arrival;

/// An endless row of due times, none earlier than the one before.
#[derive(Debug)]
pub(crate) struct Schedule {
    arrival: Arrival,
    /// Mean nanoseconds between two batches, above 0.
    gap_ns: f64,
    next_ns: f64,
    rng: SmallRng,
}

impl Schedule {
    /// A schedule with `gap_ns` between batches on average; the first one is due at `first_ns` (equal
    /// gaps) or one random gap after it.
    pub(crate) fn new(arrival: Arrival, gap_ns: f64, first_ns: f64, seed: u64) -> Self {
        assert!(gap_ns > 0.0 && gap_ns.is_finite(), "the plan checks the rate");
        let rng = SmallRng::seed_from_u64(seed);
        let mut schedule = Self { arrival, gap_ns, next_ns: first_ns, rng };
        if arrival == Arrival::Poisson {
            schedule.advance();
        }
        schedule
    }

    /// When the next batch is due, in nanoseconds.
    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// The next batch has been taken.
    pub(crate) fn advance(&mut self) {
        self.next_ns += match self.arrival {
            Arrival::Constant => self.gap_ns,
            // Inversion; 1 - u is above 0, so the logarithm is finite.
            Arrival::Poisson => -(1.0 - self.rng.random::<f64>()).ln() * self.gap_ns,
        };
    }

    /// How many batches are still due before `end_ns`: exact for equal gaps, else the expectation.
    pub(crate) fn remaining_before(&self, end_ns: u64) -> u64 {
        ((end_ns as f64 - self.next_ns) / self.gap_ns).ceil().max(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(arrival: Arrival, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(arrival, 1_000.0, 500.0, 11);
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            times.push(schedule.next_ns());
            schedule.advance();
        }
        times
    }

    #[test]
    fn constant_arrivals_are_equally_spaced() {
        assert_eq!(times(Arrival::Constant, 4), [500, 1_500, 2_500, 3_500]);
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let times = times(Arrival::Poisson, 100_000);
        assert!(times.is_sorted());
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((980.0..1_020.0).contains(&mean), "{mean}");
        assert!((970.0..1_030.0).contains(&variance.sqrt()), "{}", variance.sqrt());
    }

    #[test]
    fn what_was_never_sent_can_be_counted() {
        let mut schedule = Schedule::new(Arrival::Constant, 1_000.0, 0.0, 1);
        assert_eq!(schedule.remaining_before(10_000), 10);
        schedule.advance();
        assert_eq!(schedule.remaining_before(10_000), 9);
        assert_eq!(schedule.remaining_before(1_000), 0);
        assert_eq!(schedule.remaining_before(0), 0);
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        assert_eq!(times(Arrival::Poisson, 50), times(Arrival::Poisson, 50));
    }
}
