//! Writes scenes with their ground truth:
//! `write_scenes DIR COUNT SEED [SIZE [FEWEST MOST [SMALLEST LARGEST]]]`.
//!
//! SIZE is in pixels (112), FEWEST and MOST are the numbers of objects in a scene (1 and 4), SMALLEST and LARGEST their
//! diameters as fractions of the side (0.2 and 0.55). See `candor_scenes::dataset::write` for the files; scene i has the
//! seed SEED + i.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use candor_scenes::{SceneOptions, dataset};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if ![3, 4, 6, 8].contains(&arguments.len()) {
        eprintln!("usage: write_scenes DIR COUNT SEED [SIZE [FEWEST MOST [SMALLEST LARGEST]]]");
        return ExitCode::from(2);
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("write_scenes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let mut options = SceneOptions::default();
    if let Some(size) = arguments.get(3) {
        options.size = number(size)?;
    }
    if let (Some(fewest), Some(most)) = (arguments.get(4), arguments.get(5)) {
        options.objects = number(fewest)?..=number(most)?;
    }
    if let (Some(smallest), Some(largest)) = (arguments.get(6), arguments.get(7)) {
        options.scale = number(smallest)?..=number(largest)?;
    }
    dataset::write(Path::new(&arguments[0]), number(&arguments[1])?, number(&arguments[2])?, &options)?;
    Ok(())
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text}: not a number of the kind that is wanted here"))
}
