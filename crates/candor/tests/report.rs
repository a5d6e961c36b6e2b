//! The files of a report, from a run that never happened.

mod report_fixture;

use std::path::Path;

use candor::report::ReportWriter;
use candor::report::result::{ExplainResult, ExplainedImage};

fn write(directory: &Path, images: Vec<ExplainedImage>, header: ExplainResult) -> ExplainResult {
    let mut writer = ReportWriter::create(directory).unwrap();
    for image in images {
        writer.add(image).unwrap();
    }
    writer.finish(header).unwrap()
}

/// To look at: `cargo test -p candor --test report sample -- --ignored`, then open the page it names.
#[test]
#[ignore = "writes a sample report to look at"]
fn sample() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample-report");
    write(&directory, report_fixture::images(), report_fixture::header());
    println!("{}", directory.join("report.html").display());
}
