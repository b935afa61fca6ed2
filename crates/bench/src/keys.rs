//! Which key comes next: the distributions over the key space, and how a key is written.
//!
//! A key is always 16 bytes, `key:` and twelve digits, so that every server sees the same sizes.
//! Popularity is not locality: the ranks of a zipf distribution are scattered over the key space,
//! else the popular keys of a preloaded server would be neighbours in its memory.

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::args::Distribution;

/// The largest key space: what twelve digits can name.
pub(crate) const KEYS_MAX: u64 = 1_000_000_000_000;

/// Bytes in a key.
pub(crate) const KEY_BYTES: usize = 16;

/// Draws key numbers in `0..keys`.
#[derive(Debug, Clone)]
pub(crate) struct KeyPicker {
    /// 1 <= keys <= [`KEYS_MAX`].
    keys: u64,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Uniform,
    Zipf { ranks: Zipf, scatter: Scatter },
    Sequential { next: u64 },
    Gaussian { spare: Option<f64> },
}

impl KeyPicker {
    /// A picker over `keys` keys; a sequential one starts at `first`.
    pub(crate) fn new(distribution: Distribution, keys: u64, first: u64) -> Self {
        assert!((1..=KEYS_MAX).contains(&keys), "key space fits twelve digits");
        let shape = match distribution {
            Distribution::Uniform => Shape::Uniform,
            Distribution::Zipf { theta } => {
                Shape::Zipf { ranks: Zipf::new(keys, theta), scatter: Scatter::new(keys) }
            }
            Distribution::Sequential => Shape::Sequential { next: first % keys },
            Distribution::Gaussian => Shape::Gaussian { spare: None },
        };
        Self { keys, shape }
    }

    pub(crate) fn pick(&mut self, rng: &mut SmallRng) -> u64 {
        match &mut self.shape {
            Shape::Uniform => rng.random_range(0..self.keys),
            Shape::Zipf { ranks, scatter } => scatter.place(ranks.rank(rng)),
            Shape::Sequential { next } => {
                let key = *next;
                *next = if key + 1 == self.keys { 0 } else { key + 1 };
                key
            }
            Shape::Gaussian { spare } => gaussian(self.keys, spare, rng),
        }
    }
}

/// Appends the key with number `key`.
pub(crate) fn append_key(out: &mut Vec<u8>, key: u64) {
    debug_assert!(key < KEYS_MAX);
    let mut text = *b"key:000000000000";
    let (high, low) = (key / 1_000_000, key % 1_000_000);
    six_digits(&mut text[4..10], high as u32);
    six_digits(&mut text[10..16], low as u32);
    out.extend_from_slice(&text);
}

