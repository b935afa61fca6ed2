//! P8: a bounded read shows everything that the leader whom the follower follows had committed when the
//! bound began. A leader that was deposed without knowing it can't be told apart where there are no leases;
//! where there are, the read shows everything that any leader had answered by then.

use trefoil_clock::{Epoch, EpochEntry, Lsn};

use super::Judge;
use crate::cluster::Micros;

impl Judge {
    /// A follower serves a bounded read.
    pub(crate) fn on_bounded(
        &mut self,
        now: Micros,
        (bound_ms, slack_ms): (u64, u64),
        led: Option<EpochEntry>,
        applied: Lsn,
        operation: usize,
    ) {
        let from = now.saturating_sub((bound_ms + slack_ms) * 1_000);
        let answered = self.answered.partition_point(|(at, ..)| *at < from);
        let last = answered.checked_sub(1).map(|index| self.answered[index]);
        // What a later election left out is not missed.
        if let Some((at, epoch, lsn)) = last
            && led.is_some_and(|entry| entry.epoch <= epoch)
            && applied < lsn
        {
            let text = format!(
                "o{operation}, bound {bound_ms} ms, at {now}: shows {applied}, {lsn} was answered at {at}"
            );
            self.broken("P8", text);
        }
        let Some(entry) = led else { return };
        let Some(commits) = self.commits.get(&(entry.epoch, entry.leader)) else { return };
        let behind = commits.partition_point(|(at, _)| *at < from);
        let Some((at, commit)) = behind.checked_sub(1).map(|index| commits[index]) else { return };
        if applied < commit {
            let text = format!(
                "o{operation}, bound {bound_ms} ms, at {now}: shows {applied}, {commit} was committed at {at}"
            );
            self.broken("P8", text);
        }
    }

    /// A leader under a lease answered something that depends on a record.
    pub(crate) fn note_answered(&mut self, now: Micros, epoch: Epoch, lsn: Lsn) {
        self.answered.push((now, epoch, lsn));
    }
}
