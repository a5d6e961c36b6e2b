//! `candor attack`: small perturbations of photos that change the model's answer.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use candor::Progress;
use candor::error::one_line;
use candor::labels::Labels;
use candor::model::Model;
use candor::model::ModelInfo;
use candor::parameters::Parameters;
use candor::printable::printable;
use candor::sidecar::Sidecar;
use candor_adversarial::attacks::report::{
    Answer, AttackResult, AttackWriter, AttackedImage, JSON_FILE, RoundedImage, Summary,
};
use candor_adversarial::attacks::{self, Adversarial, Attack, Goal, Rounded, Rounding, TargetModel, answer};
use candor_graph::onnx::external_files;
use candor_report::folder::Folder;
use candor_report::result::FailedImage;
use candor_report::table::{Better, Cell, Column, Number, Table, Unit};

use crate::arguments::AttackArgs;
use crate::folder;
use crate::output;
use crate::setup::{self, Setup, Usage};

pub fn run(args: &AttackArgs) -> Result<ExitCode> {
    // Errors in the attack's name or parameters are reported before a model is loaded.
    let from = check(args)?;
    let inputs = folder::inputs(&args.model, args.images.clone()).and(&args.surrogate.from);
    let files = files(&args.images);
    let mut folder = folder::open(&args.out, "attack", inputs, args.force, &files)?;
    let setup = setup::load(&args.model)?;
    folder.reads(folder::of_model(&args.model.model, &setup));
    let target = args.target.as_ref().map(|t| setup.labels.find_class(t)).transpose();
    let target = target.map_err(setup::usage)?;
    let (attack, parameters, other) = match from {
        Some(path) => {
            folder.reads([Sidecar::path_for(&path)]);
            folder.reads(external_files(&path).unwrap_or_default());
            let (attack, parameters, info) = transfer(args, &setup, path)?;
            (attack, parameters, Some(info))
        }
        None => {
            let (attack, parameters) = attacks::prepare(&args.attack, &settings(args))?;
            (attack, parameters, None)
        }
    };
    folder.check(&files)?;
    let result = Run { args, setup: &setup, target, attack, parameters, other }.all(folder)?;
    if args.json {
        output::json(&result)?;
    } else {
        output::print(&text(&result, args))?;
    }
    Ok(if result.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// The files that a run over these photos may write.
fn files(images: &[PathBuf]) -> Vec<String> {
    let mut names = AttackWriter::names();
    let of = |path: &PathBuf| {
        let name = names.claim(&candor_report::names::folder(&path.display().to_string()));
        [format!("{name}.npz"), format!("{name}.png")]
    };
    let mut files: Vec<String> = images.iter().flat_map(of).collect();
    files.push(JSON_FILE.to_string());
    files
}

/// Checks everything that does not need a model. Returns the path of the model on which `transfer` makes the images.
fn check(args: &AttackArgs) -> Result<Option<PathBuf>> {
    let targeted = attacks::check(&args.attack, &settings(args))?;
    let wrong = match (args.attack.as_str(), &args.surrogate.from) {
        _ if args.target.is_some() && !targeted => Some("cannot aim at a class; leave --target out"),
        (TRANSFER, None) => Some("needs the model on which the images are made: --from OTHER.onnx"),
        (TRANSFER, Some(_)) | (_, None) => None,
        (_, Some(_)) => Some("makes no images on another model: --from is for --attack transfer"),
    };
    match wrong {
        Some(wrong) => Err(Usage(format!("attack '{}' {wrong}", args.attack)).into()),
        None => Ok(args.surrogate.from.clone()),
    }
}

/// The attack that needs another model.
const TRANSFER: &str = "transfer";

/// The settings of `--set`, and `--eps` under the attack's name for it.
fn settings(args: &AttackArgs) -> Vec<(String, String)> {
    let eps = if args.attack == TRANSFER { "method.eps" } else { "eps" };
    let mut set = args.set.clone();
    set.extend(args.eps.iter().map(|value| (eps.to_string(), value.clone())));
    set
}

type Made = (Box<dyn Attack>, Parameters, ModelInfo);

/// The attack `transfer`.
fn transfer(args: &AttackArgs, setup: &Setup, path: PathBuf) -> Result<Made> {
    let other = setup::surrogate(setup, &args.model, path, args.surrogate.from_preset)?;
    let surrogate = TargetModel::new(&other.model, &other.preprocessing)?;
    let (attack, parameters) = attacks::prepare_transfer(&settings(args), surrogate)?;
    Ok((attack, parameters, other.model.info.clone()))
}

/// One run over all photos.
struct Run<'a> {
    args: &'a AttackArgs,
    setup: &'a Setup,
    target: Option<usize>,
    attack: Box<dyn Attack>,
    parameters: Parameters,
    other: Option<ModelInfo>,
}

/// Photos that are attacked in one batch.
#[derive(Default)]
struct Chunk {
    paths: Vec<String>,
    images: Vec<Vec<f32>>,
}

impl Run<'_> {
    fn all(mut self, folder: Folder) -> Result<AttackResult> {
        let (args, setup) = (self.args, self.setup);
        let mut target_model = TargetModel::new(&setup.model, &setup.preprocessing)?;
        let mut rounding = Rounding::new(&setup.model, &setup.preprocessing)?;
        let draft = folder.draft("attack")?;
        let mut writer = AttackWriter::create(&draft.files())?;
        let (mut images, mut failed) = (vec![], vec![]);
        let ticks = attacks::ticks(self.attack.as_mut(), &target_model, args.images.len());
        let bar = output::progress(ticks);
        let mut watching = output::Watching::new(&bar);
        let batch = target_model.batch();
        for (n, paths) in args.images.chunks(batch).enumerate() {
            bar.set_message(format!("{} of {}", (n * batch + paths.len()), args.images.len()));
            let chunk = read(setup, paths, &mut failed);
            images.extend(self.chunk(
                &mut target_model,
                &mut rounding,
                (&mut writer, &mut failed),
                chunk,
                n * batch,
                &mut watching,
            )?);
            let chunks = args.images.len().div_ceil(batch) as u64;
            bar.set_position((n as u64 + 1) * ticks / chunks.max(1));
        }
        bar.finish_and_clear();
        if images.is_empty() {
            let first = failed.first().map_or_else(String::new, |f: &FailedImage| f.error.clone());
            anyhow::bail!("{first}");
        }
        let result = AttackResult {
            model: setup.model.info.clone(),
            preprocessing: serde_json::to_value(&setup.preprocessing)?,
            engine: setup.model.engine.info(),
            attack: self.parameters.info(),
            from: self.other,
            seed: args.seed,
            summary: Summary::of(&images),
            images,
            failed,
        };
        writer.finish(&result)?;
        draft.publish(&result.model.sha256)?;
        Ok(result)
    }

    fn chunk(
        &mut self,
        target_model: &mut TargetModel,
        rounding: &mut Rounding<'_>,
        (writer, failed): (&mut AttackWriter, &mut Vec<FailedImage>),
        chunk: Chunk,
        first: usize,
        progress: &mut dyn Progress,
    ) -> Result<Vec<AttackedImage>> {
        let rows: Vec<usize> = (0..chunk.images.len()).collect();
        let before = target_model.logits(&chunk.images, &rows)?;
        let (chunk, before) = self.without_answered(chunk, before, failed);
        if chunk.images.is_empty() {
            return Ok(vec![]);
        }
        let goals: Vec<Goal> =
            before.iter().map(|logits| Goal { label: answer(logits), target: self.target }).collect();
        let seed = (self.args.seed, first);
        let found =
            attacks::run_chunk(self.attack.as_mut(), target_model, &chunk.images, &goals, seed, progress)?;
        let mut images = vec![];
        for (row, found) in found.iter().enumerate() {
            let (original, goal) = (&chunk.images[row], &goals[row]);
            let rounded = match found.success {
                true => rounding.of(original, &found.pixels, self.attack.budget(), goal)?,
                false => None,
            };
            let mut image = self.described(&chunk.paths[row], goal, &before[row], found, rounded.as_ref());
            writer.add(&mut image, target_model.shape(), original, found, rounded.as_ref())?;
            images.push(image);
        }
        Ok(images)
    }

    /// The photos for which the model does not answer the target already, and their logits. For the others there is nothing to attack;
    /// each is named in `failed`.
    fn without_answered(
        &self,
        chunk: Chunk,
        before: Vec<Vec<f32>>,
        failed: &mut Vec<FailedImage>,
    ) -> (Chunk, Vec<Vec<f32>>) {
        let (mut open, mut logits) = (Chunk::default(), vec![]);
        for ((path, image), before) in chunk.paths.into_iter().zip(chunk.images).zip(before) {
            if Some(answer(&before)) == self.target {
                let name = self.setup.labels.name(answer(&before));
                let error =
                    format!("{path}: the model answers '{name}' already, so that there is nothing to change");
                failed.push(FailedImage { path, error });
            } else {
                open.paths.push(path);
                open.images.push(image);
                logits.push(before);
            }
        }
        (open, logits)
    }

    fn described(
        &self,
        path: &str,
        goal: &Goal,
        before: &[f32],
        found: &Adversarial,
        rounded: Option<&Rounded>,
    ) -> AttackedImage {
        let Setup { model, labels, .. } = self.setup;
        AttackedImage {
            path: path.to_string(),
            before: answered(model, labels, before),
            target: goal.target,
            after: answered(model, labels, &found.logits),
            success: found.success,
            norms: found.norms,
            forward: found.passes.forward,
            backward: found.passes.backward,
            rounded: rounded.map(|r| RoundedImage {
                after: answered(model, labels, &r.logits),
                norms: r.norms,
                factor: r.factor,
                png: None,
            }),
            npz: None,
        }
    }
}

