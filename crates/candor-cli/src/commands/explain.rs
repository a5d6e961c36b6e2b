//! `candor explain`: maps, scores and a report for photos.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use candor::error::one_line;
use candor::explanation::PhotoExplanation;
use candor::image::{Decoded, Preprocessing};
use candor::mask::places::has_crowd;
use candor::parameters::MethodInfo;
use candor::{Class, Classifier, Explainer, Method, Progress};
use candor_eval::shard::Shard;
use candor_report::ReportWriter;
use candor_report::folder::Folder;
use candor_report::result::{ExplainResult, ExplainedImage, FailedImage};
use serde_json::{Value, json};

use crate::arguments::{ExplainArgs, MethodArgs};
use crate::chosen::{self, Chosen};
use crate::command_line::command_line;
use crate::explained;
use crate::folder;
use crate::interrupt::Watched;
use crate::output::{self, Watching};
use crate::resume::{self, Came, Resume};
use crate::setup::{self, usage};
use crate::shard::Part;

pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let methods = methods(args)?;
    let inputs = folder::inputs(&args.model, args.images.clone());
    let mut folder = folder::open(&args.out, "explain", inputs, args.force, &files())?;
    let mut names = ReportWriter::names();
    let folders =
        args.images.iter().map(|p| names.claim(&candor_report::names::folder(&p.display().to_string())));
    folder.check_folders(&folders.collect::<Vec<_>>())?;
    let classifier = setup::load(&args.model)?;
    folder.reads(folder::of_model(&args.model.model, &classifier));
    folder.check(&files())?;
    if args.look.is_some_and(|looks| looks > 0) && !has_crowd(classifier.model.classes) {
        output::note("--look has no effect: models of fewer than 20 classes are judged by the whole photo");
    }
    let MethodArgs { chosen, seed } = &args.method;
    let levels = setup::choices(&classifier, &chosen.levels, *seed)?.levels;
    let asked = if args.classes.is_empty() { vec!["top1".to_string()] } else { args.classes.clone() };
    let classes = asked.iter().map(|c| Class::parse(c, &classifier.labels));
    let classes = classes.collect::<Result<Vec<_>, _>>().map_err(usage)?;
    let mut explainers = vec![];
    for method in &methods {
        let mut explainer = classifier.explainer(method)?;
        explainer.probe = !args.no_probe;
        explainers.push(explainer);
    }
    let photos = args
        .images
        .iter()
        .map(|path| Photo { name: path.display().to_string(), source: Source::File(path.clone()) });
    let job = Job { classes: &classes, seed: *seed, levels, folder, force: args.force.force };
    if let Some(shard) = args.shard.shard {
        return explain_shard(explainers, photos.collect(), job, (shard, args.json));
    }
    let result = explain_all(explainers, photos.collect(), job)?;
    finish(&result, &classifier.preprocessing, args.json, &args.out)
}

/// The requested methods. Unknown names and settings are reported before a model is loaded.
fn methods(args: &ExplainArgs) -> Result<Vec<Method>> {
    let flag = |given: bool, name: &str| given.then(|| (name.to_string(), "true".to_string()));
    let set_already = |name: &str| args.method.chosen.set.iter().any(|(key, _)| key == name);
    let flags = flag(args.lambda_path && !set_already("lambda-path"), "lambda-path")
        .into_iter()
        .chain(flag(args.weak, "weak"))
        .chain(flag(args.extent, "extent"))
        .chain(args.look.map(|looks| ("look".to_string(), looks.to_string())));
    let mut method = chosen(&args.method);
    method.set.extend(flags);
    if args.methods.is_empty() {
        setup::method(&method.name, &method.set)?;
        return Ok(vec![method]);
    }
    let named = chosen::methods(&args.methods, &method.set)?;
    let of =
        |c: Chosen| Method { name: c.method.description().name.to_string(), set: c.set, ..method.clone() };
    Ok(named.into_iter().map(of).collect())
}

/// The method that the arguments choose, with its settings.
pub fn chosen(args: &MethodArgs) -> Method {
    let MethodArgs { chosen, seed, .. } = args;
    Method {
        name: chosen.method.clone(),
        set: chosen.set.clone(),
        levels: chosen.levels.clone(),
        seed: *seed,
    }
}

/// A photo to explain; it is decoded when it is needed.
pub struct Photo {
    pub name: String,
    pub source: Source,
}

/// Where a photo comes from.
pub enum Source {
    File(PathBuf),
    Bytes(&'static [u8]),
}

impl Photo {
    fn decoded(&self, preprocessing: &Preprocessing) -> Result<Decoded> {
        Ok(match &self.source {
            Source::File(path) => preprocessing.read(path)?,
            Source::Bytes(bytes) => preprocessing.read_bytes(bytes, Path::new(&self.name))?,
        })
    }
}

/// The classes requested for the photos, and where the result is written.
pub struct Job<'j> {
    pub classes: &'j [Class],
    pub seed: u64,
    /// Names of the chosen levels; empty if they are automatic.
    pub levels: Vec<String>,
    pub folder: Folder,
    pub force: bool,
}

