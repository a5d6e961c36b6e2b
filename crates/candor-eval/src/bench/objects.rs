//! Photos of several objects: is each class's map on its own object, and are present classes told from absent ones?
//!
//! All classes of a photo are asked for, and the same number of classes of the dataset that are absent. A class of the dataset may stand
//! for several of the model's (a dog for all breeds): the one with the highest score is asked for, also of absent ones.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::localize::{Localize, NOT_THERE, truth};
use super::table::{Better, Cell, Column, Row, Table, rate};
use super::threshold::Frozen;
use super::{Found, Measure, Shown, ShownMap, photo};
use crate::dataset::{Dataset, Sample};
use crate::error::Result;
use crate::explaining::Explaining;
use crate::localization::boxes::Box4;
use crate::localization::{in_boxes, points};
use crate::statistics::auroc;
use candor::explanation::Explanation;
use candor::image::Photo;
use candor::map::Map;
use candor::model::Model;
use candor::noise::{below, stream};
use candor::progress::Progress;
use candor::quantile::percentile;
use candor::scores::ranking;

/// Margin added on each side of a box, as a fraction of its sides, when an object is shown alone.
pub const AROUND: f64 = 0.1;
/// Number of bootstrap resamples for the interval of the AUROC.
const RESAMPLES: usize = 1000;

/// A method's results on a photo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Several {
    parts: Vec<Part>,
    /// Ranking values of absent classes.
    absent: Vec<Says>,
}

/// A method's results for a class that is present.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    class: usize,
    says: Says,
    /// Mass only in its own boxes ÷ (that + mass only in other objects' boxes); `None` for a map without mass in either.
    own: Option<f64>,
    /// The same for a constant map.
    chance: Option<f64>,
    /// Whether the maximum is in a box of its own class; `None` for an empty map.
    hit: Option<bool>,
}

/// Values by which classes are ranked as present: compared by the first, then by the second; higher means more likely present.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Says([f64; 2]);

impl Says {
    /// The negative p-value of the verdict, then the evidence; or the mass of the map, if a method has no verdict.
    fn of(e: &Explanation) -> Self {
        match &e.judged {
            Some(judged) => Says([-judged.p_value, e.evidence.unwrap_or(0.0)]),
            None => Says([e.map.mass(), 0.0]),
        }
    }

    fn order(&self, other: &Says) -> Ordering {
        let ([a, b], [c, d]) = (self.0, other.0);
        a.total_cmp(&c).then(b.total_cmp(&d))
    }
}

/// A class of the dataset: its name, and the model's classes that count as it.
type Known = (String, Vec<usize>);

/// The benchmark of photos of several objects.
pub struct Objects<'d> {
    localize: Localize<'d>,
    /// For each photo, the present classes that are asked for.
    there: Vec<Vec<Known>>,
    /// All classes of the dataset, by name.
    known: Vec<Known>,
}

/// A prepared photo.
struct Ready {
    photo: Photo,
    input: Vec<f32>,
    /// Each present class with its boxes.
    present: Vec<(Known, Vec<Box4>)>,
    absent: Vec<Known>,
}

impl<'d> Objects<'d> {
    /// The photos among those of `localize` that have boxes of two or more classes.
    pub fn new(dataset: &Dataset, mut localize: Localize<'d>) -> Self {
        localize.samples.retain(|sample| named(sample).len() > 1);
        let known = dataset.samples.iter().flat_map(named).collect::<BTreeMap<_, _>>();
        let there = localize.samples.iter().map(|sample| named(sample)).collect();
        Objects { localize, there, known: known.into_iter().collect() }
    }

