//! Local evidence: which classes are present, and where. The coarsest level is covered with windows; the last layers classify each window
//! with everything outside it set to zero, for all classes at once, so that classes compete at each position (new in Candor).

use candor_graph::error::Result as GraphResult;
use candor_graph::flops;
use candor_graph::footprint::batch_within;
use candor_graph::graph::ValueId;
use candor_graph::insert::{self, MaskShape};
use candor_graph::rewrite;
use candor_graph::tensor::Tensor;

use super::levels::Level;
use super::settings::Settings;
use super::windows::{self, Window};
use crate::engine::Session;
use crate::error::{Error, Result, first_floats};
use crate::model::Model;
use crate::passes::Passes;
use crate::scores::all_log_odds;

/// Maximum bytes of all values of one batch of windows together.
const BATCH_BYTES: u64 = 1 << 28;
/// Maximum number of windows in one batch.
const MOST_ROWS: u64 = 64;
/// Features in a window that covers the fraction `a` of the grid are multiplied by a^-GAIN. A head that averages over positions sees the
/// features of a small window as weak; this makes up for half of that (on a logarithmic scale). Of 0, 1/4, 1/2, 3/4 and 1, 1/2 found most
/// classes in tuning grids of four networks without losing any that is alone in its photo.
const GAIN: f32 = 0.5;
/// The crowd is the evidence that one in this many classes of a photo has. Models with fewer classes have no crowd; for them the
/// whole grid is the only window. With few classes, some part of any photo resembles one of them more than the others: with ten classes,
/// windows found 0.58 to 0.98 of the answers of three networks at a false-alarm rate of 0.01, the whole photo found all of them.
pub(super) const CROWD: usize = 20;
/// Highest rank of the class whose evidence is the crowd.
pub(super) const CROWD_RANK: usize = 10;

/// The compiled last layers of a model, after a mask on its coarsest level.
pub(super) struct PlaceTest {
    features: Box<dyn Session>,
    tail: Box<dyn Session>,
    windows: Vec<Window>,
    grid: [usize; 2],
    fixed_batch: Option<usize>,
    rows: usize,
    /// Whether the level is all that the last layers read, so that without it they give the null.
    alone: bool,
    multi_label: bool,
    passes: Passes,
}

/// An image at its coarsest level, with the logits of its windows.
#[derive(Debug)]
pub(super) struct Places {
    crossing: Vec<Tensor>,
    /// Logits of each window, in the order of [`windows::over`].
    logits: Vec<Vec<f32>>,
    /// Logits with every mask zero, where the last layers tell them.
    pub null: Option<Vec<f32>>,
}

/// The window that shows a class best.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The window in which its log-odds are highest, over the grid `grid`.
    pub window: Window,
    /// Height and width of the coarsest level.
    pub grid: [usize; 2],
    /// Its log-odds with only the features in the window.
    pub log_odds: f64,
    /// Evidence in the window minus the crowd: the evidence that one class in twenty of this image has or, among fewer than 200 classes,
    /// that of the tenth; at least 0.
    pub strength: f64,
    /// The strength in the whole photo, which is one of the windows.
    pub of_photo: f64,
}

impl Place {
    /// The whole image, for models of few classes: the strength is its evidence.
    pub(super) fn whole(grid: [usize; 2], log_odds: f64, floor: f64) -> Self {
        let strength = log_odds - floor;
        Place { window: Window::whole(grid), grid, log_odds, strength, of_photo: strength }
    }
}

impl PlaceTest {
    /// Compiles the layers before and after a level. `before`: operations for an image in front of the first mask, which are done twice.
    pub fn new(model: &Model, coarsest: &Level, before: u64) -> Result<Self> {
        let Parts { cut, mask, windows, grid, rows } =
            parts(model, coarsest).map_err(|e| Error::graph(&model.info.path, e))?;
        let alone = cut.crossing == [coarsest.value];
        // The whole grid is part of the photo's pass.
        let more = windows.len() - 1 + usize::from(alone);
        let behind = flops::forward_from(&cut.suffix, &[mask], 1) * more as u64;
        let more = (before + behind).div_ceil(flops::forward(&model.graph, 1).max(1));
        Ok(PlaceTest {
            features: model.engine.compile(&cut.prefix)?,
            tail: model.engine.compile(&cut.suffix)?,
            rows,
            windows,
            grid,
            fixed_batch: model.fixed_batch,
            alone,
            multi_label: model.is_sigmoid(),
            passes: Passes { forward: more, backward: 0 },
        })
    }

