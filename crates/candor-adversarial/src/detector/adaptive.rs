//! An adaptive (white-box) attack on the detector: projected gradient steps through the model, through the unrolled learning of the
//! masks, and through the detector's network. An image that the model still classifies correctly is moved against the model; one that it
//! misclassifies is moved against the detector ("selective" descent: Bryniarski et al. 2021, section 3).

use candor::progress::Progress;
use candor_graph::builder::{Builder, Expr};
use candor_graph::error::Result as GraphResult;
use candor_graph::footprint::batch_within;
use candor_graph::grad::gradients;
use candor_graph::graph::{Graph, Node, ValueId};
use candor_graph::rewrite;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

use super::disturbances::disturbed;
use super::features::{Extractor, FeatureGroup, FeatureSettings};
use super::network::Network;
use crate::attacks::{Budget, Goal, Loss, TargetModel, of_pixels};
use crate::error::{Error, Result};
use crate::outputs::floats;
use candor::engine::{Folding, Session};
use candor::image::Preprocessing;
use candor::map::Interpolation;
use candor::mask::looped::unmasked;
use candor::mask::masked::masked;
use candor::mask::objective::{EXCLUDED, log_odds_of};
use candor::mask::unrolled::{Unrolled, unrolled};
use candor::mask::{Settings, levels};
use candor::model::Model;
use candor::nodes::maps;
use candor::scores::ranking;

/// Parameters of the attack.
#[derive(Clone, Copy, Debug)]
pub struct Moves {
    /// Budget in L∞, with pixels in 0..=1.
    pub eps: f64,
    /// Number of steps.
    pub steps: usize,
    /// Length of a step in L∞.
    pub step: f32,
}

impl Default for Moves {
    fn default() -> Self {
        Moves { eps: 8.0 / 255.0, steps: 60, step: 1.0 / 255.0 }
    }
}

/// The model, the learning of its masks and the detector in one graph, with its gradient.
pub struct Adaptive {
    session: Box<dyn Session>,
    classes: usize,
    shape: [usize; 3],
    batch: usize,
}

/// Maximum number of images per batch: the graph contains every step of mask learning.
const MOST_IMAGES: u64 = 8;
/// Maximum number of bytes of all values of the graph together.
const BYTES: u64 = 4 << 30;

impl Adaptive {
    /// Builds and compiles the graph.
    ///
    /// # Errors
    /// [`Error::Detector`] for features other than masks, runner-up, evidence and stability; a node without a gradient rule.
    pub fn new(
        model: &Model,
        preprocessing: &Preprocessing,
        extractor: &Extractor,
        network: &Network,
    ) -> Result<Self> {
        let how = extractor.settings();
        differentiable(&how.parts)?;
        let model = of_pixels(model, preprocessing)?;
        let graph = with_gradients(&model, forward(&model, how, network)?)?;
        let session = model.engine.compile(&graph)?;
        let batch = batch_within(&graph, BYTES, MOST_IMAGES);
        Ok(Adaptive { session, classes: model.classes, shape: model.input_shape, batch })
    }