    /// Keeps, for each photo, only the classes that the model recognises: those among its top `first` classes when their largest box,
    /// enlarged by [`AROUND`] of its sides on each side, is cut out of the photo and classified alone. Photos with fewer than two such
    /// classes are dropped; those that cannot be read stay, so that they are reported.
    ///
    /// # Errors
    /// If the engine fails or the work is cancelled.
    pub fn recognised(&mut self, model: &Model, first: usize, progress: &mut dyn Progress) -> Result<()> {
        let mut forward = model.forward()?;
        let mut left = vec![];
        for (&sample, there) in self.localize.samples.iter().zip(&self.there) {
            progress.step()?;
            let Ok(photo) = photo(sample, self.localize.preprocessing) else {
                left.push((sample, there.clone()));
                continue;
            };
            let mut known = vec![];
            for (name, classes) in there {
                let Some(alone) = largest(sample, classes[0], &photo) else { continue };
                let scores = model.scores(forward.as_mut(), &self.localize.preprocessing.apply(&alone))?;
                if ranking(&scores).iter().take(first).any(|c| classes.contains(c)) {
                    known.push((name.clone(), classes.clone()));
                }
            }
            if known.len() > 1 {
                left.push((sample, known));
            }
        }
        (self.localize.samples, self.there) = left.into_iter().unzip();
        Ok(())
    }

    /// Number of photos.
    pub fn photos(&self) -> usize {
        self.localize.samples.len()
    }

    fn ready(&self, item: usize) -> Result<Ready> {
        let sample = self.localize.samples[item];
        let preprocessing = self.localize.preprocessing;
        let photo = photo(sample, preprocessing)?;
        let with_boxes = |(name, classes): Known| {
            let boxes = truth(sample, &photo, classes[0], preprocessing)?;
            Ok(((name, classes), boxes))
        };
        let present = self.there[item].iter().cloned().map(with_boxes).collect::<Result<Vec<_>>>()?;
        let input = preprocessing.apply(&photo);
        let there: BTreeSet<usize> = sample.classes().into_iter().collect();
        let mut absent: Vec<Known> = self
            .known
            .iter()
            .filter(|(_, classes)| classes.iter().all(|c| !there.contains(c)))
            .cloned()
            .collect();
        let mut random = stream(self.localize.seed, item);
        let count = absent.len().min(present.len());
        for i in 0..count {
            let other = i + below(&mut random, absent.len() - i);
            absent.swap(i, other);
        }
        absent.truncate(count);
        Ok(Ready { photo, input, present, absent })
    }

    /// The method's explanations of the present and the absent classes.
    fn ask(&self, method: &mut Explaining<'_>, ready: &Ready) -> Result<(Vec<usize>, Vec<Explanation>)> {
        let scores = method.scores(&ready.input)?;
        let likeliest = |(_, classes): &Known| {
            classes.iter().copied().max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0)
        };
        let present = ready.present.iter().map(|(known, _)| known);
        let classes: Vec<usize> = present.chain(&ready.absent).map(likeliest).collect();
        let explained = method.explain(&classes)?;
        Ok((classes, explained))
    }
}

/// The largest box of a class and what is around it, cut out of its photo.
fn largest(sample: &Sample, class: usize, photo: &Photo) -> Option<Photo> {
    let area = |[x0, y0, x1, y1]: &[f64; 4]| (x1 - x0) * (y1 - y0);
    let [x0, y0, x1, y1] =
        sample.boxes(class, photo).into_iter().max_by(|a, b| area(a).total_cmp(&area(b)))?;
    let edges = |[from, to]: [f64; 2], side: u32| {
        let more = AROUND * (to - from);
        let at = |share: f64| (share.clamp(0.0, 1.0) * f64::from(side)).round() as u32;
        [at(from - more), at(to + more)]
    };
    let [left, right] = edges([x0, x1], photo.width());
    let [top, bottom] = edges([y0, y1], photo.height());
    let size = [right.saturating_sub(left), bottom.saturating_sub(top)];
    (!size.contains(&0)).then(|| photo.cropped([left, top], size))
}

