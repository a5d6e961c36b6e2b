//! The embedded default: a small model trained on scenes, and a few scenes to try it on.
//!
//! With it, everything in Candor can be tried and tested without a download. `book/src/reference/scenes.md` says how the model was
//! trained and how accurate it is.

use super::{Scene, SceneOptions};

/// The model as an ONNX file: from `input`, N×3×112×112, preprocessed with [`PRESET`], to `logits`, N×12.
///
/// Its feature maps `level56`, `level28`, `level14` and `level7` are the last of their resolution. The head has no
/// bias: features that are zero everywhere give every class the same logit.
pub const MODEL: &[u8] = include_bytes!("../assets/scenes.onnx");

/// The content of a sidecar of the model: preprocessing, labels, [`LAMBDA`].
pub const SIDECAR: &str = include_str!("../assets/scenes.candor.toml");

/// The classes' names as a labels file, one per line, in the order of [`super::CLASSES`].
pub const LABELS: &str = include_str!("../assets/scenes_labels.txt");

/// Height and width of the model's input in pixels; pictures are resized to it, nothing is cropped.
pub const INPUT_SIZE: u32 = 112;

/// The preprocessing preset of the model: (v / 255 − 0.5) / 0.5.
pub const PRESET: &str = "inception";

/// λ of the embedded model, nearly four times the default. The default keeps the odds of each object so closely that its rivals stay in
/// its map (without them its odds would rise): with it 0.52 of the map's mass is in the object, with this λ 0.72; pointing is the same.
/// The masked model keeps four fifths of the evidence in the demo. book/src/results/mask-settings.md lists the other values that were
/// tried.
pub const LAMBDA: f64 = 0.01;

/// Height and width of the demo pictures in pixels.
pub const DEMO_SIZE: u32 = 336;

/// A scene that is part of Candor, rendered large enough for display.
#[derive(Clone, Copy, Debug)]
pub struct DemoScene {
    /// File name under `assets/`.
    pub name: &'static str,
    /// The picture, a PNG of [`DEMO_SIZE`] × [`DEMO_SIZE`] pixels.
    pub png: &'static [u8],
    /// The scene's seed, one of those held out from training.
    pub seed: u64,
    /// Number of objects.
    pub objects: usize,
}

/// The demo scenes: seeds 1 to 6 with 1, 2, 2, 3, 4 and 0 objects, not selected.
pub const DEMO_SCENES: [DemoScene; 6] = [
    DemoScene { name: "scene1.png", png: include_bytes!("../assets/scene1.png"), seed: 1, objects: 1 },
    DemoScene { name: "scene2.png", png: include_bytes!("../assets/scene2.png"), seed: 2, objects: 2 },
    DemoScene { name: "scene3.png", png: include_bytes!("../assets/scene3.png"), seed: 3, objects: 2 },
    DemoScene { name: "scene4.png", png: include_bytes!("../assets/scene4.png"), seed: 4, objects: 3 },
    DemoScene { name: "scene5.png", png: include_bytes!("../assets/scene5.png"), seed: 5, objects: 4 },
    DemoScene { name: "scene6.png", png: include_bytes!("../assets/scene6.png"), seed: 6, objects: 0 },
];

impl DemoScene {
    /// The scene with its ground truth, drawn at `size`×`size` pixels; at [`DEMO_SIZE`] its picture is identical to the file's.
    ///
    /// # Panics
    /// If the size is out of the range of [`SceneOptions`].
    pub fn scene(&self, size: u32) -> Scene {
        let objects = self.objects..=self.objects;
        Scene::generate(self.seed, &SceneOptions { size, objects, ..Default::default() })
    }
}

/// Name, PNG file and the classes present (ascending) of each demo scene.
pub fn demo_scenes() -> Vec<(&'static str, &'static [u8], Vec<usize>)> {
    // The classes do not depend on the size, so the smallest is drawn.
    DEMO_SCENES.iter().map(|demo| (demo.name, demo.png, demo.scene(16).classes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CLASSES, FIRST_TRAINING_SEED};

    #[test]
    fn the_files_are_the_scenes_of_their_seeds() {
        for demo in DEMO_SCENES {
            let file = image::load_from_memory(demo.png).unwrap().to_rgb8();
            assert!(demo.seed < FIRST_TRAINING_SEED);
            assert!(file == demo.scene(DEMO_SIZE).image, "{} differs from seed {}", demo.name, demo.seed);
        }
    }

    #[test]
    fn demo_scenes_name_what_is_in_them() {
        let counts: Vec<usize> = demo_scenes().iter().map(|(_, _, classes)| classes.len()).collect();
        assert_eq!(counts, [1, 2, 2, 3, 4, 0]);
    }

    #[test]
    fn labels_are_the_classes() {
        assert!(LABELS.lines().eq(CLASSES));
    }

    #[test]
    fn the_model_is_small() {
        assert!((100_000..1_500_000).contains(&MODEL.len()), "{} bytes", MODEL.len());
    }
}
