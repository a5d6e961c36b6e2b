//! Finds the window that shows a class best, as nodes for exported models: [`super::places`] evaluates windows in batches of one image,
//! this graph all windows of all images in one batch. The closer look, which runs the network again on parts of the image, has no such
//! form.

use candor_graph::builder::{Builder, Expr};
use candor_graph::error::{GraphError, Result};
use candor_graph::graph::{Attr, Node, ValueId};
use candor_graph::insert::{self, MaskSite};
use candor_graph::rewrite;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

use super::looped::copied_logits;
use super::masked::Masked;
use super::objective::maximum;
use super::places::{CROWD, CROWD_RANK, gain};
use super::step::START;
use super::windows::{self, Window};
use crate::model::Model;
use crate::nodes::canvas::equals_class;

/// Lower bound that keeps a logarithm finite.
const LEAST: f32 = 1e-38;

/// Windows over the coarsest level of a batch of images, with their logits.
pub(super) struct Windows<'m, 'b> {
    tail: Tail<'m, 'b>,
    all: Vec<Window>,
    grid: [usize; 2],
    /// Logits of each window of each image, N×W×K.
    logits: Expr<'b>,
    /// Evidence of the crowd (see [`super::places`]), N×1.
    crowd: Expr<'b>,
}

/// For each image, the window that shows its query's class best.
pub(super) struct Placed<'b> {
    /// Index of the window, N; `None` if the whole image is the only one.
    window: Option<Expr<'b>>,
    /// Log-odds with only the features in the window, N×1.
    pub log_odds: Expr<'b>,
    /// Evidence above that of the crowd, N×1.
    pub strength: Expr<'b>,
}

impl<'b> Placed<'b> {
    /// The whole image, for models of few classes, from the log-odds of the images (N×1) and their null.
    pub fn whole(log_odds: Expr<'b>, floor: Expr<'b>) -> Self {
        Placed { window: None, log_odds, strength: log_odds - floor }
    }
}

/// The layers after the coarsest mask.
struct Tail<'m, 'b> {
    masked: &'m Masked,
    /// The mask.
    site: &'m MaskSite,
    nodes: Vec<Node>,
    /// The only value of the layers before that they read: in the masked network, and in the network without masks, N×….
    crossing: (ValueId, Expr<'b>),
}

impl<'m, 'b> Tail<'m, 'b> {
    /// `None` if they read anything else, which may depend on the batch.
    fn of(b: &'b Builder, masked: &'m Masked) -> Result<Option<Self>> {
        let Some(site) = masked.sites.last() else { return Ok(None) };
        let mut forward = masked.cut.suffix.clone();
        forward.outputs.truncate(1);
        rewrite::remove_dead(&mut forward);
        let cut = insert::cut(&forward, &[site.mask]);
        let [crossing] = cut.crossing[..] else { return Ok(None) };
        let ones = masked.sites.iter().map(|site| (site.mask, b.constant(filled(site, 1.0))));
        let open = b.copy(&cut.prefix.nodes, &ones.collect::<Vec<_>>());
        let unmasked = b.value(open.get(&crossing).copied().unwrap_or(crossing));
        let is_float = b.with(|g| g.value(unmasked.id()).dtype) == Some(DataType::Float);
        let batch_first = unmasked.shape().is_ok_and(|shape| {
            matches!(shape.first(), Some(Dim::Batch(_))) && shape[1..].iter().all(|d| d.fixed().is_some())
        });
        let tail = Tail { masked, site, nodes: cut.suffix.nodes, crossing: (crossing, unmasked) };
        Ok((is_float && batch_first).then_some(tail))
    }

    /// Logits of features under a mask of one channel, for the same number of images each.
    fn under(&self, mask: Expr<'b>, features: Expr<'b>) -> Result<Expr<'b>> {
        let b = mask.builder();
        let [channels, ..] = self.site.mask_shape;
        let ones = Tensor::full(&[1, channels, 1, 1], 1.0);
        let mask = if channels > 1 { mask * b.constant(ones) } else { mask };
        let replaced = [(self.site.mask, mask), (self.crossing.0, features)];
        copied_logits(b, self.masked, (&self.nodes, &replaced))
    }

    /// The features of each image, `times` times.
    fn repeated(&self, times: usize) -> Result<Expr<'b>> {
        let (_, features) = self.crossing;
        let shape = features.shape()?;
        let rest: Vec<i64> = shape[1..].iter().map(|d| d.fixed().map_or(-1, |n| n as i64)).collect();
        // If a value has several rows per image, these stay together.
        let Some(Dim::Batch(rows)) = shape.first() else {
            return Err(GraphError::Malformed("features without a batch".into()));
        };
        let one = [&[-1, 1, *rows as i64], &rest[..]].concat();
        let ones = [&[1, times][..], &vec![1; 1 + rest.len()]].concat();
        let all = features.reshape(&one) * features.builder().constant(Tensor::full(&ones, 1.0));
        Ok(all.reshape(&[&[-1], &rest[..]].concat()))
    }
}