/// The files that every run writes.
pub fn files() -> Vec<String> {
    [candor_report::JSON_FILE, candor_report::HTML_FILE].map(String::from).into()
}

/// Explains all photos and writes the report. A photo that fails is named in the result, and the others are explained. Photos that an
/// interrupted run of the same kind has explained are not explained again.
///
/// `explainers`: one per method, all of the same classifier.
pub fn explain_all(
    mut explainers: Vec<Explainer>,
    photos: Vec<Photo>,
    job: Job<'_>,
) -> Result<ExplainResult> {
    // Until the end, so that Ctrl-C does not fall between the files of the result.
    let _watched = Watched::begin();
    let seed = job.seed;
    let Run { writer, failed, .. } = explained(&mut explainers, &photos, job, None)?;
    if failed.len() == photos.len() {
        // Nothing to report: return the error and leave no empty report.
        let first = failed.first().map_or_else(String::new, |f| f.error.clone());
        let rest = if failed.len() > 1 {
            format!(" (and {} more images failed)", failed.len() - 1)
        } else {
            String::new()
        };
        anyhow::bail!("{first}{rest}");
    }
    let mut header = ExplainResult { failed, ..ExplainResult::of(&explainers[0], seed)? };
    if explainers.len() > 1 {
        header.methods = explainers.iter().map(Explainer::method_info).collect();
    }
    Ok(writer.finish(header)?)
}

