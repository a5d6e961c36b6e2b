//! An adaptive (white-box) attack on the detector: projected gradient steps through the model, through the unrolled learning of the masks, and
//! through the detector's network. An image that the model still answers rightly is moved against the model; one that it answers
//! wrongly is moved against the detector ("selective" descent: Bryniarski et al. 2021, section 3).

use candor_graph::builder::Builder;
use candor_graph::footprint::batch_within;
use candor_graph::grad::gradients;
use candor_graph::rewrite;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

use super::disturbances::disturbed;
use super::features::{Extractor, FeatureGroup};
use super::network::Network;
use crate::attacks::{Budget, Goal, Loss, TargetModel, of_pixels};
use crate::error::{Error, Result};
use candor::engine::{Folding, Session};
use candor::image::Preprocessing;
use candor::map::Interpolation;
use candor::mask::looped::unmasked;
use candor::mask::masked::masked;
use candor::mask::objective::{EXCLUDED, log_odds_of};
use candor::mask::unrolled::unrolled;
use candor::mask::{Settings, levels};
use candor::model::Model;
use candor::nodes::maps;
use candor::scores::ranking;

/// How the attack moves.
#[derive(Clone, Copy, Debug)]
pub struct Moves {
    /// Budget in L∞, pixels counted in 0..=1.
    pub eps: f64,
    /// Steps.
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

/// Most images at once: the graph has every step of mask learning in it.
const MOST_IMAGES: u64 = 8;
/// Most bytes that the graph's values may have, all together.
const BYTES: u64 = 4 << 30;

impl Adaptive {
    /// Builds and compiles the graph.
    ///
    /// # Errors
    /// [`Error::Detector`] for features other than masks, runner-up and evidence; a node without a gradient rule.
    pub fn new(
        model: &Model,
        preprocessing: &Preprocessing,
        extractor: &Extractor,
        network: &Network,
    ) -> Result<Self> {
        let at = |e| candor::error::Error::graph(&model.info.path, e);
        let how = extractor.settings();
        let known = |p: &FeatureGroup| {
            matches!(
                p,
                FeatureGroup::Masks
                    | FeatureGroup::RunnerUp
                    | FeatureGroup::Evidence
                    | FeatureGroup::Stability
            )
        };
        if !how.parts.iter().all(known) {
            return Err(Error::Detector(
                "the adaptive attack knows the features masks, runner-up, evidence and stability only".into(),
            ));
        }
        let model = of_pixels(model, preprocessing)?;
        let levels = levels::named_levels(&model, &how.levels)?;
        let settings = Settings {
            lambda: how.lambda.unwrap_or_default(),
            iterations: how.iterations,
            rate: how.rate,
            beta_2: how.beta_2,
            ..Settings::default()
        };
        let masked = masked(&model, &levels, &settings).map_err(at)?;
        let b = Builder::new(unmasked(&model, &masked));
        let logits = b.value(model.logits);
        let shape = logits.shape().map_err(at)?;
        let nodes = b.with(|g| g.nodes.clone());
        let row = |name: &str| b.input(name, DataType::Float, &shape);
        let (predicted, runner_up) = (row("predicted"), row("runner_up"));
        let of = |one_hot| unrolled(&b, &masked, &settings, (logits, one_hot), model.classes).map_err(at);
        let (first, second) = (of(predicted)?, of(runner_up)?);
        let grid = [how.grid; 2];
        let odds = |s, one_hot| log_odds_of(s, one_hot, one_hot * EXCLUDED, false);
        let area = (how.grid * how.grid) as i64;
        let (mut planes, mut numbers) = (vec![], vec![]);
        for part in &how.parts {
            match part {
                FeatureGroup::Evidence => {
                    numbers.extend([first.there, first.kept, second.there, second.kept])
                }
                FeatureGroup::Stability => {
                    for image in disturbed(b.value(model.input)).map_err(at)? {
                        let copied = b.copy(&nodes, &[(model.input, image)]);
                        let answer = copied.get(&model.logits).map_or(logits, |&l| b.value(l));
                        numbers.extend([predicted, runner_up].map(|c| odds(answer, c) - odds(logits, c)));
                    }
                }
                _ => {
                    let masks = if *part == FeatureGroup::Masks { &first.masks } else { &second.masks };
                    for mask in masks {
                        let plane = maps::resized(mask.mean(&[1]), grid, Interpolation::Bilinear);
                        planes.push(plane.map_err(at)?.reshape(&[-1, area]));
                    }
                }
            }
        }
        planes.append(&mut numbers);
        let score = network.logit(&b, b.concat(&planes, 1))?;
        let seeds =
            [row("seed_logits"), b.input("seed_score", DataType::Float, &[Dim::Batch(1), Dim::Fixed(1)])];
        let inputs = [predicted, runner_up, seeds[0], seeds[1]].map(|e| e.id());
        let (score, seeds) = (score.id(), seeds.map(|e| e.id()));
        let mut graph = b.finish().map_err(at)?;
        graph.outputs = vec![model.logits, score];
        rewrite::fold_constants(&mut graph, &Folding(model.engine.as_ref())).map_err(at)?;
        let sought = [(model.logits, seeds[0]), (score, seeds[1])];
        let (mut graph, slopes) = gradients(graph, &sought, &[model.input]).map_err(at)?;
        graph.inputs = [&[model.input], &inputs[..]].concat();
        graph.outputs = [&[score], &slopes[..]].concat();
        rewrite::remove_dead(&mut graph);
        let session = model.engine.compile(&graph)?;
        let batch = batch_within(&graph, BYTES, MOST_IMAGES);
        Ok(Adaptive { session, classes: model.classes, shape: model.input_shape, batch })
    }

    /// For images that the model answers `predicted`, the detector's logits, and the gradients of the seeds.
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
        let [score, slope] = [0, 1].map(|i| out.get(i).and_then(Tensor::as_floats).unwrap_or_default());
        let slopes = slope.chunks((c * h * w).max(1)).map(<[f32]>::to_vec);
        Ok(score.iter().copied().zip(slopes).collect())
    }

    /// Attacks images (C·H·W pixels in 0..=1): of the images of the trajectory that the model misclassifies the one with the lowest detector
    /// score, else the last. `tick` is told of each step.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn run(
        &mut self,
        target_model: &mut TargetModel,
        images: &[Vec<f32>],
        goals: &[Goal],
        moves: &Moves,
        tick: &mut dyn FnMut(),
    ) -> Result<Vec<Vec<f32>>> {
        let mut found = vec![];
        for (images, goals) in images.chunks(self.batch).zip(goals.chunks(self.batch)) {
            found.extend(self.run_part(target_model, images, goals, moves, tick)?);
        }
        Ok(found)
    }

    fn run_part(
        &mut self,
        target_model: &mut TargetModel,
        images: &[Vec<f32>],
        goals: &[Goal],
        moves: &Moves,
        tick: &mut dyn FnMut(),
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
            let looked = self.evaluate(&now.iter().map(Vec::as_slice).collect::<Vec<_>>(), &asked, &seeds)?;
            for (i, (score, slope)) in looked.into_iter().enumerate() {
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
            tick();
        }
        Ok(best.into_iter().zip(now).map(|(best, now)| best.map_or(now, |(_, image)| image)).collect())
    }
}
