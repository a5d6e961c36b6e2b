//! `candor explain`: maps, figures and a report for photos.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use candor::explain::{ClassQuery, Explain};
use candor::image::{RgbImage, decode};
use candor::methods;
use candor_report::ReportWriter;
use candor_report::result::{ExplainResult, FailedImage};

use crate::arguments::{ExplainArgs, MethodArgs};
use crate::output;
use crate::setup::{self, Setup, Usage};

pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let method = methods::find(&args.method.chosen.method).map_err(|e| Usage(e.to_string()))?;
    let setup = setup::load(&args.model)?;
    for note in &setup.notes {
        output::note(note);
    }
    let asked = if args.classes.is_empty() { vec!["top1".to_string()] } else { args.classes.clone() };
    let queries: Result<Vec<ClassQuery>, Usage> =
        asked.iter().map(|c| ClassQuery::parse(c, &setup.labels).map_err(|e| Usage(e.to_string()))).collect();
    let queries = queries?;
    let mut arguments = args.method.clone();
    if args.lambda_path {
        arguments.chosen.set.push(("lambda-path".to_string(), "true".to_string()));
    }
    let mut explain = prepare(setup, method.as_ref(), &arguments)?;
    explain.probe = !args.no_probe;
    let photos = args
        .images
        .iter()
        .map(|path| Photo { name: path.display().to_string(), source: Source::File(path.clone()) });
    let result = explain_all(explain, photos.collect(), &queries, args.method.seed, &args.out)?;
    finish(&result, args.json, &args.out)
}

/// Compiles the method for the model.
pub fn prepare(setup: Setup, method: &dyn methods::Method, args: &MethodArgs) -> Result<Explain> {
    let choices = setup.choices(&args.chosen.levels, args.seed);
    Ok(Explain::new(setup.model, setup.preprocessing, setup.labels, method, &args.chosen.set, &choices)?)
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
    mut explain: Explain,
    photos: Vec<Photo>,
    queries: &[ClassQuery],
    seed: u64,
    out: &Path,
) -> Result<ExplainResult> {
    let mut writer = ReportWriter::create(out)?;
    let bar = output::progress(photos.len() as u64 * explain.steps(queries.len()));
    let mut failed = vec![];
    let mut done = 0;
    for part in photos.chunks(explain.together()) {
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
        let explained = explain.photos(&given, queries, &mut || bar.inc(1));
        for ((photo, _), image) in decoded.iter().zip(explained) {
            match image.map(|image| writer.add(image.into())) {
                Ok(Err(e @ candor_report::ReportError::BadImage { .. })) => fail(photo, e.to_string()),
                Ok(written) => drop(written?),
                Err(e) => fail(photo, output::one_line(&e.into())),
            }
        }
        done += part.len() as u64;
        bar.set_position(done * explain.steps(queries.len()));
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
    let header = ExplainResult {
        model: explain.model.info.clone(),
        preprocessing: serde_json::to_value(&explain.preprocessing)?,
        engine: explain.model.engine.info(),
        method: explain.method_info(),
        seed,
        images: vec![],
        failed,
    };
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
