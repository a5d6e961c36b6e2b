//! Faithfulness of methods on a dataset: how the model's output changes when parts of photos are removed ([`crate::faithfulness`]).

mod figures;

use serde::{Deserialize, Serialize};

use super::threshold::Frozen;
use super::{Measure, Shown, ShownMap, photo};
use crate::dataset::{Dataset, Sample};
use crate::error::Result;
use crate::explaining::Explaining;
use crate::faithfulness::drop::{Confidence, Region};
use crate::faithfulness::road::Road;
use crate::faithfulness::substrate::Substrate;
use crate::faithfulness::{Case, curve, drop, infidelity, road, sparseness};
use candor::blur::blurred;
use candor::engine::Session;
use candor::image::Preprocessing;
use candor::labels::Labels;
use candor::methods::baseline::REACH;
use candor::model::Model;
use candor::scores::ranking;

pub use figures::tables;

/// Images per batch.
const BATCH: usize = 8;
/// Standard deviation of the blur that replaces pixels, as a fraction of the shorter side.
const BLUR: f32 = 0.05;
/// Percentages of pixels that are infilled in the curves of deletion and insertion. ROAD uses those between the ends.
const INFILLED: [f64; 5] = [0.0, 20.0, 50.0, 80.0, 100.0];
/// Standard deviation of the infill's noise, in the model's units.
const NOISE: f32 = 0.01;
/// Number of random regions in the agreement by removal.
const REGIONS: usize = 5;
/// Number of perturbations for infidelity, and their side as a fraction of the shorter one.
const PERTURBATIONS: usize = 10;
const SIDE: f64 = 0.25;
/// Number of nearby photos for max-sensitivity, and their distance in units of the photo's standard deviation.
const NEARBY: usize = 2;
const RADIUS: f32 = 0.05;

/// The figures of one map, of the model's answer. `None`: the figure is not defined for the map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Faithful {
    /// The class: the model's answer.
    pub class: usize,
    /// Whether the map is constant, so that it does not rank pixels.
    pub constant: bool,
    /// Probability while pixels are removed, at each step.
    pub deletion: Ways,
    /// Probability while pixels are inserted, at each step.
    pub insertion: Ways,
    /// ROAD: (least − most relevant first) ÷ 2, mean over percentages, in units of probability.
    pub road: Option<f64>,
    /// Probabilities for the photo, and for the photo times the map.
    pub confidence: Option<Confidence>,
    /// Log-odds for the whole photo, for the region alone, and without the region.
    pub region: Option<Region>,
    /// How much more the log-odds fall without the region than without other regions of its shape.
    pub excess: Option<f64>,
    /// Infidelity in log-odds², with the best scale of the map.
    pub infidelity: Option<f64>,
    /// Largest change of the map for nearby photos, in units of its norm.
    pub sensitivity: Option<f64>,
    /// Gini index, 0..=1.
    pub gini: Option<f64>,
    /// Fraction of pixels that contain 90 % of the mass.
    pub pixels: Option<f64>,
}

/// A curve for each kind of replacement pixels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ways {
    /// With the photo's mean colour, at equal steps.
    pub mean: Vec<f64>,
    /// With the blurred photo, at equal steps.
    pub blur: Vec<f64>,
    /// With imputation from the remaining pixels ([`Substrate::Inpaint`]), at 0, 20, 50, 80 and 100 percent infilled pixels.
    pub infill: Vec<f64>,
}

impl Ways {
    /// The area under `infill`, whose steps are not equal.
    fn infill_area(&self) -> f64 {
        let points = INFILLED.iter().zip(&self.infill).map(|(x, y)| [x / 100.0, *y]);
        curve::trapezoids(&points.collect::<Vec<_>>())
    }
}

/// The benchmark of faithfulness on a dataset.
pub struct Faithfulness<'d> {
    samples: &'d [Sample],
    preprocessing: &'d Preprocessing,
    labels: &'d Labels,
    session: Box<dyn Session>,
    settings: Settings,
}

/// Settings of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Seed of all random draws.
    pub seed: u64,
    /// Number of steps of deletion and insertion.
    pub steps: usize,
    /// Size of a region as a fraction of the photo.
    pub area: f64,
}

impl<'d> Faithfulness<'d> {
    /// Uses all photos of a dataset; its labels are not used.
    ///
    /// # Errors
    /// If the engine cannot compile the model.
    pub fn new(
        dataset: &'d Dataset,
        preprocessing: &'d Preprocessing,
        labels: &'d Labels,
        model: &Model,
        settings: Settings,
    ) -> Result<Self> {
        Ok(Faithfulness {
            samples: &dataset.samples,
            preprocessing,
            labels,
            session: model.forward()?,
            settings,
        })
    }
}