/// The classes of a sample that have a box, with their names.
fn named(sample: &Sample) -> Vec<Known> {
    let with_box = sample.objects.iter().filter(|o| o.bbox.is_some() && !o.classes.is_empty());
    let all: BTreeMap<_, _> = with_box.map(|o| (o.name.clone(), o.classes.clone())).collect();
    all.into_iter().collect()
}

impl Measure for Objects<'_> {
    type Record = Several;

    fn items(&self) -> usize {
        self.photos()
    }

    fn name(&self, item: usize) -> String {
        self.localize.samples[item].id.clone()
    }

    fn measure(&mut self, method: &mut Explaining<'_>, item: usize) -> Result<Several> {
        let ready = self.ready(item)?;
        let (classes, explained) = self.ask(method, &ready)?;
        let part = |i: usize| {
            let map = &explained[i].map;
            let others: Vec<Box4> = ready
                .present
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .flat_map(|(_, (_, b))| b.clone())
                .collect();
            let own = &ready.present[i].1;
            let flat = Map { data: vec![1.0; map.data.len()], ..*map };
            Part {
                class: classes[i],
                says: Says::of(&explained[i]),
                own: against(map, own, &others),
                chance: against(&flat, own, &others),
                hit: (map.max() > 0.0).then(|| points(map, own, 0.0)),
            }
        };
        let there = ready.present.len();
        Ok(Several {
            parts: (0..there).map(part).collect(),
            absent: explained[there..].iter().map(Says::of).collect(),
        })
    }

    fn show(&mut self, method: &mut Explaining<'_>, item: usize, _: Option<Frozen>) -> Result<Shown> {
        let ready = self.ready(item)?;
        let (_, explained) = self.ask(method, &ready)?;
        let names = ready.present.iter().map(|((name, _), boxes)| (name.clone(), boxes.clone()));
        let not_there = ready.absent.iter().map(|(name, _)| (format!("{name}{NOT_THERE}"), vec![]));
        let maps = names.chain(not_there).zip(explained).map(|((name, truth), e)| ShownMap {
            name,
            map: e.map,
            truth,
            objects: vec![],
            found: None,
        });
        Ok(Shown { picture: self.localize.preprocessing.view(&ready.photo), maps: maps.collect() })
    }
}

/// Mass only in its own boxes ÷ (that + mass only in others' boxes); pixels in both are not counted.
fn against(map: &Map, own: &[Box4], others: &[Box4]) -> Option<f64> {
    let (mut mine, mut theirs) = (0.0, 0.0);
    for (i, &value) in map.data.iter().enumerate() {
        let (row, column) = (i / map.width, i % map.width);
        match (in_boxes(own, row, column), in_boxes(others, row, column)) {
            (true, false) => mine += f64::from(value.max(0.0)),
            (false, true) => theirs += f64::from(value.max(0.0)),
            _ => {}
        }
    }
    (mine + theirs > 0.0).then(|| mine / (mine + theirs))
}

/// The table.
pub fn table(found: &Found<Several>, seed: u64) -> Table {
    let columns = vec![
        Column::new(
            "pointing",
            Better::Higher,
            "the maximum lies in a box of the class, of maps that are not empty",
        ),
        Column::new(
            "own-share",
            Better::Higher,
            "mass in the class's own boxes ÷ that and the mass in boxes of the others (pixels in both left out); an empty map \
             counts as chance, the boxes' area",
        ),
        Column::new("own-share-seen", Better::Higher, "the same of maps that are not empty"),
        Column::new("empty", Better::Neither, "share of the classes that are there whose map is empty"),
        Column::new(
            "existence",
            Better::Higher,
            "AUROC of telling classes that are there from others of the dataset: by the verdict's p-value, or the map's mass where a \
             method has no verdict",
        ),
    ];
    let rows = found.methods.iter().map(|m| {
        let all = found.of(&m.name);
        let figure = |of: &dyn Fn(&Part) -> Option<f64>| {
            Cell::of(all.iter().filter_map(|(i, r)| Some((*i, mean(of, r)?))), seed)
        };
        let empty = |p: &Part| p.hit.is_none();
        Row {
            method: m.name.clone(),
            setting: String::new(),
            cells: vec![
                figure(&|p| p.hit.map(rate)),
                figure(&|p| if empty(p) { p.chance } else { p.own }),
                figure(&|p| p.own.filter(|_| !empty(p))),
                figure(&|p| Some(rate(empty(p)))),
                existence(&all, seed),
            ],
        }
    });
    let note = "Means over the classes of a photo, then over photos.";
    Table::new("Several objects", note, columns, rows.collect(), seed)
}

