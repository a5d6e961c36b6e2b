//! Shared by the tests of attacks: a model under attack, its images, and one way to run an attack.
#![allow(dead_code, reason = "each test binary uses a part")]

use candor::engine::RTen;
use candor::image::{Preprocessing, Preset, decode_bytes};
use candor::model::{Model, ModelOptions};
use candor::progress::Unwatched;
use candor_adversarial::attacks::{self, Adversarial, Attack, Goal, Loss, TargetModel, answer};
use candor_scenes::embedded;

/// A model, compiled for attacks.
pub struct Lab {
    pub model: Model,
    pub preprocessing: Preprocessing,
    pub target_model: TargetModel,
}

impl Lab {
    /// For an ONNX file in memory.
    pub fn of(bytes: &[u8], preset: Preset) -> Self {
        let model =
            Model::from_bytes("model.onnx", bytes, &ModelOptions::default(), Box::new(RTen::new(2))).unwrap();
        let [_, height, width] = model.input_shape;
        let preprocessing = preset.preprocessing(height, width);
        let target_model = TargetModel::new(&model, &preprocessing).unwrap();
        Lab { model, preprocessing, target_model }
    }

    /// For the embedded model.
    pub fn embedded() -> Self {
        Lab::of(embedded::MODEL, Preset::Inception)
    }

    /// The first demo scenes as pixels in 0..=1.
    pub fn scenes(&self, count: usize) -> Vec<Vec<f32>> {
        let pixels = |scene: &embedded::DemoScene| {
            let photo = decode_bytes(scene.png, scene.name.as_ref()).unwrap();
            attacks::pixels(&self.preprocessing, &photo)
        };
        embedded::DEMO_SCENES[..count].iter().map(pixels).collect()
    }

    /// The model's logits for images, from the model's own input, without the graph that the attacks differentiate.
    pub fn logits(&self, images: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let inputs: Vec<Vec<f32>> = images.iter().map(|i| attacks::input(&self.preprocessing, i)).collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        self.model.all_scores(self.model.forward().unwrap().as_mut(), &inputs).unwrap()
    }

    /// Untargeted goals for the classes that the model answers.
    pub fn away(&self, images: &[Vec<f32>]) -> Vec<Goal> {
        self.logits(images).iter().map(|logits| Goal::away(answer(logits))).collect()
    }

    /// The gradient of a loss with respect to the pixels of an image, as the attacks compute it.
    pub fn gradient(&mut self, image: &[f32], loss: Loss, goal: &Goal) -> Vec<f32> {
        let found = self.target_model.gradients(&[image.to_vec()], &[0], |_, s| vec![loss.at(s, goal).1]);
        found.unwrap()[0].first().to_vec()
    }

    /// The attack with that name; `transfer` uses the same model as its surrogate.
    pub fn prepare(&self, name: &str, set: &[(&str, &str)]) -> Box<dyn Attack> {
        let set: Vec<_> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        match name {
            "transfer" => {
                let surrogate = TargetModel::new(&self.model, &self.preprocessing).unwrap();
                attacks::prepare_transfer(&set, surrogate).unwrap().0
            }
            _ => attacks::prepare(name, &set).unwrap().0,
        }
    }

    pub fn run(
        &mut self,
        attack: &mut dyn Attack,
        images: &[Vec<f32>],
        goals: &[Goal],
        seed: u64,
    ) -> Vec<Adversarial> {
        attacks::run(attack, &mut self.target_model, images, goals, seed, &mut Unwatched).unwrap()
    }

    /// [`Lab::prepare`] and [`Lab::run`].
    pub fn attack(
        &mut self,
        name: &str,
        set: &[(&str, &str)],
        images: &[Vec<f32>],
        goals: &[Goal],
    ) -> Vec<Adversarial> {
        let mut attack = self.prepare(name, set);
        self.run(attack.as_mut(), images, goals, 0)
    }
}

/// The Euclidean norm.
pub fn length(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}
