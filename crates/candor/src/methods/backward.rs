//! Runs the network forward once per photo, then one backward sweep for all queries in one batch.
//!
//! The graph is cut where the queries enter: what depends on the image alone (activations, masks of the ReLUs, LRP's
//! denominators) is computed once; the sweep's part has one row per query and broadcasts the image's values.

use crate::progress::Progress;
use candor_graph::builder::{Builder, Expr};
use candor_graph::error::GraphError;
use candor_graph::flops;
use candor_graph::grad::{Policy, propagate};
use candor_graph::graph::{Graph, ValueId};
use candor_graph::insert;
use candor_graph::rewrite;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

use super::Compiled;
use crate::engine::{Folding, Session};
use crate::error::{Error, ModelError, Result, first_floats, floats};
use crate::explanation::Explanation;
use crate::map::Map;
use crate::model::Model;
use crate::passes::Passes;

/// Maximum number of queries in one batch: limits the memory.
const MAX_BATCH: usize = 8;

/// The seed of the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// 1 at the queried class: gradients and probabilities.
    One,
    /// The class's logit: for relevance, which then adds up to it.
    Score,
}

/// What to compile.
pub struct Plan<'p> {
    /// The model's graph, or one with more in it.
    pub graph: Graph,
    /// An additional input with the image's shape.
    pub reference: Option<ValueId>,
    /// Values whose gradients (or the policy's equivalent) are wanted.
    pub wrt: Vec<ValueId>,
    /// Values that are themselves wanted.
    pub values: Vec<ValueId>,
    /// Overrides of the gradient rules.
    pub policy: Policy<'p>,
    /// The seed of the sweep.
    pub seed: Seed,
    /// How the method combines the results of the sweep, as nodes; if `None`, these are the results.
    pub combine: Option<Combine>,
}

/// Arguments of [`Plan::combine`].
pub struct Swept<'b> {
    /// The image, N×C×H×W.
    pub image: Expr<'b>,
    /// The reference; the image itself if the plan has none.
    pub reference: Expr<'b>,
    /// The plan's `wrt` values.
    pub wrt: Vec<Expr<'b>>,
    /// The sweep's result for each of `wrt`.
    pub found: Vec<Expr<'b>>,
}

/// Combines the results of a sweep into one value, N×C×H×W.
pub type Combine = Box<dyn for<'b> Fn(&Swept<'b>) -> Expr<'b>>;

impl Plan<'_> {
    /// Plain gradients of the class's logit with respect to `wrt`.
    pub fn gradient(model: &Model, wrt: &[ValueId]) -> Self {
        Plan {
            graph: model.graph.clone(),
            reference: None,
            wrt: wrt.to_vec(),
            values: vec![],
            policy: Policy::default(),
            seed: Seed::One,
            combine: None,
        }
    }

    /// Appends the sweep and the plan's `combine` to the plan's graph, for one-hot queries N×K. Returns the graph, the query and the
    /// results.
    pub(super) fn append(
        self,
        model: &Model,
        query: impl for<'b> FnOnce(&'b Builder, &[Dim]) -> Expr<'b>,
    ) -> Result<(Graph, ValueId, Vec<ValueId>), GraphError> {
        let builder = Builder::new(self.graph);
        let shape = builder.value(model.logits).shape()?;
        let query = query(&builder, &shape);
        let seed = match self.seed {
            Seed::One => query.id(),
            Seed::Score => (query * builder.value(model.logits)).id(),
        };
        let query = query.id();
        let (graph, found) = propagate(builder.finish()?, &[(model.logits, seed)], &self.wrt, &self.policy)?;
        let Some(combine) = self.combine else { return Ok((graph, query, found)) };
        let builder = Builder::new(graph);
        let values = |ids: &[ValueId]| ids.iter().map(|&id| builder.value(id)).collect();
        let swept = Swept {
            image: builder.value(model.input),
            reference: builder.value(self.reference.unwrap_or(model.input)),
            wrt: values(&self.wrt),
            found: values(&found),
        };
        let result = combine(&swept).id();
        drop(swept);
        Ok((builder.finish()?, query, vec![result]))
    }
}

