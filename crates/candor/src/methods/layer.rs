//! One layer's feature maps, and the network after it with some of them left out.

use crate::progress::Progress;
use candor_graph::insert::{self, MaskShape};
use candor_graph::rewrite;
use candor_graph::tensor::Tensor;

use super::Choices;
use super::cam::layer;
use super::forward::Forward;
use crate::engine::Session;
use crate::error::{Error, ModelError, Result, floats};
use crate::mask::Level;
use crate::model::Model;
use crate::parameters::Parameters;

/// Masked copies per batch.
const BATCH: usize = 16;

/// What methods on a layer's feature maps need: the feature maps and the logits of the current photo.
pub(super) struct LayerFeatures {
    pub forward: Forward,
    pub cut: CutAtLayer,
    pub level: Level,
    /// C×H×W.
    pub features: Vec<f32>,
}

impl LayerFeatures {
    /// Compiles the network up to the layer that the caller chose.
    pub(super) fn compile(model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Self> {
        let level = layer(model, p, choices)?;
        let (forward, cut) = (Forward::compile(model)?, CutAtLayer::compile(model, level.clone())?);
        Ok(LayerFeatures { forward, cut, level, features: vec![] })
    }

    /// Sets the photo and returns its logits.
    pub(super) fn begin(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.features = self.cut.begin(model, image)?;
        self.forward.begin(model, image)
    }
}

/// A model cut at a layer.
pub(super) struct CutAtLayer {
    before: Box<dyn Session>,
    behind: Box<dyn Session>,
    /// Index among the crossing values of the layer and, if it crosses, of the image.
    layer_at: usize,
    image_at: Option<usize>,
    level: Level,
    crossing: Vec<Tensor>,
    /// Number of left-out channels per batch.
    batch: usize,
}

impl CutAtLayer {
    /// Cuts a model at a level.
    pub(super) fn compile(model: &Model, level: Level) -> Result<Self> {
        let at = |e| Error::graph(&model.info.path, e);
        let (mut graph, sites) =
            insert::insert_masks(model.graph.clone(), &[level.feature()], MaskShape::Full).map_err(at)?;
        rewrite::remove_dead(&mut graph);
        let cut = insert::cut(&graph, &[sites[0].mask]);
        let in_rows = cut.crosses_in_rows();
        let find = |value| cut.crossing.iter().position(|c| *c == value);
        let layer_at = find(level.value).ok_or_else(|| {
            Error::model(&model.info.path, ModelError::LevelApart { level: level.name.clone() })
        })?;
        let image_at = find(model.input);
        let mut prefix = cut.prefix;
        prefix.outputs.retain(|o| *o != model.input);
        Ok(CutAtLayer {
            before: model.engine.compile(&prefix)?,
            behind: model.engine.compile(&cut.suffix)?,
            layer_at,
            image_at,
            level,
            crossing: vec![],
            batch: model.fixed_batch.unwrap_or(if in_rows { BATCH } else { 1 }),
        })
    }

    /// Runs the part before the layer. Returns the feature maps, C×H×W.
    pub(super) fn begin(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        let image = model.input_tensor(image)?;
        self.crossing = self.before.run(&[&image])?;
        if let Some(i) = self.image_at {
            self.crossing.insert(i, image);
        }
        let features = floats(self.crossing.get(self.layer_at), "a layer")?;
        Ok(self.level.feature().channels_first(&features[..features.len() / model.fixed_batch.unwrap_or(1)]))
    }

    /// Logits with channel k set to zero, for each channel k. `done` is called for each.
    pub(super) fn without_each_channel(
        &mut self,
        model: &Model,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let at = |e| Error::graph(&model.info.path, e);
        let [channels, height, width] = self.level.shape;
        let (area, step) = (height * width, self.batch);
        let mut all = vec![];
        for first in (0..channels).step_by(step) {
            let used = step.min(channels - first);
            let batch = model.fixed_batch.unwrap_or(used);
            let mut mask = vec![1.0; batch * channels * area];
            for i in 0..used {
                let start = (i * channels + first + i) * area;
                mask[start..start + area].fill(0.0);
            }
            let mask = Tensor::floats(&[batch, channels, height, width], mask).map_err(at)?;
            let copies = batch / model.fixed_batch.unwrap_or(1);
            let tiled = self.crossing.iter().map(|t| Tensor::stacked(std::iter::repeat_n(t, copies)));
            let tiled: Vec<Tensor> = tiled.collect::<Result<_, _>>().map_err(at)?;
            let inputs: Vec<&Tensor> = std::iter::once(&mask).chain(&tiled).collect();
            let out = self.behind.run(&inputs)?;
            let logits = floats(out.first(), "the scores")?;
            for row in logits.chunks(model.classes).take(used) {
                model.check_scores(row)?;
                all.push(row.to_vec());
                progress.step()?;
            }
        }
        Ok(all)
    }
}
