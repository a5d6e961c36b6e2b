//! RISE: Σ_i S_c(x ⊙ M_i) · M_i / (N p) over random masks M_i, small grids of zeros and ones enlarged and shifted (Petsiuk,
//! Das, Saenko 2018, equation 6 and section 3.2). [`mask`] makes the masks, [`saliency`] the map.

use super::forward::{Forward, PROBABILITY, Score};
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::{Interpolation, Map};
use crate::model::Model;
use crate::noise::Noise;
use crate::parameters::{Kind, Parameter, Parameters};
use crate::passes::Passes;
use crate::progress::Progress;

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "masks", default: "4000", kind: Kind::Integer(1, 1_000_000), help: "random masks" },
    Parameter {
        name: "cells",
        default: "7",
        kind: Kind::Integer(1, 512),
        help: "cells along each side of a mask",
    },
    Parameter {
        name: "keep",
        default: "0.5",
        kind: Kind::Number(0.01, 0.99),
        help: "probability that a cell is kept",
    },
    PROBABILITY,
];

/// The method.
pub(super) struct Rise;

impl Definition for Rise {
    fn description(&self) -> Description {
        Description {
            name: "rise",
            summary: "random masks, averaged by the score that they leave",
            source: "Petsiuk, Das, Saenko 2018",
            cost: Cost { forward: 4001, backward: 0, note: "" },
            signed: false,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(RiseExplainer {
            forward: Forward::compile(model)?,
            masks: p.integer("masks"),
            cells: p.integer("cells"),
            keep: p.real("keep") as f32,
            score: Score::of(p),
            seed: choices.seed,
        }))
    }
}

struct RiseExplainer {
    forward: Forward,
    masks: usize,
    cells: usize,
    keep: f32,
    score: Score,
    seed: u64,
}

impl Compiled for RiseExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.forward.begin(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let [_, height, width] = model.input_shape;
        let mask_of = |i: usize| mask(self.seed, i, self.cells, self.keep, [height, width]);
        let image = self.forward.image.clone();
        let make = |i: usize, out: &mut [f32]| {
            let mask = mask_of(i);
            for ((o, x), m) in out.iter_mut().zip(&image).zip(mask.data.iter().cycle()) {
                *o = x * m;
            }
        };
        let scores = self.forward.each(model, self.masks, (classes, self.score), make, progress)?;
        // Masks are generated again instead of being stored.
        let maps = saliency((0..self.masks).map(mask_of), &scores, self.keep);
        let passes = Passes { forward: self.forward.passes, backward: 0 };
        let explain = |(q, map)| Explanation::of_map(map, passes.share(q, classes.len()));
        Ok(maps.into_iter().enumerate().map(explain).collect())
    }

    fn steps(&self, _: usize) -> u64 {
        self.masks as u64
    }
}

/// Σ_i S_i · M_i / (N p), one map per query: `scores` has a row for each mask with the score of each query under it, and
/// `keep` is p, the probability that a cell is kept (equation 6).
pub fn saliency(masks: impl IntoIterator<Item = Map>, scores: &[Vec<f32>], keep: f32) -> Vec<Map> {
    let mut maps: Vec<Map> = vec![];
    for (mask, scores) in masks.into_iter().zip(scores) {
        if maps.is_empty() {
            maps = vec![Map::zeros(mask.height, mask.width); scores.len()];
        }
        for (map, score) in maps.iter_mut().zip(scores) {
            map.data.iter_mut().zip(&mask.data).for_each(|(m, v)| *m += score * v);
        }
    }
    let share = 1.0 / (scores.len() as f32 * keep);
    maps.iter_mut().for_each(|m| m.data.iter_mut().for_each(|v| *v *= share));
    maps
}

/// Mask `index` for a seed, values in 0..=1: a grid of kept cells, enlarged to one cell more than the image and shifted by up
/// to a cell (section 3.2).
pub fn mask(seed: u64, index: usize, cells: usize, keep: f32, [height, width]: [usize; 2]) -> Map {
    let mut noise = Noise::new(seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let data = (0..cells * cells).map(|_| f32::from(u8::from(noise.chance(keep)))).collect();
    let (cell_height, cell_width) = (height.div_ceil(cells), width.div_ceil(cells));
    let (tall, wide) = ((cells + 1) * cell_height, (cells + 1) * cell_width);
    let large = Map { height: cells, width: cells, data }.resize(tall, wide, Interpolation::Bilinear);
    let (down, across) = (noise.below(cell_height), noise.below(cell_width));
    let row = |y: usize| large.data[(y + down) * wide + across..][..width].iter().copied();
    Map { height, width, data: (0..height).flat_map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_masks_give_the_map_of_the_formula() {
        let masks = [vec![1.0, 0.0], vec![0.5, 1.0]];
        let masks = masks.map(|data| Map { height: 1, width: 2, data });
        let maps = saliency(masks, &[vec![0.5, 1.0], vec![0.25, 0.0]], 0.5);
        assert_eq!(maps[0].data, [0.625, 0.25]);
        assert_eq!(maps[1].data, [1.0, 0.0]);
    }

    #[test]
    fn masks_keep_their_share_and_depend_on_the_seed() {
        let mean = |seed| {
            let one = |i| mask(seed, i, 7, 0.5, [32, 32]).data.iter().sum::<f32>() / 1024.0;
            (0..200).map(one).sum::<f32>() / 200.0
        };
        assert!((mean(0) - 0.5).abs() < 0.02, "{}", mean(0));
        assert_ne!(mask(0, 0, 7, 0.5, [32, 32]), mask(1, 0, 7, 0.5, [32, 32]));
        assert_ne!(mask(0, 0, 7, 0.5, [32, 32]), mask(0, 1, 7, 0.5, [32, 32]));
    }
}
