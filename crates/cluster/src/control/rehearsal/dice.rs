//! Where a run's chances come from (SplitMix64; Steele, Lea and Flood 2014).

#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed ^ 0x0c0f_fee0_0c0f_fee0)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.number() % (max - min + 1)
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.number() % 100 < chance
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let last = u64::try_from(from.len()).expect("few").checked_sub(1)?;
        Some(from[usize::try_from(self.between(0, last)).expect("few")])
    }
}
