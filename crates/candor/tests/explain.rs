//! Several photos explained together.
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::progress::{Progress, Unwatched};
use std::ops::ControlFlow;
use std::path::Path;

use candor::engine::RTen;
use candor::error::{Error, Result};
use candor::explanation::{ClassExplanation, Explanation, PhotoExplanation, Verdict};
use candor::image::{RgbImage, decode_bytes};
use candor::methods::{Choices, Compiled, Definition, Description, find};
use candor::model::Model;
use candor::parameters::Parameters;
use candor::sidecar::Sidecar;
use candor::{Class, Classifier, Explainer, Method};
use candor_scenes::embedded;

fn classifier() -> Classifier {
    let sidecar =
        Sidecar { lambda: None, ..Sidecar::parse(embedded::SIDECAR, Path::new("embedded")).unwrap() };
    Classifier::from_bytes("embedded", embedded::MODEL, sidecar, Some(Box::new(RTen::new(2)))).unwrap()
}

fn explainer(name: &str, set: &[(&str, &str)]) -> Explainer {
    let method = set.iter().fold(Method::named(name), |method, (k, v)| method.with(*k, v));
    classifier().explainer(&method).unwrap()
}

fn photos(count: usize) -> Vec<(&'static str, RgbImage)> {
    let scenes = &embedded::DEMO_SCENES[..count];
    scenes.iter().map(|s| (s.name, decode_bytes(s.png, Path::new(s.name)).unwrap())).collect()
}

fn given<'p>(photos: &'p [(&'static str, RgbImage)]) -> Vec<(&'p str, &'p RgbImage)> {
    photos.iter().map(|(name, photo)| (*name, photo)).collect()
}

/// The maps of an image, query by query: the levels', those at other λ, and the map itself.
fn maps(image: PhotoExplanation) -> Vec<Vec<f32>> {
    let of_query = image.classes.into_iter().map(|q| {
        let (levels, path) =
            (q.levels.into_iter().map(|l| l.data), q.lambda_path.into_iter().map(|p| p.map.data));
        levels.chain(path).chain([q.map.data]).collect::<Vec<_>>()
    });
    of_query.collect::<Vec<_>>().concat()
}

/// What is counted, not measured, and must be exactly equal.
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
        let mut explain = explainer(method, set);
        let photos = photos(4);
        // Some photos are asked about the class that they answer anyway, some about another one as well.
        let queries = [Class::Top(1), Class::Index(2), Class::Lowest];
        let mut steps = 0;
        let mut count = |more| {
            steps += more;
            ControlFlow::Continue(())
        };
        let together = explain.photos(&given(&photos), &queries, &mut count);
        assert!(steps <= 4 * explain.steps(queries.len()), "{steps} steps");
        for ((name, photo), together) in photos.iter().zip(together) {
            let alone = explain.photo(name, photo, &queries, &mut Unwatched).unwrap();
            let together = together.unwrap();
            assert!(!alone.classes.is_empty());
            assert_eq!(counted(&together), counted(&alone), "{method} {set:?}: {name}");
            // A product of another size is summed in another order.
            let (together, alone) = (maps(together).concat(), maps(alone).concat());
            assert_eq!(together.len(), alone.len());
            let most = together.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(most <= 1e-4, "{method} {set:?}: {name} differs by {most}");
        }
    }
}

/// A gradient that fails for dark images.
struct Picky;

struct PickyExplainer(Box<dyn Compiled>);

impl Definition for Picky {
    fn description(&self) -> Description {
        find("gradient").unwrap().description()
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(PickyExplainer(find("gradient")?.prepare(model, p, choices)?)))
    }
}

impl Compiled for PickyExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        if image.iter().all(|&v| v == image[0]) {
            return Err(Error::NoPhoto);
        }
        self.0.scores(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        self.0.explain(model, classes, progress)
    }
}

#[test]
fn a_photo_that_fails_keeps_no_other_from_its_map() {
    let mut explain = classifier().explainer_of(&Picky, &Method::named("gradient")).unwrap();
    let mut photos = photos(3);
    photos[1].1.pixels_mut().for_each(|p| p.0 = [9; 3]);
    let found = explain.photos(&given(&photos), &[Class::Top(1)], &mut Unwatched);
    let failed: Vec<bool> = found.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false]);
    assert_eq!(found[2].as_ref().unwrap().path, photos[2].0);
}

#[test]
fn a_watcher_can_end_a_search() {
    let mut explain = explainer("reliable", &[]);
    let photos = photos(2);
    let mut left = 5;
    let mut impatient = |steps: u64| {
        left -= steps as i64;
        if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let one = explain.photo("one", &photos[0].1, &[Class::top(1)], &mut impatient);
    assert!(matches!(one, Err(Error::Cancelled(_))));
    assert_eq!(left, 0, "it ends at the step at which it was asked to");
    let all = explain.photos(&given(&photos), &[Class::top(1)], &mut |_| ControlFlow::Break(()));
    assert!(all.iter().all(|e| matches!(e, Err(Error::Cancelled(_)))) && all.len() == 2);
    // It still works afterwards.
    assert!(explain.photo("one", &photos[0].1, &[Class::top(1)], &mut Unwatched).is_ok());
}

#[test]
fn names_are_understood_and_unknown_ones_refused() {
    let mut explain = explainer("grad-cam", &[]);
    let (name, photo) = &photos(1)[0];
    let label = explain.classifier.labels.name(3);
    let classes = [Class::named(label.to_uppercase()), Class::Index(3), Class::top(1)];
    let found = explain.photo(name, photo, &classes, &mut Unwatched).unwrap().classes;
    assert_eq!(found[0].class_id, 3);
    assert!(found.len() <= 2, "a class asked for twice is explained once");
    for wrong in [Class::named("no such thing"), Class::Index(12)] {
        let error = explain.photo(name, photo, &[wrong], &mut Unwatched).err().unwrap();
        assert!(matches!(error, Error::Class(_)) && error.is_usage(), "{error}");
    }
}