    /// Passes for testing an image, beyond its own: the part of a pass that is done twice and the windows', by arithmetic operations,
    /// rounded up.
    pub fn passes(&self) -> Passes {
        self.passes
    }

    /// Evaluates the windows of an image (C·H·W preprocessed values).
    pub fn test(&mut self, model: &Model, image: &[f32]) -> Result<Places> {
        let crossing = self.features.run(&[&model.input_tensor(image)?])?;
        let mut masks: Vec<_> = self.windows.iter().map(|w| (*w, gain(w, self.grid))).collect();
        if self.alone {
            masks.push((Window::whole(self.grid), 0.0));
        }
        let mut logits = self.logits(&crossing, &masks)?;
        logits.iter().try_for_each(|row| model.check_scores(row))?;
        let null = if self.alone { logits.pop() } else { None };
        Ok(Places { crossing, logits, null })
    }

    /// Logits of an image (C·H·W preprocessed values) alone.
    pub fn answer(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        let crossing = self.features.run(&[&model.input_tensor(image)?])?;
        let answer = self.logits(&crossing, &[(Window::whole(self.grid), 1.0)])?.swap_remove(0);
        model.check_scores(&answer)?;
        Ok(answer)
    }

    /// Logits of an image with its features in each window multiplied by the window's factor, and zero outside.
    fn logits(&mut self, crossing: &[Tensor], windows: &[(Window, f32)]) -> Result<Vec<Vec<f32>>> {
        let mut all = vec![];
        for part in windows.chunks(self.fixed_batch.unwrap_or(self.rows)) {
            let rows = self.fixed_batch.unwrap_or(part.len());
            let mut masks: Vec<f32> =
                part.iter().flat_map(|(w, gain)| w.mask(self.grid, self.grid, [*gain, 0.0])).collect();
            masks.resize(rows * self.grid[0] * self.grid[1], 0.0);
            let masks = Tensor::floats(&[rows, 1, self.grid[0], self.grid[1]], masks);
            let masks = masks.map_err(|e| Error::graph("windows", e))?;
            let inputs: Vec<&Tensor> = std::iter::once(&masks).chain(crossing).collect();
            let scores = first_floats(self.tail.run(&inputs)?, "the scores of windows")?;
            let classes = scores.len() / rows;
            all.extend(scores.chunks(classes.max(1)).take(part.len()).map(<[f32]>::to_vec));
        }
        Ok(all)
    }

    /// The window that shows each class of an image best. `floors`: the null log-odds of every class. `left_out`: classes that do not
    /// compete with a given class.
    pub fn places(
        &mut self,
        places: &Places,
        classes: &[usize],
        floors: &[f64],
        left_out: &dyn Fn(usize) -> Vec<usize>,
    ) -> Result<Vec<Place>> {
        let found = places.found(floors, self.multi_label);
        let crowd = crowd(&found);
        let best: Vec<(f64, usize)> = classes
            .iter()
            .map(|&class| match &left_out(class)[..] {
                [] => found[class],
                others => places.without(class, others, floors[class], self.multi_label),
            })
            .collect();
        let windows: Vec<_> = best.iter().map(|&(_, at)| (self.windows[at], 1.0)).collect();
        let logits = self.logits(&places.crossing, &windows)?;
        let place = |(((&class, (evidence, _)), (window, _)), logits): (((&usize, _), _), Vec<f32>)| {
            let odds = |logits: &[f32]| odds(logits, class, &left_out(class), self.multi_label);
            let of_photo = odds(places.whole()) - floors[class] - crowd;
            Place { window, grid: self.grid, log_odds: odds(&logits), strength: evidence - crowd, of_photo }
        };
        Ok(classes.iter().zip(best).zip(windows).zip(logits).map(place).collect())
    }

    /// The strength ([`Place::strength`]) of every class of an image.
    pub fn strengths(&self, places: &Places, floors: &[f64]) -> Vec<f64> {
        let found = places.found(floors, self.multi_label);
        let crowd = crowd(&found);
        found.iter().map(|(evidence, _)| evidence - crowd).collect()
    }
}

