//! `candor page`: a page that explains in the browser.

mod serve;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use candor::{Method, export};
use candor_report::browser::{self, BrowserError, Page, RUNTIME, WEBGPU};
use candor_report::folder::Inputs;
use candor_scenes::embedded;

use crate::arguments::PageArgs;
use crate::chosen;
use crate::folder;
use crate::output;
use crate::setup::{self, Usage};

/// Where npm installs the runtime.
const INSTALLED: &str = "node_modules/onnxruntime-web/dist";

pub fn run(args: &PageArgs) -> Result<ExitCode> {
    let methods = chosen::methods(&args.methods, &args.set)?;
    if let Some(method) = methods.iter().find(|m| m.method.exporter().is_none()) {
        return Err(Usage(output::one_line(&export::not_exportable(method.method.as_ref()).into())).into());
    }
    let runtime = runtime(args.runtime.as_deref(), args.webgpu)?;
    let samples = samples(args)?;
    let model = args.model();
    let read = args.samples.iter().map(PathBuf::as_path);
    let inputs = match &model {
        Some(model) => folder::inputs(model, read),
        None => Inputs::of(read),
    };
    let mut folder = folder::open(
        &args.out,
        "page",
        inputs,
        args.force,
        &["index.html".to_string(), "page.json".to_string()],
    )?;
    let classifier = match &model {
        Some(model) => {
            let classifier = setup::load(model)?;
            folder.reads(folder::of_model(&model.model, &classifier));
            classifier
        }
        None => setup::embedded("scenes.onnx", &args.opened.engine)?,
    };
    let methods: Vec<Method> = methods
        .into_iter()
        .map(|m| Method { set: m.set, ..Method::named(m.method.description().name) })
        .collect();
    let page = Page {
        classifier: &classifier,
        methods: &methods,
        samples: &samples,
        check: embedded::DEMO_SCENES[0].png,
        runtime: &runtime,
        webgpu: args.webgpu,
    };
    let mut tell =
        |method: &str| output::note(&format!("exporting {method}, and explaining the check's photo with it"));
    folder::publish(folder, "page", &classifier.model.info.sha256, |out| {
        browser::write(out, &page, &mut tell).map_err(|e| match e {
            // Passed on as it is, so that a setting that cannot be exported is an error of usage here, too.
            BrowserError::Candor(e) => anyhow::Error::from(e),
            BrowserError::Report(e) => e.into(),
            other => other.into(),
        })
    })?;
    output::print(&format!(
        "{}: {} with {}; serve the folder with any web server{}\n",
        args.out.display(),
        classifier.model.info.path,
        methods.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", "),
        if args.serve.is_none() { ", or here with --serve" } else { "" },
    ))?;
    match args.serve {
        Some(port) => serve::serve(&args.out, port),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// The folder with the runtime's files.
fn runtime(named: Option<&Path>, webgpu: bool) -> Result<PathBuf> {
    let needed: Vec<&str> = RUNTIME.into_iter().chain(WEBGPU.into_iter().filter(|_| webgpu)).collect();
    let complete = |folder: &Path| needed.iter().all(|file| folder.join(file).is_file());
    let found = match named {
        Some(folder) => Some(folder.to_owned()).filter(|f| complete(f)),
        None => {
            let here = std::env::current_dir().context("the current folder")?;
            here.ancestors().map(|folder| folder.join(INSTALLED)).find(|f| complete(f))
        }
    };
    found.ok_or_else(|| {
        let place = named.map_or(format!("no {INSTALLED} here or in a folder above"), |f| {
            format!("{} lacks {}", f.display(), needed.join(" or "))
        });
        Usage(format!(
            "{place}: the page needs ONNX Runtime for the browser; `npm install onnxruntime-web` brings it, and --runtime DIR names its \
             folder dist"
        ))
        .into()
    })
}

/// The sample photos, each under a unique name.
fn samples(args: &PageArgs) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found: Vec<(String, Vec<u8>)> = vec![];
    if args.samples.is_empty() && args.demo {
        found.extend(embedded::DEMO_SCENES.iter().map(|s| (s.name.to_string(), s.png.to_vec())));
    }
    for path in &args.samples {
        candor::image::decode(path)?;
        let bytes = candor::file::read(path, candor::image::MAX_FILE_BYTES)
            .with_context(|| path.display().to_string())?;
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        // Replaces characters that have a meaning in a URL.
        let name: String =
            name.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        let taken = |name: &String| found.iter().any(|(n, _)| n == name);
        let name = (0..)
            .map(|i| if i == 0 { name.clone() } else { format!("{i}-{name}") })
            .find(|name| !taken(name))
            .expect("some number is free");
        found.push((name, bytes));
    }
    Ok(found)
}
