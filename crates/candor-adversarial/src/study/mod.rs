//! How far a detector can be believed: on attacks that it learned from, on one that it did not, and on clean images that everyday
//! handling has changed; beside published detectors on the same images.
//!
//! Networks and regressions learn from the training part; thresholds are set by clean images of the calibration part; every figure is
//! of the test part.

mod adaptive;
mod candidates;
mod corruptions;
pub mod report;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::RgbImage;
use serde::Serialize;

use crate::detector::card::{Learned, Threshold};
use crate::detector::corpus::{Corpus, Split};
use crate::detector::features::FeatureSettings;
use crate::detector::network::Network;
use crate::detector::representations::Representation;
use crate::detector::scorers::{Scorer, ScorerKind};
use crate::detector::training::{Examples, Training};
use crate::error::{Error, Result};
pub use adaptive::AdaptiveRow;
use candidates::{Budgets, Candidate, Candidates, Kind};
use candor::image::Preprocessing;
use candor::model::Model;
use candor::noise::Noise;
use candor::quantile::median;
use candor_eval::statistics::{self, auroc};
use corruptions::Corruption;

const ALL: [Split; 3] = [Split::Train, Split::Calibration, Split::Test];

/// What a study is made of.
pub struct Study<'s> {
    /// The model.
    pub model: &'s Model,
    /// How photos become its input.
    pub preprocessing: &'s Preprocessing,
    /// Clean and adversarial images.
    pub corpus: &'s Corpus,
    /// How features are made.
    pub features: FeatureSettings,
    /// How networks are trained. Its seed is also that of the other detectors and of the intervals.
    pub training: Training,
    /// Whether published detectors are compared.
    pub baselines: bool,
    /// Whether other parts of the features are compared.
    pub ablations: bool,
    /// Test images that the adaptive attack is made on.
    pub adaptive: usize,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The attacks.
    pub attacks: Vec<AttackRow>,
    /// Numbers of clean images: training, calibration, test.
    pub clean: [usize; 3],
    /// A row a detector.
    pub detectors: Vec<DetectorRow>,
    /// Attacks by one who knows the detector, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adaptive: Vec<AdaptiveRow>,
}

/// An attack on the images.
#[derive(Debug, Serialize)]
pub struct AttackRow {
    /// As it was asked for.
    pub label: String,
    /// Share of the images of training and test on which it succeeds in whole levels, 0..=1.
    pub success: f64,
    /// Adversarial images of the test part.
    pub test: usize,
    /// Median L∞ and L2 of the successful ones.
    pub norms: Option<[f64; 2]>,
}

/// A detector's figures.
#[derive(Debug, Serialize)]
pub struct DetectorRow {
    /// Its name.
    pub name: String,
    /// `ours`, `baseline` or `ablation`.
    pub kind: &'static str,
    /// Trained on all attacks: a figure an attack.
    pub seen: Vec<Option<Figure>>,
    /// Trained on all but those of the same name: a figure an attack.
    pub unseen: Vec<Option<Figure>>,
    /// Trained on this attack alone; of networks, ours only.
    pub same: Vec<Option<Figure>>,
    /// On the weakest of an attack's budgets that succeeds on an image, by the attack's name; trained on all.
    pub weakest: Vec<(String, Option<Figure>)>,
    /// Share of clean test images above the thresholds, trained on all: by what happened to them.
    pub false_alarms: Vec<(String, Vec<f64>)>,
}

/// How well scores tell adversarial images from clean ones.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Its 95 % bootstrap interval over images.
    pub interval: [f64; 2],
    /// Share of adversarial images above each threshold of [`Threshold::SHARES`].
    pub detected: Vec<f64>,
    /// Adversarial images.
    pub count: usize,
}

