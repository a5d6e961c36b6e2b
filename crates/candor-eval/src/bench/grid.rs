//! Image-disturbed localisation: pictures composed of several photos, so that it is known what is where and what is absent.
//!
//! Grids of photos that the model classifies correctly with a probability of at least [`LEAST`], one per cell, and photos with a second
//! one pasted into them (Böhle et al. 2021 use grids on larger inputs; here a grid has the size of the model's input). Every class
//! in the picture is asked for, and an absent one. Photos need no boxes; if they have boxes, these are moved with them.

use candor::progress::Progress;
use image::RgbImage;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::localize::{self, Asked, Localize, NOT_THERE, ask, overlaps};
use super::table::{Better, Cell, Column, Row, Table, rate};
use super::threshold::{Choice, Frozen, SIGMAS, Scale, pixels};
use super::wsol::{RIGHT, choose};
use super::{Found, Measure, Shown, photo};
use crate::dataset::Sample;
use crate::error::{Error, Result};
use crate::explaining::Explaining;
use crate::localization::boxes::{Box4, Rule, VALUES};
use crate::localization::{in_boxes, points, share};
use candor::image::{Photo, Picture as _, Preprocessing, Samples, picture_of, planes, resize};
use candor::map::Map;
use candor::model::Model;
use candor::noise::below;
use candor::scores::ranking;

/// Minimum probability of the correct class for a photo to be used in a picture.
pub const LEAST: f64 = 0.5;
/// Side of a pasted photo as a fraction of the picture's.
const PASTED: f64 = 0.4;

/// How a picture is composed of photos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Four cells.
    Two,
    /// Nine cells.
    Three,
    /// One photo, and another one pasted into a corner of it.
    Pasted,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Layout; 3] = [Layout::Two, Layout::Three, Layout::Pasted];

    fn parts(self) -> usize {
        [4, 9, 2][self as usize]
    }

    fn title(self) -> &'static str {
        ["2×2 grids", "3×3 grids", "Pasted distractors"][self as usize]
    }

    /// Rectangle of part `i` in a picture of `[height, width]`; both far edges excluded.
    fn rectangle(self, i: usize, [height, width]: [usize; 2], corner: usize) -> Box4 {
        let cell = |n: usize| {
            let edge = |k: usize, size: usize| (k * size / n) as i32;
            let (row, column) = (i / n, i % n);
            [edge(column, width), edge(row, height), edge(column + 1, width), edge(row + 1, height)]
        };
        match self {
            Layout::Two => cell(2),
            Layout::Three => cell(3),
            Layout::Pasted if i == 0 => [0, 0, width as i32, height as i32],
            Layout::Pasted => {
                let (h, w) = ((height as f64 * PASTED) as i32, (width as f64 * PASTED) as i32);
                let x = if corner.is_multiple_of(2) { 0 } else { width as i32 - w };
                let y = if corner < 2 { 0 } else { height as i32 - h };
                [x, y, x + w, y + h]
            }
        }
    }
}

/// A method's results on a picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Composed {
    layout: Layout,
    parts: Vec<Part>,
    /// IoU of the absent class's box with the object that it overlaps most, at each α for each σ; empty without boxes.
    absent: Vec<Vec<f32>>,
}

/// A method's results for one class in a picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    class: usize,
    /// Fraction of the map's positive mass in its own part of the picture; `None` for an empty map.
    own: Option<f64>,
    /// Fraction of the picture that its own part covers.
    area: f64,
    /// Whether the maximum is in its own part.
    hit: bool,
    /// IoU of its box with the object's, at each α for each σ, on the scale of the picture; empty without boxes.
    there: Vec<Vec<f32>>,
}

/// The benchmark of composed pictures.
pub struct Grids<'d> {
    localize: Localize<'d>,
    pictures: Vec<Picture>,
}

/// A part of a picture: its class, its rectangle (far edges excluded) and the boxes of its object.
struct Placed {
    class: usize,
    own: Box4,
    truth: Vec<Box4>,
}

struct Picture {
    layout: Layout,
    corner: usize,
    /// Samples and their classes.
    parts: Vec<(usize, usize)>,
}

