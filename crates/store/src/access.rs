//! When, or how often, an entry was used: the 24 access bits, in one of two readings.
//!
//! LRU: seconds, modulo 2^24. LFU: minutes modulo 2^16, then a logarithmic counter of 8 bits that
//! starts at 5, rises with probability 1 / ((counter - 5) * factor + 1) and falls by one for every
//! `decay` minutes without use: the scheme, and the numbers, of Redis, so that OBJECT FREQ and
//! OBJECT IDLETIME mean the same.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Counter of a new entry.
const LFU_INITIAL: u32 = 5;

/// How the access bits are read; follows `maxmemory-policy`.
pub struct AccessMode {
    counts: AtomicBool,
    lfu_log_factor: AtomicU32,
    lfu_decay_minutes: AtomicU32,
}

impl Default for AccessMode {
    fn default() -> AccessMode {
        AccessMode {
            counts: AtomicBool::new(false),
            lfu_log_factor: AtomicU32::new(10),
            lfu_decay_minutes: AtomicU32::new(1),
        }
    }
}

impl AccessMode {
    /// Entries remember when they were used.
    pub fn set_lru(&self) {
        self.counts.store(false, Relaxed);
    }

    /// Entries remember how often they were used.
    pub fn set_lfu(&self) {
        self.counts.store(true, Relaxed);
    }

    /// `lfu-log-factor` and `lfu-decay-time` (minutes).
    pub fn set_lfu_parameters(&self, log_factor: u32, decay_minutes: u32) {
        self.lfu_log_factor.store(log_factor, Relaxed);
        self.lfu_decay_minutes.store(decay_minutes, Relaxed);
    }

    /// Whether the bits are counters.
    #[must_use]
    pub fn is_lfu(&self) -> bool {
        self.counts.load(Relaxed)
    }

    /// The bits of a new entry.
    #[inline]
    pub(crate) fn fresh(&self, now_ms: u64) -> u32 {
        if self.is_lfu() { minutes(now_ms) << 8 | LFU_INITIAL } else { seconds(now_ms) }
    }

    /// The bits after one more use; `random` is uniform.
    #[inline]
    pub(crate) fn touched(&self, bits: u32, now_ms: u64, random: impl FnOnce() -> u32) -> u32 {
        if !self.is_lfu() {
            return seconds(now_ms);
        }
        let counter = self.frequency(bits, now_ms);
        let base = counter.saturating_sub(LFU_INITIAL);
        let odds = base.saturating_mul(self.lfu_log_factor.load(Relaxed)).saturating_add(1);
        let rises = counter < 255 && random() < u32::MAX / odds;
        minutes(now_ms) << 8 | (counter + u32::from(rises))
    }

    /// The LFU counter, decayed to now: OBJECT FREQ.
    #[must_use]
    pub fn frequency(&self, bits: u32, now_ms: u64) -> u32 {
        let elapsed = minutes(now_ms).wrapping_sub(bits >> 8) & 0xffff;
        let periods = elapsed.checked_div(self.lfu_decay_minutes.load(Relaxed)).unwrap_or(0);
        (bits & 0xff).saturating_sub(periods)
    }

    /// Milliseconds since the last use, to the second: OBJECT IDLETIME.
    #[must_use]
    pub fn idle_ms(&self, bits: u32, now_ms: u64) -> u64 {
        u64::from(seconds(now_ms).wrapping_sub(bits) & 0x00ff_ffff) * 1000
    }
}

fn seconds(now_ms: u64) -> u32 {
    (now_ms / 1000) as u32 & 0x00ff_ffff
}

fn minutes(now_ms: u64) -> u32 {
    (now_ms / 60_000) as u32 & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_rises_with_use_and_falls_with_time() {
        let mode = AccessMode::default();
        mode.set_lfu();
        let bits = mode.fresh(0);
        assert_eq!(mode.frequency(bits, 0), 5);
        let used = mode.touched(bits, 0, || 0);
        assert_eq!(mode.frequency(used, 0), 6);
        assert_eq!(mode.frequency(used, 3 * 60_000), 3);
        assert_eq!(mode.touched(255, 0, || 0) & 0xff, 255);
    }

    #[test]
    fn idle_time_survives_the_wrap_of_24_bits() {
        let mode = AccessMode::default();
        let before_wrap = mode.fresh(0x00ff_ffff * 1000);
        assert_eq!(mode.idle_ms(before_wrap, 0x0100_0004 * 1000), 5_000);
    }
}
