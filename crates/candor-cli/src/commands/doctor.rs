//! `candor doctor`: finds the preprocessing of an unknown model, and what of Candor works with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use candor::doctor::{Candidate, Certainty, Criterion, Examination, TRIALS, examine};
use candor::error::one_line;
use candor::file;
use candor::labels::Labels;
use candor::mask::levels::survey;
use candor::methods::{self, Choices, prepare};
use candor::sidecar::Sidecar;
use candor_report::atomic;
use candor_report::table::{Better, Cell, Column, Number, Table, Unit};
use serde::Serialize;

use crate::arguments::DoctorArgs;
use crate::output;
use crate::setup::{self, Setup, Usage};

/// Maximum number of rows of the table.
const SHOWN: usize = 8;
/// Maximum bytes of a list of true classes.
const MOST_BYTES: u64 = 64 << 20;
/// Number of photos whose answers are shown.
const ANSWERS: usize = 3;
/// Methods that are tried: one with masks, one with gradients, one with neither.
const TRIED: [&str; 3] = ["reliable", "grad-cam", "occlusion"];

/// The result of one test.
#[derive(Serialize)]
struct Finding {
    what: String,
    fine: bool,
    said: String,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Printed<'p> {
    model: &'p candor::model::ModelInfo,
    findings: &'p [Finding],
    stated: bool,
    sources: &'p candor::package::Sources,
    photos: usize,
    /// The criterion for the order: its name, and in words what makes a candidate best.
    criterion: Criterion,
    best_where: &'static str,
    /// Whether the photos have enough different classes for their answers to count.
    varied: bool,
    certainty: Certainty,
    candidates: &'p [Candidate],
    verdict: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sidecar: Option<String>,
}

pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let setup = setup::open(&args.model)?;
    let names: Vec<String> = args.images.iter().map(|path| file_name(path)).collect();
    let read = |path: &Path| truth(path, &setup.labels, &names);
    let truth = args.truth.as_deref().map(read).transpose()?.unwrap_or_default();
    let known: Vec<Option<usize>> = names.iter().map(|name| truth.get(name).copied()).collect();
    let mut photos = vec![];
    for path in &args.images {
        photos.push(setup.preprocessing.read(path)?.photo);
    }
    if args.truth.is_some() && known.iter().all(Option::is_none) {
        return Err(Usage(format!(
            "{}: names none of the given photos; each line must be a photo's file name and its class",
            args.truth.as_deref().unwrap_or(Path::new("")).display()
        ))
        .into());
    }
    let stated = setup
        .preprocessing_stated
        .then(|| (format!("as stated ({})", setup.sources.preprocessing), setup.preprocessing.clone()));
    let bar = output::progress(TRIALS as u64);
    let mut watching = output::Watching::new(&bar);
    let found = examine(&setup.model, &setup.labels, stated, &photos, &known, &mut watching)?;
    bar.finish_and_clear();
    let findings = findings(&setup);
    let verdict = verdict(&found);
    let written = match (args.write, found.certainty()) {
        (false, _) => None,
        (true, Certainty::Cannot | Certainty::NotOfColours) => {
            output::note("these photos cannot tell the preprocessing: nothing is written");
            None
        }
        (true, Certainty::Clear | Certainty::Hardly) => write(&setup, found.candidates.first())?,
    };
    if args.json {
        output::json(&Printed {
            model: &setup.model.info,
            findings: &findings,
            stated: setup.preprocessing_stated,
            sources: &setup.sources,
            photos: photos.len(),
            criterion: found.criterion,
            best_where: found.criterion.words(),
            varied: found.varied,
            certainty: found.certainty(),
            candidates: &found.candidates,
            verdict,
            sidecar: written,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{}\n", setup.model.info.path);
    for finding in &findings {
        text += &format!("  {} {}: {}\n", if finding.fine { "✓" } else { "✗" }, finding.what, finding.said);
    }
    text += &format!(
        "\nPreprocessing, tried on {}; best where {}:\n",
        output::counted(photos.len(), "photo"),
        found.criterion.words()
    );
    text += &table(&found.candidates).screen(output::width());
    text += &format!("\n{verdict}\n");
    if let Some(best) = found.candidates.first() {
        for (path, top) in args.images.iter().zip(&best.top).take(ANSWERS) {
            let answers = top.iter().map(|c| format!("{} {:.3}", c.name, c.probability)).collect::<Vec<_>>();
            text += &format!("  {}: {}\n", path.display(), answers.join(", "));
        }
        let certain = found.certainty() != Certainty::Cannot;
        if certain && !best.sidecar.is_empty() && written.is_none() {
            text += &format!("To state it, write to {}:\n", setup.sidecar_path.display());
            text += &best.sidecar.lines().map(|line| format!("  {line}\n")).collect::<String>();
        }
    }
    if let Some(path) = written {
        text += &format!("Written to {path}\n");
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A photo's name without its folders; the whole path if it ends in none.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().to_string()
}

/// True classes by the photos' names, from the first two columns of a CSV. A first line that names none of `photos` and no known class is a
/// header.
fn truth(path: &Path, labels: &Labels, photos: &[String]) -> Result<BTreeMap<String, usize>> {
    let text =
        file::read_text(path, MOST_BYTES).with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut classes = BTreeMap::new();
    for (number, row) in reader.records().enumerate() {
        let row =
            row.map_err(|e| Usage(format!("{}: {e}; a name with commas needs quotes", path.display())))?;
        let line = row.position().map_or(number as u64 + 1, csv::Position::line);
        let at = |reason: String| Usage(format!("{}: line {line}: {reason}", path.display()));
        let (Some(name), Some(class)) = (row.get(0), row.get(1)) else {
            return Err(at("is not NAME,CLASS".to_string()).into());
        };
        let file = file_name(Path::new(name));
        match labels.find_class(class) {
            Ok(class) => match classes.insert(file.clone(), class) {
                Some(before) if before != class => {
                    let classes = [before, class].map(|c| labels.name(c)).join(" and ");
                    return Err(at(format!("{file} has two classes, {classes}")).into());
                }
                _ => {}
            },
            Err(_) if number == 0 && !photos.contains(&file) => {}
            Err(e) => return Err(at(e.to_string()).into()),
        }
    }
    Ok(classes)
}

/// Which parts of Candor work with the model.
fn findings(setup: &Setup) -> Vec<Finding> {
    let model = &setup.model;
    let finding = |what: &str, fine: bool, said: String| Finding { what: what.to_string(), fine, said };
    let [channels, height, width] = model.input_shape;
    let batch = model.fixed_batch.map_or("any batch".to_string(), |n| format!("a batch of {n}"));
    let others = match &model.info.other_outputs[..] {
        [] => String::new(),
        others => format!("; not used: {}", others.join(", ")),
    };
    let mut all = vec![
        finding("file", true, format!("operator set {}, {}", model.info.opset, model.info.producer)),
        finding("input", true, format!("{channels}×{height}×{width}, {batch}")),
        finding(
            "output",
            true,
            format!("{}, {} classes, {}{others}", model.info.output, model.classes, model.head.words()),
        ),
        finding("labels", setup.sources.labels != "none", setup.sources.labels.clone()),
    ];
    all.extend(model.notes.iter().map(|note| finding("note", false, note.clone())));
    let levels: Vec<String> = survey(model)
        .into_iter()
        .filter(|s| s.chosen)
        .map(|s| format!("{} {}×{}×{}", s.level.name, s.level.shape[0], s.level.shape[1], s.level.shape[2]))
        .collect();
    let none = || {
        "no feature map separates the image from the logits; name some with --levels (candor inspect)"
            .to_string()
    };
    all.push(finding(
        "levels",
        !levels.is_empty(),
        if levels.is_empty() { none() } else { levels.join(", ") },
    ));
    let engine = model.engine.info();
    for name in TRIED {
        let ready = methods::find(name)
            .and_then(|method| prepare(model, method.as_ref(), &[], &Choices::default()).map(drop));
        let said = match &ready {
            Ok(()) => format!("ready on {} {}", engine.name, engine.version),
            Err(e) => one_line(e),
        };
        all.push(finding(name, ready.is_ok(), said));
    }
    all
}

fn table(found: &[Candidate]) -> Table {
    let number = |name: &str, better| Column::number(name, "", better);
    let known = found.iter().any(|c| c.accuracy.is_some());
    let mut columns = vec![Column::text("preprocessing", "")];
    if known {
        columns.extend([number("right", Better::Higher), number("log-likelihood", Better::Higher)]);
    }
    let divergence = found.iter().any(|c| c.divergence.is_some());
    let balance = found.iter().any(|c| c.balance.is_some());
    if divergence {
        columns.push(number("divergence", Better::Lower));
    }
    if balance {
        columns.push(number("balance", Better::Higher));
    }
    columns.extend([
        number("score", Better::Higher),
        number("confidence", Better::Neither),
        number("mirrored", Better::Neither),
        number("answers", Better::Neither),
    ]);
    let mut table = Table::new("", "", columns);
    let decimals = |v: f64, n: usize| Cell::from(Number::new(v).unit(Unit::Decimals(n)));
    for c in found.iter().take(SHOWN) {
        let mut cells = vec![Cell::text(c.name.clone())];
        if known {
            cells.extend([c.accuracy, c.log_likelihood].map(|v| v.map_or(Cell::Missing, |v| decimals(v, 2))));
        }
        let shown = [(divergence, c.divergence), (balance, c.balance)];
        let shown = shown.into_iter().filter(|(column, _)| *column);
        cells.extend(shown.map(|(_, v)| v.map_or(Cell::Missing, |v| decimals(v, 3))));
        cells.extend([
            decimals(c.score, 2),
            decimals(c.confidence, 2),
            decimals(c.mirrored, 2),
            decimals(c.answers as f64, 0),
        ]);
        table.row(cells);
    }
    table
}

/// Says which preprocessing is plausible, and by how much.
fn verdict(found: &Examination) -> String {
    let Some((best, next)) = found.leaders() else {
        return "With none of them are the scores numbers: the weights are damaged, or the model is no classifier".to_string();
    };
    let against = next.map_or(String::new(), |n| match (found.criterion, best.accuracy, n.accuracy) {
        (Criterion::Truth, Some(a), Some(b)) => {
            format!(" ({:.0} % of the answers right, {:.0} % with '{}')", 100.0 * a, 100.0 * b, n.name)
        }
        (Criterion::TruthAndDivergence | Criterion::TruthAndBalance, Some(a), Some(b)) => {
            let what = if found.criterion == Criterion::TruthAndBalance { "balance" } else { "divergence" };
            let [first, second] = [best, n].map(|c| found.value(c).abs());
            format!(
                " ({:.0} % of the answers right, {what} {first:.3}; {:.0} %, {second:.3} with '{}')",
                100.0 * a,
                100.0 * b,
                n.name
            )
        }
        _ => {
            let (what, sign) = match found.criterion {
                Criterion::Divergence | Criterion::TruthAndDivergence => ("divergence", -1.0),
                Criterion::Balance | Criterion::TruthAndBalance => ("balance", 1.0),
                Criterion::AnswersAndBalance => ("score and balance", 1.0),
                Criterion::Answers | Criterion::Truth => ("score", 1.0),
            };
            let [first, second] = [best, n].map(|c| sign * found.value(c));
            format!(" ({what} {first:.3}, {second:.3} with '{}')", n.name)
        }
    });
    match found.certainty() {
        Certainty::Clear => format!("'{}' is clearly the most plausible{against}", best.name),
        Certainty::Hardly => {
            let told = best.accuracy.is_some();
            let remedy = if told { "give more photos" } else { "give more photos, or --truth" };
            format!("'{}' is the most plausible, but hardly: {remedy}{against}", best.name)
        }
        Certainty::NotOfColours => format!(
            "'{}' is clearly the most plausible but for the order of the colours, which these photos cannot tell: give coloured ones of \
             different classes{against}",
            best.name
        ),
        Certainty::Cannot => format!(
            "'{}' comes first, but photos of so few classes cannot tell: give photos of different classes{against}",
            best.name
        ),
    }
}

/// Writes the best preprocessing to a new sidecar.
fn write(setup: &Setup, best: Option<&Candidate>) -> Result<Option<String>> {
    let Some(best) = best.filter(|b| !b.sidecar.is_empty()) else {
        output::note("the stated preprocessing is the best: nothing is written");
        return Ok(None);
    };
    let path = &setup.sidecar_path;
    if path.exists() {
        return Err(Usage(format!(
            "{}: a sidecar exists already; change it by hand:\n{}",
            path.display(),
            best.sidecar
        ))
        .into());
    }
    Sidecar::parse(&best.sidecar, path)?;
    let text = format!("# Found by candor doctor.\n{}", best.sidecar);
    atomic::write(path, text.as_bytes()).with_context(|| format!("{}: cannot be written", path.display()))?;
    Ok(Some(path.display().to_string()))
}
