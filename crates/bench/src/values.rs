//! Value bytes: slices of one random text, cheap to draw and different from each other.
//!
//! Letters and digits only, so that a dump of a server under test can be read.

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::args::ValueSize;

/// How many different starting points the text offers.
const STARTS: usize = 4096;

/// Draws sizes and values.
#[derive(Debug)]
pub(crate) struct ValueSource {
    size: ValueSize,
    /// `size.max + STARTS` bytes.
    text: Vec<u8>,
}

impl ValueSource {
    pub(crate) fn new(size: ValueSize, rng: &mut SmallRng) -> Self {
        const LETTERS: &[u8; 62] =
            b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let text = (0..size.max as usize + STARTS)
            .map(|_| LETTERS[rng.random_range(0..LETTERS.len())])
            .collect();
        Self { size, text }
    }

    /// A size between the two bounds.
    pub(crate) fn draw_len(&self, rng: &mut SmallRng) -> usize {
        let ValueSize { min, max } = self.size;
        if min == max {
            return max as usize;
        }
        rng.random_range(min..=max) as usize
    }

    /// A value of `len` bytes, at most the largest size.
    pub(crate) fn draw(&self, len: usize, rng: &mut SmallRng) -> &[u8] {
        let start = rng.random_range(0..STARTS);
        &self.text[start..start + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn sizes_stay_within_their_bounds_and_reach_them() {
        let mut rng = SmallRng::seed_from_u64(5);
        let source = ValueSource::new(ValueSize { min: 3, max: 6 }, &mut rng);
        let mut seen = [0; 8];
        for _ in 0..1_000 {
            let len = source.draw_len(&mut rng);
            assert_eq!(source.draw(len, &mut rng).len(), len);
            seen[len] += 1;
        }
        assert!(seen[3..=6].iter().all(|n| *n > 150), "{seen:?}");
        assert_eq!(seen.iter().sum::<u32>(), 1_000);
    }
}