impl<'d> Grids<'d> {
    /// Chooses the photos and composes `count` pictures of each layout. `progress` is called for each photo tried.
    ///
    /// # Errors
    /// If the engine fails, or too few classes are classified correctly.
    pub fn new(
        localize: Localize<'d>,
        model: &Model,
        count: usize,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let mut forward = model.forward()?;
        let mut sure: Vec<(usize, usize)> = vec![];
        for (i, sample) in localize.samples.iter().enumerate() {
            let class = sample.class().unwrap_or(0);
            // What cannot be read is no part of a picture.
            let seen = photo(sample, localize.preprocessing).and_then(|photo| {
                truth(sample, &photo, class, localize.preprocessing)?;
                Ok(localize.preprocessing.apply(&photo))
            });
            if let Ok(input) = seen {
                let scores = model.scores(forward.as_mut(), &input)?;
                if ranking(&scores)[0] == class && model.probabilities(&scores)[class] >= LEAST {
                    sure.push((i, class));
                }
            }
            progress.step()?;
        }
        let mut classes: Vec<usize> = sure.iter().map(|(_, c)| *c).collect();
        classes.sort_unstable();
        classes.dedup();
        if classes.len() < Layout::Three.parts() {
            let needed = Layout::Three.parts();
            let photos = localize.samples.len();
            return Err(Error::FewClasses { found: classes.len(), photos, needed, probability: LEAST });
        }
        let mut random = ChaCha8Rng::seed_from_u64(localize.seed);
        let mut pictures = vec![];
        for i in 0..count * Layout::ALL.len() {
            let layout = Layout::ALL[i % Layout::ALL.len()];
            let mut parts: Vec<(usize, usize)> = vec![];
            while parts.len() < layout.parts() {
                let next = sure[below(&mut random, sure.len())];
                if parts.iter().all(|(_, class)| *class != next.1) {
                    parts.push(next);
                }
            }
            pictures.push(Picture { layout, corner: below(&mut random, 4), parts });
        }
        Ok(Grids { localize, pictures })
    }

    /// Whether any photo of the pictures has boxes, with which a threshold is chosen and boxes are evaluated.
    pub fn has_boxes(&self) -> bool {
        let has = |(sample, class): &(usize, usize)| {
            let objects = &self.localize.samples[*sample].objects;
            objects.iter().any(|o| o.bbox.is_some() && o.classes.contains(class))
        };
        self.pictures.iter().flat_map(|p| &p.parts).any(has)
    }

    /// The picture on the input's grid, as [`Preprocessing::levels`], and its parts.
    fn compose(&self, item: usize) -> Result<(Vec<f32>, Vec<Placed>)> {
        let Picture { layout, corner, parts } = &self.pictures[item];
        let p = self.localize.preprocessing;
        let mut levels = vec![0.0; p.channels * p.height * p.width];
        let mut there = vec![];
        for (i, &(sample, class)) in parts.iter().enumerate() {
            let sample = self.localize.samples[sample];
            let photo = photo(sample, p)?;
            let boxes = truth(sample, &photo, class, p)?;
            let rectangle @ [x0, y0, x1, y1] = layout.rectangle(i, [p.height, p.width], *corner);
            let (high, wide) = ((y1 - y0) as usize, (x1 - x0) as usize);
            for (row, values) in small(p, &photo, high, wide).chunks(wide).enumerate() {
                let (channel, y) = (row / high, row % high + y0 as usize);
                let at = (channel * p.height + y) * p.width + x0 as usize;
                levels[at..at + wide].copy_from_slice(values);
            }
            let (sx, sy) = (f64::from(x1 - x0) / p.width as f64, f64::from(y1 - y0) / p.height as f64);
            let moved = |b: &Box4| {
                let x = |v: i32| x0 + (f64::from(v) * sx) as i32;
                let y = |v: i32| y0 + (f64::from(v) * sy) as i32;
                [x(b[0]), y(b[1]), x(b[2]), y(b[3])]
            };
            there.push(Placed { class, own: rectangle, truth: boxes.iter().map(moved).collect() });
        }
        Ok((levels, there))
    }

    /// The picture, its parts, and maps of their classes, of an absent class, and of the model's answer.
    fn ask(&self, method: &mut Explaining<'_>, item: usize) -> Result<(RgbImage, Vec<Placed>, Asked)> {
        let (levels, there) = self.compose(item)?;
        let present: Vec<usize> = there.iter().map(|p| p.class).collect();
        let preprocessing = self.localize.preprocessing;
        let input = preprocessing.normalize_levels(&levels);
        let asked = ask(method, &input, (&present, &present), (self.localize.seed, item))?;
        let shape = [preprocessing.channels, preprocessing.height, preprocessing.width];
        Ok((picture_of(shape, &levels), there, asked))
    }
}

