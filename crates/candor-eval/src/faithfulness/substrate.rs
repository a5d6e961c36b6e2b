//! What replaces removed pixels.

use super::impute::{check, impute};
use candor::methods::baseline;
use candor::noise::Noise;

/// What replaces removed pixels, in the model's own units.
#[derive(Clone, Debug, PartialEq)]
pub enum Substrate {
    /// The pixels of this image, C×H×W.
    Fixed(Vec<f32>),
    /// Values imputed from the remaining pixels: noisy linear imputation ([`impute`]; Rong et al. 2022), computed for each
    /// set of removed pixels.
    Inpaint {
        /// Standard deviation of the Gaussian noise; 0.01 in the published code.
        noise: f32,
        /// Seed of the noise. A pixel's noise does not depend on which others are removed.
        seed: u64,
    },
}

impl Substrate {
    /// 0 in the model's input: grey under most presets.
    pub fn zero(image: &[f32]) -> Self {
        Substrate::Fixed(vec![0.0; image.len()])
    }

    /// The mean colour of an image with a grid of `[height, width]`.
    pub fn mean(image: &[f32], [height, width]: [usize; 2]) -> Self {
        Substrate::Fixed(baseline::mean(image, height * width))
    }

    /// The image (C×H×W, on a grid of `[height, width]`) with the `removed` pixels (H×W) replaced.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn without(&self, image: &[f32], grid: [usize; 2], removed: &[bool]) -> Vec<f32> {
        match self {
            Substrate::Fixed(other) => {
                assert_eq!(other.len(), image.len(), "a substrate has the size of the image");
                check(image, grid, removed);
                let gone = removed.iter().cycle();
                image.iter().zip(other).zip(gone).map(|((x, s), gone)| if *gone { *s } else { *x }).collect()
            }
            Substrate::Inpaint { noise, seed } => {
                let mut out = impute(image, grid, removed);
                if *noise > 0.0 {
                    let mut random = Noise::new(*seed);
                    for (v, gone) in out.iter_mut().zip(removed.iter().cycle()) {
                        let by = noise * random.normal();
                        *v += if *gone { by } else { 0.0 };
                    }
                }
                out
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: [f32; 8] = [1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 4.0, 0.0];

    #[test]
    fn only_the_removed_pixels_change() {
        let removed = [false, true, false, true];
        let out = Substrate::mean(&IMAGE, [2, 2]).without(&IMAGE, [2, 2], &removed);
        assert_eq!(out, [1.0, 3.0, 3.0, 3.0, 0.0, 1.0, 4.0, 1.0]);
        let out = Substrate::zero(&IMAGE).without(&IMAGE, [2, 2], &removed);
        assert_eq!(out, [1.0, 0.0, 3.0, 0.0, 0.0, 0.0, 4.0, 0.0]);
    }

    #[test]
    fn a_pixels_noise_does_not_depend_on_the_others() {
        let substrate = Substrate::Inpaint { noise: 0.1, seed: 3 };
        let noise = |removed: [bool; 4]| {
            let with = substrate.without(&IMAGE, [2, 2], &removed);
            with[3] - impute(&IMAGE, [2, 2], &removed)[3]
        };
        let (one, two) = (noise([false, false, false, true]), noise([false, true, false, true]));
        assert!((one - two).abs() < 1e-6 && one != 0.0, "{one} {two}");
    }
}
