//! How many records a sync of `fsync always` waits for.
//!
//! While one group of records is synced the clients of the group before get their replies and send
//! what comes next. With two groups of equal size the disk and the clients work at the same time.
//! But whoever syncs the first record that comes leaves everybody else to the next sync, and so on
//! in turns of few and many. So a group waits a little for half of what the last two had together.
//!
//! Invariant: the wait is at most half of what a sync takes, and at most [`WAIT_MAX`].

use std::time::Duration;

const WAIT_MAX: Duration = Duration::from_millis(1);

/// Sizes of the last groups and the time a sync takes.
#[derive(Default, Debug)]
pub(super) struct Grouping {
    last: usize,
    before: usize,
    /// A moving average over about eight syncs.
    sync: Duration,
}

impl Grouping {
    /// How many records the next group should have.
    pub(super) fn target(&self) -> usize {
        (self.last + self.before).div_ceil(2)
    }

    /// How long it may wait for them.
    pub(super) fn patience(&self) -> Duration {
        (self.sync / 2).min(WAIT_MAX)
    }

    /// A group of so many records was synced in this time.
    pub(super) fn on_synced(&mut self, records: usize, took: Duration) {
        self.before = std::mem::replace(&mut self.last, records);
        self.sync = (self.sync * 7 + took) / 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_become_equal() {
        let mut grouping = Grouping::default();
        for records in [3, 47] {
            grouping.on_synced(records, Duration::from_micros(400));
        }
        assert_eq!(grouping.target(), 25);
        assert!(grouping.patience() > Duration::ZERO);
    }

    #[test]
    fn a_lone_client_waits_for_nobody() {
        let mut grouping = Grouping::default();
        assert_eq!(grouping.target(), 0);
        for _ in 0..2 {
            grouping.on_synced(1, Duration::from_secs(1));
        }
        assert_eq!(grouping.target(), 1);
        assert!(grouping.patience() <= WAIT_MAX);
    }
}
