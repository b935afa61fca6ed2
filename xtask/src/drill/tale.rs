//! What happened, put together from the clients' books and what nodes said about themselves.

use super::regions::Regions;
use crate::failover::ledger::{Counts, Sample};
use crate::failover::{Audit, Change};

/// The turning points, microseconds on the clients' clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phases {
    pub(super) cut_us: u64,
    pub(super) healed_us: u64,
    /// All nodes follow one leader and have all.
    pub(super) whole_us: u64,
    /// Every client has had a write acknowledged.
    pub(super) writing_us: u64,
}

impl Phases {
    /// From the heal until all was well, microseconds.
    pub(super) fn normal_after_us(&self) -> u64 {
        self.whole_us.max(self.writing_us) - self.healed_us
    }
}

/// A part of the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Before,
    Apart,
    After,
}

impl Phase {
    pub(super) const ALL: [Phase; 3] = [Phase::Before, Phase::Apart, Phase::After];

    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Before => "before",
            Phase::Apart => "while apart",
            Phase::After => "after the heal",
        }
    }
}

/// Everything that the report is made of.
pub(super) struct Tale<'a> {
    pub(super) regions: &'a Regions,
    pub(super) phases: Phases,
    pub(super) samples: &'a [Sample],
    pub(super) changes: &'a [Change],
    pub(super) audit: &'a Audit,
}

impl Tale<'_> {
    /// A write belongs to the phase in which it was asked for.
    fn phase_of(&self, sample: &Sample) -> Phase {
        match sample.invoked_us {
            at_us if at_us < self.phases.cut_us => Phase::Before,
            at_us if at_us < self.phases.healed_us => Phase::Apart,
            _ => Phase::After,
        }
    }

    fn of(&self, region: &str, phase: Phase) -> impl Iterator<Item = &Sample> {
        let region = region.to_owned();
        self.samples.iter().filter(move |sample| {
            Regions::of_client(sample.write.client) == region && self.phase_of(sample) == phase
        })
    }

    /// What clients of a region were told.
    pub(super) fn counts(&self, region: &str, phase: Phase) -> Counts {
        Counts::of(self.of(region, phase).map(|sample| &sample.outcome))
    }

    /// First and last acknowledgement of what a region's clients asked for while apart, microseconds
    /// after the cut.
    pub(super) fn acked_while_apart_us(&self, region: &str) -> Option<(u64, u64)> {
        let acked = self.of(region, Phase::Apart).filter(|sample| sample.is_acked());
        let after_cut = acked.map(|sample| sample.answered_us - self.phases.cut_us);
        after_cut.fold(None, |span, at| {
            let (first, last) = span.unwrap_or((at, at));
            Some((first.min(at), last.max(at)))
        })
    }
}

/// When the last of so many clients had its first acknowledgement of what it asked for from then on.
pub(super) fn all_write_us(samples: &[Sample], from_us: u64, clients: usize) -> Option<u64> {
    let first = |client| {
        let its = samples.iter().filter(|sample| sample.write.client == client);
        let acked = its.filter(|sample| sample.is_acked() && sample.invoked_us >= from_us);
        acked.map(|sample| sample.answered_us).min()
    };
    (0..clients).map(first).try_fold(0, |last, first| Some(last.max(first?)))
}

#[cfg(test)]
mod tests {
    use super::super::regions::LeaderSide;
    use super::*;
    use crate::chaos::Acks;
    use crate::failover::ledger::{Outcome, Write};

    fn sample(client: usize, times_us: (u64, u64), outcome: Outcome) -> Sample {
        let (invoked_us, answered_us) = times_us;
        let write = Write { client, number: 0 };
        Sample { write, node: 0, invoked_us, answered_us, outcome, tries: 1 }
    }

    #[test]
    fn writes_are_told_by_region_and_by_when_they_were_asked_for() {
        let samples = [
            sample(0, (90, 120), Outcome::Acked),
            sample(0, (110, 115), Outcome::Acked),
            sample(1, (110, 190), Outcome::Refused),
            sample(0, (150, 230), Outcome::Acked),
            sample(1, (205, 240), Outcome::Acked),
        ];
        let regions = Regions::new(3, LeaderSide::Minority);
        let phases = Phases { cut_us: 100, healed_us: 200, whole_us: 260, writing_us: 250 };
        let audit = Audit::new(Acks::Sync, 2);
        let tale =
            Tale { regions: &regions, phases, samples: &samples, changes: &[], audit: &audit };
        assert_eq!(tale.counts("east", Phase::Before).acked, 1);
        assert_eq!(tale.counts("east", Phase::Apart).acked, 2);
        assert_eq!(tale.counts("west", Phase::Apart).refused, 1);
        assert_eq!(tale.acked_while_apart_us("east"), Some((15, 130)));
        assert_eq!(tale.acked_while_apart_us("west"), None);
        assert_eq!(phases.normal_after_us(), 60);
        assert_eq!(all_write_us(&samples, 200, 2), None);
        assert_eq!(all_write_us(&samples, 150, 2), Some(240));
    }
}
