//! How far behind somebody is, in bytes and in milliseconds.
//!
//! Time by heartbeats: each says where the leader's log ended when it was sent, so what a follower
//! shows is as old as the newest heartbeat that it answered and whose end it has applied. That is
//! honest when nothing is written, and when nothing comes through (pitfall 28).

use std::collections::VecDeque;

use trefoil_clock::Lsn;

use super::LogState;

/// Samples kept; when there are more, every second one of the older half goes.
const SAMPLES_MAX: usize = 1024;

/// A heartbeat that was sent.
#[derive(Clone, Copy, Debug)]
struct Beat {
    id: u64,
    at_ms: u64,
    end: Lsn,
}

/// The heartbeats that were sent.
#[derive(Debug, Default)]
pub(super) struct Beats {
    /// Ids, times and ends rise.
    beats: VecDeque<Beat>,
    last_id: u64,
    /// Where the log ended at which time, both rise: finer than heartbeats while something is written.
    ends: VecDeque<(u64, Lsn)>,
}

impl Beats {
    /// A heartbeat goes out; returns its number.
    pub(super) fn beat(&mut self, now_ms: u64, end: Lsn) -> u64 {
        thin_out(&mut self.beats);
        self.last_id += 1;
        self.beats.push_back(Beat { id: self.last_id, at_ms: now_ms, end });
        self.last_id
    }

    /// The log has grown.
    pub(super) fn on_end(&mut self, now_ms: u64, end: Lsn) {
        match self.ends.back_mut() {
            Some(last) if last.1 >= end => {}
            Some(last) if last.0 == now_ms => last.1 = end,
            _ => {
                thin_out(&mut self.ends);
                self.ends.push_back((now_ms, end));
            }
        }
    }

    /// The number of the last one; 0: none.
    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// The age of what a follower shows that answered heartbeat `answered` and applied records up to
    /// `applied`. None: it never answered one. A heartbeat counts as unanswered after `patience_ms`.
    pub(super) fn age_ms(
        &self,
        now_ms: u64,
        answered: u64,
        applied: Lsn,
        end: Lsn,
        patience_ms: u64,
    ) -> Option<u64> {
        let age = |beat: &Beat| now_ms.saturating_sub(beat.at_ms);
        let waiting = self.beats.iter().find(|beat| beat.id > answered);
        if answered == 0 {
            return None;
        }
        if applied >= end && waiting.is_none_or(|beat| age(beat) <= patience_ms) {
            return Some(0);
        }
        let shown = self.beats.iter().rev().find(|beat| beat.id <= answered && beat.end <= applied);
        let by_beats = shown.or(self.beats.front()).map(age)?;
        // Who has applied what had been written by then shows nothing older.
        let reached = self.ends.partition_point(|&(_, end)| end <= applied).checked_sub(1);
        let by_ends = reached.map(|at| now_ms.saturating_sub(self.ends[at].0));
        Some(by_ends.map_or(by_beats, |age| age.min(by_beats)))
    }
}

/// How many bytes of log stand behind a record, by samples.
#[derive(Debug)]
pub(super) struct LogMeter {
    /// Record, and the byte behind it; both rise. The first is the log's floor.
    samples: VecDeque<(Lsn, u64)>,
    end: (Lsn, u64),
}

/// Bytes between two samples.
const GRAIN_BYTES: u64 = 64 << 10;

impl LogMeter {
    pub(super) fn new(log: &LogState) -> LogMeter {
        let samples = VecDeque::from([(log.floor, log.floor_bytes)]);
        LogMeter { samples, end: (log.end, log.end_bytes) }
    }

    pub(super) fn on_log(&mut self, log: &LogState) {
        self.end = (log.end, log.end_bytes);
        while self.samples.front().is_some_and(|sample| sample.0 <= log.floor) {
            self.samples.pop_front();
        }
        self.samples.push_front((log.floor, log.floor_bytes));
        let last = self.samples.back().expect("the floor is a sample").1;
        if log.end_bytes >= last.saturating_add(GRAIN_BYTES) {
            thin_out(&mut self.samples);
            self.samples.push_back(self.end);
        }
    }

