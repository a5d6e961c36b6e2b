//! Attacks: small perturbations of images that change the model's answer. One file per attack; their registry; and [`run`], which
//! attacks any number of images and evaluates the results.
//!
//! Images are C·H·W pixels in 0..=1, red first, at the model's input size; the model's normalisation is part of the
//! [`TargetModel`]. All gradients are those of the model's own graph. The result for an image depends only on the seed and its number,
//! not on the other images of its batch.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (model, preprocessing): (candor::model::Model, candor::image::Preprocessing) = todo!();
//! use candor::Unwatched;
//! use candor_adversarial::attacks::{self, Goal, TargetModel};
//! let dataset = candor_eval::dataset::open("test.bin".as_ref(), None, None)?;
//! let mut target_model = TargetModel::new(&model, &preprocessing)?;
//! let photos: Result<Vec<_>, _> = dataset.samples.iter().map(|s| s.photo(&preprocessing)).collect();
//! let images: Vec<Vec<f32>> = photos?.iter().map(|p| attacks::pixels(&preprocessing, p)).collect();
//! let goals: Vec<Goal> = dataset.samples.iter().map(|s| Goal::away(s.class().unwrap_or(0))).collect();
//! let (mut pgd, _) = attacks::prepare("pgd", &[("eps".into(), "8/255".into())])?;
//! let found = attacks::run(pgd.as_mut(), &mut target_model, &images, &goals, 0, &mut Unwatched)?;
//! println!("{}", found.iter().filter(|f| f.success).count());
//! # Ok(()) }
//! ```

mod apgd;
pub mod budget;
mod carlini_wagner;
mod deepfool;
mod descent;
mod fgsm;
mod jsma;
pub mod loss;
mod pgd;
pub mod report;
mod rounding;
mod square;
mod target_model;
mod transfer;

pub use budget::{Budget, Norms};
pub use loss::{Goal, Loss, answer};
pub use rounding::{Rounded, Rounding};
pub(crate) use target_model::of_pixels;
pub use target_model::{Gradients, TargetModel, input, of_picture, picture, pixels};

use crate::error::{Error, Result};
use candor::noise::Noise;
use candor::parameters::{Kind, Parameter, Parameters};
use candor::passes::Passes;
use candor::progress::{Progress, Unwatched};
use candor::suggest::among;

/// Description of an attack, for lists and results.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Name on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Paper.
    pub source: &'static str,
    /// The norm that it limits or minimises.
    pub norm: &'static str,
    /// Whether it can be targeted at a class.
    pub targeted: bool,
    /// Its parameters, with their defaults.
    pub parameters: &'static [Parameter],
}

/// An image under attack.
pub struct Item<'i> {
    /// Its pixels, C·H·W in 0..=1.
    pub pixels: &'i [f32],
    /// What counts as success.
    pub goal: Goal,
    /// Its own random numbers.
    pub(crate) noise: Noise,
}

/// A prepared attack.
pub trait Attack: Send {
    /// The limit of its perturbations.
    fn budget(&self) -> Budget;

    /// Maximum number of steps that one call of [`Attack::run`] reports.
    fn ticks(&self) -> u64;

    /// Called before [`Attack::run`] with the model that it will be given.
    fn prepare(&mut self, _victim: &TargetModel) {}

    /// Whether it can be targeted at a class.
    fn targeted(&self) -> bool {
        true
    }

    /// Minimum number of classes that the model must have.
    fn least_classes(&self, _goal: &Goal) -> usize {
        2
    }

    /// Perturbs the images and returns pixels in 0..=1 within the budget, whether or not successful. The target model counts the passes.
    ///
    /// # Errors
    /// If the engine fails or a logit is not finite.
    fn run(
        &mut self,
        target_model: &mut TargetModel,
        items: &mut [Item<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>>;
}

/// The result of an attack on one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Adversarial {
    /// Its pixels, C·H·W in 0..=1.
    pub pixels: Vec<f32>,
    /// The model's answer to them.
    pub answer: usize,
    /// The model's logits for them.
    pub logits: Vec<f32>,
    /// Whether the goal is reached.
    pub success: bool,
    /// Norms of their difference from the original image.
    pub norms: Norms,
    /// Forward and backward passes of the image that the attack took; evaluating the result afterwards is not counted.
    pub passes: Passes,
}

/// All attacks.
pub const ALL: &[Description] = &[
    fgsm::DESCRIPTION,
    pgd::BIM,
    pgd::PGD,
    pgd::PGD_L2,
    apgd::DESCRIPTION,
    deepfool::DESCRIPTION,
    carlini_wagner::DESCRIPTION,
    jsma::DESCRIPTION,
    square::DESCRIPTION,
    transfer::DESCRIPTION,
];

/// The description of the attack of that name.
///
/// # Errors
/// [`Error::Attack`] with the nearest name, and all of them.
pub fn find(name: &str) -> Result<&'static Description> {
    ALL.iter().find(|d| d.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|d| d.name).collect();
        let reason = format!("there is no such attack{}", among(name, &names));
        Error::Attack { attack: name.to_string(), reason }
    })
}

