//! Occlusion: how much the score falls when a window of the photo is covered, averaged over the windows that cover a pixel
//! (Zeiler and Fergus 2014, section 4.2).

use super::baseline::{self, BASELINE};
use super::forward::{Forward, LOGIT, Score, above_rounding, rounding};
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::Map;
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters};
use crate::passes::Passes;
use crate::progress::Progress;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "window",
        default: "auto",
        kind: Kind::Number(1.0, 4096.0),
        help: "pixels along each side of the window; auto: an eighth of the shorter side",
    },
    Parameter {
        name: "stride",
        default: "auto",
        kind: Kind::Number(1.0, 4096.0),
        help: "pixels from one window to the next; auto: half a window",
    },
    BASELINE,
    LOGIT,
];

/// The method.
pub(super) struct Occlusion;

impl Definition for Occlusion {
    fn description(&self) -> Description {
        Description {
            name: "occlusion",
            summary: "how much the score falls when a window of the photo is covered",
            source: "Zeiler, Fergus 2014",
            cost: Cost { forward: 226, backward: 0, note: "for a 224² input" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, _: &Choices) -> Result<Box<dyn Compiled>> {
        let [_, height, width] = model.input_shape;
        let window = p.auto("window").map_or(height.min(width) / 8, |v| v.round() as usize).max(1);
        let stride = p.auto("stride").map_or(window / 2, |v| v.round() as usize).max(1);
        p.record("window", window);
        p.record("stride", stride);
        Ok(Box::new(OcclusionExplainer {
            forward: Forward::compile(model)?,
            windows: windows(height, width, window, stride),
            baseline: p.word("baseline").to_string(),
            score: Score::of(p),
        }))
    }
}

/// A window: first and last row (exclusive), first and last column (exclusive).
type Window = [usize; 4];

/// Windows from the top left on, all of one size: the last one of a row or column ends at the border if the stride would place it beyond.
/// If it were cut off instead, it would cover less, and pixels at the border would count less than those in the middle.
fn windows(height: usize, width: usize, window: usize, stride: usize) -> Vec<Window> {
    let starts = |size: usize| {
        let last = size.saturating_sub(window);
        let count = last.div_ceil(stride) + 1;
        (0..count).map(move |i| (i * stride).min(last)).map(move |start| (start, (start + window).min(size)))
    };
    let row = |(top, bottom)| starts(width).map(move |(left, right)| [top, bottom, left, right]);
    starts(height).flat_map(row).collect()
}

struct OcclusionExplainer {
    forward: Forward,
    windows: Vec<Window>,
    baseline: String,
    score: Score,
}

impl Compiled for OcclusionExplainer {
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
        let image = self.forward.image.clone();
        let baseline = baseline::make(&self.baseline, model, &image)?;
        let cover = |i: usize, out: &mut [f32]| {
            out.copy_from_slice(&image);
            let [top, bottom, left, right] = self.windows[i];
            for plane in 0..image.len() / (height * width) {
                for row in top..bottom {
                    let at = (plane * height + row) * width;
                    out[at + left..at + right].copy_from_slice(&baseline[at + left..at + right]);
                }
            }
        };
        let own = self.score.read(model, &self.forward.logits, classes);
        let covered = self.forward.each(model, self.windows.len(), (classes, self.score), cover, progress)?;
        let passes = Passes { forward: self.forward.passes, backward: 0 };
        let explain = |q: usize| {
            let (mut map, mut count) = (Map::zeros(height, width), vec![0.0f32; height * width]);
            for (&[top, bottom, left, right], scores) in self.windows.iter().zip(&covered) {
                for row in top..bottom {
                    let span = row * width + left..row * width + right;
                    map.data[span.clone()].iter_mut().for_each(|m| *m += own[q] - scores[q]);
                    count[span].iter_mut().for_each(|n| *n += 1.0);
                }
            }
            map.data.iter_mut().zip(&count).for_each(|(m, n)| *m /= n.max(1.0));
            let seen: Vec<f64> = covered.iter().map(|s| s[q].into()).chain([own[q].into()]).collect();
            let least = rounding(seen.iter());
            map.data.iter_mut().for_each(|m| *m = above_rounding((*m).into(), least) as f32);
            Explanation::of_map(map, passes.share(q, classes.len()))
        };
        Ok((0..classes.len()).map(explain).collect())
    }

    fn steps(&self, _: usize) -> u64 {
        self.windows.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::windows;

    #[test]
    fn windows_cover_every_pixel_and_end_at_the_border() {
        assert_eq!(windows(4, 4, 4, 2), [[0, 4, 0, 4]]);
        assert_eq!(windows(1, 5, 2, 2), [[0, 1, 0, 2], [0, 1, 2, 4], [0, 1, 3, 5]]);
        for (side, window, stride) in [(32, 7, 3), (10, 4, 4), (5, 9, 2), (6, 2, 5)] {
            let all = windows(side, side, window, stride);
            let covered =
                |at: usize| all.iter().any(|w| (w[0]..w[1]).contains(&at) && (w[2]..w[3]).contains(&at));
            // A stride larger than the window leaves gaps, as requested.
            assert!((0..side).all(|at| covered(at) || stride > window), "{side} {window} {stride}");
            let same = |w: &[usize; 4]| w[1] - w[0] == window.min(side) && w[3] - w[2] == window.min(side);
            assert!(all.iter().all(same), "{all:?}");
        }
    }
}