/// Explains the photos of a shard and stores the results for `candor merge`.
fn explain_shard(
    mut explainers: Vec<Explainer>,
    photos: Vec<Photo>,
    job: Job<'_>,
    (shard, json): (Shard, bool),
) -> Result<ExitCode> {
    let _watched = Watched::begin();
    let out = job.folder.path().to_path_buf();
    let part = Part::begin(&out, shard, &[resume::JOURNAL], &resume::FOLDERS)?;
    let run = explained(&mut explainers, &photos, job, Some(&part))?;
    let failed = run.failed.len();
    part.end(&out, (run.done, failed), "photos", json)?;
    Ok(if failed > 0 { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

/// The run over all photos, or over those of a shard, whose units are the parts that share a batch.
fn explained(
    explainers: &mut [Explainer],
    photos: &[Photo],
    job: Job<'_>,
    part: Option<&Part>,
) -> Result<Run> {
    let shard = part.map(Part::shard);
    let configuration = configuration(explainers, &job)?;
    let out = job.folder.path().to_path_buf();
    let (mut writer, resume) = resume::open(job.folder, &configuration, photos, job.force)?;
    writer.set_command(command_line());
    if let Some(part) = part {
        part.write(&out)?;
        writer.keep_if_interrupted();
    }
    let steps: u64 = explainers.iter().map(|e| e.steps(job.classes.len())).sum();
    let together = explainers.iter().map(Explainer::together).max().unwrap_or(1);
    let own = |unit: usize| shard.is_none_or(|shard| shard.owns(unit));
    let parts = || photos.chunks(together).enumerate();
    let all: usize = parts().filter(|(unit, _)| own(*unit)).map(|(_, part)| part.len()).sum();
    let bar = output::progress(all as u64 * steps);
    let mut watching = Watching::new(&bar);
    let mut run = Run { writer, resume, failed: vec![], at: 0, done: 0 };
    for (unit, part) in parts() {
        if !own(unit) {
            part.iter().for_each(|photo| run.writer.pass_over(&photo.name));
            run.at += part.len();
            continue;
        }
        run.resume.tell(run.done, all);
        let names: Vec<&str> = part.iter().map(|p| p.name.rsplit('/').next().unwrap_or("")).collect();
        bar.set_message(names.join(", "));
        let kept = run.keep(part);
        run.explain(explainers, &part[kept..], job.classes, &mut watching)?;
        bar.set_position(run.done as u64 * steps);
    }
    run.resume.tell(run.done, all);
    bar.finish_and_clear();
    Ok(run)
}

/// Everything that a photo's result depends on. The number of threads is not part of it.
fn configuration(explainers: &[Explainer], job: &Job<'_>) -> Result<Value> {
    let explainer = &explainers[0];
    let Classifier { model, preprocessing, labels, .. } = &explainer.classifier;
    let engine = model.engine.info();
    let methods: Vec<_> = explainers.iter().map(Explainer::method_info).collect();
    let (method, parameters) = match &methods[..] {
        [one] => (json!(one.name), json!(one.parameters)),
        all => {
            let each = |of: fn(&MethodInfo) -> Value| all.iter().map(of).collect::<Vec<_>>();
            (json!(each(|m| json!(m.name))), json!(each(|m| json!(m.parameters))))
        }
    };
    Ok(json!({
        "model": model.info.sha256,
        "version": env!("CARGO_PKG_VERSION"),
        "engine": format!("{} {}", engine.name, engine.version),
        "preprocessing": preprocessing,
        "method": method,
        "parameters": parameters,
        "levels": job.levels,
        "classes": job.classes.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>(),
        "labels": (0..labels.len()).map(|c| labels.name(c)).collect::<Vec<_>>(),
        "probe": explainer.probe,
        "seed": job.seed,
    }))
}

/// A run over the photos, part by part.
struct Run {
    writer: ReportWriter,
    resume: Resume,
    failed: Vec<FailedImage>,
    /// Index of the next photo.
    at: usize,
    /// Number of photos that are done, explained or failed.
    done: usize,
}

impl Run {
    /// Takes over an interrupted run's results for a part and returns how many of its photos these are. If one photo of a part is
    /// missing, the whole part is done again, because photos that share a batch share its rounding.
    fn keep(&mut self, part: &[Photo]) -> usize {
        let of = |(i, photo)| self.resume.of(self.at + i, photo, &self.writer).cloned();
        let Some(came) = part.iter().enumerate().map(of).collect::<Option<Vec<_>>>() else { return 0 };
        for (i, (photo, came)) in part.iter().zip(came).enumerate() {
            match came {
                Came::Explained(image) if self.writer.keep(&image) => {}
                Came::Explained(_) => return i,
                Came::Failed(error) => self.failed(photo, error),
            }
            self.at += 1;
            self.done += 1;
        }
        part.len()
    }

    fn explain(
        &mut self,
        explainers: &mut [Explainer],
        part: &[Photo],
        classes: &[Class],
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let preprocessing = &explainers[0].classifier.preprocessing;
        let decoded: Vec<Result<Decoded>> = part.iter().map(|photo| photo.decoded(preprocessing)).collect();
        let photos = part.iter().zip(&decoded);
        let given: Vec<_> = photos
            .filter_map(|(photo, file)| Some((photo.name.as_str(), &file.as_ref().ok()?.photo)))
            .collect();
        let mut explained = vec![];
        for explainer in explainers.iter_mut() {
            let mut of_method = vec![];
            for given in given.chunks(explainer.together()) {
                of_method.extend(explainer.photos(given, classes, progress));
            }
            explained.push((explainer.method_info().name, of_method.into_iter()));
        }
        // In the order in which the photos were named, which determines the names of the folders.
        for (i, (photo, file)) in part.iter().zip(&decoded).enumerate() {
            let file = match file {
                Ok(file) => file,
                Err(e) => {
                    self.fail(i, photo, output::one_line(e))?;
                    continue;
                }
            };
            let of_photo = explained.iter_mut().filter_map(|(name, all)| Some((name.as_str(), all.next()?)));
            match joined(of_photo.collect(), file).map(|image| self.writer.add(image)) {
                Ok(Err(e @ candor_report::ReportError::BadImage { .. })) => {
                    self.fail(i, photo, one_line(&e))?
                }
                Ok(written) => {
                    let came = Came::Explained(Box::new(written?));
                    self.resume.add(self.at + i, photo, came, &mut self.writer)?;
                }
                Err(e @ candor::Error::Cancelled(_)) => return Err(e.into()),
                Err(e) => self.fail(i, photo, one_line(&e))?,
            }
        }
        self.at += part.len();
        self.done += part.len();
        Ok(())
    }

    fn fail(&mut self, i: usize, photo: &Photo, error: String) -> Result<()> {
        self.failed(photo, error.clone());
        self.resume.add(self.at + i, photo, Came::Failed(error), &mut self.writer)
    }

    fn failed(&mut self, photo: &Photo, error: String) {
        self.writer.pass_over(&photo.name);
        self.failed.push(FailedImage { path: photo.name.clone(), error });
    }
}

/// Combines the results of several methods for one photo.
fn joined(
    found: Vec<(&str, candor::Result<PhotoExplanation>)>,
    file: &Decoded,
) -> candor::Result<ExplainedImage> {
    let mut all = vec![];
    for (name, photo) in found {
        all.push((name.to_string(), ExplainedImage::from(photo?.after(&file.changes))));
    }
    let image = match all.len() {
        1 => all.pop().map(|(_, image)| image),
        _ => ExplainedImage::of_methods(all),
    };
    image.ok_or(candor::Error::NoPhoto)
}

/// Prints the result and returns the exit code.
pub fn finish(
    result: &ExplainResult,
    preprocessing: &Preprocessing,
    json: bool,
    out: &Path,
) -> Result<ExitCode> {
    if json {
        output::json(result)?;
    } else {
        output::print(&explained::text(result, preprocessing, output::width()))?;
        output::print(&format!("Report: {}\n", out.join(candor_report::HTML_FILE).display()))?;
    }
    Ok(output::exit_code(result))
}
