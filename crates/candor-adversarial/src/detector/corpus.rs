//! Pairs of clean and adversarial images, as a detector meets them: quantised to 8 bits, successful on the model itself. Stored in a
//! folder as PNG files with a journal, so that an interrupted run can be resumed and attacks can be added.

use candor::progress::Progress;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::attacks::{self, Goal, Norms, Rounding, TargetModel, answer};
use crate::error::{Error, Result};
use candor::image::{Preprocessing, decode};
use candor::model::Model;
use candor::noise::Noise;
use candor::parameters::name_and_settings;
use candor_eval::dataset::Sample;
use candor_eval::journal::{Entry, Journal, Outcome};
use candor_report::{atomic, png};

/// An attack with its parameters: `NAME` or `NAME+KEY=VALUE+…`, such as `pgd+eps=2/255`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttackSpec {
    /// As given.
    pub label: String,
    /// Name of the attack.
    pub name: String,
    /// Its parameters.
    pub set: Vec<(String, String)>,
}

impl FromStr for AttackSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fail = |reason| Error::Attack { attack: text.to_string(), reason };
        let (name, set) = name_and_settings(text).map_err(fail)?;
        attacks::find(name)?;
        Ok(AttackSpec { label: text.to_string(), name: name.to_string(), set })
    }
}

/// The splits of the images: training, calibration of the thresholds, and test. An image and its adversarial versions are in one
/// split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Half of the images.
    Train,
    /// A fifth of the images, and the additional ones of [`Recipe::calibration`]; none of them is attacked.
    Calibration,
    /// The rest.
    Test,
}

/// A clean image.
pub struct Clean {
    /// Name within the dataset.
    pub id: String,
    /// At the model's input size.
    pub picture: RgbImage,
    /// The model's answer.
    pub answer: usize,
    /// Its split.
    pub split: Split,
}

/// The result of an attack on an image, for the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attacked {
    /// Whether it succeeds as an 8-bit picture.
    pub success: bool,
    /// The norms of that picture's difference.
    pub norms: Option<Norms>,
}

/// Adversarial images of one attack.
pub struct Adversaries {
    /// The attack.
    pub spec: AttackSpec,
    /// For each clean image, the adversarial one, if there is one.
    pub pictures: Vec<Option<RgbImage>>,
    /// Their norms.
    pub norms: Vec<Option<Norms>>,
    /// Number of attacked images.
    pub tried: usize,
}

/// Clean images and their adversarial versions.
pub struct Corpus {
    /// The clean images, in random order, one split after the other.
    pub clean: Vec<Clean>,
    /// The attacks, in the order given.
    pub attacks: Vec<Adversaries>,
}

/// Settings for making a corpus.
pub struct Recipe<'r> {
    /// The attacked model.
    pub model: &'r Model,
    /// The model's preprocessing.
    pub preprocessing: &'r Preprocessing,
    /// Photos, with their classes if known.
    pub samples: &'r [Sample],
    /// Maximum number of images.
    pub limit: Option<usize>,
    /// Number of additional images for [`Split::Calibration`].
    pub calibration: usize,
    /// The splits whose images are attacked.
    pub attacked: &'r [Split],
    /// Seed of their order and of the attacks.
    pub seed: u64,
}

impl Corpus {
    /// Makes the corpus, or completes the one in `folder`. Photos whose known class is not the model's answer are left
    /// out. `surrogate`: the model on which the attack `transfer` makes its images. `progress` receives each image of each attack.
    ///
    /// # Errors
    /// [`Error::Io`] for a folder with a corpus made with other settings; [`Error::Detector`] without images; or as attacks.
    pub fn make(
        recipe: &Recipe<'_>,
        attacks: &[AttackSpec],
        mut surrogate: Option<TargetModel>,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Corpus> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let clean = clean(recipe)?;
        let mut journal = Journal::open(&folder.join("corpus.jsonl"), &configuration(recipe))?;
        let mut corpus = Corpus { clean, attacks: vec![] };
        for spec in attacks {
            corpus.attack(recipe, spec, &mut surrogate, folder, &mut journal, progress)?;
        }
        let labels: Vec<&str> = attacks.iter().map(|a| a.label.as_str()).collect();
        let mut found: BTreeMap<(String, usize), Attacked> = BTreeMap::new();
        for entry in journal.entries::<Attacked>(&labels)? {
            if let Outcome::Measured(attacked) = entry.outcome {
                found.insert((entry.method, entry.item), attacked);
            }
        }
        let tried = corpus.of_any(recipe.attacked).len();
        for spec in attacks {
            let (mut pictures, mut norms) = (vec![], vec![]);
            for (i, clean) in corpus.clean.iter().enumerate() {
                let attacked = found.get(&(spec.label.clone(), i));
                let attacked = attacked.filter(|a| a.success && recipe.attacked.contains(&clean.split));
                let file = file(folder, &spec.label, i);
                pictures.push(attacked.map(|_| decode(&file)).transpose()?);
                norms.push(attacked.and_then(|a| a.norms));
            }
            corpus.attacks.push(Adversaries { spec: spec.clone(), pictures, norms, tried });
        }
        Ok(corpus)
    }