/// The mean of a figure over the classes for which it is defined.
fn mean(of: &dyn Fn(&Part) -> Option<f64>, r: &Several) -> Option<f64> {
    let all: Vec<f64> = r.parts.iter().filter_map(of).collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

/// The AUROC over all classes of all photos; for its interval, photos are resampled.
fn existence(all: &[(usize, &Several)], seed: u64) -> Option<Cell> {
    let mut every: Vec<Says> = all
        .iter()
        .flat_map(|(_, r)| r.parts.iter().map(|p| p.says).chain(r.absent.iter().copied()))
        .collect();
    every.sort_by(Says::order);
    // Equal values have equal ranks.
    let rank = |says: &Says| every.partition_point(|other| other.order(says).is_lt()) as f64;
    let of = |photos: &[&Several]| {
        let there: Vec<f64> = photos.iter().flat_map(|r| r.parts.iter().map(|p| rank(&p.says))).collect();
        let absent: Vec<f64> = photos.iter().flat_map(|r| r.absent.iter().map(&rank)).collect();
        auroc(&there, &absent)
    };
    let photos: Vec<&Several> = all.iter().map(|(_, r)| *r).collect();
    let figure = of(&photos)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || (0..photos.len()).map(|_| photos[below(&mut random, photos.len())]).collect::<Vec<_>>();
    let mut again: Vec<f64> = (0..RESAMPLES).filter_map(|_| of(&draw())).collect();
    again.sort_by(f64::total_cmp);
    let interval = [percentile(&again, 2.5), percentile(&again, 97.5)];
    Some(Cell::overall(photos.len(), figure, Some(interval)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn several(there: &[[f64; 2]], absent: &[[f64; 2]]) -> Several {
        let part = |says: &[f64; 2]| Part { class: 0, says: Says(*says), own: None, chance: None, hit: None };
        Several {
            parts: there.iter().map(part).collect(),
            absent: absent.iter().copied().map(Says).collect(),
        }
    }

    #[test]
    fn mass_counts_in_one_s_own_boxes_against_the_others_alone() {
        let mut map = Map::zeros(1, 10);
        map.data.copy_from_slice(&[1.0, 1.0, 5.0, -9.0, 0.0, 1.0, 0.0, 0.0, 0.0, 7.0]);
        let (own, others) = ([[0, 0, 2, 0]], [[2, 0, 3, 0], [5, 0, 5, 0]]);
        // Column 2 is in both, column 9 in neither.
        assert_eq!(against(&map, &own, &others), Some(2.0 / 3.0));
        assert_eq!(against(&Map::zeros(1, 10), &own, &others), None);
    }

    #[test]
    fn classes_are_told_apart_by_the_verdict_and_among_equals_by_the_evidence() {
        let photos =
            [several(&[[-0.01, 3.0], [-1.0, 0.5]], &[[-1.0, 0.2]]), several(&[[-1.0, 0.1]], &[[-0.5, 9.0]])];
        let all: Vec<(usize, &Several)> = photos.iter().enumerate().collect();
        // Six pairs: the first beats both, the second the first absent one, the third none.
        assert_eq!(existence(&all, 1).unwrap().mean, 3.0 / 6.0);
        let equal = [several(&[[-1.0, 0.0]], &[[-1.0, 0.0]])];
        assert_eq!(existence(&[(0, &equal[0])], 1).unwrap().mean, 0.5);
    }
}