    /// Bytes behind a record, between samples by proportion. None: the log does not reach back so far.
    pub(super) fn bytes_behind(&self, lsn: Lsn) -> Option<u64> {
        if lsn >= self.end.0 {
            return Some(0);
        }
        let after = self.samples.partition_point(|sample| sample.0 <= lsn);
        let (from, from_bytes) = *self.samples.get(after.checked_sub(1)?)?;
        let (to, to_bytes) = self.samples.get(after).copied().unwrap_or(self.end);
        let records = u128::from((to.0 - from.0).max(1));
        let part =
            u128::from(to_bytes.saturating_sub(from_bytes)) * u128::from(lsn.0 - from.0) / records;
        let at = from_bytes + u64::try_from(part).expect("a part of the bytes of a log");
        Some(self.end.1.saturating_sub(at))
    }
}

/// Makes room if there are too many, at the expense of how exact the older half is.
fn thin_out<T>(samples: &mut VecDeque<T>) {
    if samples.len() < SAMPLES_MAX {
        return;
    }
    let mut at = 0;
    samples.retain(|_| {
        at += 1;
        at > SAMPLES_MAX / 2 || at % 2 == 1
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_everything_and_answers_has_no_lag_though_nothing_was_written_for_long() {
        let mut beats = Beats::default();
        for second in 1..=60 {
            beats.beat(second * 1_000, Lsn(10));
        }
        let age =
            |now, answered, applied| beats.age_ms(now, answered, Lsn(applied), Lsn(10), 2_000);
        assert_eq!(age(60_500, 60, 10), Some(0));
        assert_eq!(age(60_500, 59, 10), Some(0), "one under way is no lag");
        assert_eq!(age(60_500, 50, 10), Some(10_500), "nothing was heard since");
        assert_eq!(age(60_500, 0, 10), None);
    }

    #[test]
    fn lag_is_the_age_of_the_newest_heartbeat_whose_end_is_applied() {
        let mut beats = Beats::default();
        for second in 1..=10 {
            beats.beat(second * 1_000, Lsn(second * 100));
        }
        let age =
            |answered, applied| beats.age_ms(10_000, answered, Lsn(applied), Lsn(1_000), 2_000);
        assert_eq!(age(10, 750), Some(3_000));
        assert_eq!(age(10, 50), Some(9_000), "at least since the first");
    }

    #[test]
    fn between_heartbeats_lag_is_told_by_when_the_log_ended_where() {
        let mut beats = Beats::default();
        beats.beat(1_000, Lsn(100));
        for ms in 1_001..=1_090_u64 {
            beats.on_end(ms, Lsn(ms - 900));
        }
        assert_eq!(beats.age_ms(1_090, 1, Lsn(187), Lsn(190), 2_000), Some(3));
        assert_eq!(beats.age_ms(1_090, 1, Lsn(100), Lsn(190), 2_000), Some(90), "by the heartbeat");
        assert_eq!(beats.age_ms(1_090, 0, Lsn(187), Lsn(190), 2_000), None, "it never answered");
    }

    #[test]
    fn many_samples_are_thinned_out_and_reach_back_far() {
        let mut beats = Beats::default();
        for second in 1..=100_000_u64 {
            beats.beat(second, Lsn(second));
        }
        assert!(beats.beats.len() <= SAMPLES_MAX);
        let age = beats.age_ms(100_000, 100_000, Lsn(99_990), Lsn(100_000), 0);
        assert_eq!(age, Some(10));
    }

    #[test]
    fn bytes_behind_a_record_are_found_by_proportion() {
        let mut log = LogState { end_bytes: 1_000, floor_bytes: 1_000, ..LogState::default() };
        let mut meter = LogMeter::new(&log);
        log.end = Lsn(1_000);
        log.end_bytes += 1_000_000;
        meter.on_log(&log);
        assert_eq!(meter.bytes_behind(Lsn(1_000)), Some(0));
        assert_eq!(meter.bytes_behind(Lsn(250)), Some(750_000));
        log.floor = Lsn(500);
        log.floor_bytes = 501_000;
        meter.on_log(&log);
        assert_eq!(meter.bytes_behind(Lsn(499)), None);
        assert_eq!(meter.bytes_behind(Lsn(500)), Some(500_000));
    }
}
