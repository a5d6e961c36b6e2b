//! Random numbers of methods: one seed, one stream per photo, so that a photo's maps do not depend on other photos.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// A seeded stream.
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Noise(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The stream of one of many items.
    pub fn of_item(seed: u64, item: usize) -> Self {
        Noise(stream(seed, item))
    }

    /// Uniform in 0..1 (1 excluded).
    pub fn unit(&mut self) -> f32 {
        self.0.random()
    }

    /// Uniform in `0..count`.
    pub fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f32 {
        let (u, v) = (1.0 - f64::from(self.unit()), f64::from(self.unit()));
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// An image's values with added normal noise, whose standard deviation is the fraction `share` of their range.
    pub fn added(&mut self, image: &[f32], share: f32) -> Vec<f32> {
        let (low, high) = image.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        let deviation = share * (high - low);
        image.iter().map(|v| v + deviation * self.normal()).collect()
    }

    /// `count` different numbers of `0..of`, in random order.
    pub fn choose(&mut self, count: usize, of: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..of).collect();
        for i in 0..count.min(of) {
            all.swap(i, i + self.below(of - i));
        }
        all.truncate(count);
        all
    }
}

/// A generator for one of many items that depends only on the seed and the item's number.
pub fn stream(seed: u64, item: usize) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed ^ (item as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// A number in 0..n, uniform up to a relative error of about n/2³².
pub fn below(random: &mut ChaCha8Rng, n: usize) -> usize {
    ((u64::from(random.next_u32()) * n as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_stream_and_the_moments_are_right() {
        let draw = |seed| Noise::new(seed).normal();
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        let mut noise = Noise::new(0);
        let values: Vec<f32> = (0..10_000).map(|_| noise.normal()).collect();
        let mean = values.iter().sum::<f32>() / 1e4;
        let variance = values.iter().map(|v| v * v).sum::<f32>() / 1e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        let mut chosen = noise.choose(5, 5);
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 2, 3, 4]);
    }
}