impl Places {
    /// Logits of the image: the last window is the whole grid.
    pub fn whole(&self) -> &[f32] {
        self.logits.last().map_or(&[], Vec::as_slice)
    }

    /// For each class the largest evidence over all windows, and the index of that window.
    fn found(&self, floors: &[f64], multi_label: bool) -> Vec<(f64, usize)> {
        let mut best = vec![(f64::NEG_INFINITY, 0); floors.len()];
        for (at, logits) in self.logits.iter().enumerate() {
            let odds = if multi_label {
                logits.iter().map(|&v| f64::from(v)).collect()
            } else {
                all_log_odds(logits)
            };
            for ((best, odds), floor) in best.iter_mut().zip(odds).zip(floors) {
                if odds - floor > best.0 {
                    *best = (odds - floor, at);
                }
            }
        }
        best
    }

    fn without(&self, class: usize, left_out: &[usize], floor: f64, multi_label: bool) -> (f64, usize) {
        let evidence = |logits: &Vec<f32>| odds(logits, class, left_out, multi_label) - floor;
        let all = self.logits.iter().map(evidence).zip(0..);
        all.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::NEG_INFINITY, 0))
    }
}

fn odds(logits: &[f32], class: usize, left_out: &[usize], multi_label: bool) -> f64 {
    if multi_label { f64::from(logits[class]) } else { crate::scores::log_odds(logits, class, left_out) }
}

/// Whether only a loss of log-odds costs, so that masks may remove rivals at other positions. Not with two classes: there, evidence
/// against one is evidence for the other, so that a mask that may gain need not keep anything in particular (of 38 maps of a network for
/// X-rays, 13 were constant).
pub(super) fn losses_only(settings: &Settings, classes: usize) -> bool {
    settings.places && classes > 2
}

/// Whether a model has enough classes for windows to be evaluated.
pub fn has_crowd(classes: usize) -> bool {
    classes >= CROWD
}

/// The evidence that one class in twenty of an image has, or that of the tenth if there are fewer than 200 classes; at least 0, and 0
/// for fewer than twenty classes. An image with many objects gives some evidence to many absent classes; what they have in common is
/// not counted for any.
fn crowd(found: &[(f64, usize)]) -> f64 {
    if !has_crowd(found.len()) {
        return 0.0;
    }
    let mut evidence: Vec<f64> = found.iter().map(|(e, _)| *e).collect();
    evidence.sort_by(|a, b| b.total_cmp(a));
    evidence[(found.len() / CROWD).max(CROWD_RANK) - 1].max(0.0)
}

/// A model cut at a mask on a level, for evaluating windows.
pub(super) struct Parts {
    pub cut: insert::Cut,
    /// The mask, an input of the suffix.
    pub mask: ValueId,
    pub windows: Vec<Window>,
    /// Height and width of the level.
    pub grid: [usize; 2],
    /// Maximum number of windows in one batch.
    pub rows: usize,
}

/// Cuts a model at a mask on a level.
pub(super) fn parts(model: &Model, level: &Level) -> GraphResult<Parts> {
    let (mut graph, sites) =
        insert::insert_masks(model.graph.clone(), &[level.feature()], MaskShape::Spatial)?;
    rewrite::remove_dead(&mut graph);
    let mask = sites[0].mask;
    let cut = insert::cut(&graph, &[mask]);
    let [_, height, width] = level.shape;
    // Other crossing values may depend on the batch.
    let alone = cut.crossing == [level.value];
    let rows = if alone { batch_within(&cut.suffix, BATCH_BYTES, MOST_ROWS) } else { 1 };
    Ok(Parts { cut, mask, windows: windows::over([height, width]), grid: [height, width], rows })
}

/// The factor of the features in a window of a grid.
pub(super) fn gain(window: &Window, [height, width]: [usize; 2]) -> f32 {
    ((height * width) as f32 / window.cells() as f32).powf(GAIN)
}

#[cfg(test)]
mod tests {
    use super::crowd;

    #[test]
    fn the_crowd_is_what_one_class_in_twenty_has() {
        let of = |n: usize| crowd(&(0..n).map(|i| (i as f64, 0)).collect::<Vec<_>>());
        assert_eq!(of(1000), 950.0);
        assert_eq!((of(20), of(19), of(2)), (10.0, 0.0, 0.0));
        assert_eq!(crowd(&[(-3.0, 0); 40]), 0.0, "none is below the null");
    }
}
