//! Random numbers for election time-outs: SplitMix64 (Steele, Lea, Flood 2014). Not for secrets.

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number of `min..=max`.
    pub(super) fn between(&mut self, min: u64, max: u64) -> u64 {
        assert!(min <= max && max - min < u64::MAX, "a range is not empty and not everything");
        min + self.next() % (max - min + 1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_range_and_reach_both_ends() {
        let mut dice = Dice::new(7);
        let drawn: Vec<u64> = (0..1_000).map(|_| dice.between(250, 260)).collect();
        assert_eq!(drawn.iter().min(), Some(&250));
        assert_eq!(drawn.iter().max(), Some(&260));
    }

    #[test]
    fn one_seed_draws_one_sequence() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            (0..8).map(|_| dice.between(0, 1 << 40)).collect::<Vec<u64>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
