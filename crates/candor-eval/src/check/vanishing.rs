//! Attribution vanishing: does the class-specific part of the gradient vanish on the way down to the image?
//!
//! The deeper a level, the more specific is its gradient to the class. Where gradients of different classes have the same direction,
//! what remains is the image's own structure, whatever the query (named in Wang et al. 2020 as a cause of unreliable maps).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Input, Kind, Ledger, queried};
use crate::error::Result;
use candor::mask::levels;
use candor::methods::level_gradients::LevelGradients;
use candor::model::Model;
use candor::quantile::median;

/// Gradients at one value of the network.
#[derive(Clone, Debug, Serialize)]
pub struct LevelGradient {
    /// Name of the value.
    pub value: String,
    /// Figures of the gradient of each class's logit, by kind of query.
    pub queries: BTreeMap<Kind, GradientFigures>,
}

/// Medians over the images.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GradientFigures {
    /// Euclidean norm.
    pub norm: Option<f64>,
    /// Norm divided by that of top-1's gradient.
    pub ratio: Option<f64>,
    /// Magnitude of its cosine with top-1's gradient: 1 means the same or the opposite direction.
    pub cosine: Option<f64>,
}

/// The gradients of one image: by value, starting with the image, and by kind of query.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Gradients(Vec<BTreeMap<Kind, Row>>);

/// The figures at the image and at each level, starting with the image, over the images that `ledger` owns.
///
/// # Errors
/// A level that does not exist, a node without a gradient rule, or a failure of the engine.
pub fn vanishing(
    model: &Model,
    names: &[String],
    images: &[Input],
    seed: u64,
    ledger: &mut dyn Ledger,
) -> Result<Vec<LevelGradient>> {
    let levels = levels::choose(model, names)?;
    let mut gradients = LevelGradients::compile(model, &levels)?;
    let mut rows: Vec<BTreeMap<Kind, Vec<Row>>> = vec![BTreeMap::new(); levels.len() + 1];
    for image in images.iter().filter(|i| ledger.owns(i.number)).collect::<Vec<_>>() {
        let found = match ledger.recall_gradients(image.number) {
            Some(found) => found,
            None => {
                let found = of_image(model, &mut gradients, image, seed)?;
                ledger.add_gradients(image.number, &found)?;
                found
            }
        };
        for (rows, found) in rows.iter_mut().zip(found.0) {
            found.into_iter().for_each(|(kind, row)| rows.entry(kind).or_default().push(row));
        }
    }
    let names = std::iter::once("image").chain(levels.iter().map(|l| l.name.as_str()));
    let level = |(name, kinds): (&str, BTreeMap<Kind, Vec<Row>>)| LevelGradient {
        value: name.to_string(),
        queries: kinds.iter().map(|(kind, rows)| (*kind, figures(rows))).collect(),
    };
    Ok(names.zip(rows).map(level).collect())
}

fn of_image(model: &Model, gradients: &mut LevelGradients, image: &Input, seed: u64) -> Result<Gradients> {
    let scores = gradients.scores(model, &image.values)?;
    let asked = queried(&scores, seed, image.number);
    let classes: Vec<usize> = asked.iter().map(|q| q.1).collect();
    let found = gradients.of(model, &classes)?;
    let places = found.first().map_or(0, Vec::len);
    let at = |place: usize| {
        let row = |(&(kind, ..), of): (&(Kind, usize, usize), &Vec<Vec<f32>>)| {
            (kind, Row::of(&of[place], &found[0][place]))
        };
        asked.iter().zip(&found).map(row).collect()
    };
    Ok(Gradients((0..places).map(at).collect()))
}

/// One image's gradient at one level.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Row {
    norm: f64,
    top: f64,
    dot: f64,
}

impl Row {
    fn of(gradient: &[f32], top: &[f32]) -> Self {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        Row { norm: dot(gradient, gradient).sqrt(), top: dot(top, top).sqrt(), dot: dot(gradient, top) }
    }
}

/// Quotients with a norm of zero are left out.
fn figures(rows: &[Row]) -> GradientFigures {
    let middle =
        |f: &dyn Fn(&Row) -> f64| median(&rows.iter().map(f).filter(|v| v.is_finite()).collect::<Vec<_>>());
    GradientFigures {
        norm: middle(&|r| r.norm),
        ratio: middle(&|r| r.norm / r.top),
        cosine: middle(&|r| (r.dot / (r.norm * r.top)).abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_the_gradients() {
        let rows = [Row::of(&[3.0, 4.0], &[10.0, 0.0]), Row::of(&[0.0, 0.0], &[10.0, 0.0])];
        let of_first = figures(&rows[..1]);
        assert_eq!((of_first.norm, of_first.ratio, of_first.cosine), (Some(5.0), Some(0.5), Some(0.6)));
        assert_eq!(figures(&rows).cosine, Some(0.6), "a gradient of zero has no direction");
    }
}