impl Figure {
    /// The mean of a value over the attacks that have figures.
    pub fn mean(figures: &[Option<Figure>], value: fn(&Figure) -> f64) -> Option<f64> {
        let values: Vec<f64> = figures.iter().flatten().map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// Rows of one representation.
struct Table {
    /// For each clean image; empty for those of parts that were not asked for.
    clean: Vec<Vec<f32>>,
    /// For each attack, for each clean image.
    adversarial: Vec<Vec<Option<Vec<f32>>>>,
    /// The training images after an everyday change each.
    handled: Vec<Vec<f32>>,
    /// For each everyday change, the test images, where they are asked for.
    everyday: Vec<Vec<Vec<f32>>>,
}

impl Study<'_> {
    /// Steps that [`Study::run`] reports, at most; or [`Study::train`], which looks at no test images.
    pub fn ticks(&self, tested: bool) -> Result<u64> {
        let (representations, candidates) = self.candidates()?;
        let adversarial: usize =
            self.corpus.attacks.iter().map(|a| a.pictures.iter().flatten().count()).sum();
        let [train, calibration, test] = self.sizes();
        // Training images also after an everyday change, test images as they are and after each.
        let pictures = 2 * train
            + calibration
            + if tested { corruptions::MEASURED.len() * test } else { 0 }
            + adversarial;
        Ok((representations.len() * pictures + candidates.len()) as u64)
    }

    fn candidates(&self) -> Result<Candidates> {
        candidates::all(self.model, self.preprocessing, &self.features, (self.baselines, self.ablations))
    }

    /// Runs the study. Rows of representations are kept in `folder`. `tick` is told what is done and how many steps it took.
    ///
    /// # Errors
    /// If an engine or a library fails, or if no attack succeeds on a training image.
    pub fn run(&self, folder: &Path, tick: &mut dyn FnMut(&str, usize)) -> Result<Report> {
        let (mut representations, candidates) = self.candidates()?;
        let mut tables = vec![];
        for (v, representation) in representations.iter_mut().enumerate() {
            let of_view = candidates.iter().filter(|c| c.representation == v).map(|c| c.name.as_str()).next();
            let name = of_view.unwrap_or_default();
            let mut table = self.table(representation.as_mut(), &ALL, folder, &mut |n| tick(name, n))?;
            table.everyday =
                self.everyday(representation.as_mut(), &table.clean, folder, &mut |n| tick(name, n))?;
            tables.push(table);
        }
        let (mut detectors, mut adaptive) = (vec![], vec![]);
        for candidate in &candidates {
            let (row, trained) = self.scorer(candidate, &tables[candidate.representation])?;
            detectors.push(row);
            tick(&candidate.name, 1);
            if candidate.kind == Kind::Ours && self.adaptive > 0 {
                adaptive = self.adapt(&trained, tick)?;
            }
        }
        Ok(Report { attacks: self.attacks(), clean: self.sizes(), detectors, adaptive })
    }

    /// Clean images of each part.
    fn sizes(&self) -> [usize; 3] {
        ALL.map(|part| self.corpus.of(part).len())
    }

    /// Trains the network that is to be kept, on all attacks; its thresholds, and what it learned from.
    ///
    /// # Errors
    /// As [`Study::run`].
    pub fn train(
        &self,
        folder: &Path,
        tick: &mut dyn FnMut(&str, usize),
    ) -> Result<(Network, Vec<Threshold>, Vec<Learned>)> {
        let (mut representations, candidates) =
            candidates::all(self.model, self.preprocessing, &self.features, (false, false))?;
        let name = candidates::OURS;
        let parts = [Split::Train, Split::Calibration];
        let table = self.table(representations[0].as_mut(), &parts, folder, &mut |n| tick(name, n))?;
        let all = self.learned(candidates[0].budgets, &table);
        let trained = self.taught(&candidates[0], &table, &all)?;
        let train = self.corpus.of(Split::Train);
        let learned = self.corpus.attacks.iter().map(|a| Learned {
            attack: a.spec.label.clone(),
            images: train.iter().filter(|&&i| a.pictures[i].is_some()).count(),
        });
        Ok((trained.network()?.clone(), trained.thresholds, learned.collect()))
    }

    fn attacks(&self) -> Vec<AttackRow> {
        let test = self.corpus.of(Split::Test);
        let row = |a: &crate::detector::corpus::Adversaries| {
            let norms: Vec<_> = a.norms.iter().flatten().collect();
            let middle = |f: &dyn Fn(&crate::attacks::Norms) -> f64| {
                median(&norms.iter().map(|n| f(n)).collect::<Vec<_>>())
            };
            AttackRow {
                label: a.spec.label.clone(),
                success: norms.len() as f64 / a.tried.max(1) as f64,
                test: test.iter().filter(|&&i| a.pictures[i].is_some()).count(),
                norms: middle(&|n| n.linf).zip(middle(&|n| n.l2)).map(|(a, b)| [a, b]),
            }
        };
        self.corpus.attacks.iter().map(row).collect()
    }

    /// The rows of clean images of some parts, and of what attacks made of any.
    fn table(
        &self,
        representation: &mut dyn Representation,
        parts: &[Split],
        folder: &Path,
        tick: &mut dyn FnMut(usize),
    ) -> Result<Table> {
        let mut rows =
            |pictures: &[&RgbImage]| rows::rows(representation, self.model, pictures, folder, tick);
        let mut clean = vec![vec![]; self.corpus.clean.len()];
        for part in parts {
            let of = self.corpus.of(*part);
            let pictures: Vec<&RgbImage> = of.iter().map(|&i| &self.corpus.clean[i].picture).collect();
            of.iter().zip(rows(&pictures)?).for_each(|(&i, row)| clean[i] = row);
        }
        let mut adversarial = vec![];
        for attack in &self.corpus.attacks {
            let pictures: Vec<&RgbImage> = attack.pictures.iter().flatten().collect();
            let mut found = rows(&pictures)?.into_iter();
            adversarial.push(attack.pictures.iter().map(|p| p.as_ref().and_then(|_| found.next())).collect());
        }
        let picture = |i: usize| &self.corpus.clean[i].picture;
        let handled = self.corpus.of(Split::Train).into_iter().map(|i| {
            let mut noise = Noise::of_item(self.training.seed, i);
            Corruption::drawn(&mut noise).of(picture(i), &mut noise)
        });
        let handled = handled.collect::<Result<Vec<_>>>()?;
        let handled = rows(&handled.iter().collect::<Vec<_>>())?;
        Ok(Table { clean, adversarial, handled, everyday: vec![] })
    }

    /// For each everyday change, the rows of the test images. `clean`: the rows of all images as they are.
    fn everyday(
        &self,
        representation: &mut dyn Representation,
        clean: &[Vec<f32>],
        folder: &Path,
        tick: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Vec<f32>>>> {
        let test = self.corpus.of(Split::Test);
        let mut everyday = vec![];
        for (_, change) in corruptions::MEASURED {
            if change == Corruption::Unchanged {
                everyday.push(test.iter().map(|&i| clean[i].clone()).collect());
                continue;
            }
            let changed = test
                .iter()
                .map(|&i| change.of(&self.corpus.clean[i].picture, &mut Noise::of_item(0, i)))
                .collect::<Result<Vec<_>>>()?;
            let changed: Vec<&RgbImage> = changed.iter().collect();
            everyday.push(rows::rows(representation, self.model, &changed, folder, tick)?);
        }
        Ok(everyday)
    }

    /// Training rows of some attacks.
    fn examples<'t>(&self, table: &'t Table, attacks: &[usize]) -> Examples<'t> {
        let train = self.corpus.of(Split::Train);
        let list = |&a: &usize| train.iter().filter_map(|&i| table.adversarial[a][i].as_deref()).collect();
        Examples {
            clean: train.iter().map(|&i| &table.clean[i]).chain(&table.handled).map(Vec::as_slice).collect(),
            adversarial: attacks.iter().map(list).collect(),
        }
    }