    /// The detector's logits for images with the predicted classes `predicted`, and the gradients for the seeds.
    fn evaluate(
        &mut self,
        images: &[&[f32]],
        asked: &[[usize; 2]],
        seeds: &[(Vec<f32>, f32)],
    ) -> Result<Vec<(f32, Vec<f32>)>> {
        let n = images.len();
        let [c, h, w] = self.shape;
        let one_hot = |q: usize| -> Vec<f32> {
            asked
                .iter()
                .flat_map(|a| (0..self.classes).map(move |k| f32::from(u8::from(k == a[q]))))
                .collect()
        };
        let rows = [
            (vec![n, c, h, w], images.concat()),
            (vec![n, self.classes], one_hot(0)),
            (vec![n, self.classes], one_hot(1)),
            (vec![n, self.classes], seeds.iter().flat_map(|s| s.0.clone()).collect()),
            (vec![n, 1], seeds.iter().map(|s| s.1).collect()),
        ];
        let inputs = rows.into_iter().map(|(shape, values)| Tensor::floats(&shape, values));
        let inputs: Vec<Tensor> = inputs
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| candor::error::Error::graph("the adaptive attack", e))?;
        let out = self.session.run(&inputs.iter().collect::<Vec<_>>())?;
        let score = floats(&out, 0, n, "the adaptive attack")?;
        let slope = floats(&out, 1, n * c * h * w, "the adaptive attack")?;
        let slopes = slope.chunks((c * h * w).max(1)).map(<[f32]>::to_vec);
        Ok(score.iter().copied().zip(slopes).collect())
    }

    /// Attacks images (C·H·W pixels in 0..=1). Of the images of a trajectory that the model misclassifies, the one with the lowest
    /// detector score is returned, otherwise the last image. `progress` receives each step.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn run(
        &mut self,
        target_model: &mut TargetModel,
        images: &[Vec<f32>],
        goals: &[Goal],
        moves: &Moves,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let mut found = vec![];
        for (images, goals) in images.chunks(self.batch).zip(goals.chunks(self.batch)) {
            found.extend(self.run_part(target_model, images, goals, moves, progress)?);
        }
        Ok(found)
    }

    fn run_part(
        &mut self,
        target_model: &mut TargetModel,
        images: &[Vec<f32>],
        goals: &[Goal],
        moves: &Moves,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let budget = Budget::Linf(moves.eps);
        let rows: Vec<usize> = (0..images.len()).collect();
        let mut now = images.to_vec();
        let mut best: Vec<Option<(f32, Vec<f32>)>> = vec![None; images.len()];
        for _ in 0..moves.steps {
            let logits = target_model.logits(&now, &rows)?;
            let asked: Vec<[usize; 2]> = logits.iter().map(|l| ranking(l)).map(|o| [o[0], o[1]]).collect();
            let seeds: Vec<(Vec<f32>, f32)> = logits
                .iter()
                .zip(goals)
                .map(|(logits, goal)| match goal.reached(logits) {
                    true => (vec![0.0; logits.len()], -1.0),
                    false => (Loss::Margin.at(logits, goal).1, 0.0),
                })
                .collect();
            let evaluated =
                self.evaluate(&now.iter().map(Vec::as_slice).collect::<Vec<_>>(), &asked, &seeds)?;
            for (i, (score, slope)) in evaluated.into_iter().enumerate() {
                if goals[i].reached(&logits[i]) && best[i].as_ref().is_none_or(|(least, _)| score < *least) {
                    best[i] = Some((score, now[i].clone()));
                }
                for (v, g) in now[i].iter_mut().zip(slope) {
                    *v += if g > 0.0 {
                        moves.step
                    } else if g < 0.0 {
                        -moves.step
                    } else {
                        0.0
                    };
                }
                budget.project(&mut now[i], &images[i]);
            }
            progress.step()?;
        }
        Ok(best.into_iter().zip(now).map(|(best, now)| best.map_or(now, |(_, image)| image)).collect())
    }
}

/// Whether the graph can compute all groups of features.
fn differentiable(groups: &[FeatureGroup]) -> Result<()> {
    use FeatureGroup::{Evidence, Masks, RunnerUp, Stability};
    if groups.iter().all(|g| matches!(g, Masks | RunnerUp | Evidence | Stability)) {
        return Ok(());
    }
    Err(Error::Detector(
        "the adaptive attack supports the features masks, runner-up, evidence and stability only".into(),
    ))
}

/// The graph from images to the logits and the detector's logit, with the values that its gradient needs.
struct Forward {
    graph: Graph,
    /// The detector's logit, N×1.
    score: ValueId,
    /// The classes `predicted` and `runner_up`, one-hot N×K, and the seeds.
    inputs: [ValueId; 4],
    /// Gradients with respect to the logits, N×K, and to the detector's logit, N×1, from which the sweep starts.
    seeds: [ValueId; 2],
}

