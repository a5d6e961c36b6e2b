//! `candor explain`: maps, figures and a report for photos.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use candor::error::one_line;
use candor::image::{RgbImage, decode};
use candor::{Class, Explainer, Method};
use candor_report::ReportWriter;
use candor_report::result::{ExplainResult, FailedImage};

use crate::arguments::{ExplainArgs, MethodArgs};
use crate::command_line::command_line;
use crate::output;
use crate::output::Watching;
use crate::setup::{self, usage};

pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    // A name that does not exist is said before a model is loaded.
    setup::method(&args.method.chosen.method)?;
    let classifier = setup::load(&args.model)?;
    let asked = if args.classes.is_empty() { vec!["top1".to_string()] } else { args.classes.clone() };
    let classes = asked.iter().map(|c| Class::parse(c, &classifier.labels));
    let classes = classes.collect::<Result<Vec<_>, _>>().map_err(|e| usage(e.into()))?;
    let mut method = chosen(&args.method);
    if args.lambda_path {
        method = method.with("lambda-path", true);
    }
    let mut explainer = classifier.explainer(&method)?;
    explainer.probe = !args.no_probe;
    let photos = args
        .images
        .iter()
        .map(|path| Photo { name: path.display().to_string(), source: Source::File(path.clone()) });
    let result = explain_all(explainer, photos.collect(), &classes, args.method.seed, &args.out)?;
    finish(&result, args.json, &args.out)
}

/// The method that the arguments choose.
pub fn chosen(args: &MethodArgs) -> Method {
    let MethodArgs { chosen, seed, .. } = args;
    Method {
        name: chosen.method.clone(),
        set: chosen.set.clone(),
        levels: chosen.levels.clone(),
        seed: *seed,
    }
}

/// A photo to explain, decoded when its turn comes.
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
    fn decoded(&self) -> Result<RgbImage> {
        Ok(match &self.source {
            Source::File(path) => decode(path)?,
            Source::Bytes(bytes) => candor::image::decode_bytes(bytes, Path::new(&self.name))?,
        })
    }
}

/// Explains all photos and writes the report. A photo that fails is named in the result and the others go on.
pub fn explain_all(
    mut explainer: Explainer,
    photos: Vec<Photo>,
    classes: &[Class],
    seed: u64,
    out: &Path,
) -> Result<ExplainResult> {
    let mut writer = ReportWriter::create(out)?;
    writer.set_command(command_line());
    let bar = output::progress(photos.len() as u64 * explainer.steps(classes.len()));
    let mut failed = vec![];
    let mut done = 0;
    for part in photos.chunks(explainer.together()) {
        let names: Vec<&str> = part.iter().map(|p| p.name.rsplit('/').next().unwrap_or("")).collect();
        bar.set_message(names.join(", "));
        let mut fail =
            |photo: &Photo, error: String| failed.push(FailedImage { path: photo.name.clone(), error });
        let mut decoded = vec![];
        for photo in part {
            match photo.decoded() {
                Ok(pixels) => decoded.push((photo, pixels)),
                Err(e) => fail(photo, output::one_line(&e)),
            }
        }
        let given: Vec<_> = decoded.iter().map(|(photo, pixels)| (photo.name.as_str(), pixels)).collect();
        let explained = explainer.photos(&given, classes, &mut Watching(&bar));
        for ((photo, _), image) in decoded.iter().zip(explained) {
            match image.map(|image| writer.add(image.into())) {
                Ok(Err(e @ candor_report::ReportError::BadImage { .. })) => fail(photo, one_line(&e)),
                Ok(written) => drop(written?),
                Err(e @ candor::Error::Cancelled(_)) => return Err(e.into()),
                Err(e) => fail(photo, one_line(&e)),
            }
        }
        done += part.len() as u64;
        bar.set_position(done * explainer.steps(classes.len()));
    }
    bar.finish_and_clear();
    if failed.len() == photos.len() {
        // Nothing to report: say what is wrong and leave no empty report behind.
        let first = failed.first().map_or_else(String::new, |f| f.error.clone());
        let rest = if failed.len() > 1 {
            format!(" (and {} more images failed)", failed.len() - 1)
        } else {
            String::new()
        };
        anyhow::bail!("{first}{rest}");
    }
    let header = ExplainResult { failed, ..ExplainResult::of(&explainer, seed)? };
    Ok(writer.finish(header)?)
}

/// Prints the result and returns the exit code.
pub fn finish(result: &ExplainResult, json: bool, out: &Path) -> Result<ExitCode> {
    if json {
        output::json(result)?;
    } else {
        output::explained(result)?;
        output::print(&format!("Report: {}\n", out.join(candor_report::HTML_FILE).display()))?;
    }
    Ok(output::exit_code(result))
}
