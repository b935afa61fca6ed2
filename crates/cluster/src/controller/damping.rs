//! Failovers that follow each other too quickly are held up: a leader that comes and goes must not drag
//! the cluster along.
//!
//! Every member counts the revocations that it sees, so that a new raft leader knows them too.

use super::ControllerOptions;
use crate::state::{ResignReason, RevokeReason};

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Damping {
    /// When the first automatic failover of a row began.
    first_ms: u64,
    /// When the last one began.
    last_ms: u64,
    /// How many there were in that row.
    count: usize,
    /// How long the next one waits, from the last one on.
    hold_ms: u64,
}

impl Damping {
    /// A leader was revoked.
    pub(crate) fn on_revoked(
        &mut self,
        now_ms: u64,
        reason: RevokeReason,
        options: &ControllerOptions,
    ) {
        let unclean = RevokeReason::Resigned(ResignReason::Unclean);
        if reason != RevokeReason::Silent && reason != unclean {
            return;
        }
        let since_ms = if self.hold_ms == 0 { self.first_ms } else { self.last_ms + self.hold_ms };
        if self.count == 0 || now_ms.saturating_sub(since_ms) >= options.flap_window_ms {
            *self = Damping { first_ms: now_ms, ..Damping::default() };
        }
        self.last_ms = now_ms;
        self.count += 1;
        if self.count >= options.flaps_free {
            self.hold_ms = (self.hold_ms * 2).clamp(options.flap_hold_ms, options.flap_hold_max_ms);
        }
    }

    /// Until when the next one waits. None: it need not.
    pub(crate) fn held_until_ms(&self, now_ms: u64) -> Option<u64> {
        let until_ms = self.last_ms.saturating_add(self.hold_ms);
        (self.count > 0 && now_ms < until_ms).then_some(until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_failover_in_a_minute_waits_and_the_next_ones_longer() {
        let options = ControllerOptions::default();
        let mut damping = Damping::default();
        assert_eq!(damping.held_until_ms(0), None);
        for now_ms in [10_000, 20_000] {
            damping.on_revoked(now_ms, RevokeReason::Silent, &options);
            assert_eq!(damping.held_until_ms(now_ms), None);
        }
        let mut now_ms = 30_000;
        for hold_ms in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
            damping.on_revoked(now_ms, RevokeReason::Silent, &options);
            assert_eq!(damping.held_until_ms(now_ms), Some(now_ms + hold_ms));
            now_ms += hold_ms;
            assert_eq!(damping.held_until_ms(now_ms), None);
        }
        now_ms += 60_000;
        damping.on_revoked(now_ms, RevokeReason::Silent, &options);
        assert_eq!(damping.held_until_ms(now_ms), None, "a quiet minute makes up for it");
    }

    #[test]
    fn what_a_person_asked_for_is_not_counted() {
        let options = ControllerOptions::default();
        let mut damping = Damping::default();
        let asked = RevokeReason::Resigned(ResignReason::Asked);
        for reason in [asked, RevokeReason::Forced, asked, asked] {
            damping.on_revoked(5, reason, &options);
        }
        assert_eq!(damping, Damping::default());
    }
}