impl<'m, 'b> Windows<'m, 'b> {
    /// The logits of all windows over the coarsest level; `None` if the model does not allow a batch of windows. `floors`: the null
    /// log-odds of each class, N×K.
    pub fn new(b: &'b Builder, model: &Model, masked: &'m Masked, floors: Expr<'b>) -> Result<Option<Self>> {
        let Some(tail) = Tail::of(b, masked)?.filter(|_| model.fixed_batch.is_none()) else {
            return Ok(None);
        };
        let [_, height, width] = tail.site.value_shape;
        let grid = [height, width];
        let all = windows::over(grid);
        let masks = all.iter().flat_map(|w| w.mask(grid, grid, [gain(w, grid), 0.0])).collect();
        let masks = b.constant(Tensor::floats(&[1, all.len(), height, width], masks)?);
        // One set of windows per image, for any number of images.
        let each = floors.sum(&[1], true).reshape(&[-1, 1, 1, 1]) * 0.0 + masks;
        let rows = each.reshape(&[-1, 1, height as i64, width as i64]);
        let logits = tail.under(rows, tail.repeated(all.len())?)?;
        let by_window = [-1, all.len() as i64, model.classes as i64];
        let odds = if model.is_sigmoid() { logits } else { all_log_odds(logits, model.classes) };
        let evidence = odds.reshape(&by_window) - floors.reshape(&[-1, 1, model.classes as i64]);
        let axes = b.ints(&[1]);
        let best = evidence.op("ReduceMax", &[axes], &[("keepdims", Attr::Int(0))]);
        let rank = (model.classes / CROWD).max(CROWD_RANK);
        let crowd = best.largest(rank).slice(&[1], &[rank as i64 - 1], &[rank as i64], &[1]);
        let crowd = maximum(crowd, b.scalar(0.0));
        Ok(Some(Windows { tail, all, grid, logits: logits.reshape(&by_window), crowd }))
    }

    /// The window that shows a class of each image best. `one_hot`, `rivals` (N×K) and `floor` (N×1) as in a query; `odds`: log-odds of
    /// N×K logits.
    pub fn place(
        &self,
        (one_hot, rivals, floor): (Expr<'b>, Expr<'b>, Expr<'b>),
        multi_label: bool,
        odds: &dyn Fn(Expr<'b>) -> Expr<'b>,
    ) -> Result<Placed<'b>> {
        let b = one_hot.builder();
        let axes = |axis: i64| b.ints(&[axis]);
        let each = |x: Expr<'b>| x.op("Unsqueeze", &[axes(1)], &[]);
        let mut evidence = (self.logits * each(one_hot)).sum(&[2], false);
        if !multi_label {
            let others = self.logits + each(rivals);
            let most = others.op("ReduceMax", &[axes(2)], &[]);
            let total = (others - most).exp().sum(&[2], true).op("Log", &[], &[]) + most;
            evidence = evidence - total.reshape(&[-1, self.all.len() as i64]);
        }
        let best = evidence.op("ReduceMax", &[axes(1)], &[]);
        let window = evidence.op("ArgMax", &[], &[("axis", Attr::Int(1)), ("keepdims", Attr::Int(0))]);
        let mask = self.table(self.grid, [1.0, 0.0], b)?.op("Gather", &[window], &[]);
        let log_odds = odds(self.tail.under(mask, self.tail.crossing.1)?);
        Ok(Placed { window: Some(window), log_odds, strength: best - floor - self.crowd })
    }

    /// The masks of all windows on a grid, W×1×H×W.
    fn table(&self, [height, width]: [usize; 2], values: [f32; 2], b: &'b Builder) -> Result<Expr<'b>> {
        let masks = self.all.iter().flat_map(|w| w.mask(self.grid, [height, width], values)).collect();
        Ok(b.constant(Tensor::floats(&[self.all.len(), 1, height, width], masks)?))
    }

    /// Initial masks, as in [`super::step::Step::start`]. `full`: a mask of ones for the site, one per query.
    pub fn start(&self, placed: &Placed<'b>, site: &MaskSite, full: Expr<'b>) -> Result<Expr<'b>> {
        let [_, height, width] = site.mask_shape;
        match placed.window {
            Some(window) if [height, width] != [1, 1] => {
                Ok(full * self.table([height, width], START, full.builder())?.op("Gather", &[window], &[]))
            }
            _ => Ok(full),
        }
    }
}

/// A mask of one image with the same value everywhere.
pub(super) fn filled(site: &MaskSite, value: f32) -> Tensor {
    let [c, h, w] = site.mask_shape;
    Tensor::full(&[1, c, h, w], value)
}

/// [`crate::scores::all_log_odds`] as nodes, R×K → R×K.
pub(super) fn all_log_odds(logits: Expr<'_>, classes: usize) -> Expr<'_> {
    let b = logits.builder();
    let axes = b.ints(&[1]);
    let most = logits.op("ReduceMax", &[axes], &[]);
    let exp = (logits - most).exp();
    let best = logits.op("ArgMax", &[], &[("axis", Attr::Int(1)), ("keepdims", Attr::Int(0))]);
    let best = equals_class(best, &[Dim::Batch(1), Dim::Fixed(classes)]);
    // Subtracting the largest term from the sum would leave too few digits.
    let others = (exp * (1.0 - best)).sum(&[1], true);
    let rest = others + (1.0 - exp) * (1.0 - best);
    logits - most - maximum(rest, b.scalar(LEAST)).op("Log", &[], &[])
}
