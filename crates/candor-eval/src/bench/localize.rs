//! One photo's part of the localisation benchmarks: boxes and the pointing game for the class that is present, and the same box for
//! an absent one.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::absent::Absent;
use super::threshold::{Frozen, SIGMAS, pixels};
use super::{Measure, Shown, ShownMap, photo};
use crate::dataset::{Dataset, Sample};
use crate::error::{Error, Result, SampleError};
use crate::explaining::Explaining;
use crate::localization::boxes::{Box4, Levels, Rule, share_of_scale};
use crate::localization::pixels::Histogram;
use crate::localization::{TOLERANCE, in_boxes, points, share};
use candor::image::{Photo, Preprocessing};
use candor::labels::Labels;
use candor::map::Map;
use candor::scores::ranking;

/// The results for a map of a photo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Localized {
    /// The class asked for, which is present.
    pub class: usize,
    /// The model's answer.
    pub top1: usize,
    /// An absent class, drawn with the seed.
    pub absent: usize,
    /// Number of boxes of the class.
    pub boxes: usize,
    /// Area of the first box as a fraction of the input's.
    pub area: f64,
    /// Masses of the maps of the class, of the answer and of the absent class.
    pub mass: [f64; 3],
    /// Fraction of the map's mass inside the boxes; `None` for an empty map.
    pub inside: Option<f64>,
    /// Results for the map blurred with each of [`SIGMAS`].
    pub smoothed: Vec<Smoothed>,
}

/// Results for a blurred map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Smoothed {
    /// Whether the maximum is in a box.
    pub hit: bool,
    /// Whether it is in a box or within [`TOLERANCE`] of one.
    pub near: bool,
    /// Best IoU of the largest contour's box, at each α of each [`Rule`].
    pub single: [Vec<f32>; 3],
    /// Best IoU of any contour's box, at each α of [`Rule::Value`].
    pub multi: Vec<f32>,
    /// IoU of the largest contour's box, at each α of [`Rule::Value`], relative to the maximum of the answer's map.
    pub there: Vec<f32>,
    /// The same for the absent class's map, with any object of the photo.
    pub absent: Vec<f32>,
    /// Pixels on the object and off it, if the dataset has masks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pixels: Option<Histogram>,
}

/// The benchmark of localisation on a dataset.
pub struct Localize<'d> {
    /// Photos with a known class, and with its boxes, if a benchmark needs them.
    pub samples: Vec<&'d Sample>,
    /// The preprocessing.
    pub preprocessing: &'d Preprocessing,
    /// Names of the classes.
    pub labels: &'d Labels,
    /// How absent classes are chosen.
    pub absent: Absent,
    /// Seed for choosing them.
    pub seed: u64,
}

impl<'d> Localize<'d> {
    /// Uses the samples of a dataset with a box of their class.
    pub fn new(
        dataset: &'d Dataset,
        preprocessing: &'d Preprocessing,
        labels: &'d Labels,
        seed: u64,
    ) -> Self {
        let mut of_classes = Localize::of_classes(dataset, preprocessing, labels, seed);
        of_classes.samples.retain(|s| s.objects.iter().any(|o| o.bbox.is_some()));
        of_classes
    }

    /// Uses the samples of a dataset with a known class, with or without boxes.
    pub fn of_classes(
        dataset: &'d Dataset,
        preprocessing: &'d Preprocessing,
        labels: &'d Labels,
        seed: u64,
    ) -> Self {
        let known = |s: &&Sample| s.class().is_some();
        let samples = dataset.samples.iter().filter(known).collect();
        Localize { samples, preprocessing, labels, absent: Absent::Far, seed }
    }
}

/// A prepared photo: the input, and the objects on its grid.
pub struct Located {
    /// Preprocessed values, C·H·W.
    pub input: Vec<f32>,
    /// Boxes of the class, at least one.
    pub truth: Vec<Box4>,
    /// Boxes of all objects.
    pub objects: Vec<Box4>,
    /// Pixels of the class, if the dataset has masks.
    pub mask: Option<Vec<bool>>,
}

/// A sample's boxes of `class` on the grid of its photo's input, without those that the model does not see.
fn boxes(sample: &Sample, photo: &RgbImage, class: usize, preprocessing: &Preprocessing) -> Vec<Box4> {
    let (width, height) = photo.dimensions();
    let region = preprocessing.region(height, width);
    let grid = [preprocessing.width as f64, preprocessing.height as f64];
    let to_grid = |[x0, y0, x1, y1]: [f64; 4]| -> Option<Box4> {
        let x = |v: f64| (v * f64::from(width) - region.left) / region.width * grid[0];
        let y = |v: f64| (v * f64::from(height) - region.top) / region.height * grid[1];
        let cut = |v: f64, most: f64| v.clamp(0.0, most) as i32;
        let b = [cut(x(x0), grid[0]), cut(y(y0), grid[1]), cut(x(x1), grid[0]), cut(y(y1), grid[1])];
        (b[2] > b[0] && b[3] > b[1]).then_some(b)
    };
    sample.boxes(class, photo).into_iter().filter_map(to_grid).collect()
}

