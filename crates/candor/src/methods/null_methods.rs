//! Maps that explain nothing, which every check of explanations must detect: noise, the photo's own edges (Adebayo et al. 2018),
//! and the centre of the image, where photographers place the subject.

use super::forward::Forward;
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::Map;
use crate::model::Model;
use crate::noise::Noise;
use crate::parameters::Parameters;
use crate::passes::Passes;
use crate::progress::Progress;

/// Uniform noise, different for each photo and class.
pub(super) struct Random;
/// Sobel's edges of the photo, whatever the class.
pub(super) struct Edges;
/// A Gaussian in the centre, whatever the photo.
pub(super) struct Centre;

impl Definition for Random {
    fn description(&self) -> Description {
        Description {
            name: "random",
            summary: "a null method: noise from the seed, the class and the photo's bytes",
            source: "after Adebayo et al. 2018",
            cost: Cost { forward: 1, backward: 0, note: "for the scores" },
            signed: false,
            class_sensitive: true,
            parameters: &[],
        }
    }

    fn prepare(&self, model: &Model, _: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(NullExplainer { forward: Forward::compile(model)?, map: NullMap::Noise(choices.seed) }))
    }
}

impl Definition for Edges {
    fn description(&self) -> Description {
        Description {
            name: "edges",
            summary: "a null method: the photo's edges, whatever model and class",
            source: "Sobel; as a null Adebayo et al. 2018",
            cost: Cost { forward: 1, backward: 0, note: "for the scores" },
            signed: false,
            class_sensitive: false,
            parameters: &[],
        }
    }

    fn prepare(&self, model: &Model, _: &mut Parameters, _: &Choices) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(NullExplainer { forward: Forward::compile(model)?, map: NullMap::Edges }))
    }
}

impl Definition for Centre {
    fn description(&self) -> Description {
        Description {
            name: "centre",
            summary: "a null method: a Gaussian in the middle of the picture, whatever it shows",
            source: "the centre baseline of localisation benchmarks",
            cost: Cost { forward: 1, backward: 0, note: "for the scores" },
            signed: false,
            class_sensitive: false,
            parameters: &[],
        }
    }

    fn prepare(&self, model: &Model, _: &mut Parameters, _: &Choices) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(NullExplainer { forward: Forward::compile(model)?, map: NullMap::Centre }))
    }
}

enum NullMap {
    /// Uniform noise from this seed.
    Noise(u64),
    Edges,
    Centre,
}

struct NullExplainer {
    forward: Forward,
    map: NullMap,
}

impl Compiled for NullExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.forward.begin(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let passes = Passes { forward: self.forward.passes, backward: 0 };
        let map = |class: usize| match self.map {
            NullMap::Noise(seed) => noise(seed, class, &self.forward.image, model.input_shape),
            NullMap::Edges => edges(&self.forward.image, model.input_shape),
            NullMap::Centre => centre(model.input_shape),
        };
        let explain =
            |(q, &class): (usize, &usize)| Explanation::of_map(map(class), passes.share(q, classes.len()));
        let explanations = classes.iter().enumerate().map(explain).collect();
        progress.step()?;
        Ok(explanations)
    }
}

fn noise(seed: u64, class: usize, image: &[f32], [_, height, width]: [usize; 3]) -> Map {
    // FNV-1a over the photo, the class and the seed.
    let mix = |h: u64, v: u64| (h ^ v).wrapping_mul(0x0000_0100_0000_01B3);
    let bits = image.iter().map(|v| u64::from(v.to_bits()));
    let mut noise = Noise::new(bits.chain([class as u64, seed]).fold(0xCBF2_9CE4_8422_2325, mix));
    Map { height, width, data: (0..height * width).map(|_| noise.unit()).collect() }
}

/// A Gaussian whose standard deviation is a quarter of each side.
fn centre([_, height, width]: [usize; 3]) -> Map {
    let along = |i: usize, size: usize| ((i as f32 + 0.5) / size as f32 - 0.5) / 0.25;
    let pixel = |i: usize| {
        let (y, x) = (along(i / width, height), along(i % width, width));
        (-0.5 * (y * y + x * x)).exp()
    };
    Map { height, width, data: (0..height * width).map(pixel).collect() }
}

/// |∇| of the mean of the channels by Sobel's operator, border values repeated.
fn edges(image: &[f32], [channels, height, width]: [usize; 3]) -> Map {
    let area = height * width;
    let grey = |y: isize, x: isize| {
        let row = y.clamp(0, height as isize - 1) as usize;
        let column = x.clamp(0, width as isize - 1) as usize;
        (0..channels).map(|c| image[c * area + row * width + column]).sum::<f32>() / channels as f32
    };
    let pixel = |i: usize| {
        let (y, x) = ((i / width) as isize, (i % width) as isize);
        let side = |d: isize| grey(y - 1, x + d) + 2.0 * grey(y, x + d) + grey(y + 1, x + d);
        let level = |d: isize| grey(y + d, x - 1) + 2.0 * grey(y + d, x) + grey(y + d, x + 1);
        (side(1) - side(-1)).hypot(level(1) - level(-1))
    };
    Map { height, width, data: (0..area).map(pixel).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_stand_where_the_photo_changes() {
        let image: Vec<f32> = (0..64).map(|i| if i % 8 < 4 { 0.0 } else { 1.0 }).collect();
        let map = edges(&image, [1, 8, 8]);
        assert_eq!(map.data[3 * 8 + 3..3 * 8 + 6], [4.0, 4.0, 0.0]);
    }
}
