//! Eigen-CAM: the feature vectors of all positions, projected on their first principal direction; it does not depend on a class (Muhammad
//! and Yeasin 2020). The sign of the direction is chosen so that the projection of largest magnitude is positive.

use super::attribution::enlarged;
use super::layer::LayerFeatures;
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::Map;
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters};
use crate::passes::Passes;
use crate::progress::Progress;

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "center",
    default: "false",
    kind: Kind::Flag,
    help: "take the mean over places off each channel first, as pytorch-grad-cam does",
}];

/// Maximum number of iterations of the power method.
const ITERATIONS: usize = 2000;

/// The method.
pub(super) struct EigenCam;

impl Definition for EigenCam {
    fn description(&self) -> Description {
        Description {
            name: "eigen-cam",
            summary: "the last feature maps' first principal direction, whatever the class",
            source: "Muhammad, Yeasin 2020",
            cost: Cost { forward: 2, backward: 0, note: "" },
            signed: false,
            class_sensitive: false,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        let at = LayerFeatures::compile(model, p, choices)?;
        Ok(Box::new(EigenCamExplainer { at, center: p.flag("center") }))
    }
}

struct EigenCamExplainer {
    at: LayerFeatures,
    center: bool,
}

impl Compiled for EigenCamExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.at.begin(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let map = enlarged(principal(&self.at.features, self.at.level.shape, self.center), model);
        let passes = Passes { forward: 2, backward: 0 };
        let explain = |q| Explanation::of_map(map.clone(), passes.share(q, classes.len()));
        progress.step()?;
        Ok((0..classes.len()).map(explain).collect())
    }
}

/// The projection of each position's features (columns of C×HW) on the first left singular direction, by the power method.
fn principal(features: &[f32], [channels, height, width]: [usize; 3], center: bool) -> Map {
    let area = height * width;
    let mut rows: Vec<Vec<f64>> =
        features.chunks(area).map(|c| c.iter().map(|&v| f64::from(v)).collect()).collect();
    if center {
        for row in &mut rows {
            let mean = row.iter().sum::<f64>() / area as f64;
            row.iter_mut().for_each(|v| *v -= mean);
        }
    }
    // Equal weights: never orthogonal to the principal direction of features that are not negative.
    let mut direction = vec![1.0; channels];
    let mut projection = vec![0.0; area];
    for _ in 0..ITERATIONS {
        projection = (0..area).map(|i| rows.iter().zip(&direction).map(|(r, d)| r[i] * d).sum()).collect();
        let next: Vec<f64> =
            rows.iter().map(|r| r.iter().zip(&projection).map(|(v, p)| v * p).sum()).collect();
        let norm = next.iter().map(|v: &f64| v * v).sum::<f64>().sqrt();
        if norm == 0.0 {
            break;
        }
        let next: Vec<f64> = next.iter().map(|v| v / norm).collect();
        let moved: f64 = next.iter().zip(&direction).map(|(a, b)| (a - b) * (a - b)).sum();
        direction = next;
        if moved < 1e-18 {
            break;
        }
    }
    // The sign of the sum would not do: the sum of centred projections is zero.
    let largest = projection.iter().fold(0.0f64, |m, p| if p.abs() > m.abs() { *p } else { m });
    let sign = if largest < 0.0 { -1.0 } else { 1.0 };
    Map { height, width, data: projection.iter().map(|p| (sign * p) as f32).collect() }
}

#[cfg(test)]
mod tests {
    use super::principal;

    #[test]
    fn features_of_one_direction_are_found() {
        // Feature (3, 4) times 1, 0, 2, 5.
        let features = [3.0, 0.0, 6.0, 15.0, 4.0, 0.0, 8.0, 20.0];
        let map = principal(&features, [2, 2, 2], false);
        for (got, want) in map.data.iter().zip([5.0, 0.0, 10.0, 25.0]) {
            assert!((got - want).abs() < 1e-4, "{:?}", map.data);
        }
    }
}
