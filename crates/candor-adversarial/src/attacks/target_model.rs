//! The attacked model in image space: from pixels in 0..=1 to logits, and gradients of losses of the logits with respect to the pixels.
//!
//! The normalisation is part of the graph, so that a step of 1/255 is one grey level for every model. The
//! graph is cut after the logits ([`Backward`]): the loss is evaluated on logits that were just computed, and its gradient
//! takes only the sweep, never a second forward pass. Several gradients for the same images take one sweep each.

use candor_graph::error::GraphError;
use candor_graph::graph::Graph;
use candor_graph::insert;
use candor_graph::tensor::{DataType, Tensor};
use image::RgbImage;

use crate::error::{Error, Result};
use candor::engine::Session;
use candor::image::{ColorOrder, Picture, Preprocessing, picture_of, planes};
use candor::methods::backward::{Backward, Plan};
use candor::model::Model;
use candor::passes::Passes;

/// A model whose input is pixels; counts the passes of each image of the current batch.
pub struct TargetModel {
    model: Model,
    forward: Box<dyn Session>,
    backward: Backward,
    passes: Vec<Passes>,
}

impl TargetModel {
    /// Compiles the model from pixels to logits, and the gradient.
    ///
    /// # Errors
    /// [`Error::MultiLabel`] for a model whose classes do not exclude each other; a node without a gradient rule; an operator that
    /// the engine does not support.
    pub fn new(model: &Model, preprocessing: &Preprocessing) -> Result<Self> {
        if !model.head.is_exclusive() {
            return Err(Error::MultiLabel { path: model.info.path.clone() });
        }
        let model = of_pixels(model, preprocessing)?;
        Ok(TargetModel {
            forward: model.forward()?,
            backward: Backward::compile(&model, Plan::gradient(&model, &[model.input]))?,
            model,
            passes: vec![],
        })
    }

    /// `[channels, height, width]` of the images.
    pub fn shape(&self) -> [usize; 3] {
        self.model.input_shape
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.model.classes
    }

    /// Number of images per batch.
    pub fn batch(&self) -> usize {
        self.model.batch()
    }

    /// Resets the pass counters, for `count` images.
    pub fn count_anew(&mut self, count: usize) {
        self.passes = vec![Passes::default(); count];
    }

    /// The passes that each image took since [`TargetModel::count_anew`].
    pub fn passes(&self) -> &[Passes] {
        &self.passes
    }

    /// Logits of the images (C·H·W pixels in 0..=1 each, red first) with the indices `rows`, in the order of `rows`.
    ///
    /// # Errors
    /// If the engine fails or a logit is not finite.
    pub fn logits(&mut self, images: &[Vec<f32>], rows: &[usize]) -> Result<Vec<Vec<f32>>> {
        let mut logits = vec![];
        for part in rows.chunks(self.batch()) {
            let pixels = part.iter().flat_map(|&row| images[row].iter().copied()).collect();
            logits.extend(self.model.batch_scores(self.forward.as_mut(), pixels)?);
            self.count(part, Passes { forward: 1, backward: 0 });
        }
        Ok(logits)
    }

    /// Logits of `rows`, and vector-Jacobian products of the logits with respect to the pixels: `seeds` returns, for a row and its
    /// logits, the vectors (K values each). Rows may have different numbers of seeds; a row without seeds takes no
    /// sweep.
    ///
    /// # Errors
    /// As [`TargetModel::logits`].
    pub fn gradients(
        &mut self,
        images: &[Vec<f32>],
        rows: &[usize],
        mut seeds: impl FnMut(usize, &[f32]) -> Vec<Vec<f32>>,
    ) -> Result<Vec<Gradients>> {
        let mut all = vec![];
        for part in rows.chunks(self.batch()) {
            let logits = self.forward_part(images, part)?;
            let seeds: Vec<_> = part.iter().zip(&logits).map(|(&row, logits)| seeds(row, logits)).collect();
            let mut found: Vec<Gradients> =
                logits.into_iter().map(|logits| Gradients { logits, of_seeds: vec![] }).collect();
            for i in 0..seeds.iter().map(Vec::len).max().unwrap_or(0) {
                let of_row = |s: &Vec<Vec<f32>>| s.get(i).cloned().unwrap_or(vec![0.0; self.classes()]);
                let gradients = self.sweep_part(seeds.iter().flat_map(of_row).collect())?;
                for (r, gradient) in gradients.into_iter().enumerate().take(part.len()) {
                    if i < seeds[r].len() {
                        found[r].of_seeds.push(gradient);
                        self.count(&part[r..=r], Passes { forward: 0, backward: 1 });
                    }
                }
            }
            all.extend(found);
        }
        Ok(all)
    }