/// A sample's boxes of `class` on the grid of its photo's input, at least one.
///
/// # Errors
/// If the model sees none of them.
pub fn truth(
    sample: &Sample,
    photo: &RgbImage,
    class: usize,
    preprocessing: &Preprocessing,
) -> Result<Vec<Box4>> {
    let truth = boxes(sample, photo, class, preprocessing);
    if truth.is_empty() {
        let reason = "no box of its class lies in what the model sees".to_string();
        return Err(Error::sample(&sample.id, SampleError::Unfit(reason)));
    }
    Ok(truth)
}

/// Prepares a sample, with its boxes of `class` on the grid of its photo's input.
///
/// # Errors
/// If the mask cannot be read, or the model sees none of the class's boxes.
pub fn locate(
    sample: &Sample,
    photo: &Photo,
    class: usize,
    preprocessing: &Preprocessing,
) -> Result<Located> {
    let truth = truth(sample, photo, class, preprocessing)?;
    let objects = sample.classes().iter().flat_map(|&c| boxes(sample, photo, c, preprocessing)).collect();
    let (width, height) = photo.dimensions();
    let region = preprocessing.region(height, width);
    let grid = [preprocessing.width as f64, preprocessing.height as f64];
    let mask = sample.mask_of(class).map_err(|e| Error::sample(&sample.id, e))?.map(|mask| {
        let at = |i: usize| {
            let (row, column) = (i / preprocessing.width, i % preprocessing.width);
            let x = (region.left + (column as f64 + 0.5) / grid[0] * region.width) / f64::from(width);
            let y = (region.top + (row as f64 + 0.5) / grid[1] * region.height) / f64::from(height);
            mask.at(x, y)
        };
        (0..preprocessing.width * preprocessing.height).map(at).collect()
    });
    Ok(Located { input: preprocessing.apply(photo), truth, objects, mask })
}

impl Measure for Localize<'_> {
    type Record = Localized;

    fn items(&self) -> usize {
        self.samples.len()
    }

    fn name(&self, item: usize) -> String {
        self.samples[item].id.clone()
    }

    fn measure(&mut self, method: &mut Explaining<'_>, item: usize) -> Result<Localized> {
        let (class, photo) = self.sample(item)?;
        let (located, asked) = self.ask(method, (class, &photo), item)?;
        Ok(localized(&located, &asked, class))
    }

    fn show(&mut self, method: &mut Explaining<'_>, item: usize, frozen: Option<Frozen>) -> Result<Shown> {
        let (class, photo) = self.sample(item)?;
        let (located, asked) = self.ask(method, (class, &photo), item)?;
        let maps = shown(&located, &asked, class, self.labels, frozen);
        Ok(Shown { picture: self.preprocessing.view(&photo), maps })
    }
}

impl Localize<'_> {
    /// The class that is there, and the photo.
    fn sample(&self, item: usize) -> Result<(usize, Photo)> {
        let sample = self.samples[item];
        Ok((sample.class().unwrap_or(0), photo(sample, self.preprocessing)?))
    }

    fn ask(
        &self,
        method: &mut Explaining<'_>,
        (class, photo): (usize, &Photo),
        item: usize,
    ) -> Result<(Located, Asked)> {
        let sample = self.samples[item];
        let located = locate(sample, photo, class, self.preprocessing)?;
        let ranking = ranking(&method.scores(&located.input)?);
        let absent = self.absent.class(&sample.classes(), &ranking, (self.seed, item));
        let asked = ask_for(method, &[class], absent, &ranking)?;
        Ok((located, asked))
    }
}

/// The classes asked for, and their maps.
pub struct Asked {
    /// The model's answer.
    pub top1: usize,
    /// An absent class.
    pub absent: usize,
    classes: Vec<usize>,
    maps: Vec<Map>,
}

impl Asked {
    /// The map of one of the classes.
    pub fn map(&self, class: usize) -> &Map {
        &self.maps[self.classes.iter().position(|&c| c == class).unwrap_or(0)]
    }

    /// The map of one of the classes for display, with a name. `truth` and `objects` are those of [`ShownMap`].
    pub fn shown(
        &self,
        (class, name): (usize, String),
        [truth, objects]: [&[Box4]; 2],
        frozen: Option<Frozen>,
    ) -> ShownMap {
        let map = self.map(class);
        ShownMap {
            name,
            map: map.clone(),
            truth: truth.to_vec(),
            objects: objects.to_vec(),
            found: frozen.and_then(|f| f.found(map, self.map(self.top1))),
        }
    }
}