fn six_digits(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Zipf ranks without tables, by rejection-inversion: W. Hörmann and G. Derflinger,
/// "Rejection-inversion to generate variates from monotone discrete distributions", 1996.
///
/// The area under x^-theta is inverted, which yields a candidate; the few that fall between the
/// curve and the bars of the discrete distribution are drawn again.
#[derive(Debug, Clone, Copy)]
struct Zipf {
    theta: f64,
    keys: f64,
    /// Area coordinate of the left edge of the bar of rank 1.
    area_first: f64,
    /// Area coordinate of the right edge of the last bar.
    area_last: f64,
    /// A rank at most so far above its candidate is accepted without another look.
    sure: f64,
}

impl Zipf {
    fn new(keys: u64, theta: f64) -> Self {
        let keys = keys as f64;
        let mut zipf = Self { theta, keys, area_first: 0.0, area_last: 0.0, sure: 0.0 };
        zipf.area_first = zipf.area(1.5) - 1.0;
        zipf.area_last = zipf.area(keys + 0.5);
        zipf.sure = 2.0 - zipf.inverse_area(zipf.area(2.5) - zipf.height(2.0));
        zipf
    }

    /// A rank in `0..keys`, 0 the most frequent.
    fn rank(&self, rng: &mut SmallRng) -> u64 {
        loop {
            let unit: f64 = rng.random();
            let area = self.area_last + unit * (self.area_first - self.area_last);
            let x = self.inverse_area(area);
            let rank = x.round().clamp(1.0, self.keys);
            if rank - x <= self.sure || area >= self.area(rank + 0.5) - self.height(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn height(&self, x: f64) -> f64 {
        (-self.theta * x.ln()).exp()
    }

    /// Integral of x^-theta: (x^(1-theta) - 1) / (1-theta), whose limit at theta = 1 is ln x.
    fn area(&self, x: f64) -> f64 {
        let (log, power) = (x.ln(), 1.0 - self.theta);
        if (power * log).abs() < 1e-9 { log } else { (power * log).exp_m1() / power }
    }

    fn inverse_area(&self, area: f64) -> f64 {
        let power = 1.0 - self.theta;
        if (power * area).abs() < 1e-9 {
            return area.exp();
        }
        // Rounding may put the product just below -1, where the logarithm ends.
        ((power * area).max(-1.0).ln_1p() / power).exp()
    }
}

/// A fixed permutation of `0..keys`: multiplication by a number without common divisor.
#[derive(Debug, Clone, Copy)]
struct Scatter {
    keys: u64,
    /// Below 2^24, so that a product with a key number below 2^40 fits 64 bits.
    step: u64,
}

impl Scatter {
    fn new(keys: u64) -> Self {
        // The golden section spreads neighbours evenly.
        let mut step = ((keys.min(1 << 24) as f64 * 0.618_033_988) as u64).max(1);
        while common_divisor(step, keys) != 1 {
            step -= 1;
        }
        Self { keys, step }
    }

    fn place(self, rank: u64) -> u64 {
        (rank * self.step) % self.keys
    }
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Marsaglia's polar method, which yields two deviates at a time; what lies outside is drawn again.
fn gaussian(keys: u64, spare: &mut Option<f64>, rng: &mut SmallRng) -> u64 {
    let (middle, deviation) = (keys as f64 / 2.0, keys as f64 / 6.0);
    loop {
        let deviate = spare.take().unwrap_or_else(|| {
            let (first, second) = normal_pair(rng);
            *spare = Some(second);
            first
        });
        let key = middle + deviate * deviation;
        if key >= 0.0 && key < keys as f64 {
            return key as u64;
        }
    }
}

fn normal_pair(rng: &mut SmallRng) -> (f64, f64) {
    loop {
        let (x, y) = (rng.random::<f64>() * 2.0 - 1.0, rng.random::<f64>() * 2.0 - 1.0);
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            let scale = (-2.0 * square.ln() / square).sqrt();
            return (x * scale, y * scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const DRAWS: usize = 200_000;

    fn histogram(distribution: Distribution, keys: u64) -> Vec<u64> {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut picker = KeyPicker::new(distribution, keys, 0);
        let mut counts = vec![0; keys as usize];
        for _ in 0..DRAWS {
            counts[picker.pick(&mut rng) as usize] += 1;
        }
        counts
    }

    #[test]
    fn uniform_keys_come_equally_often() {
        let counts = histogram(Distribution::Uniform, 100);
        assert!(counts.iter().all(|n| (1_700..2_300).contains(n)), "{counts:?}");
    }

    #[test]
    fn zipf_frequencies_follow_the_law() {
        for theta in [0.5, 0.99, 1.0, 1.5] {
            let keys = 1_000;
            let mut counts = histogram(Distribution::Zipf { theta }, keys);
            counts.sort_unstable_by(|a, b| b.cmp(a));
            let whole: f64 = (1..=keys).map(|n| (n as f64).powf(-theta)).sum();
            for rank in [1_usize, 2, 5, 10, 20] {
                let wanted = (rank as f64).powf(-theta) / whole * DRAWS as f64;
                let got = counts[rank - 1] as f64;
                let slack = 6.0 * wanted.sqrt();
                assert!((got - wanted).abs() < slack, "theta {theta} rank {rank}: {got} {wanted}");
            }
        }
    }

    #[test]
    fn popular_zipf_keys_are_not_neighbours() {
        let counts = histogram(Distribution::Zipf { theta: 0.99 }, 10_000);
        let hottest = counts.iter().max().expect("ten thousand keys");
        let first = counts.iter().position(|n| n == hottest).expect("it is one of them");
        let next = counts.get(first + 1).copied().unwrap_or(0);
        assert!(next * 20 < *hottest, "{next} beside {hottest}");
    }

    #[test]
    fn scattering_is_a_permutation() {
        for keys in [1_u64, 2, 3, 6, 10, 97, 1_000, 4_096, 30_030] {
            let scatter = Scatter::new(keys);
            let mut seen: Vec<u64> = (0..keys).map(|rank| scatter.place(rank)).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..keys), "{keys}");
        }
        let widest = Scatter::new(KEYS_MAX);
        assert!(widest.place(KEYS_MAX - 1) < KEYS_MAX);
    }

    #[test]
    fn sequential_keys_wrap_around() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut picker = KeyPicker::new(Distribution::Sequential, 3, 2);
        let drawn: Vec<u64> = (0..5).map(|_| picker.pick(&mut rng)).collect();
        assert_eq!(drawn, [2, 0, 1, 2, 0]);
    }

    #[test]
    fn gaussian_keys_gather_around_the_middle() {
        let counts = histogram(Distribution::Gaussian, 600);
        let within: u64 = counts[200..400].iter().sum();
        let share = within as f64 / DRAWS as f64;
        // One standard deviation to each side holds 68.27 %, slightly more once the tails are cut.
        assert!((0.675..0.695).contains(&share), "{share}");
    }

    #[test]
    fn one_key_is_a_key_space_for_every_distribution() {
        for name in ["uniform", "zipf", "sequential", "gaussian"] {
            let distribution = name.parse().expect("listed spelling");
            let mut rng = SmallRng::seed_from_u64(3);
            let mut picker = KeyPicker::new(distribution, 1, 0);
            assert!((0..50).all(|_| picker.pick(&mut rng) == 0), "{name}");
        }
    }

    #[test]
    fn keys_are_sixteen_bytes_wide() {
        for (key, text) in [
            (0, "key:000000000000"),
            (1_234_567, "key:000001234567"),
            (KEYS_MAX - 1, "key:999999999999"),
        ] {
            let mut out = Vec::new();
            append_key(&mut out, key);
            assert_eq!(out, text.as_bytes());
            assert_eq!(out.len(), KEY_BYTES);
        }
    }
}
