//! Hybrid logical clock stamps: 48 bits of Unix milliseconds, 16 bits of counter.
//!
//! After Kulkarni, Demirbas, Madappa, Avva and Leone, "Logical Physical Clocks" (OPODIS 2014).
//! The wall clock is passed in, so that a simulation can drive it.

/// A stamp. Ordered like the pair (milliseconds, counter).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hlc(pub u64);

const COUNTER_BITS: u32 = 16;

impl Hlc {
    /// The first stamp of a millisecond.
    #[must_use]
    pub fn from_millis(unix_ms: u64) -> Hlc {
        Hlc(unix_ms << COUNTER_BITS)
    }

    /// The physical part, Unix milliseconds.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0 >> COUNTER_BITS
    }
}

/// Hands out stamps that strictly increase, whatever the wall clock does.
///
/// `last` is the highest stamp handed out or observed; the next one is above it.
#[derive(Debug, Default)]
pub struct HlcClock {
    last: Hlc,
}

impl HlcClock {
    /// A clock that continues above `last`, for instance above the last stamp found in the log.
    #[must_use]
    pub fn starting_after(last: Hlc) -> HlcClock {
        HlcClock { last }
    }

    /// The next stamp. A counter that overflows borrows from the next millisecond.
    #[inline]
    pub fn tick(&mut self, wall_ms: u64) -> Hlc {
        let wall = Hlc::from_millis(wall_ms).0;
        self.last = Hlc(wall.max(self.last.0 + 1));
        self.last
    }

    /// Takes note of a stamp from elsewhere, so that later ones are above it.
    pub fn observe(&mut self, seen: Hlc) {
        self.last = self.last.max(seen);
    }

    /// The highest stamp handed out or observed.
    #[must_use]
    pub fn last(&self) -> Hlc {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_increase_when_the_wall_clock_steps_back() {
        let mut clock = HlcClock::default();
        let first = clock.tick(1_000);
        let second = clock.tick(10);
        assert!(second > first);
        assert_eq!(second.millis(), 1_000);
    }

    #[test]
    fn a_full_counter_borrows_from_the_next_millisecond() {
        let mut clock = HlcClock::starting_after(Hlc((5 << COUNTER_BITS) | 0xffff));
        assert_eq!(clock.tick(5).millis(), 6);
    }

    #[test]
    fn observed_stamps_are_overtaken() {
        let mut clock = HlcClock::default();
        clock.observe(Hlc::from_millis(77));
        assert!(clock.tick(3) > Hlc::from_millis(77));
    }
}