impl Measure for Faithfulness<'_> {
    type Record = Faithful;

    fn items(&self) -> usize {
        self.samples.len()
    }

    fn name(&self, item: usize) -> String {
        self.samples[item].id.clone()
    }

    fn measure(&mut self, method: &mut Explaining<'_>, item: usize) -> Result<Faithful> {
        let model = method.model;
        let image = self.preprocessing.apply(&photo(&self.samples[item], self.preprocessing)?);
        let class = ranking(&method.scores(&image)?)[0];
        let mut explain = |image: &[f32]| method.map(image, class);
        let map = explain(&image)?;
        let [_, height, width] = model.input_shape;
        let (grid, Settings { seed, steps, area }) = ([height, width], self.settings);
        let session = std::cell::RefCell::new(self.session.as_mut());
        let rows = |images: &[Vec<f32>]| {
            let images: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
            model.all_scores(&mut **session.borrow_mut(), &images)
        };
        let mut probability =
            |images: &[Vec<f32>]| Ok(rows(images)?.iter().map(|l| model.probabilities(l)[class]).collect());
        let mut log_odds =
            |images: &[Vec<f32>]| Ok(rows(images)?.iter().map(|l| model.log_odds(l, class)).collect());
        let case = Case { image: &image, map: &map, batch: BATCH };
        let blurred = blurred(&image, model.input_shape, BLUR * height.min(width) as f32, REACH);
        let blur = Substrate::Fixed(blurred.clone());
        let mean = Substrate::mean(&image, grid);
        let mut deletion = |by: &Substrate| curve::deletion(&mut probability, case, by, steps);
        let (without, smooth) = (deletion(&mean)?, deletion(&blur)?);
        let constant = without.uninformative;
        let mut insertion = |by: &Substrate| curve::insertion(&mut probability, case, by, steps);
        let (with, sharp) = (insertion(&mean)?, insertion(&blur)?);
        let infilled = road::road(&mut probability, case, &INFILLED, NOISE, seed)?;
        let road = between_ends(&infilled).combined();
        let region = drop::region(&mut log_odds, case, &blur, area)?;
        let removal = drop::removal(&mut log_odds, case, &blur, area, (REGIONS, seed))?;
        let side = ((height.min(width) as f64 * SIDE) as usize).max(1);
        let squares = (0..PERTURBATIONS).map(|i| infidelity::square(seed, i, &image, &blurred, grid, side));
        let infidelity = infidelity::infidelity(&mut log_odds, &image, &map.data, squares, true, BATCH)?;
        let radius = RADIUS * deviation(&image);
        let nearby = (0..NEARBY).map(|i| infidelity::nearby(seed, i, &image, radius));
        let sensitivity = infidelity::max_sensitivity(&mut explain, &image, nearby)?;
        Ok(Faithful {
            class,
            constant,
            deletion: Ways { mean: without.values, blur: smooth.values, infill: infilled.most },
            insertion: Ways { mean: with.values, blur: sharp.values, infill: infilled.least },
            road,
            confidence: drop::confidence(&mut probability, case)?,
            region,
            excess: removal.and_then(|r| r.excess()),
            infidelity: infidelity.map(|i| i.value),
            sensitivity: sensitivity.and_then(|s| s.relative),
            gini: sparseness::gini(&map),
            pixels: sparseness::pixels_of_mass(&map, 0.9),
        })
    }

    fn show(&mut self, method: &mut Explaining<'_>, item: usize, _: Option<Frozen>) -> Result<Shown> {
        let photo = photo(&self.samples[item], self.preprocessing)?;
        let class = ranking(&method.scores(&self.preprocessing.apply(&photo))?)[0];
        let map = method.explain(&[class])?.swap_remove(0).map;
        let shown =
            ShownMap { name: self.labels.name(class), map, truth: vec![], objects: vec![], found: None };
        Ok(Shown { picture: self.preprocessing.view(&photo), maps: vec![shown] })
    }
}

/// Leaves out 0 and 100 percent, which say nothing about a map.
fn between_ends(road: &Road) -> Road {
    let cut = |values: &[f64]| values[1..values.len() - 1].to_vec();
    let (percentages, most, least) = (cut(&road.percentages), cut(&road.most), cut(&road.least));
    Road { percentages, most, least, uninformative: road.uninformative }
}

fn deviation(values: &[f32]) -> f32 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt() as f32
}
