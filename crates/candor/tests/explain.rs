//! Several photos explained together.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use candor::engine::RTen;
use candor::error::{Error, Result};
use candor::explain::{ClassQuery, Explain};
use candor::explanation::{ClassExplanation, Explanation, PhotoExplanation, Verdict};
use candor::image::{Preset, RgbImage, decode_bytes};
use candor::labels::Labels;
use candor::methods::{Choices, Description, Explainer, Method, find};
use candor::model::{Model, ModelOptions};
use candor::parameters::Parameters;
use candor_scenes::embedded;

fn explain(method: &dyn Method, set: &[(&str, &str)]) -> Explain {
    let model =
        Model::from_bytes("embedded", embedded::MODEL, &ModelOptions::default(), Box::new(RTen::new(2)))
            .unwrap();
    let set: Vec<_> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let size = embedded::INPUT_SIZE as usize;
    let preprocessing = Preset::Inception.preprocessing(size, size);
    let labels = Labels::new(embedded::LABELS.lines().map(str::to_string).collect());
    Explain::new(model, preprocessing, labels, method, &set, &Choices::default()).unwrap()
}

fn photos(count: usize) -> Vec<(&'static str, RgbImage)> {
    let scenes = &embedded::DEMO_SCENES[..count];
    scenes.iter().map(|s| (s.name, decode_bytes(s.png, Path::new(s.name)).unwrap())).collect()
}

fn given<'p>(photos: &'p [(&'static str, RgbImage)]) -> Vec<(&'p str, &'p RgbImage)> {
    photos.iter().map(|(name, photo)| (*name, photo)).collect()
}

/// The maps of an image: the levels', those at other λ, and the map itself, query by query.
fn maps(image: PhotoExplanation) -> Vec<Vec<f32>> {
    let of_query = image.classes.into_iter().map(|q| {
        let (levels, path) =
            (q.levels.into_iter().map(|l| l.data), q.lambda_path.into_iter().map(|p| p.map.data));
        levels.chain(path).chain([q.map.data]).collect::<Vec<_>>()
    });
    of_query.collect::<Vec<_>>().concat()
}

/// What is counted, not measured: it is the same to the last digit.
fn counted(image: &PhotoExplanation) -> Vec<(usize, u64, u64, Verdict, Vec<String>)> {
    let of =
        |q: &ClassExplanation| (q.class_id, q.cost.forward, q.cost.backward, q.verdict, q.warnings.clone());
    image.classes.iter().map(of).collect()
}

#[test]
fn a_photo_is_explained_the_same_beside_others() {
    for (method, set) in [
        ("reliable", &[("iterations", "8"), ("lambda-path", "true")][..]),
        ("reliable", &[("iterations", "8"), ("return", "best"), ("fuse", "attribution")]),
        ("grad-cam", &[]),
    ] {
        let mut explain = explain(find(method).unwrap().as_ref(), set);
        let photos = photos(4);
        // Some are asked for the class that they answer anyway, some for one more.
        let queries = [ClassQuery::Rank(1), ClassQuery::Class(2), ClassQuery::Lowest];
        let mut steps = 0;
        let together = explain.photos(&given(&photos), &queries, &mut || steps += 1);
        assert!(steps <= 4 * explain.steps(queries.len()), "{steps} steps");
        for ((name, photo), together) in photos.iter().zip(together) {
            let alone = explain.photo(name, photo, &queries, &mut || ()).unwrap();
            let together = together.unwrap();
            assert!(!alone.classes.is_empty());
            assert_eq!(counted(&together), counted(&alone), "{method} {set:?}: {name}");
            // A product of other sizes adds up in another order.
            let (together, alone) = (maps(together).concat(), maps(alone).concat());
            assert_eq!(together.len(), alone.len());
            let most = together.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(most <= 1e-4, "{method} {set:?}: {name} differs by {most}");
        }
    }
}

/// A gradient that refuses dark pictures.
struct Picky;

struct PickyExplainer(Box<dyn Explainer>);

impl Method for Picky {
    fn description(&self) -> Description {
        find("gradient").unwrap().description()
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Explainer>> {
        Ok(Box::new(PickyExplainer(find("gradient")?.prepare(model, p, choices)?)))
    }
}

impl Explainer for PickyExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        if image.iter().all(|&v| v == image[0]) {
            return Err(Error::Io { path: "photo".into(), reason: "nothing but one colour".into() });
        }
        self.0.scores(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        steps: &mut dyn FnMut(),
    ) -> Result<Vec<Explanation>> {
        self.0.explain(model, classes, steps)
    }
}

#[test]
fn a_photo_that_fails_keeps_no_other_from_its_map() {
    let mut explain = explain(&Picky, &[]);
    let mut photos = photos(3);
    photos[1].1.pixels_mut().for_each(|p| p.0 = [9; 3]);
    let found = explain.photos(&given(&photos), &[ClassQuery::Rank(1)], &mut || ());
    let failed: Vec<bool> = found.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false]);
    assert_eq!(found[2].as_ref().unwrap().path, photos[2].0);
}