    /// Attacks the images that the journal lacks. A batch with a missing image is recomputed completely, so that a resumed run gives
    /// the results of an uninterrupted one.
    fn attack(
        &self,
        recipe: &Recipe<'_>,
        spec: &AttackSpec,
        surrogate: &mut Option<TargetModel>,
        folder: &Path,
        journal: &mut Journal,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let wanted = self.of_any(recipe.attacked);
        let missing: BTreeSet<usize> =
            wanted.iter().copied().filter(|&i| !journal.has(&spec.label, i)).collect();
        progress.stage(&spec.label);
        progress.steps((wanted.len() - missing.len()) as u64)?;
        if missing.is_empty() {
            return Ok(());
        }
        let mut attack = match (spec.name.as_str(), surrogate.take()) {
            ("transfer", Some(from)) => attacks::prepare_transfer(&spec.set, from)?.0,
            (name, kept) => {
                *surrogate = kept;
                attacks::prepare(name, &spec.set)?.0
            }
        };
        let mut target_model = TargetModel::new(recipe.model, recipe.preprocessing)?;
        let mut rounding = Rounding::new(recipe.model, recipe.preprocessing)?;
        let made = folder.join(slug(&spec.label));
        std::fs::create_dir_all(&made).map_err(|e| Error::io(&made, e))?;
        let open = |part: &&[usize]| part.iter().any(|i| missing.contains(i));
        let runs = wanted.chunk_by(|a, b| a + 1 == *b);
        let parts: Vec<&[usize]> =
            runs.flat_map(|run| run.chunks(target_model.batch())).filter(open).collect();
        for part in parts {
            let images: Vec<Vec<f32>> = part
                .iter()
                .map(|&i| attacks::of_picture(recipe.preprocessing.channels, &self.clean[i].picture))
                .collect();
            let goals: Vec<Goal> = part.iter().map(|&i| Goal::away(self.clean[i].answer)).collect();
            let seed = (recipe.seed, part[0]);
            let of = (images.as_slice(), goals.as_slice());
            let found = attacks::run_rounded(attack.as_mut(), &mut target_model, &mut rounding, of, seed)?;
            for (&i, rounded) in part.iter().zip(found) {
                if let Some(rounded) = &rounded {
                    let about = format!("{} under {}", self.clean[i].id, spec.label);
                    atomic::write(&file(folder, &spec.label, i), &png::rgb(&rounded.picture, &about)?)?;
                }
                let attacked = Attacked { success: rounded.is_some(), norms: rounded.map(|r| r.norms) };
                if !journal.has(&spec.label, i) {
                    let outcome = Outcome::Measured(attacked);
                    journal.append(&Entry { method: spec.label.clone(), item: i, outcome })?;
                    progress.step()?;
                }
            }
        }
        Ok(())
    }

    /// Indices of the images of a split.
    pub fn of(&self, split: Split) -> Vec<usize> {
        self.of_any(&[split])
    }

    fn of_any(&self, splits: &[Split]) -> Vec<usize> {
        (0..self.clean.len()).filter(|&i| splits.contains(&self.clean[i].split)).collect()
    }
}

/// Everything that the pictures depend on except the attack. Additional images for calibration come after the others and do not change
/// them.
fn configuration(recipe: &Recipe<'_>) -> serde_json::Value {
    let engine = recipe.model.engine.info();
    let ids: Vec<&str> = recipe.samples.iter().map(|s| s.id.as_str()).collect();
    serde_json::json!({
        "model": recipe.model.info.sha256,
        "preprocessing": recipe.preprocessing,
        "engine": format!("{} {}", engine.name, engine.version),
        "samples": ids.len(),
        "limit": recipe.limit,
        "seed": recipe.seed,
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// The correctly classified photos in random order, divided among the splits.
fn clean(recipe: &Recipe<'_>) -> Result<Vec<Clean>> {
    let mut noise = Noise::new(recipe.seed);
    let order = noise.choose(recipe.samples.len(), recipe.samples.len());
    let most = recipe.limit.map_or(usize::MAX, |limit| limit.saturating_add(recipe.calibration));
    let mut forward = recipe.model.forward()?;
    let mut all = vec![];
    for i in order {
        if all.len() == most {
            break;
        }
        let sample = &recipe.samples[i];
        let photo = sample.photo(recipe.preprocessing)?;
        // 8 bits, as the attacked images are stored: a detector must not learn the difference.
        let picture = recipe.preprocessing.pixels(&photo);
        let logits = recipe.model.scores(forward.as_mut(), &recipe.preprocessing.normalize(&picture))?;
        let answer = answer(&logits);
        if sample.class().is_none_or(|class| class == answer) {
            all.push(Clean { id: sample.id.clone(), picture, answer, split: Split::Train });
        }
    }
    let shared = all.len().min(recipe.limit.unwrap_or(usize::MAX));
    let (train, test) = (shared / 2, shared - shared * 3 / 10);
    if train == 0 || test <= train {
        let reason =
            format!("{shared} of the photos are classified correctly; a detector needs ten at least");
        return Err(Error::Detector(reason));
    }
    for (i, clean) in all.iter_mut().enumerate() {
        clean.split = match i {
            i if i < train => Split::Train,
            i if (test..shared).contains(&i) => Split::Test,
            _ => Split::Calibration,
        };
    }
    Ok(all)
}

fn file(folder: &Path, label: &str, item: usize) -> PathBuf {
    folder.join(slug(label)).join(format!("{item:06}.png"))
}

/// A label as the name of a folder.
fn slug(label: &str) -> String {
    label.chars().map(|c| if c.is_ascii_alphanumeric() || ".-=".contains(c) { c } else { '_' }).collect()
}