    fn forward_part(&mut self, images: &[Vec<f32>], part: &[usize]) -> Result<Vec<Vec<f32>>> {
        let batch = self.model.fixed_batch.unwrap_or(part.len());
        let mut pixels: Vec<f32> = part.iter().flat_map(|&row| images[row].iter().copied()).collect();
        pixels.resize(batch * self.shape().iter().product::<usize>(), 0.0);
        let shape = self.model.batch_shape(batch);
        let input = Tensor::floats(&shape, pixels)
            .map_err(|e| candor::error::Error::graph(&self.model.info.path, e))?;
        let logits = self.backward.forward_batch(&self.model, input)?;
        self.count(part, Passes { forward: 1, backward: 0 });
        Ok(logits.chunks(self.classes()).take(part.len()).map(<[f32]>::to_vec).collect())
    }

    fn sweep_part(&mut self, mut seeds: Vec<f32>) -> Result<Vec<Vec<f32>>> {
        let batch = self.model.fixed_batch.unwrap_or(seeds.len() / self.classes());
        seeds.resize(batch * self.classes(), 0.0);
        let seeds = Tensor::floats(&[batch, self.classes()], seeds);
        let seeds = seeds.map_err(|e| candor::error::Error::graph(&self.model.info.path, e))?;
        let found = self.backward.sweep_batch(&seeds)?;
        Ok(found.chunks(self.shape().iter().product()).map(<[f32]>::to_vec).collect())
    }

    fn count(&mut self, rows: &[usize], passes: Passes) {
        for &row in rows {
            if let Some(own) = self.passes.get_mut(row) {
                *own += passes;
            }
        }
    }
}

/// Result of [`TargetModel::gradients`] for one image.
pub struct Gradients {
    /// Its logits, K.
    pub logits: Vec<f32>,
    /// For each seed, the gradient with respect to the pixels, C·H·W.
    pub of_seeds: Vec<Vec<f32>>,
}

impl Gradients {
    /// The gradient for the first seed; empty without seeds.
    pub fn first(&self) -> &[f32] {
        self.of_seeds.first().map_or(&[], Vec::as_slice)
    }
}

/// A photo resized and cropped to the model's input, as pixels in 0..=1: C·H·W, red first. Samples finer than 8 bits are rounded nowhere.
pub fn pixels(preprocessing: &Preprocessing, photo: &impl Picture) -> Vec<f32> {
    preprocessing.levels(photo).into_iter().map(|level| level / 255.0).collect()
}

/// A picture at the input's size as pixels in 0..=1: C·H·W, red first.
pub fn of_picture(channels: usize, picture: &RgbImage) -> Vec<f32> {
    planes(picture, channels).into_iter().map(|level| level / 255.0).collect()
}

/// Pixels in 0..=1 (red first) as the model's own input: (255 · p · scale − mean) / std, channels in its order.
pub fn input(preprocessing: &Preprocessing, pixels: &[f32]) -> Vec<f32> {
    preprocessing.normalize_levels(&levels(pixels))
}

/// Pixels in 0..=1 as levels of 0..=255.
fn levels(pixels: &[f32]) -> Vec<f32> {
    pixels.iter().map(|p| p * 255.0).collect()
}

/// The 8-bit picture of pixels in 0..=1 (rounded to multiples of 1/255); three equal channels for a model of grey images.
pub fn picture(shape: [usize; 3], pixels: &[f32]) -> RgbImage {
    picture_of(shape, &levels(pixels))
}

/// The model with (255 · p · scale − mean) / std per channel, and the reordering of colours, inserted before it.
pub(crate) fn of_pixels(model: &Model, preprocessing: &Preprocessing) -> Result<Model> {
    let at = |e| candor::error::Error::graph(&model.info.path, e);
    let [channels, ..] = model.input_shape;
    let per_channel = |value: &dyn Fn(usize) -> f64| {
        Tensor::floats(&[1, channels, 1, 1], (0..channels).map(|c| value(c) as f32).collect()).map_err(at)
    };
    let p = preprocessing;
    let gain = per_channel(&|c| 255.0 * p.scale / p.std[c])?;
    let shift = per_channel(&|c| -p.mean[c] / p.std[c])?;
    let mut graph: Graph = model.graph.clone();
    let shape =
        graph.shape(model.input).ok_or_else(|| at(GraphError::Malformed("the input has no shape".into())))?;
    graph.inputs.retain(|i| *i != model.input);
    let input = graph.add_input("pixels", DataType::Float, &shape);
    let (graph, _) = insert::in_front(graph, model.input, |b| {
        let rgb = b.value(input);
        let channel = |c: i64| rgb.slice(&[1], &[c], &[c + 1], &[1]);
        let swapped = p.color == ColorOrder::Bgr && channels == 3;
        let ordered = if swapped { b.concat(&[channel(2), channel(1), channel(0)], 1) } else { rgb };
        Ok(ordered * b.constant(gain) + b.constant(shift))
    })
    .map_err(at)?;
    Ok(Model { input, ..model.with_graph(graph) })
}