/// Suffix of the name of an absent class.
pub const NOT_THERE: &str = " (not there)";

/// Maps of the classes `present`, of a class that is none of the `known` ones, and of the model's answer.
pub fn ask(
    method: &mut Explaining<'_>,
    input: &[f32],
    (present, known): (&[usize], &[usize]),
    (seed, item): (u64, usize),
) -> Result<Asked> {
    let ranking = ranking(&method.scores(input)?);
    ask_for(method, present, Absent::Far.class(known, &ranking, (seed, item)), &ranking)
}

/// Maps of the classes `present`, of the class `absent`, and of the answer, which is the first of the ranking. The method must have been
/// given the photo.
pub fn ask_for(
    method: &mut Explaining<'_>,
    present: &[usize],
    absent: usize,
    ranking: &[usize],
) -> Result<Asked> {
    let mut classes = present.to_vec();
    classes.push(absent);
    if !classes.contains(&ranking[0]) {
        classes.push(ranking[0]);
    }
    let maps = method.explain(&classes)?.into_iter().map(|e| e.map).collect();
    Ok(Asked { top1: ranking[0], absent, classes, maps })
}

/// The maps of the class that is present and of the absent one, for display.
pub fn shown(
    located: &Located,
    asked: &Asked,
    class: usize,
    labels: &Labels,
    frozen: Option<Frozen>,
) -> Vec<ShownMap> {
    let named = |class: usize, what: &str| (class, format!("{}{what}", labels.name(class)));
    vec![
        asked.shown(named(class, ""), [&located.truth, &[]], frozen),
        asked.shown(named(asked.absent, NOT_THERE), [&[], &located.objects], frozen),
    ]
}

/// The results of a photo's maps for the class that is present.
pub fn localized(located: &Located, asked: &Asked, class: usize) -> Localized {
    let &Asked { top1, absent, .. } = asked;
    let maps = [class, top1, absent].map(|c| asked.map(c));
    let b = located.truth[0];
    Localized {
        class,
        top1,
        absent,
        boxes: located.truth.len(),
        area: f64::from((b[2] - b[0]) * (b[3] - b[1])) / maps[0].data.len() as f64,
        mass: maps.map(Map::mass),
        inside: share(maps[0], |r, c| in_boxes(&located.truth, r, c)),
        smoothed: smoothed(located, maps),
    }
}

/// IoU of the largest contour's box with one of `truth`, at each α of [`Rule::Value`], relative to `scale`, which need not be the map's
/// maximum. An empty map has no box: a pixel with value 0 is never foreground.
pub fn overlaps(map: &Map, scale: f32, truth: &[Box4]) -> Vec<f32> {
    let (levels, empty) = (Levels::of(map, scale), map.max() <= 0.0);
    let overlap = |alpha| if empty { 0.0 } else { levels.boxes(share_of_scale(alpha)).single(truth) as f32 };
    Rule::Value.alphas().into_iter().map(overlap).collect()
}

/// The results for each blur, computed in parallel.
fn smoothed(located: &Located, maps: [&Map; 3]) -> Vec<Smoothed> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = SIGMAS.iter().map(|&s| scope.spawn(move || under(s, located, maps))).collect();
        threads.into_iter().map(|t| t.join().expect("figures of a map do not panic")).collect()
    })
}

fn under(sigma: f32, located: &Located, [there, answer, absent]: [&Map; 3]) -> Smoothed {
    let sigma = pixels(sigma, there);
    let tolerance = TOLERANCE * there.height.min(there.width) as f64 / 224.0;
    let map = there.blurred(sigma);
    let scale = if std::ptr::eq(answer, there) { map.max() } else { answer.blurred(sigma).max() };
    let own = Levels::of(&map, map.max());
    let mut multi = vec![];
    let single = Rule::ALL.map(|rule| {
        let mut overlap = |alpha| {
            let boxes = own.boxes(rule.level(alpha, &map, &own));
            if rule == Rule::Value {
                multi.push(boxes.multi(&located.truth) as f32);
            }
            boxes.single(&located.truth) as f32
        };
        rule.alphas().into_iter().map(&mut overlap).collect::<Vec<f32>>()
    });
    let same = (scale - map.max()).abs() <= f32::EPSILON * scale;
    Smoothed {
        hit: points(&map, &located.truth, 0.0),
        near: points(&map, &located.truth, tolerance),
        there: if same { single[0].clone() } else { overlaps(&map, scale, &located.truth) },
        absent: overlaps(&absent.blurred(sigma), scale, &located.objects),
        pixels: located.mask.as_ref().map(|mask| Histogram::of(&map, mask, map.max())),
        single,
        multi,
    }
}
