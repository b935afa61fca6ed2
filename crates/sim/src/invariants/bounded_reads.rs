//! P8: a bounded read shows everything that the leader whom the follower follows had committed when the
//! bound began. A leader that was deposed without knowing it can't be told apart before there are leases.

use trefoil_clock::{EpochEntry, Lsn};

use super::Judge;
use crate::cluster::Micros;

/// Clocks drift: what the bound is worth on the node's clock.
const SLACK_MS: u64 = 4;

impl Judge {
    /// A follower serves a bounded read.
    pub(crate) fn on_bounded(
        &mut self,
        now: Micros,
        bound_ms: u64,
        led: Option<EpochEntry>,
        applied: Lsn,
        operation: usize,
    ) {
        let Some(entry) = led else { return };
        let Some(commits) = self.commits.get(&(entry.epoch, entry.leader)) else { return };
        let from = now.saturating_sub((bound_ms + SLACK_MS) * 1_000);
        let behind = commits.partition_point(|(at, _)| *at < from);
        let Some((at, commit)) = behind.checked_sub(1).map(|index| commits[index]) else { return };
        if applied < commit {
            let text = format!(
                "o{operation}, bound {bound_ms} ms, at {now}: shows {applied}, {commit} was committed at {at}"
            );
            self.broken("P8", text);
        }
    }
}
