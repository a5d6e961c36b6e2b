//! Adversarially disturbed localisation: photos are changed slightly so that the model answers an absent class. Nothing of that
//! class is visible, so a box for it on the object is an error; the class that is present should still be found.

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::attacks::{self, Attack, Goal, Norms, Rounding, TargetModel};
use crate::detector::AttackSpec;
use crate::error::{Error, Result};
use candor::image::decode;
use candor::model::Model;
use candor::progress::Progress;
use candor::scores::ranking;
use candor_eval::bench::absent::Absent;
use candor_eval::bench::localize::{Asked, Localize, Localized, Located, ask_for, localized, locate, shown};
use candor_eval::bench::threshold::Frozen;
use candor_eval::bench::{Measure, Shown, photo};
use candor_eval::explaining::Explaining;
use candor_eval::journal::{Entry, Journal, Outcome};
use candor_eval::shard::Shard;
use candor_report::{atomic, png};

/// The outcome of a photo, for the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Attacked {
    /// The target class; `None` for a photo that the model misclassifies, which is not attacked.
    target: Option<usize>,
    /// The norms of the change, if the photo quantised to 8 bits is classified as the target.
    norms: Option<Norms>,
}

/// The benchmark.
pub struct Adversarial<'d> {
    localize: Localize<'d>,
    folder: PathBuf,
    /// The photos that were attacked successfully: index of the sample, target.
    made: Vec<(usize, usize)>,
    /// Number of photos that the model classifies correctly.
    pub right: usize,
    /// Number of photos per batch of the attack.
    batch: usize,
}

impl<'d> Adversarial<'d> {
    /// Attacks the correctly classified samples (of a shard, by batches), each towards a class drawn as [`Localize`] draws the absent
    /// one. Results are stored in `folder`, as `adversarial.jsonl` and one PNG each, at the model's input size, quantised to 8 bits and
    /// classified again; samples with stored results are not attacked again. `progress` receives each sample.
    ///
    /// # Errors
    /// [`Error::Attack`] for an attack that cannot be targeted; a folder with other settings; or as attacks.
    pub fn new(
        localize: Localize<'d>,
        model: &Model,
        spec: &AttackSpec,
        (folder, configuration, shard): (&Path, &serde_json::Value, Option<Shard>),
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let (mut attack, _) = attacks::prepare(&spec.name, &spec.set)?;
        if !attack.targeted() {
            let reason = "cannot aim at a class, which this benchmark needs".to_string();
            return Err(Error::Attack { attack: spec.name.clone(), reason });
        }
        let pictures = folder.join("adversarial");
        std::fs::create_dir_all(&pictures).map_err(|e| Error::io(&pictures, e))?;
        let mut journal = Journal::open(&folder.join("adversarial.jsonl"), configuration)?;
        let mut target_model = TargetModel::new(model, localize.preprocessing)?;
        let mut rounding = Rounding::new(model, localize.preprocessing)?;
        let all: Vec<usize> = (0..localize.samples.len()).collect();
        let batch = target_model.batch();
        for (unit, part) in all.chunks(batch).enumerate() {
            if shard.is_some_and(|shard| !shard.owns(unit)) {
                continue;
            }
            if part.iter().any(|&i| !journal.has(&spec.label, i)) {
                let made = changed(&localize, (attack.as_mut(), &mut target_model, &mut rounding), part)?;
                for (&item, (outcome, picture)) in part.iter().zip(made) {
                    if journal.has(&spec.label, item) {
                        continue;
                    }
                    if let Some(picture) = picture {
                        let about = format!("{} under {}", localize.name(item), spec.label);
                        atomic::write(&file(&pictures, item), &png::rgb(&picture, &about)?)?;
                    }
                    journal.append(&Entry { method: spec.label.clone(), item, outcome })?;
                }
            }
            progress.steps(part.len() as u64)?;
        }
        let mut benchmark = Adversarial { localize, folder: pictures, made: vec![], right: 0, batch };
        let mut entries = journal.entries::<Attacked>(&[spec.label.as_str()])?;
        entries.retain(|e| e.item < benchmark.localize.samples.len());
        entries.sort_by_key(|e| e.item);
        for entry in entries {
            if let Outcome::Measured(Attacked { target: Some(target), norms }) = entry.outcome {
                benchmark.right += 1;
                benchmark.made.extend(norms.map(|_| (entry.item, target)));
            }
        }
        Ok(benchmark)
    }