/// The model, the learning of the masks of both classes, the features and the detector's network.
fn forward(model: &Model, how: &FeatureSettings, network: &Network) -> Result<Forward> {
    let at = |e| candor::error::Error::graph(&model.info.path, e);
    let settings = Settings {
        lambda: Some(how.chosen_lambda()?),
        iterations: how.iterations,
        rate: how.rate,
        beta_2: how.beta_2,
        ..Settings::of_photo()
    };
    let masked = masked(model, &levels::named_levels(model, &how.levels)?, &settings).map_err(at)?;
    let b = Builder::new(unmasked(model, &masked));
    let logits = b.value(model.logits);
    let shape = logits.shape().map_err(at)?;
    let nodes = b.with(|g| g.nodes.clone());
    let row = |name: &str| b.input(name, DataType::Float, &shape);
    let classes = [row("predicted"), row("runner_up")];
    let of = |one_hot| unrolled(&b, &masked, &settings, (logits, one_hot), model.classes).map_err(at);
    let learned = [of(classes[0])?, of(classes[1])?];
    let features = Features { b: &b, model, nodes: &nodes, logits, classes, learned };
    let score = network.logit(&b, features.rows(how).map_err(at)?)?;
    let seeds = [row("seed_logits"), b.input("seed_score", DataType::Float, &[Dim::Batch(1), Dim::Fixed(1)])];
    let inputs = [classes[0], classes[1], seeds[0], seeds[1]].map(|e| e.id());
    let (score, seeds) = (score.id(), seeds.map(|e| e.id()));
    Ok(Forward { graph: b.finish().map_err(at)?, score, inputs, seeds })
}

/// From images, classes and seeds to the detector's logit and the gradient with respect to the images.
fn with_gradients(model: &Model, forward: Forward) -> Result<Graph> {
    let at = |e| candor::error::Error::graph(&model.info.path, e);
    let Forward { mut graph, score, inputs, seeds } = forward;
    graph.outputs = vec![model.logits, score];
    rewrite::fold_constants(&mut graph, &Folding(model.engine.as_ref())).map_err(at)?;
    let sought = [(model.logits, seeds[0]), (score, seeds[1])];
    let (mut graph, slopes) = gradients(graph, &sought, &[model.input]).map_err(at)?;
    graph.inputs = [&[model.input], &inputs[..]].concat();
    graph.outputs = [&[score], &slopes[..]].concat();
    rewrite::remove_dead(&mut graph);
    Ok(graph)
}

/// The detector's features as nodes; in pairs, the first belongs to the predicted class and the second to the runner-up.
struct Features<'b> {
    b: &'b Builder,
    model: &'b Model,
    /// The nodes of the unmasked model.
    nodes: &'b [Node],
    /// Its logits, N×K.
    logits: Expr<'b>,
    /// One-hot, N×K.
    classes: [Expr<'b>; 2],
    learned: [Unrolled<'b>; 2],
}

impl<'b> Features<'b> {
    /// Rows as the detector takes them, N×length: the planes of all groups, then their numbers.
    fn rows(&self, how: &FeatureSettings) -> GraphResult<Expr<'b>> {
        let (mut planes, mut numbers) = (vec![], vec![]);
        let [predicted, runner_up] = &self.learned;
        for group in &how.parts {
            match group {
                FeatureGroup::Evidence => {
                    numbers.extend([predicted.there, predicted.kept, runner_up.there, runner_up.kept]);
                }
                FeatureGroup::Stability => numbers.extend(self.stability()?),
                FeatureGroup::RunnerUp => planes.extend(planes_of(runner_up, how.grid)?),
                _ => planes.extend(planes_of(predicted, how.grid)?),
            }
        }
        planes.append(&mut numbers);
        Ok(self.b.concat(&planes, 1))
    }

    /// How much the log-odds of both classes change under each disturbance, N×1 each.
    fn stability(&self) -> GraphResult<Vec<Expr<'b>>> {
        let odds = |s, one_hot| log_odds_of(s, one_hot, one_hot * EXCLUDED, false);
        let mut moves = vec![];
        for image in disturbed(self.b.value(self.model.input))? {
            let copied = self.b.copy(self.nodes, &[(self.model.input, image)]);
            let answer = copied.get(&self.model.logits).map_or(self.logits, |&l| self.b.value(l));
            moves.extend(self.classes.map(|c| odds(answer, c) - odds(self.logits, c)));
        }
        Ok(moves)
    }
}

/// The masks of a class on the detector's grid, N×grid² each.
fn planes_of<'b>(learned: &Unrolled<'b>, grid: usize) -> GraphResult<Vec<Expr<'b>>> {
    let plane = |mask: &Expr<'b>| {
        let plane = maps::resized(mask.mean(&[1]), [grid; 2], Interpolation::Bilinear)?;
        Ok(plane.reshape(&[-1, (grid * grid) as i64]))
    };
    learned.masks.iter().map(plane).collect()
}
