//! Trains one candidate of a study on several selections of attacks, and evaluates it on the test images.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use candor::progress::Progress;

use super::Study;
use super::candidates::{Budgets, Candidate, Kind};
use super::corruptions;
use super::figures::{DetectorRow, Figure};
use super::rows::Rows;
use crate::detector::card::Threshold;
use crate::detector::corpus::Split;
use crate::detector::network::Network;
use crate::detector::scorers::{Scorer, ScorerKind};
use crate::error::{Error, Result};
use candor_eval::statistics::{auroc, auroc_interval};

/// Interval at which the caller is asked whether to cancel the training.
const POLLED: Duration = Duration::from_millis(5);

/// Cancels training on another thread.
struct Stop<'s>(&'s AtomicBool);

impl Progress for Stop<'_> {
    fn advance(&mut self, _: u64) -> ControlFlow<()> {
        if self.0.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// A trained scorer with its thresholds.
pub(super) struct Trained {
    pub scorer: Box<dyn Scorer>,
    pub thresholds: Vec<Threshold>,
}

impl Trained {
    pub(super) fn network(&self) -> Result<&Network> {
        self.scorer.network().ok_or_else(|| Error::Detector("the detector is not a network".into()))
    }
}

/// The selections of attacks (by index) on which a candidate is trained; each list is one training.
struct Trainings {
    /// All attacks that it may be trained on.
    all: Vec<usize>,
    /// For each attack, those with other names.
    others: Vec<Vec<usize>>,
    /// Whether it is also trained on each single attack.
    alone: bool,
}

impl Trainings {
    /// The distinct lists, without those whose attacks never succeed (`all` is kept: its failure is an error).
    fn distinct(&self, succeeds: impl Fn(&[usize]) -> bool) -> BTreeSet<Vec<usize>> {
        let mut lists = BTreeSet::from([self.all.clone()]);
        lists.extend(self.others.iter().cloned());
        lists.extend((0..self.others.len()).filter(|_| self.alone).map(|a| vec![a]));
        lists.retain(|attacks| *attacks == self.all || succeeds(attacks));
        lists
    }
}

impl Study<'_> {
    /// A candidate's results, and its scorer trained on all attacks.
    pub(super) fn evaluate(
        &self,
        candidate: &Candidate,
        rows: &Rows,
        progress: &mut dyn Progress,
    ) -> Result<(DetectorRow, Trained)> {
        let trainings = self.trainings(candidate, rows);
        let lists = trainings.distinct(|attacks| self.succeeds(rows, attacks));
        let mut trained = self.train_all(candidate, rows, &lists, progress)?;
        let mut figure = |attacks: &Vec<usize>, tested: &[&[f32]]| match trained.get_mut(attacks) {
            Some(trained) => self.figure(trained, rows, tested),
            None => Ok(None),
        };
        let (mut seen, mut unseen, mut same) = (vec![], vec![], vec![]);
        for (a, others) in trainings.others.iter().enumerate() {
            let tested = self.test_rows(rows, &[a]);
            seen.push(figure(&trainings.all, &tested)?);
            unseen.push(figure(others, &tested)?);
            same.push(if trainings.alone { figure(&vec![a], &tested)? } else { None });
        }
        let mut weakest = vec![];
        for (name, budgets) in self.budgets().into_iter().filter(|(_, budgets)| budgets.len() > 1) {
            let tested = self.test_rows(rows, &budgets);
            weakest.push((name.to_string(), figure(&trainings.all, &tested)?));
        }
        let nothing = || Error::Detector("there was no attack to train on".into());
        let mut trained = trained.remove(&trainings.all).ok_or_else(nothing)?;
        let false_alarms = false_alarms(&mut trained, rows)?;
        let (name, kind) = (candidate.name.clone(), candidate.kind.word());
        Ok((DetectorRow { name, kind, seen, unseen, same, weakest, false_alarms }, trained))
    }

    /// The indices of the attacks with each name, in the order given: its budgets.
    fn budgets(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut budgets: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (a, attack) in self.corpus.attacks.iter().enumerate() {
            budgets.entry(&attack.spec.name).or_default().push(a);
        }
        budgets
    }

    fn trainings(&self, candidate: &Candidate, rows: &Rows) -> Trainings {
        let name = |a: usize| self.corpus.attacks[a].spec.name.as_str();
        let all = self.chosen_attacks(candidate.budgets, rows);
        let others = |a: usize| all.iter().copied().filter(|&b| name(b) != name(a)).collect();
        let others = (0..self.corpus.attacks.len()).map(others).collect();
        // Training networks is expensive: among them, only the mask detector is trained on each single attack.
        let alone = match candidate.kind {
            Kind::Masks => true,
            Kind::Baseline => !matches!(candidate.scorer, ScorerKind::Network { .. }),
            Kind::Ablation => false,
        };
        Trainings { all, others, alone }
    }

    /// The attacks for training: all, or for each name the weakest or strongest that succeeds on a training image.
    pub(super) fn chosen_attacks(&self, budgets: Budgets, rows: &Rows) -> Vec<usize> {
        if budgets == Budgets::All {
            return (0..self.corpus.attacks.len()).collect();
        }
        let of_name = |numbers: Vec<usize>| {
            let mut successful = numbers.into_iter().filter(|&a| self.succeeds(rows, &[a]));
            if budgets == Budgets::Strongest { successful.next_back() } else { successful.next() }
        };
        let mut chosen: Vec<usize> = self.budgets().into_values().filter_map(of_name).collect();
        chosen.sort_unstable();
        chosen
    }

    /// Scorers trained on each of several lists of attacks, as many in parallel as there are processors.
    fn train_all(
        &self,
        candidate: &Candidate,
        rows: &Rows,
        lists: &BTreeSet<Vec<usize>>,
        progress: &mut dyn Progress,
    ) -> Result<BTreeMap<Vec<usize>, Trained>> {
        let (lists, next): (Vec<&Vec<usize>>, _) = (lists.iter().collect(), AtomicUsize::new(0));
        let stop = AtomicBool::new(false);
        let work = || {
            let mut done = vec![];
            while let Some(&attacks) = lists.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.push(
                    self.train_on(candidate, rows, attacks, &mut Stop(&stop)).map(|t| (attacks.clone(), t)),
                );
            }
            done
        };
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get()).min(lists.len());
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
            while threads.iter().any(|t| !t.is_finished()) {
                if progress.poll().is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                std::thread::sleep(POLLED);
            }
            threads.into_iter().flat_map(|t| t.join().expect("training does not panic")).collect()
        })
    }

    /// A candidate's scorer trained on some attacks, with thresholds calibrated on clean images.
    pub(super) fn train_on(
        &self,
        candidate: &Candidate,
        rows: &Rows,
        attacks: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Trained> {
        let engine = self.model.engine.as_ref();
        let examples = self.examples(rows, attacks);
        let mut scorer = candidate.scorer.train(engine, &examples, &self.training, progress)?;
        let clean = scorer.scores(&self.clean_rows(rows, Split::Calibration))?;
        Ok(Trained { scorer, thresholds: Threshold::calibrate(&clean)? })
    }

    /// The results for adversarial rows and the clean test images; `None` without adversarial rows.
    fn figure(&self, trained: &mut Trained, rows: &Rows, tested: &[&[f32]]) -> Result<Option<Figure>> {
        if tested.is_empty() {
            return Ok(None);
        }
        let clean = trained.scorer.scores(&self.clean_rows(rows, Split::Test))?;
        let adversarial = trained.scorer.scores(tested)?;
        let Some(area) = auroc(&adversarial, &clean) else { return Ok(None) };
        Ok(Some(Figure {
            auroc: area,
            interval: auroc_interval(&adversarial, &clean, self.training.seed),
            detected: trained.thresholds.iter().map(|t| t.alarms(&adversarial)).collect(),
            count: tested.len(),
        }))
    }
}

/// For each measured corruption, the fractions of clean test images above the thresholds.
fn false_alarms(trained: &mut Trained, rows: &Rows) -> Result<Vec<(String, Vec<f64>)>> {
    let mut all = vec![];
    for ((name, _), rows) in corruptions::MEASURED.iter().zip(&rows.corrupted_test) {
        let scores = trained.scorer.scores(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        all.push(((*name).to_string(), trained.thresholds.iter().map(|t| t.alarms(&scores)).collect()));
    }
    Ok(all)
}
