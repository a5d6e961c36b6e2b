//! Random draws and elementary functions whose results are the same on every platform.
//!
//! Scenes are fixtures: the same seed has to give the same bytes on every platform and with every version of `rand`.
//! Therefore the conversions from random bits are implemented here, and nothing calls the platform's `sin`, `exp` or
//! `powf`; `+ - * / sqrt floor` are exact by IEEE 754.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded stream of random numbers.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let mut key = *b"........candor scenes, version 1";
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Draw(ChaCha8Rng::from_seed(key))
    }

    /// 32 random bits.
    pub(super) fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in 0..1 (1 excluded), in steps of 2⁻²⁴.
    pub(super) fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in `low..high`.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..count`; the bias of the product is below 2⁻²⁴ for the counts in use.
    pub(super) fn below(&mut self, count: usize) -> usize {
        ((u64::from(self.bits()) * count as u64) >> 32) as usize
    }

    /// True with probability `p`.
    pub(super) fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }
}

/// Cosine and sine of an angle given in turns (1 turn = 2π).
pub(super) fn cos_sin(turns: f32) -> (f32, f32) {
    (sin(turns + 0.25), sin(turns))
}

/// Sine of an angle in turns; the error is below 1e-6.
fn sin(turns: f32) -> f32 {
    let t = turns - (turns + 0.5).floor();
    // Fold -1/2..1/2 onto -1/4..1/4, where the series converges quickly.
    let folded = if t.abs() > 0.25 { 0.5 * t.signum() - t } else { t };
    let x = folded * std::f32::consts::TAU;
    let y = x * x;
    x * (1.0 - y / 6.0 * (1.0 - y / 20.0 * (1.0 - y / 42.0 * (1.0 - y / 72.0 * (1.0 - y / 110.0)))))
}

/// A pseudo-random value in 0..1 for each point of an integer grid.
pub(super) fn lattice(seed: u32, x: i32, y: i32) -> f32 {
    let mut h =
        seed ^ (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77).rotate_left(13);
    h = (h ^ (h >> 16)).wrapping_mul(0x7FEB_352D);
    h = (h ^ (h >> 15)).wrapping_mul(0x846C_A68B);
    ((h ^ (h >> 16)) >> 8) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_matches_the_library() {
        for i in -2000..2000 {
            let turns = i as f32 / 777.0;
            let (c, s) = cos_sin(turns);
            let angle = f64::from(turns) * std::f64::consts::TAU;
            assert!((f64::from(s) - angle.sin()).abs() < 2e-6, "sin({turns} turns) = {s}");
            assert!((f64::from(c) - angle.cos()).abs() < 2e-6, "cos({turns} turns) = {c}");
        }
    }

    #[test]
    fn draws_stay_in_range() {
        let mut draw = Draw::new(7);
        for _ in 0..10_000 {
            assert!((0.0..1.0).contains(&draw.unit()));
            assert!(draw.below(3) < 3);
            assert!((2.0..=5.0).contains(&draw.between(2.0, 5.0)));
        }
    }

    #[test]
    fn the_stream_is_pinned() {
        let mut draw = Draw::new(1);
        let bits: Vec<u32> = (0..3).map(|_| draw.bits()).collect();
        assert_eq!(bits, PINNED);
    }

    const PINNED: [u32; 3] = [2_513_252_925, 3_678_548_944, 970_269_027];
}
