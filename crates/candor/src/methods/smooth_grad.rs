//! SmoothGrad: another method's mean over noisy copies of the photo (Smilkov et al. 2017); `square`: the mean of
//! its squares (Hooker et al. 2019); `variance`: its variance, VarGrad (Adebayo et al. 2018).
//!
//! If the method attributes to input channels, the attributions are averaged and then become a map.

use super::attribution::Attribution;
use super::{Choices, Compiled, Cost, Definition, Description, prepare_wrapped};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::Map;
use crate::model::Model;
use crate::noise::Noise;
use crate::parameters::{Kind, Parameter, Parameters, names};
use crate::passes::Passes;
use crate::progress::Progress;

/// Names of what is computed from the noisy maps.
const VARIANTS: [(&str, Variant); 3] =
    [("mean", Variant::Mean), ("square", Variant::Square), ("variance", Variant::Variance)];

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "method",
        default: "gradient",
        kind: Kind::Method,
        help: "the method that is averaged; its own parameters are set as method.NAME=VALUE",
    },
    Parameter {
        name: "samples",
        default: "50",
        kind: Kind::Integer(1, 100_000),
        help: "noisy copies of the photo",
    },
    Parameter {
        name: "noise",
        default: "0.15",
        kind: Kind::Number(0.0, 10.0),
        help: "standard deviation of the noise, as a share of the range of the photo's values",
    },
    Parameter {
        name: "variant",
        default: "mean",
        kind: Kind::Choice(&names(&VARIANTS)),
        help: "mean (SmoothGrad), mean of the squares (SmoothGrad²), or variance (VarGrad)",
    },
];

/// The method.
pub(super) struct SmoothGrad;

impl Definition for SmoothGrad {
    fn description(&self) -> Description {
        Description {
            name: "smoothgrad",
            summary: "another method, averaged over noisy copies of the photo",
            source: "Smilkov et al. 2017; variants: Hooker et al. 2019, Adebayo et al. 2018",
            cost: Cost { forward: 51, backward: 50, note: "with the gradient" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(SmoothGradExplainer {
            explainer: prepare_wrapped(model, p, choices)?,
            samples: p.integer("samples"),
            noise: p.real("noise") as f32,
            variant: p.choice(&VARIANTS, "variant"),
            seed: choices.seed,
            image: vec![],
        }))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Mean,
    Square,
    Variance,
}

struct SmoothGradExplainer {
    explainer: Box<dyn Compiled>,
    samples: usize,
    noise: f32,
    variant: Variant,
    seed: u64,
    image: Vec<f32>,
}

impl Compiled for SmoothGradExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.image = image.to_vec();
        self.explainer.scores(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let mut noise = Noise::new(self.seed);
        let mut moments: Vec<Moments> = classes.iter().map(|_| Moments::default()).collect();
        for _ in 0..self.samples {
            let noisy = noise.added(&self.image, self.noise);
            self.explainer.scores(model, &noisy)?;
            let one = self.explainer.explain(model, classes, progress)?;
            moments.iter_mut().zip(one).for_each(|(m, e)| m.add(e));
        }
        // The photo's own scores are one more forward pass, shared by its queries.
        let own = Passes { forward: 1, backward: 0 };
        let explain = |(q, m): (usize, Moments)| m.explanation(self.variant, own.share(q, classes.len()));
        Ok(moments.into_iter().enumerate().map(explain).collect())
    }

    fn steps(&self, classes: usize) -> u64 {
        self.samples as u64 * self.explainer.steps(classes)
    }
}

/// First and second moments of one query's explanations.
#[derive(Default)]
struct Moments {
    count: f64,
    sum: Vec<f64>,
    squares: Vec<f64>,
    passes: Passes,
    last: Option<Explanation>,
}

impl Moments {
    fn add(&mut self, e: Explanation) {
        let values = e.attribution.as_ref().map_or(&e.map.data, |a| &a.values);
        self.sum.resize(values.len(), 0.0);
        self.squares.resize(values.len(), 0.0);
        for (i, &v) in values.iter().enumerate() {
            self.sum[i] += f64::from(v);
            self.squares[i] += f64::from(v) * f64::from(v);
        }
        self.count += 1.0;
        self.passes += e.passes;
        self.last = Some(e);
    }

    fn explanation(self, variant: Variant, mut passes: Passes) -> Explanation {
        passes += self.passes;
        let n = self.count;
        let value = |(s, q): (&f64, &f64)| match variant {
            Variant::Mean => (s / n) as f32,
            Variant::Square => (q / n) as f32,
            Variant::Variance => (q / n - (s / n) * (s / n)).max(0.0) as f32,
        };
        let values: Vec<f32> = self.sum.iter().zip(&self.squares).map(value).collect();
        match self.last {
            Some(Explanation { attribution: Some(a), .. }) => {
                Explanation { passes, ..Explanation::of_attribution(Attribution { values, ..a }) }
            }
            Some(e) => Explanation::of_map(Map { data: values, ..e.map }, passes),
            None => Explanation::of_map(Map::zeros(0, 0), passes),
        }
    }
}