    /// Explains the present class and the target: the class, the boxes on the model's grid, the maps, and the changed photo.
    fn ask(
        &self,
        method: &mut Explaining<'_>,
        item: usize,
    ) -> candor_eval::error::Result<(usize, Located, Asked, RgbImage)> {
        let (number, target) = self.made[item];
        let sample = self.localize.samples[number];
        let class = sample.class().unwrap_or(0);
        let preprocessing = self.localize.preprocessing;
        let picture = decode(&file(&self.folder, number)).map_err(candor::error::Error::from)?;
        let mut located = locate(sample, &photo(sample, preprocessing)?, class, preprocessing)?;
        located.input = preprocessing.normalize(&picture);
        let ranking = ranking(&method.scores(&located.input)?);
        let asked = ask_for(method, &[class], target, &ranking)?;
        Ok((class, located, asked, picture))
    }
}

impl Measure for Adversarial<'_> {
    type Record = Localized;

    fn items(&self) -> usize {
        self.made.len()
    }

    fn name(&self, item: usize) -> String {
        self.localize.name(self.made[item].0)
    }

    /// The sample's number: which photos are attacked successfully is known only at the end.
    fn key(&self, item: usize) -> usize {
        self.made[item].0
    }

    fn unit(&self, item: usize) -> usize {
        self.made[item].0 / self.batch
    }

    fn measure(&mut self, method: &mut Explaining<'_>, item: usize) -> candor_eval::error::Result<Localized> {
        let (class, located, asked, _) = self.ask(method, item)?;
        Ok(localized(&located, &asked, class))
    }

    fn show(
        &mut self,
        method: &mut Explaining<'_>,
        item: usize,
        frozen: Option<Frozen>,
    ) -> candor_eval::error::Result<Shown> {
        let (class, located, asked, picture) = self.ask(method, item)?;
        let maps = shown(&located, &asked, class, self.localize.labels, frozen);
        Ok(Shown { picture, maps })
    }
}

fn file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number:06}.png"))
}

/// Attacks the correctly classified samples of a part: the outcome of each, and the picture that is classified as its target.
fn changed(
    localize: &Localize<'_>,
    (attack, target_model, rounding): (&mut dyn Attack, &mut TargetModel, &mut Rounding<'_>),
    part: &[usize],
) -> Result<Vec<(Outcome<Attacked>, Option<RgbImage>)>> {
    let mut outcomes = vec![];
    let (mut rows, mut images, mut goals) = (vec![], vec![], vec![]);
    for (row, &number) in part.iter().enumerate() {
        let sample = localize.samples[number];
        let outcome = match photo(sample, localize.preprocessing) {
            Err(e) => Outcome::Failed(e.to_string()),
            Ok(photo) => {
                let pixels = attacks::pixels(localize.preprocessing, &photo);
                let ranking = ranking(&target_model.logits(std::slice::from_ref(&pixels), &[0])?.remove(0));
                let label = sample.class().unwrap_or(0);
                let target = (ranking[0] == label)
                    .then(|| Absent::Far.class(&sample.classes(), &ranking, (localize.seed, number)));
                if target.is_some() {
                    rows.push(row);
                    images.push(pixels);
                    goals.push(Goal { label, target });
                }
                Outcome::Measured(Attacked { target, norms: None })
            }
        };
        outcomes.push((outcome, None));
    }
    let seed = (localize.seed, part[0]);
    let found = attacks::run_rounded(attack, target_model, rounding, (&images, &goals), seed)?;
    for ((row, goal), rounded) in rows.into_iter().zip(&goals).zip(found) {
        if let Some(rounded) = rounded {
            let attacked = Attacked { target: goal.target, norms: Some(rounded.norms) };
            outcomes[row] = (Outcome::Measured(attacked), Some(rounded.picture));
        }
    }
    Ok(outcomes)
}
