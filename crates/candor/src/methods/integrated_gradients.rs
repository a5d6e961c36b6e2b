//! Integrated gradients: (x − x₀) · ∫₀¹ ∂S_c/∂x (x₀ + α (x − x₀)) dα, Σ over channels (Sundararajan, Taly, Yan 2017,
//! equation 1). With enough steps it adds up to S_c(x) − S_c(x₀); otherwise a warning gives the difference.

use crate::progress::Progress;
use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::Graph;
use candor_graph::insert;
use candor_graph::rewrite;
use candor_graph::shape::Dim;
use candor_graph::subgraph::LoopBody;
use candor_graph::tensor::{DataType, Tensor};

use super::attribution::{Attribution, Channels};
use super::backward::{Backward, Plan};
use super::baseline::{self, BASELINE};
use super::completeness;
use super::{Choices, Compiled, Cost, Definition, Description, Export};
use crate::engine::Folding;
use crate::error::{Error, Result};
use crate::explanation::Explanation;
use crate::model::Model;
use crate::nodes::{canvas, maps};
use crate::parameters::{Kind, Parameter, Parameters};
use crate::passes::Passes;

const PARAMETERS: &[Parameter] = &[
    BASELINE,
    Parameter {
        name: "steps",
        default: "50",
        kind: Kind::Integer(1, 10_000),
        help: "points at which the gradient is taken",
    },
    Parameter {
        name: "rule",
        default: "gauss-legendre",
        kind: Kind::Choice(&["gauss-legendre", "midpoint", "right"]),
        help: "the points and their weights; right is the sum in the paper",
    },
];

/// The method.
pub(super) struct IntegratedGradients;

impl Definition for IntegratedGradients {
    fn description(&self) -> Description {
        Description {
            name: "integrated-gradients",
            summary: "gradients averaged along the path from a baseline to the image, times the difference of the two",
            source: "Sundararajan, Taly, Yan 2017",
            cost: Cost { forward: 52, backward: 50, note: "" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, _: &Choices) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(IntegratedGradientsExplainer {
            backward: Backward::compile(model, Plan::gradient(model, &[model.input]))?,
            baseline: p.word("baseline").to_string(),
            points: points(p),
            scores: vec![],
        }))
    }

    fn exporter(&self) -> Option<&dyn Export> {
        Some(self)
    }
}

impl Export for IntegratedGradients {
    fn export(&self, model: &Model, p: &mut Parameters, _: &Choices) -> Result<Graph> {
        let points = points(p);
        as_nodes(model, &points, p.word("baseline")).map_err(|e| Error::graph(&model.info.path, e))
    }
}

/// α and weight of each point.
fn points(p: &Parameters) -> Vec<(f64, f64)> {
    let steps = p.integer("steps");
    match p.word("rule") {
        "midpoint" => (0..steps).map(|k| ((k as f64 + 0.5) / steps as f64, 1.0 / steps as f64)).collect(),
        "right" => (1..=steps).map(|k| (k as f64 / steps as f64, 1.0 / steps as f64)).collect(),
        _ => gauss_legendre(steps),
    }
}

/// The method as a graph: a Loop with one iteration per point, which adds up the weighted gradients.
fn as_nodes(model: &Model, points: &[(f64, f64)], baseline: &str) -> candor_graph::error::Result<Graph> {
    let query = |b: &'_ Builder, shape: &[Dim]| b.input("query", DataType::Float, shape).id();
    let plan = Plan::gradient(model, &[model.input]);
    let (mut body, query, found) = plan.append(model, |b, shape| b.value(query(b, shape)))?;
    let image_shape = body.shape(model.input).unwrap_or_default();

    // Before the network: the iteration's point on the path.
    let turn = body.add_input("turn", DataType::Int64, &[]);
    let [from, way, sum] =
        ["from", "way", "sum"].map(|name| body.add_input(name, DataType::Float, &image_shape));
    let (alphas, weights): (Vec<f32>, Vec<f32>) = points.iter().map(|p| (p.0 as f32, p.1 as f32)).unzip();
    let (body, _) = insert::in_front(body, model.input, |b| {
        Ok(b.value(from) + b.value(way) * of_turn(b.value(turn), alphas)?)
    })?;
    let b = Builder::new(body);
    let next = (b.value(sum) + b.value(found[0]) * of_turn(b.value(turn), weights)?).id();
    let mut body = b.finish()?;
    body.outputs = vec![next];
    rewrite::fold_constants(&mut body, &Folding(model.engine.as_ref()))?;
    rewrite::remove_dead(&mut body);

    let b = Builder::new(model.graph.clone());
    let shape = b.value(model.logits).shape()?;
    let one_hot = canvas::one_hot(&b, &shape);
    let image = b.value(model.input);
    let start = baseline::as_nodes(baseline, model, image)?;
    let whole = image - start;
    let body = LoopBody {
        graph: body,
        turn: Some(turn),
        carried: vec![(sum, image * 0.0)],
        captured: vec![(query, one_hot), (from, start), (way, whole)],
    };
    let sum = b.repeat("points", points.len(), body)?[0];
    let map = maps::over_channels(sum * whole, Channels::Sum).id();
    canvas::finish(model, b.finish()?, map)
}