fn answered(model: &Model, labels: &Labels, logits: &[f32]) -> Answer {
    let class_id = answer(logits);
    Answer { class_id, name: labels.name(class_id), probability: model.probabilities(logits)[class_id] }
}

/// Photos as pixels; those that cannot be read are named in `failed` and left out.
fn read(setup: &Setup, paths: &[PathBuf], failed: &mut Vec<FailedImage>) -> Chunk {
    let mut chunk = Chunk::default();
    for path in paths {
        let name = path.display().to_string();
        match setup.preprocessing.read(path).map(|file| file.photo) {
            Ok(photo) => {
                chunk.images.push(attacks::pixels(&setup.preprocessing, &photo));
                chunk.paths.push(name);
            }
            Err(e) => failed.push(FailedImage { path: name, error: one_line(&e) }),
        }
    }
    chunk
}

fn text(result: &AttackResult, args: &AttackArgs) -> String {
    let mut text = table(result).screen(output::width());
    for f in &result.failed {
        text += &format!("{}\n  failed: {}\n", printable(&f.path), printable(&f.error));
    }
    text + &summary(&result.summary) + &format!("Files: {}\n", args.out.display())
}

/// One row per photo: the model's answers before and after, with their probabilities, and the change.
fn table(result: &AttackResult) -> Table {
    let number = |name: &str| Column::number(name, "", Better::Neither);
    let columns = vec![
        Column::text("photo", ""),
        Column::text("answer before", ""),
        Column::text("answer after", ""),
        number("L∞ (/255)"),
        number("L2"),
        number("L0"),
        number("forward passes"),
        number("backward passes"),
        Column::text("attack", ""),
    ];
    let mut table = Table::new("", "", columns);
    let answer = |a: &Answer| {
        Cell::text(format!("{} ({:.3})", a.name.chars().take(24).collect::<String>(), a.probability))
    };
    let decimals = |value: f64, count: usize| Number::new(value).unit(Unit::Decimals(count)).into();
    for i in &result.images {
        let outcome = match (&i.rounded, i.success) {
            (Some(_), _) => "succeeds",
            (None, true) => "succeeds, but not quantised to 8 bits: no PNG",
            (None, false) => "fails",
        };
        table.row(vec![
            Cell::text(&i.path),
            answer(&i.before),
            answer(&i.after),
            decimals(255.0 * i.norms.linf, 2),
            decimals(i.norms.l2, 4),
            decimals(i.norms.l0 as f64, 0),
            decimals(i.forward as f64, 0),
            decimals(i.backward as f64, 0),
            Cell::text(outcome),
        ]);
    }
    table
}

fn summary(s: &Summary) -> String {
    let mut text = format!(
        "\n{} of {} succeed ({:.1} %), {} of them as a PNG",
        s.successes,
        s.images,
        100.0 * s.successes as f64 / s.images.max(1) as f64,
        s.rounded_successes
    );
    if let (Some(median), Some(mean)) = (s.median, s.mean) {
        text += &format!(
            "\n{:<8} {:>10} {:>10} {:>10}\n{:<8} {:>6.2}/255 {:>10.4} {:>10.0}\n{:<8} {:>6.2}/255 {:>10.4} {:>10.0}",
            "norms",
            "L∞",
            "L2",
            "L0",
            "median",
            255.0 * median.linf,
            median.l2,
            median.l0,
            "mean",
            255.0 * mean.linf,
            mean.l2,
            mean.l0
        );
    }
    let passes = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.0}"));
    text + &format!("\npasses   median {} forward, {} backward\n", passes(s.forward), passes(s.backward))
}