impl Measure for Grids<'_> {
    type Record = Composed;

    fn items(&self) -> usize {
        self.pictures.len()
    }

    fn name(&self, item: usize) -> String {
        let Picture { layout, parts, .. } = &self.pictures[item];
        let names = parts.iter().map(|(s, _)| self.localize.samples[*s].id.as_str());
        format!("{}: {}", layout.title(), names.collect::<Vec<_>>().join(" "))
    }

    fn measure(&mut self, method: &mut Explaining<'_>, item: usize) -> Result<Composed> {
        let (_, there, asked) = self.ask(method, item)?;
        let answer = asked.map(asked.top1);
        let objects: Vec<Box4> = there.iter().flat_map(|p| p.truth.iter().copied()).collect();
        let [height, width] = [answer.height, answer.width];
        let smoothed = |map: &Map, truth: &[Box4]| -> Vec<Vec<f32>> {
            if truth.is_empty() {
                return vec![];
            }
            let under = |sigma: f32| overlaps(&map.blurred(sigma), answer.blurred(sigma).max(), truth);
            SIGMAS.iter().map(|&sigma| under(pixels(sigma, map))).collect()
        };
        let parts = there.iter().enumerate().map(|(i, Placed { class, own, truth })| {
            let map = asked.map(*class);
            // Areas under a later part are not visible.
            let later: Vec<Box4> = there[i + 1..].iter().map(|p| inner(p.own)).collect();
            let mine = |r: usize, c: usize| in_boxes(&[inner(*own)], r, c) && !in_boxes(&later, r, c);
            let count = (0..height * width).filter(|p| mine(p / width, p % width)).count();
            let (row, column) = map.argmax();
            Part {
                class: *class,
                own: share(map, mine),
                area: count as f64 / (height * width) as f64,
                hit: points(map, &[inner(*own)], 0.0) && mine(row, column),
                there: smoothed(map, truth),
            }
        });
        let parts = parts.collect();
        Ok(Composed {
            layout: self.pictures[item].layout,
            parts,
            absent: smoothed(asked.map(asked.absent), &objects),
        })
    }

    fn show(&mut self, method: &mut Explaining<'_>, item: usize, frozen: Option<Frozen>) -> Result<Shown> {
        let (picture, there, asked) = self.ask(method, item)?;
        let objects: Vec<Box4> = there.iter().flat_map(|p| p.truth.iter().copied()).collect();
        // Without boxes no threshold was chosen.
        let frozen = frozen.filter(|_| self.has_boxes());
        let named = |class: usize, what: &str| (class, format!("{}{what}", self.localize.labels.name(class)));
        let present = there.iter().take(4);
        let present = present.map(|p| asked.shown(named(p.class, ""), [&p.truth, &[]], frozen));
        let absent = asked.shown(named(asked.absent, NOT_THERE), [&[], &objects], frozen);
        let maps = present.chain([absent]).collect();
        Ok(Shown { picture, maps })
    }
}

/// What the model sees of a photo, made smaller: levels, C×height×width. 8 bits stay 8 bits.
fn small(p: &Preprocessing, photo: &Photo, height: usize, width: usize) -> Vec<f32> {
    let (high, wide) = (height as u32, width as u32);
    if photo.samples().is_none() {
        return planes(&resize(&p.pixels(photo), high, wide, p.filter), p.channels);
    }
    let levels = p.levels(photo);
    let plane = |values: &[f32]| {
        let plane = Samples { width: p.width as u32, height: p.height as u32, values: values.to_vec() };
        plane.resized(high, wide, p.filter).values
    };
    levels.chunks(p.height * p.width).flat_map(plane).collect()
}

/// The boxes of a sample's class on the input's grid; empty if it has none.
///
/// # Errors
/// If it has boxes, but all are outside of what the model sees.
fn truth(sample: &Sample, photo: &RgbImage, class: usize, p: &Preprocessing) -> Result<Vec<Box4>> {
    if sample.boxes(class, photo).is_empty() {
        return Ok(vec![]);
    }
    localize::truth(sample, photo, class, p)
}

/// A box with inclusive far edges.
fn inner([x0, y0, x1, y1]: Box4) -> Box4 {
    [x0, y0, x1 - 1, y1 - 1]
}

/// One table per layout. Items below `tuning` are used to choose σ and α; the others are reported.
pub fn tables(found: &Found<Composed>, tuning: usize, seed: u64) -> Vec<Table> {
    let table = |layout: Layout| {
        let rows = found.methods.iter().map(|m| {
            let all = found.of(&m.name);
            let of_layout = all.into_iter().filter(|(_, r)| r.layout == layout);
            let (tune, report): (Vec<_>, Vec<_>) = of_layout.partition(|(i, _)| *i < tuning);
            row(&m.name, &tune, &report, seed)
        });
        let columns = vec![
            Column::new(
                "own-share",
                Better::Higher,
                "share of a class's mass in its own part; an empty map counts as chance, the part's area",
            ),
            Column::new("own-share-seen", Better::Higher, "the same of maps that are not empty"),
            Column::new("empty", Better::Neither, "share of classes in the picture whose map is empty"),
            Column::new("own-point", Better::Higher, "the maximum lies in its own part"),
            Column::new("t-f", Better::Higher, "T − F; it, T and F need boxes"),
            Column::new(
                "t",
                Better::Higher,
                "a class in the picture is found: IoU of at least 0.5 with a box of it",
            ),
            Column::new("f", Better::Lower, "a class that is not in the picture is found on an object"),
        ];
        let note = "Means over the classes of a picture, then over pictures. One threshold on the scale of the picture: the \
                    maximum of its answer's map.";
        Table::new(layout.title(), note, columns, rows.collect(), seed)
    };
    Layout::ALL.map(table).into()
}