/// The element of `values` for an iteration.
fn of_turn(turn: Expr<'_>, values: Vec<f32>) -> candor_graph::error::Result<Expr<'_>> {
    Ok(turn.builder().constant(Tensor::floats(&[values.len()], values)?).op("Gather", &[turn], &[]))
}

struct IntegratedGradientsExplainer {
    backward: Backward,
    baseline: String,
    /// α and weight of each point.
    points: Vec<(f64, f64)>,
    scores: Vec<f32>,
}

impl Compiled for IntegratedGradientsExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.scores = self.backward.begin(model, image)?;
        Ok(self.scores.clone())
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let baseline = baseline::make(&self.baseline, model, &self.backward.image)?;
        let baseline_scores = self.backward.forward(model, &[&baseline])?;
        let way: Vec<f32> = self.backward.image.iter().zip(&baseline).map(|(x, b)| x - b).collect();
        let mut sums = vec![vec![0.0f64; self.backward.image.len()]; classes.len()];
        for &(alpha, weight) in &self.points {
            let point: Vec<f32> = baseline.iter().zip(&way).map(|(b, d)| b + alpha as f32 * d).collect();
            self.backward.forward(model, &[&point])?;
            for (sum, found) in sums.iter_mut().zip(self.backward.sweep(model, classes)?) {
                sum.iter_mut().zip(&found[0]).for_each(|(s, g)| *s += weight * f64::from(*g));
            }
            progress.step()?;
        }
        let (count, queries) = (self.points.len() as u64, classes.len());
        let passes = Passes { forward: 2 + count, backward: count * queries as u64 };
        let explain = |(q, sum): (usize, Vec<f64>)| {
            let values = sum.iter().zip(&way).map(|(g, d)| *g as f32 * d).collect();
            let (shape, channels) = (model.input_shape, Channels::Sum);
            let e = Explanation::of_attribution(Attribution { values, shape, channels });
            let class = classes[q];
            let warnings = completeness::warning(&e.map, self.scores[class], baseline_scores[class]);
            Explanation { passes: passes.share(q, queries), warnings, ..e }
        };
        Ok(sums.into_iter().enumerate().map(explain).collect())
    }

    fn steps(&self, _: usize) -> u64 {
        self.points.len() as u64
    }
}

/// Points and weights of the Gauss-Legendre rule on 0..1, by Newton's method on the Legendre polynomial.
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let point = |i: usize| {
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut p, mut before) = (1.0, 0.0);
            for k in 1..=n {
                let k = k as f64;
                (p, before) = (((2.0 * k - 1.0) * x * p - (k - 1.0) * before) / k, p);
            }
            slope = n as f64 * (x * p - before) / (x * x - 1.0);
            let step = p / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        ((1.0 - x) / 2.0, 1.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..n).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::gauss_legendre;

    #[test]
    fn five_points_integrate_a_polynomial_of_degree_nine() {
        let integral: f64 = gauss_legendre(5).iter().map(|(x, w)| w * x.powi(9)).sum();
        assert!((integral - 0.1).abs() < 1e-13, "{integral}");
        let weights: f64 = gauss_legendre(50).iter().map(|(_, w)| w).sum();
        assert!((weights - 1.0).abs() < 1e-12);
    }
}