/// Where an input of the sweep's part comes from.
enum Source {
    Image,
    Reference,
    /// An output of the forward part.
    Computed(usize),
}

/// A compiled [`Plan`].
pub struct Backward {
    forward: Box<dyn Session>,
    sweep: Box<dyn Session>,
    /// Inputs of the sweep's part after the one-hot queries.
    sources: Vec<Source>,
    /// Maximum number of classes of one photo per sweep.
    most: usize,
    logits: usize,
    values: Vec<Source>,
    /// Cost of a photo (forward) and of a query (backward), in passes of the model.
    cost: Passes,
    photo: Photo,
    /// The current photo, C×H×W.
    pub image: Vec<f32>,
}

/// The current photo: its image, its reference, and the outputs of the forward part.
#[derive(Default)]
struct Photo {
    inputs: Vec<Tensor>,
    computed: Vec<Tensor>,
}

impl Photo {
    fn find(&self, source: &Source) -> &Tensor {
        match source {
            Source::Image => &self.inputs[0],
            Source::Reference => &self.inputs[1],
            Source::Computed(i) => &self.computed[*i],
        }
    }
}

impl Backward {
    /// Compiles a plan.
    ///
    /// # Errors
    /// A node without a rule, one that the policy refuses, or an operator that the engine does not support.
    pub fn compile(model: &Model, plan: Plan<'_>) -> Result<Self> {
        let at = |e| Error::graph(&model.info.path, e);
        let (reference, values) = (plan.reference, plan.values.clone());
        let one_hot = |b: &'_ Builder, shape: &[Dim]| b.input("query_one_hot", DataType::Float, shape).id();
        let (mut graph, query, found) =
            plan.append(model, |b, shape| b.value(one_hot(b, shape))).map_err(at)?;
        graph.outputs = found.clone();
        graph.outputs.push(model.logits);
        graph.outputs.extend(&values);
        rewrite::fold_constants(&mut graph, &Folding(model.engine.as_ref())).map_err(at)?;
        rewrite::remove_dead(&mut graph);
        graph.check().map_err(at)?;
        let cut = insert::cut(&graph, &[query]);
        let (mut prefix, mut suffix) = (cut.prefix, cut.suffix);
        let is_input = |id: &ValueId| *id == model.input || Some(*id) == reference;
        prefix.outputs.retain(|id| !is_input(id));
        suffix.outputs = found;
        let read: Vec<ValueId> =
            suffix.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied()).collect();
        suffix.inputs.retain(|id| *id == query || read.contains(id));
        let source = |id: ValueId| match prefix.outputs.iter().position(|o| *o == id) {
            _ if id == model.input => Ok(Source::Image),
            _ if Some(id) == reference => Ok(Source::Reference),
            Some(i) => Ok(Source::Computed(i)),
            None => Err(Error::model(&model.info.path, ModelError::NotComputed)),
        };
        let sources: Result<Vec<Source>> = suffix.inputs.iter().skip(1).map(|&id| source(id)).collect();
        let values: Result<Vec<Source>> = values.iter().map(|&id| source(id)).collect();
        let together = suffix.inputs.iter().skip(1).all(|&id| serves_several(&suffix, id));
        // A rule may compute layers more than once: for denominators of relevance, or for the reference's copy of the network.
        let passes = |part: &Graph| {
            let whole = flops::forward(&model.graph, 1).max(1);
            ((flops::forward(part, 1) as f64 / whole as f64).round() as u64).max(1)
        };
        let cost = Passes { forward: passes(&prefix), backward: passes(&suffix) };
        Ok(Backward {
            cost,
            logits: prefix.outputs.iter().position(|o| *o == model.logits).unwrap_or(0),
            forward: model.engine.compile(&prefix)?,
            sweep: model.engine.compile(&suffix)?,
            sources: sources?,
            most: if together { MAX_BATCH } else { 1 },
            values: values?,
            photo: Photo::default(),
            image: vec![],
        })
    }

    /// Sets the photo, for methods that then run the network on variations of it, and returns its logits.
    ///
    /// # Errors
    /// As [`Backward::forward`].
    pub(super) fn begin(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.image = image.to_vec();
        self.forward(model, &[image])
    }

    /// Runs the forward part on an image and, if the plan has one, a reference. Returns the image's logits.
    ///
    /// # Errors
    /// If the engine fails or a score is not a finite number.
    pub(super) fn forward(&mut self, model: &Model, images: &[&[f32]]) -> Result<Vec<f32>> {
        let inputs = images.iter().map(|image| model.input_tensor(image)).collect::<Result<Vec<_>>>()?;
        let computed = self.forward.run(&inputs.iter().collect::<Vec<_>>())?;
        let mut scores = floats(computed.get(self.logits), "the scores")?.to_vec();
        self.photo = Photo { inputs, computed };
        scores.truncate(model.classes);
        model.check_scores(&scores)?;
        Ok(scores)
    }

    /// Runs the forward part on a batch of images, N×C×H×W. Returns their logits, N×K.
    ///
    /// # Errors
    /// As `Backward::forward`.
    pub fn forward_batch(&mut self, model: &Model, images: Tensor) -> Result<Vec<f32>> {
        let computed = self.forward.run(&[&images])?;
        let scores = floats(computed.get(self.logits), "the scores")?.to_vec();
        self.photo = Photo { inputs: vec![images], computed };
        model.check_scores(&scores)?;
        Ok(scores)
    }

    /// Runs the sweep for the last batch, from the gradient with respect to the logits of each image, N×K. Returns the
    /// gradient with respect to the first of the plan's `wrt`.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn sweep_batch(&mut self, seeds: &Tensor) -> Result<Vec<f32>> {
        let inputs: Vec<&Tensor> =
            std::iter::once(seeds).chain(self.sources.iter().map(|s| self.photo.find(s))).collect();
        let found = self.sweep.run_first(&inputs, 1)?;
        first_floats(found, "a gradient")
    }

    /// The plan's value `i` for the last image (one row, without the batch axis).
    pub(super) fn value(&self, model: &Model, i: usize) -> Result<&[f32]> {
        let all = floats(Some(self.photo.find(&self.values[i])), "a value of the network")?;
        Ok(&all[..all.len() / model.fixed_batch.unwrap_or(1)])
    }

    /// Runs the sweep for each class. Returns for each class the gradient with respect to each of the plan's `wrt`, without the batch
    /// axis.
    ///
    /// # Errors
    /// If the engine fails.
    pub(super) fn sweep(&mut self, model: &Model, classes: &[usize]) -> Result<Vec<Vec<Vec<f32>>>> {
        let one_hot = |&class: &usize| {
            let mut seed = vec![0.0; model.classes];
            seed[class] = 1.0;
            seed
        };
        self.sweep_from(model, &classes.iter().map(one_hot).collect::<Vec<_>>())
    }

    /// As [`Backward::sweep`], from gradients with respect to the logits, one per query.
    pub(super) fn sweep_from(&mut self, model: &Model, seeds: &[Vec<f32>]) -> Result<Vec<Vec<Vec<f32>>>> {
        let mut all = vec![];
        for part in seeds.chunks(model.fixed_batch.unwrap_or(self.most)) {
            let batch = model.fixed_batch.unwrap_or(part.len());
            let mut query = part.concat();
            query.resize(batch * model.classes, 0.0);
            let query = Tensor::floats(&[batch, model.classes], query)
                .map_err(|e| Error::graph(&model.info.path, e))?;
            let inputs: Vec<&Tensor> =
                std::iter::once(&query).chain(self.sources.iter().map(|s| self.photo.find(s))).collect();
            let out = self.sweep.run(&inputs)?;
            for row in 0..part.len() {
                let of_row = |t: &Tensor| {
                    let values = floats(Some(t), "a gradient")?;
                    let size = values.len() / t.shape().first().copied().unwrap_or(1).max(1);
                    // A gradient that does not depend on the query has one row for all of them.
                    let row = if t.shape().first() == Some(&1) { 0 } else { row };
                    Ok(values[row * size..(row + 1) * size].to_vec())
                };
                all.push(out.iter().map(of_row).collect::<Result<_>>()?);
            }
        }
        Ok(all)
    }
}

