//! Local evidence: which classes are there, and where. The coarsest level is covered with windows; the last layers answer for each window
//! with everything outside it at zero, for all classes at once, so that classes compete where they are (new in Candor).

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

/// Most bytes that the values of one batch of windows may have, all together.
const BATCH_BYTES: u64 = 1 << 28;
/// Most windows in one batch.
const MOST_ROWS: u64 = 64;
/// Features in a window of share `a` of the grid are multiplied by a^-GAIN. A head that averages over places sees those of a small window as
/// weak ones; half of that (in the logarithm) is made up for. Of 0, 1/4, 1/2, 3/4 and 1, 1/2 found most classes in tuning grids of four
/// networks without losing any that stands alone in its photo.
const GAIN: f32 = 0.5;
/// The crowd is where one class in so many lies above. Models of fewer classes have none; of those the whole grid is the only window. Some part of a
/// photo resembles one of few classes more than the others, whatever it shows: with ten classes, windows found 0.58 to 0.98 of the answers of
/// three networks at 1 % false alarms, the whole photo all of them.
pub(super) const CROWD: usize = 20;
/// The crowd is at least the class of this rank.
pub(super) const CROWD_RANK: usize = 10;

/// The last layers of a model behind a mask on its coarsest level, compiled.
pub(super) struct PlaceTest {
    features: Box<dyn Session>,
    tail: Box<dyn Session>,
    windows: Vec<Window>,
    grid: [usize; 2],
    fixed_batch: Option<usize>,
    rows: usize,
    multi_label: bool,
    passes: Passes,
}

/// An image at its coarsest level, and what its windows show.
#[derive(Debug)]
pub(super) struct Places {
    crossing: Vec<Tensor>,
    /// Logits of each window, in the order of [`windows::over`].
    logits: Vec<Vec<f32>>,
}

/// Where a class is by itself.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The window in which its log-odds are highest, over the grid `grid`.
    pub window: Window,
    /// Height and width of the coarsest level.
    pub grid: [usize; 2],
    /// Its log-odds with the features in the window, and nothing else.
    pub log_odds: f64,
    /// Evidence in the window above that of the crowd: what one class in twenty of this image has, or more.
    pub strength: f64,
    /// The strength of the whole photo, which is one of the windows.
    pub of_photo: f64,
}

impl Place {
    /// All of the image, for models of few classes: its evidence is the strength.
    pub(super) fn whole(grid: [usize; 2], log_odds: f64, floor: f64) -> Self {
        let strength = log_odds - floor;
        Place { window: Window::whole(grid), grid, log_odds, strength, of_photo: strength }
    }
}

impl PlaceTest {
    /// Compiles the layers before and behind a level.
    pub fn new(model: &Model, coarsest: &Level) -> Result<Self> {
        let Parts { cut, mask, windows, grid, rows } =
            parts(model, coarsest).map_err(|e| Error::graph(&model.info.path, e))?;
        let behind = flops::forward_from(&cut.suffix, &[mask], 1) * (windows.len() - 1) as u64;
        // Beside one pass, which is that of the whole grid.
        let more = behind.div_ceil(flops::forward(&model.graph, 1).max(1));
        Ok(PlaceTest {
            features: model.engine.compile(&cut.prefix)?,
            tail: model.engine.compile(&cut.suffix)?,
            rows,
            windows,
            grid,
            fixed_batch: model.fixed_batch,
            multi_label: model.is_sigmoid(),
            passes: Passes { forward: 1 + more, backward: 0 },
        })
    }

    /// Passes that testing an image takes: one, and the windows' share of a pass, in arithmetic, rounded up.
    pub fn passes(&self) -> Passes {
        self.passes
    }

    /// What each window of an image (C·H·W preprocessed values) shows.
    pub fn test(&mut self, model: &Model, image: &[f32]) -> Result<Places> {
        let crossing = self.features.run(&[&model.input_tensor(image)?])?;
        let masks = self.windows.iter().map(|w| (*w, gain(w, self.grid))).collect::<Vec<_>>();
        let logits = self.logits(&crossing, &masks)?;
        logits.iter().try_for_each(|row| model.check_scores(row))?;
        Ok(Places { crossing, logits })
    }

    /// Logits of an image with its features in a window multiplied by a factor, and nothing outside.
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

    /// Where the classes of an image are. `floors`: the null log-odds of every class. `left_out`: classes that do not compete with a queried
    /// one.
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
            let whole = places.logits.last().map_or(f64::NEG_INFINITY, |logits| odds(logits));
            let of_photo = whole - floors[class] - crowd;
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
    /// For each class its evidence in the window where it has most, and the window's number.
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

/// Whether what the masks gain costs nothing: rivals at other places than the class may go. Of two classes what speaks against one speaks for the
/// other, so that a mask which may gain need keep nothing in particular: of 38 maps of a network for X-rays 13 were the same everywhere.
pub(super) fn losses_only(settings: &Settings, classes: usize) -> bool {
    settings.places && classes > 2
}

/// Whether a model has classes enough for windows to tell them apart.
pub fn has_crowd(classes: usize) -> bool {
    classes >= CROWD
}

/// Evidence that one class in twenty of an image has, at least that of the tenth; nothing among fewer than twenty classes. A picture of many
/// things lends some evidence to many classes that are not there; what they have in common is not counted for any.
fn crowd(found: &[(f64, usize)]) -> f64 {
    if !has_crowd(found.len()) {
        return 0.0;
    }
    let mut evidence: Vec<f64> = found.iter().map(|(e, _)| *e).collect();
    evidence.sort_by(|a, b| b.total_cmp(a));
    evidence[(found.len() / CROWD).max(CROWD_RANK) - 1].max(0.0)
}

/// A model cut at a mask on a level, and the windows over it.
pub(super) struct Parts {
    pub cut: insert::Cut,
    /// The mask, an input of the suffix.
    pub mask: ValueId,
    pub windows: Vec<Window>,
    /// Height and width of the level.
    pub grid: [usize; 2],
    /// Most windows in one batch.
    pub rows: usize,
}

/// The layers of a model before and behind a mask on a level.
pub(super) fn parts(model: &Model, level: &Level) -> GraphResult<Parts> {
    let (mut graph, sites) =
        insert::insert_masks(model.graph.clone(), &[level.feature()], MaskShape::Spatial)?;
    rewrite::remove_dead(&mut graph);
    let mask = sites[0].mask;
    let cut = insert::cut(&graph, &[mask]);
    let [_, height, width] = level.shape;
    // What else crosses may count in batches.
    let alone = cut.crossing == [level.value];
    let rows = if alone { batch_within(&cut.suffix, BATCH_BYTES, MOST_ROWS) } else { 1 };
    Ok(Parts { cut, mask, windows: windows::over([height, width]), grid: [height, width], rows })
}

/// What the features in a window of a grid are multiplied by.
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
