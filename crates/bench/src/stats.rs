//! What a worker counts, and how the counts of several workers become one.
//!
//! Latencies are nanoseconds in an HDR histogram with three significant digits; errors are counted by
//! message, a bounded number of them.

use hdrhistogram::Histogram;

/// The longest latency told apart, in nanoseconds: ten minutes. Longer ones count as this.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// The most error messages told apart, and how much is kept of each, in bytes.
const MESSAGES_MAX: usize = 32;
const MESSAGE_BYTES_MAX: usize = 160;

/// Under this name go the errors beyond [`MESSAGES_MAX`] different ones.
const OTHER: &str = "(other errors)";

/// What the reply counter noticed on the way.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Nulls at any depth: misses of GET and MGET, empty pops.
    pub(crate) nulls: u64,
    pub(crate) errors: ErrorCounts,
}

/// Errors by message, in the order of their first appearance.
#[derive(Debug, Default, Clone)]
pub(crate) struct ErrorCounts {
    counts: Vec<(String, u64)>,
}

impl ErrorCounts {
    pub(crate) fn add(&mut self, message: &[u8]) {
        let kept = &message[..message.len().min(MESSAGE_BYTES_MAX)];
        self.add_many(&String::from_utf8_lossy(kept), 1);
    }

    fn add_many(&mut self, message: &str, count: u64) {
        if let Some((_, known)) = self.counts.iter_mut().find(|(text, _)| text == message) {
            *known += count;
        } else if self.counts.len() < MESSAGES_MAX || message == OTHER {
            self.counts.push((message.to_owned(), count));
        } else {
            self.add_many(OTHER, count);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(text, count)| (text.as_str(), *count))
    }

    fn merge(&mut self, other: &Self) {
        for (message, count) in other.iter() {
            self.add_many(message, count);
        }
    }
}

/// Counts of one worker, or of all of them. Times are nanoseconds on the run's clock.
#[derive(Debug, Clone)]
pub(crate) struct Stats {
    pub(crate) latency: Histogram<u64>,
    /// Open loop: how long after it was due a batch was sent.
    pub(crate) send_lag: Histogram<u64>,
    /// Requests in the measured part that were answered.
    pub(crate) completed: u64,
    pub(crate) tally: Tally,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// When the last measured reply came.
    pub(crate) last_reply_ns: u64,
    /// Open loop: how often all connections were at their bound while a batch was due.
    pub(crate) bound_hits: u64,
    /// Open loop: requests that were due before the end and never sent.
    pub(crate) unsent: u64,
    /// CPU time of the worker's thread while measuring.
    pub(crate) cpu_ns: u64,
    /// The largest share of its core that one worker used, 0 to 1.
    pub(crate) cpu_share_max: f64,
}

impl Stats {
    pub(crate) fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("constant bounds are valid");
        Self {
            latency: histogram(),
            send_lag: histogram(),
            completed: 0,
            tally: Tally::default(),
            bytes_sent: 0,
            bytes_received: 0,
            last_reply_ns: 0,
            bound_hits: 0,
            unsent: 0,
            cpu_ns: 0,
            cpu_share_max: 0.0,
        }
    }

    /// Counts `replies` that came at `now_ns` to requests that count from `since_ns`.
    pub(crate) fn on_replies(&mut self, replies: u32, since_ns: u64, now_ns: u64) {
        self.latency.saturating_record_n(now_ns.saturating_sub(since_ns), u64::from(replies));
        self.completed += u64::from(replies);
        self.last_reply_ns = now_ns;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("histograms have equal bounds");
        self.send_lag.add(&other.send_lag).expect("histograms have equal bounds");
        self.completed += other.completed;
        self.tally.nulls += other.tally.nulls;
        self.tally.errors.merge(&other.tally.errors);
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.last_reply_ns = self.last_reply_ns.max(other.last_reply_ns);
        self.bound_hits += other.bound_hits;
        self.unsent += other.unsent;
        self.cpu_ns += other.cpu_ns;
        self.cpu_share_max = self.cpu_share_max.max(other.cpu_share_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_kinds_of_errors_take_bounded_memory() {
        let mut errors = ErrorCounts::default();
        for n in 0..10_000 {
            errors.add(format!("MOVED {n} 127.0.0.1:7000 {}", "x".repeat(1_000)).as_bytes());
        }
        assert_eq!(errors.total(), 10_000);
        assert_eq!(errors.iter().count(), MESSAGES_MAX + 1);
        assert!(errors.iter().all(|(text, _)| text.len() <= MESSAGE_BYTES_MAX));
    }

    #[test]
    fn merging_adds_counts_and_keeps_the_latest_end() {
        let (mut left, mut right) = (Stats::new(), Stats::new());
        left.on_replies(3, 1_000, 5_000);
        right.on_replies(2, 1_000, 9_000);
        left.tally.errors.add(b"ERR one");
        right.tally.errors.add(b"ERR one");
        left.merge(&right);
        assert_eq!((left.completed, left.latency.len(), left.last_reply_ns), (5, 5, 9_000));
        assert_eq!(left.tally.errors.iter().collect::<Vec<_>>(), [("ERR one", 2)]);
    }

    #[test]
    fn latencies_beyond_the_scale_are_not_lost() {
        let mut stats = Stats::new();
        stats.on_replies(1, 0, u64::MAX);
        assert_eq!(stats.latency.len(), 1);
    }
}