/// Whether a photo's value can be broadcast over the queries of a sweep: one row of floats. Windows of a transformer are several rows
/// per image, and integers may depend on the batch.
fn serves_several(graph: &Graph, id: ValueId) -> bool {
    let one_row = |shape: Vec<Dim>| {
        let fixed = |d: &Dim| matches!(d, Dim::Fixed(_));
        shape.iter().skip(1).all(fixed)
            && shape.first().is_none_or(|d| *d == Dim::Batch(1) || *d == Dim::Fixed(1))
    };
    insert::is_feature(graph, id) && graph.shape(id).is_some_and(one_row)
}

/// Explanations whose maps are learned class by class, each in `count` forward and backward passes in addition to the photo's own.
pub(super) fn class_by_class(
    classes: &[usize],
    count: u64,
    mut learn: impl FnMut(usize) -> Result<Map>,
) -> Result<Vec<Explanation>> {
    let own = Passes { forward: 1, backward: 0 };
    let one = |(q, &class): (usize, &usize)| {
        let forward = own.share(q, classes.len()).forward + count;
        Ok(Explanation::of_map(learn(class)?, Passes { forward, backward: count }))
    };
    classes.iter().enumerate().map(one).collect()
}

/// A method's view of one query.
pub(super) struct View<'v> {
    /// The model.
    pub model: &'v Model,
    /// The image, C×H×W.
    pub image: &'v [f32],
    /// The image's logits.
    pub scores: &'v [f32],
    /// The queried class.
    pub class: usize,
    /// The plan's `values`.
    pub values: &'v [&'v [f32]],
    /// The sweep's results for the plan's `wrt`.
    pub found: &'v [Vec<f32>],
}

