//! What `candor table` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::one_of::one_of;

#[derive(Args)]
#[command(after_help = "\
FILE is what `candor bench`, `candor check` or `candor detect eval` wrote or printed with --json, and is recognised by \
its content. It may also be tables that `candor table --format csv` wrote. Several files are printed one after the other.

How to read a cell of `candor bench`: a mean, in brackets its 95 % bootstrap interval; bold is the best of the column and what \
is not significantly different from it (p >= 0.05, paired randomisation test). Of `candor check`: the median of mass ÷ top-1's \
mass, its 95 % interval, and the 95th percentile. Three decimals; `–` means not defined.

CSV has all digits. Interval, percentile and mark have columns of their own (NAME low, NAME high, NAME p95, NAME best).

Examples:
  candor table bench/wsol.json                                # Markdown
  candor table bench/wsol.json --title 'All photos' --format csv > all.csv
  candor table all.csv --figure pointing > all.svg             # bars with their intervals
  candor table all.csv --row reliable --row grad-cam           # these two rows
  candor table fewer/wsol.json settings/wsol.json --settings  # with what the tuning split chose
  candor table study/detect.json --kinds ours,baseline
  candor check model.onnx photos/000000.png --methods gradient --json > check.json
  candor table check.json")]
pub struct TableArgs {
    /// Results as JSON (wsol.json, check.json, detect.json, …), or tables as CSV
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Form of the tables
    #[arg(long, value_name = "NAME", default_value = "md", value_parser = one_of::<TableFormat>("format"))]
    pub format: TableFormat,
    /// Draw this column as bars with their 95 % intervals, as an SVG picture; may be repeated
    #[arg(long, value_name = "COLUMN", conflicts_with = "format")]
    pub figure: Vec<String>,
    /// Only tables of this title, which may leave out the model's name; may be repeated
    #[arg(long, value_name = "TITLE")]
    pub title: Vec<String>,
    /// Only rows of this name, in the order given, also in a figure; may be repeated
    #[arg(long, value_name = "NAME")]
    pub row: Vec<String>,
    /// Of a figure: colour this row instead of the first ('' for none); may be repeated
    #[arg(long, value_name = "NAME", requires = "figure")]
    pub accent: Vec<String>,
    /// Of a benchmark: add a column with what the tuning split chose for each method
    #[arg(long)]
    pub settings: bool,
    /// Of a study of detectors: only those of these kinds
    #[arg(
        long,
        value_name = "A,B,…",
        value_delimiter = ',',
        default_value = "ours,baseline,ablation",
        value_parser = one_of::<DetectorKind>("kind")
    )]
    pub kinds: Vec<DetectorKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Markdown
    Md,
    /// Comma-separated values with all digits
    Csv,
    /// A fragment of HTML, one `<table>` a table
    Html,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectorKind {
    /// Hierarchical masks
    Ours,
    /// A published detector
    Baseline,
    /// Ours with some of its features
    Ablation,
}