/// Checks settings of an attack without a model: every name and every value, including those of the attack that `transfer` uses.
/// Returns whether it can be targeted at a class.
///
/// # Errors
/// As [`prepare`].
pub fn check(name: &str, set: &[(String, String)]) -> Result<bool> {
    let description = find(name)?;
    let attack = match description.name == transfer::DESCRIPTION.name {
        true => {
            let p = parameters(description, set)?;
            prepare(p.word("attack"), p.inner())?.0
        }
        false => prepare(name, set)?.0,
    };
    Ok(attack.targeted())
}

/// The attack with that name, with the parameters of `set` over its defaults, and all its parameters for results. Numbers may be
/// fractions: `8/255`. `transfer` needs another model: see [`prepare_transfer`].
///
/// # Errors
/// [`Error::Attack`] for an unknown name, an unknown parameter, or a value out of range.
pub fn prepare(name: &str, set: &[(String, String)]) -> Result<(Box<dyn Attack>, Parameters)> {
    let p = parameters(find(name)?, set)?;
    let attack: Box<dyn Attack> = match p.method() {
        "fgsm" => Box::new(fgsm::Fgsm::new(&p)),
        "bim" | "pgd" => Box::new(pgd::Pgd::new(&p, Budget::Linf)),
        "pgd-l2" => Box::new(pgd::Pgd::new(&p, Budget::L2)),
        "apgd" => Box::new(apgd::Apgd::new(&p)),
        "deepfool" => Box::new(deepfool::DeepFool::new(&p)),
        "cw" => Box::new(carlini_wagner::CarliniWagner::new(&p)),
        "jsma" => {
            if p.real("theta").abs() < 1e-6 {
                let reason =
                    "parameter 'theta' must not be 0: it is by how much a value is moved".to_string();
                return Err(Error::Attack { attack: name.to_string(), reason });
            }
            Box::new(jsma::Jsma::new(&p))
        }
        "square" => Box::new(square::Square::new(&p)),
        other => {
            return Err(Error::Attack {
                attack: other.into(),
                reason: "needs another model, with --from".into(),
            });
        }
    };
    Ok((attack, p))
}

/// The attack `transfer`: images are made on `surrogate`, a model with inputs of the same size. In `set`, `attack` names the attack
/// on it (`pgd`) and `method.NAME` are its parameters; `early-stop` is false unless set.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_transfer(
    set: &[(String, String)],
    surrogate: TargetModel,
) -> Result<(Box<dyn Attack>, Parameters)> {
    let mut p = parameters(&transfer::DESCRIPTION, set)?;
    let mut inner = p.inner().to_vec();
    let name = p.word("attack").to_string();
    let stops = find(&name)?.parameters.iter().any(|p| p.name == "early-stop");
    if stops && !inner.iter().any(|(name, _)| name == "early-stop") {
        inner.push(("early-stop".into(), "false".into()));
    }
    let (attack, own) = prepare(&name, &inner)?;
    for (name, value) in own.values() {
        p.record(&format!("method.{name}"), value.clone());
    }
    Ok((Box::new(transfer::Transfer::new(attack, surrogate)), p))
}

fn parameters(description: &Description, set: &[(String, String)]) -> Result<Parameters> {
    Parameters::new(description.name, description.parameters, set).map_err(|e| match e {
        candor::Error::Method { method, source } => Error::Setting { attack: method, source },
        other => other.into(),
    })
}