/// Makes an explanation from the results of one sweep.
pub(super) type Read = Box<dyn Fn(&View<'_>) -> Explanation + Send>;
/// Makes the reference of an image.
pub(super) type MakeReference = Box<dyn Fn(&Model, &[f32]) -> Result<Vec<f32>> + Send>;

/// An explainer that runs the forward part once per photo and the sweep once per query.
pub(super) struct OneSweep {
    backward: Backward,
    read: Read,
    make_reference: Option<MakeReference>,
    image: Vec<f32>,
    scores: Vec<f32>,
}

impl OneSweep {
    /// An explainer for a plan without a reference.
    pub(super) fn new(model: &Model, plan: Plan<'_>, read: Read) -> Result<Self> {
        let backward = Backward::compile(model, plan)?;
        let (image, scores) = (vec![], vec![]);
        Ok(OneSweep { backward, read, make_reference: None, image, scores })
    }

    /// An explainer for a plan with a reference.
    pub(super) fn against(model: &Model, plan: Plan<'_>, make: MakeReference, read: Read) -> Result<Self> {
        Ok(OneSweep { make_reference: Some(make), ..OneSweep::new(model, plan, read)? })
    }
}

impl Compiled for OneSweep {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.image = image.to_vec();
        let reference = self.make_reference.as_ref().map(|make| make(model, image)).transpose()?;
        let images: Vec<&[f32]> = std::iter::once(image).chain(reference.as_deref()).collect();
        self.scores = self.backward.forward(model, &images)?;
        Ok(self.scores.clone())
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let found = self.backward.sweep(model, classes)?;
        let values: Vec<&[f32]> =
            (0..self.backward.values.len()).map(|i| self.backward.value(model, i)).collect::<Result<_>>()?;
        let Passes { forward, backward } = self.backward.cost;
        let passes = Passes { forward, backward: backward * classes.len() as u64 };
        let explain = |(q, found): (usize, Vec<Vec<f32>>)| {
            let view = View {
                model,
                image: &self.image,
                scores: &self.scores,
                class: classes[q],
                values: &values,
                found: &found,
            };
            Explanation { passes: passes.share(q, classes.len()), ..(self.read)(&view) }
        };
        let explanations = found.into_iter().enumerate().map(explain).collect();
        progress.step()?;
        Ok(explanations)
    }
}