/// The mean of a figure over the parts for which it is defined.
fn mean(values: &dyn Fn(&Part) -> Option<f64>, r: &Composed) -> Option<f64> {
    let all: Vec<f64> = r.parts.iter().filter_map(values).collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

/// Whether a box overlaps enough, 0 or 1; `None` without boxes.
fn right(boxes: &[Vec<f32>], c: Choice) -> Option<f64> {
    Some(rate(boxes.get(c.sigma)?[c.alpha] >= RIGHT))
}

/// Fraction of the parts with boxes whose class is found.
fn found(r: &Composed, c: Choice) -> Option<f64> {
    mean(&|p| right(&p.there, c), r)
}

/// The choice with which most parts are found.
fn best(tune: &[(usize, &Composed)]) -> Choice {
    choose(VALUES, |c| tune.iter().filter_map(|(_, r)| found(r, c)).sum())
}

/// The choice frozen on the tuning split for a method's boxes on the pictures of the first layout, from which the page's examples are.
pub fn frozen(all: &Found<Composed>, method: &str, tuning: usize) -> Frozen {
    let of_first = |(i, r): &(usize, &Composed)| *i < tuning && r.layout == Layout::ALL[0];
    let tune: Vec<_> = all.of(method).into_iter().filter(of_first).collect();
    Frozen { choice: best(&tune), scale: Scale::Image }
}

fn row(method: &str, tune: &[(usize, &Composed)], report: &[(usize, &Composed)], seed: u64) -> Row {
    let choice = best(tune);
    let found = |r: &Composed| found(r, choice);
    let wrong = |r: &Composed| right(&r.absent, choice);
    let boxes = tune.iter().chain(report).any(|(_, r)| found(r).is_some());
    let figure = |of: &dyn Fn(&Composed) -> Option<f64>| {
        Cell::of(report.iter().filter_map(|(i, r)| Some((*i, of(r)?))), seed)
    };
    Row {
        method: method.to_string(),
        setting: if boxes { choice.words(Rule::Value) } else { String::new() },
        cells: vec![
            figure(&|r| mean(&|p| Some(p.own.unwrap_or(p.area)), r)),
            figure(&|r| mean(&|p| p.own, r)),
            figure(&|r| mean(&|p| Some(rate(p.own.is_none())), r)),
            figure(&|r| mean(&|p| Some(rate(p.hit)), r)),
            figure(&|r| Some(found(r)? - wrong(r)?)),
            figure(&found),
            figure(&wrong),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finer_samples_stay_fine_when_a_photo_is_made_smaller() {
        let p = candor::image::Preset::Inception.preprocessing(8, 8);
        let fine: Photo =
            Samples { width: 8, height: 8, values: (0..64).map(|i| 3.3 * i as f32).collect() }.into();
        let coarse = Photo::from(fine.clone().into_shown());
        let [of_fine, of_coarse] = [&fine, &coarse].map(|photo| small(&p, photo, 3, 4));
        assert_eq!((of_fine.len(), of_coarse.len()), (36, 36));
        assert!(of_coarse.iter().all(|v| v.fract() == 0.0) && of_fine.iter().any(|v| v.fract() != 0.0));
        assert!(of_fine.iter().zip(&of_coarse).all(|(a, b)| (a - b).abs() <= 1.5));
    }

    #[test]
    fn the_cells_of_a_grid_cover_it_once() {
        for layout in [Layout::Two, Layout::Three] {
            let mut seen = vec![0; 31 * 20];
            for i in 0..layout.parts() {
                let [x0, y0, x1, y1] = layout.rectangle(i, [31, 20], 0);
                for y in y0..y1 {
                    (x0..x1).for_each(|x| seen[(y * 20 + x) as usize] += 1);
                }
            }
            assert!(seen.iter().all(|&n| n == 1), "{layout:?}");
        }
        assert_eq!(Layout::Pasted.rectangle(1, [100, 100], 3), [60, 60, 100, 100]);
    }
}
