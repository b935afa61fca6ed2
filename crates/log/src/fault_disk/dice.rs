//! The simulated disk's own random numbers: xorshift64*, after Vigna, "An experimental exploration of
//! Marsaglia's xorshift generators, scrambled" (2016). Not for secrets.

/// A deterministic sequence.
#[derive(Debug)]
pub(super) struct Dice {
    /// Never 0.
    state: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    fn roll(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(super) fn flip(&mut self) -> bool {
        self.roll() & 1 == 1
    }

    /// A number from 0 to `bound` inclusive.
    pub(super) fn up_to(&mut self, bound: usize) -> usize {
        (self.roll() % (bound as u64 + 1)) as usize
    }
}