/// Attacks images (C·H·W pixels in 0..=1 each), in batches of the target model's size. `progress` receives each step, at most
/// [`ticks`] of them in total. The random numbers of image i depend only on the seed and i.
///
/// # Errors
/// [`Error::Attack`] for a goal that the model or the attack does not support; or if the engine fails.
pub fn run(
    attack: &mut dyn Attack,
    target_model: &mut TargetModel,
    images: &[Vec<f32>],
    goals: &[Goal],
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<Vec<Adversarial>> {
    let step = target_model.batch();
    let mut all = vec![];
    for (n, (images, goals)) in images.chunks(step).zip(goals.chunks(step)).enumerate() {
        all.extend(run_chunk(attack, target_model, images, goals, (seed, n * step), progress)?);
    }
    Ok(all)
}

/// [`run`] for images that are part of a longer list: `first` is the index of the first of them.
///
/// # Errors
/// As [`run`].
pub fn run_chunk(
    attack: &mut dyn Attack,
    target_model: &mut TargetModel,
    images: &[Vec<f32>],
    goals: &[Goal],
    (seed, first): (u64, usize),
    progress: &mut dyn Progress,
) -> Result<Vec<Adversarial>> {
    goals.iter().try_for_each(|goal| check_goal(attack, target_model, goal))?;
    attack.prepare(target_model);
    let mut items: Vec<Item<'_>> = images
        .iter()
        .zip(goals)
        .enumerate()
        .map(|(i, (pixels, goal))| Item { pixels, goal: *goal, noise: Noise::of_item(seed, first + i) })
        .collect();
    target_model.count_anew(items.len());
    let found = attack.run(target_model, &mut items, progress)?;
    let passes = target_model.passes().to_vec();
    let logits = target_model.logits(&found, &(0..items.len()).collect::<Vec<_>>())?;
    let mut evaluated = vec![];
    for ((item, pixels), (logits, passes)) in items.iter().zip(found).zip(logits.into_iter().zip(passes)) {
        evaluated.push(Adversarial {
            answer: answer(&logits),
            success: item.goal.reached(&logits),
            norms: Norms::between(&pixels, item.pixels),
            pixels,
            logits,
            passes,
        });
    }
    Ok(evaluated)
}

/// [`run_chunk`] with results quantised to 8 bits: `None` if the attack fails or does not survive the quantisation.
///
/// # Errors
/// As [`run`].
pub fn run_rounded(
    attack: &mut dyn Attack,
    target_model: &mut TargetModel,
    rounding: &mut Rounding<'_>,
    (images, goals): (&[Vec<f32>], &[Goal]),
    first: (u64, usize),
) -> Result<Vec<Option<Rounded>>> {
    let found = run_chunk(attack, target_model, images, goals, first, &mut Unwatched)?;
    let budget = attack.budget();
    let rows = found.iter().zip(images.iter().zip(goals));
    rows.map(
        |(found, (image, goal))| {
            if found.success { rounding.of(image, &found.pixels, budget, goal) } else { Ok(None) }
        },
    )
    .collect()
}

/// Maximum number of steps that [`run`] reports for `images` images.
pub fn ticks(attack: &mut dyn Attack, target_model: &TargetModel, images: usize) -> u64 {
    attack.prepare(target_model);
    images.div_ceil(target_model.batch()) as u64 * attack.ticks()
}

fn check_goal(attack: &dyn Attack, target_model: &TargetModel, goal: &Goal) -> Result<()> {
    let fail = |reason: String| Err(Error::Attack { attack: "goal".into(), reason });
    let (classes, least) = (target_model.classes(), attack.least_classes(goal));
    match goal.target {
        Some(_) if !attack.targeted() => {
            fail("this attack cannot aim at a class; leave the target out".into())
        }
        _ if goal.label >= classes => {
            fail(format!("class {} is not among the model's {classes}", goal.label))
        }
        Some(t) if t >= classes => fail(format!("class {t} is not among the model's {classes}")),
        _ if classes < least => fail(format!("the loss needs {least} classes, the model has {classes}")),
        _ => Ok(()),
    }
}

/// The budget of an attack in L∞.
const fn eps_linf(default: &'static str) -> Parameter {
    Parameter {
        name: "eps",
        default,
        kind: Kind::Number(0.0, 1.0),
        help: "maximum change of a value (pixels in 0..1); 8/255 is eight grey levels",
    }
}

/// The budget of an attack in L2.
const fn eps_l2(default: &'static str) -> Parameter {
    Parameter {
        name: "eps",
        default,
        kind: Kind::Number(0.0, 10_000.0),
        help: "maximum L2 norm of the perturbation (pixels in 0..1)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_attack_names_the_nearest() {
        for (typed, meant) in [("pdg", "pgd"), ("PGD-L1", "pgd-l2"), ("deepfol", "deepfool")] {
            let error = find(typed).unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean '{meant}'?")), "{error}");
        }
    }
}