    /// Whether any of some attacks succeeds on a training image.
    fn succeeds(&self, table: &Table, attacks: &[usize]) -> bool {
        self.examples(table, attacks).adversarial.iter().any(|list| !list.is_empty())
    }

    /// A detector's figures, and the scorer that learned from all attacks.
    fn scorer(&self, candidate: &Candidate, table: &Table) -> Result<(DetectorRow, Trained)> {
        let attacks = &self.corpus.attacks;
        let count = attacks.len();
        let all = self.learned(candidate.budgets, table);
        let families: Vec<&str> = attacks.iter().map(|a| a.spec.name.as_str()).collect();
        let others = |a: usize| -> Vec<usize> {
            all.iter().copied().filter(|&b| families[b] != families[a]).collect()
        };
        // Networks are many to train: of them, only ours learns from each attack alone.
        let alone = match candidate.kind {
            Kind::Ours => true,
            Kind::Baseline => !matches!(candidate.scorer, ScorerKind::Network { .. }),
            Kind::Ablation => false,
        };
        let mut lessons: BTreeSet<Vec<usize>> = BTreeSet::from([all.clone()]);
        lessons.extend((0..count).map(others));
        lessons.extend((0..count).filter(|_| alone).map(|a| vec![a]));
        lessons.retain(|attacks| *attacks == all || self.succeeds(table, attacks));
        let mut trained = self.trained(candidate, table, &lessons)?;
        let mut figure = |lesson: &Vec<usize>, rows: &[&[f32]]| match trained.get_mut(lesson) {
            Some(scorer) => self.figure(scorer, table, rows),
            None => Ok(None),
        };
        let (mut seen, mut unseen, mut same) = (vec![], vec![], vec![]);
        for a in 0..count {
            let rows = self.test_rows(table, a);
            seen.push(figure(&all, &rows)?);
            unseen.push(figure(&others(a), &rows)?);
            same.push(if alone { figure(&vec![a], &rows)? } else { None });
        }
        let mut weakest = vec![];
        for family in families.iter().collect::<BTreeSet<_>>() {
            let budgets: Vec<usize> = (0..count).filter(|&a| families[a] == *family).collect();
            if budgets.len() > 1 {
                let test = self.corpus.of(Split::Test);
                let first = |i: usize| budgets.iter().find_map(|&a| table.adversarial[a][i].as_deref());
                let rows: Vec<&[f32]> = test.into_iter().filter_map(first).collect();
                weakest.push(((*family).to_string(), figure(&all, &rows)?));
            }
        }
        let mut false_alarms = vec![];
        let mut trained =
            trained.remove(&all).ok_or_else(|| Error::Detector("nothing was learned".into()))?;
        for ((name, _), rows) in corruptions::MEASURED.iter().zip(&table.everyday) {
            let scores = trained.scorer.scores(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
            let shares = trained.thresholds.iter().map(|t| t.alarms(&scores)).collect();
            false_alarms.push(((*name).to_string(), shares));
        }
        let kind = match candidate.kind {
            Kind::Ours => "ours",
            Kind::Baseline => "baseline",
            Kind::Ablation => "ablation",
        };
        let name = candidate.name.clone();
        Ok((DetectorRow { name, kind, seen, unseen, same, weakest, false_alarms }, trained))
    }

    /// Attacks to learn from, where not every budget is.
    fn learned(&self, budgets: Budgets, table: &Table) -> Vec<usize> {
        let count = self.corpus.attacks.len();
        if budgets == Budgets::All {
            return (0..count).collect();
        }
        let mut of_name: BTreeMap<&str, usize> = BTreeMap::new();
        for a in (0..count).filter(|&a| self.succeeds(table, &[a])) {
            let kept = of_name.entry(&self.corpus.attacks[a].spec.name).or_insert(a);
            if budgets == Budgets::Strongest {
                *kept = a;
            }
        }
        let mut learned: Vec<usize> = of_name.into_values().collect();
        learned.sort_unstable();
        learned
    }

    fn test_rows<'t>(&self, table: &'t Table, attack: usize) -> Vec<&'t [f32]> {
        let test = self.corpus.of(Split::Test);
        test.into_iter().filter_map(|i| table.adversarial[attack][i].as_deref()).collect()
    }

    /// Judges that learned from each of some choices of attacks, as many at once as there are processors.
    fn trained(
        &self,
        candidate: &Candidate,
        table: &Table,
        lessons: &BTreeSet<Vec<usize>>,
    ) -> Result<BTreeMap<Vec<usize>, Trained>> {
        let (lessons, next): (Vec<&Vec<usize>>, _) = (lessons.iter().collect(), AtomicUsize::new(0));
        let work = || {
            let mut done = vec![];
            while let Some(&attacks) = lessons.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.push(self.taught(candidate, table, attacks).map(|t| (attacks.clone(), t)));
            }
            done
        };
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get()).min(lessons.len());
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|t| t.join().expect("training does not panic")).collect()
        })
    }

    fn taught(&self, candidate: &Candidate, table: &Table, attacks: &[usize]) -> Result<Trained> {
        let engine = self.model.engine.as_ref();
        let mut scorer = candidate.scorer.train(engine, &self.examples(table, attacks), &self.training)?;
        let calibration = self.corpus.of(Split::Calibration);
        let rows: Vec<&[f32]> = calibration.iter().map(|&i| table.clean[i].as_slice()).collect();
        let thresholds = Threshold::calibrate(&scorer.scores(&rows)?)?;
        Ok(Trained { scorer, thresholds })
    }

    fn figure(&self, trained: &mut Trained, table: &Table, rows: &[&[f32]]) -> Result<Option<Figure>> {
        let test = self.corpus.of(Split::Test);
        let clean: Vec<&[f32]> = test.iter().map(|&i| table.clean[i].as_slice()).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let (clean, adversarial) = (trained.scorer.scores(&clean)?, trained.scorer.scores(rows)?);
        let Some(area) = auroc(&adversarial, &clean) else { return Ok(None) };
        Ok(Some(Figure {
            auroc: area,
            interval: statistics::auroc_interval(&adversarial, &clean, self.training.seed),
            detected: trained.thresholds.iter().map(|t| t.alarms(&adversarial)).collect(),
            count: rows.len(),
        }))
    }
}

/// A trained scorer with its thresholds.
struct Trained {
    scorer: Box<dyn Scorer>,
    thresholds: Vec<Threshold>,
}

impl Trained {
    fn network(&self) -> Result<&Network> {
        self.scorer.network().ok_or_else(|| Error::Detector("the detector is a network".into()))
    }
}
