//! Random numbers of methods: one seed, one stream a photo, so that a photo's maps do not depend on other photos.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded stream.
pub(crate) struct Noise(ChaCha8Rng);

impl Noise {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Noise(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The stream of one item among many.
    pub(crate) fn of_item(seed: u64, item: usize) -> Self {
        Noise(crate::statistics::stream(seed, item))
    }

    /// Uniform in 0..1.
    pub(crate) fn unit(&mut self) -> f32 {
        self.0.random()
    }

    /// Uniform among `0..count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f32 {
        let (u, v) = (1.0 - f64::from(self.unit()), f64::from(self.unit()));
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// A copy of an image's values under normal noise whose standard deviation is a `share` of their range.
    pub(crate) fn added(&mut self, image: &[f32], share: f32) -> Vec<f32> {
        let (low, high) = image.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        let deviation = share * (high - low);
        image.iter().map(|v| v + deviation * self.normal()).collect()
    }

    /// `count` of `0..of` without repetition, in random order.
    pub(crate) fn choose(&mut self, count: usize, of: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..of).collect();
        for i in 0..count.min(of) {
            all.swap(i, i + self.below(of - i));
        }
        all.truncate(count);
        all
    }
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
