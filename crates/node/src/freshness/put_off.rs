//! Commands that a leader did not carry out are tried again for a while: another one may be about to
//! lead, or the same one again.

use trefoil_clock::NodeId;

/// The same leader is not asked again sooner, milliseconds.
const PAUSE_MS: u64 = 20;
/// Who was not put off for so long begins anew, milliseconds.
const FORGOTTEN_MS: u64 = 1_000;

/// See the module. Times are Unix milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PutOff {
    /// Who did not carry them out.
    by: NodeId,
    since_ms: u64,
    again_ms: u64,
}

impl PutOff {
    /// Put off once more. None: that has gone on for too long.
    pub(crate) fn once_more(
        before: Option<PutOff>,
        by: NodeId,
        now_ms: u64,
        patience_ms: u64,
    ) -> Option<PutOff> {
        // A clock that was set back must not make anybody wait for longer.
        let goes_on = |it: &PutOff| it.since_ms <= now_ms && now_ms <= it.again_ms + FORGOTTEN_MS;
        let since_ms = before.filter(goes_on).map_or(now_ms, |it| it.since_ms);
        (now_ms - since_ms < patience_ms).then_some(PutOff {
            by,
            since_ms,
            again_ms: now_ms + PAUSE_MS,
        })
    }

    /// Whether this leader is not to be asked yet.
    pub(crate) fn holds(&self, leader: NodeId, now_ms: u64) -> bool {
        self.by == leader && now_ms < self.again_ms && self.since_ms <= now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: NodeId = NodeId(1);
    const SECOND: NodeId = NodeId(2);

    #[test]
    fn the_same_leader_is_asked_after_a_pause_and_another_one_at_once() {
        let it = PutOff::once_more(None, FIRST, 1_000, 500).expect("it is the first time");
        assert!(it.holds(FIRST, 1_000) && it.holds(FIRST, 1_019));
        assert!(!it.holds(FIRST, 1_020) && !it.holds(SECOND, 1_000));
        assert!(!it.holds(FIRST, 900), "the clock was set back");
    }

    #[test]
    fn patience_ends_whoever_it_was_and_begins_anew_after_a_while() {
        let first = PutOff::once_more(None, FIRST, 1_000, 500);
        let second = PutOff::once_more(first, SECOND, 1_499, 500);
        assert!(second.is_some());
        assert_eq!(PutOff::once_more(second, FIRST, 1_500, 500), None);
        assert!(PutOff::once_more(second, FIRST, 9_000, 500).is_some());
        assert!(PutOff::once_more(second, FIRST, 10, 500).is_some(), "the clock was set back");
        assert_eq!(PutOff::once_more(None, FIRST, 1_000, 0), None);
    }
}
