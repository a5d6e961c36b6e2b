//! An invented run: drawn photos, analytic masks and consistent numbers.

use std::f32::consts::TAU;

use candor::engine::EngineInfo;
use candor::explanation::{Cost, Kept, LevelMask, TopClass, Verdict};
use candor::map::Map;
use candor::model::ModelInfo;
use candor::package::Sources;
use candor::parameters::MethodInfo;
use candor_report::result::*;
use image::{Rgb, RgbImage};

/// A class's answer in a drawn photo: a bump with a height, position and radius (as fractions of the side), or nothing.
pub struct Answer {
    pub class: (usize, &'static str),
    pub rank: usize,
    pub bump: Option<(f32, [f32; 2], f32)>,
}

/// A round object on a ground, under a sky, with the texture of a photo.
pub fn photo(width: u32, height: u32, hue: f32, center: [f32; 2], radius: f32) -> RgbImage {
    RgbImage::from_fn(width, height, |px, py| {
        let (x, y) = (px as f32 / width as f32, py as f32 / height as f32);
        let grain = ((px * 7919 + py * 104_729 + px * py * 31) % 251) as f32 / 251.0 - 0.5;
        let waves = (TAU * (5.0 * x + 2.0 * (TAU * y).sin())).sin() * 0.03;
        let [dx, dy] = [(x - center[0]) * width as f32 / height as f32, y - center[1]];
        let distance = dx.hypot(dy) / radius;
        let color = if distance < 1.0 {
            let light = 0.95 - 0.45 * (0.5 * (dx + dy) / radius + 0.5) + 0.03 * (40.0 * distance).sin();
            [light, light * (0.45 + 0.4 * hue), light * (0.25 + 0.5 * (1.0 - hue))]
        } else if y > 0.62 + 0.05 * (TAU * x).sin() {
            let near = 0.75 - 0.35 * y;
            [near * 0.6, near, near * 0.45]
        } else {
            [0.45 + 0.35 * y, 0.62 + 0.25 * y, 0.85]
        };
        Rgb(color.map(|v| (255.0 * (v + waves + 0.07 * grain)).clamp(0.0, 255.0) as u8))
    })
}

/// A smooth bump, exactly 0 outside its radius: `height · (1 − d²)²`.
pub fn bump(side: usize, height: f32, center: [f32; 2], radius: f32) -> Map {
    let mut map = Map::zeros(side, side);
    for (i, value) in map.data.iter_mut().enumerate() {
        let (x, y) = ((i % side) as f32 + 0.5, (i / side) as f32 + 0.5);
        let d2 = (x / side as f32 - center[0]).powi(2) + (y / side as f32 - center[1]).powi(2);
        *value = height * (1.0 - d2 / (radius * radius)).max(0.0).powi(2);
    }
    map
}

/// An image whose classes were explained by spatial masks at four levels.
pub fn explained(path: &str, photo: RgbImage, answers: &[Answer]) -> ExplainedImage {
    let (results, arrays) = answers.iter().map(query).unzip();
    let others = [
        (417, "balloon"),
        (574, "golf ball"),
        (522, "croquet ball"),
        (890, "volleyball"),
        (805, "soccer ball"),
    ];
    let top = (1..=5).map(|rank| {
        let asked = answers.iter().find(|answer| answer.rank == rank);
        let (class_id, name) = asked.map_or(others[rank - 1], |answer| answer.class);
        TopClass { class_id, name: name.to_owned(), score: score(rank), probability: probability(rank) }
    });
    let seen = image::imageops::resize(&photo, 224, 224, image::imageops::FilterType::Triangle);
    let (width, height) = photo.dimensions();
    let squashed = format!("squashed from {width} × {height} to 224 × 224 pixels, which changes its aspect");
    ExplainedImage {
        photo,
        seen,
        result: ImageResult {
            path: path.to_owned(),
            preparation: vec![squashed],
            top: top.collect(),
            queries: results,
        },
        queries: arrays,
    }
}

/// Logit of the class of a rank.
fn score(rank: usize) -> f64 {
    14.0 - 2.0 * rank.min(12) as f64
}

/// Probability of the class of a rank.
fn probability(rank: usize) -> f64 {
    0.9 * 0.1f64.powi(rank.min(9) as i32 - 1)
}

fn query(answer: &Answer) -> (QueryResult, ExplainedQuery) {
    let (height, center, radius) = answer.bump.unwrap_or((0.0, [0.5; 2], 0.1));
    let level = |(i, side): (usize, usize)| {
        let mean = bump(side, height * (0.6 + 0.1 * i as f32), center, radius * (0.7 + 0.15 * i as f32));
        let value = format!("features.{}.relu", [3, 6, 13, 18][i]);
        LevelMask { value, shape: [1, side, side], data: mean.data.clone(), mean }
    };
    let levels: Vec<LevelMask> = [56, 28, 14, 7].into_iter().enumerate().map(level).collect();
    let map = bump(224, height, center, radius);
    let evidence = f64::from(height) * 14.0;
    let result = QueryResult {
        method: None,
        class_id: answer.class.0,
        class_name: answer.class.1.to_owned(),
        rank: answer.rank,
        score: score(answer.rank),
        probability: probability(answer.rank),
        log_odds: evidence - 7.1,
        null_log_odds: Some(-6.9),
        evidence: Some((evidence - 0.2).max(0.0)),
        judged: None,
        lambda: Some(1e-4),
        kept: Some(Kept { score: 11.0 * f64::from(height), log_odds: evidence * 0.94 - 7.0 }),
        map: MapInfo::of(&map),
        levels: levels
            .iter()
            .map(|l| LevelInfo { value: l.value.clone(), shape: l.shape, mass: l.mean.mass() })
            .collect(),
        cost: Cost { forward: 62, backward: 60, seconds: 2.31 },
        verdict: if answer.bump.is_some() { Verdict::Evidence } else { Verdict::NoEvidence },
        warnings: Vec::new(),
        lambda_path: Vec::new(),
    };
    (result, ExplainedQuery { map, weak_map: None, levels, path: vec![] })
}

/// Three images: one object and two absent classes; two objects; an answer that was not requested.
pub fn images() -> Vec<ExplainedImage> {
    let answer = |class, rank, bump| Answer { class, rank, bump };
    let ball = explained(
        "photos/ball on a meadow.jpg",
        photo(480, 480, 0.3, [0.55, 0.5], 0.24),
        &[
            answer((852, "tennis ball"), 1, Some((0.86, [0.56, 0.5], 0.3))),
            answer((722, "ping-pong ball"), 2, Some((0.31, [0.48, 0.42], 0.2))),
            answer((0, "tench, Tinca tinca"), 514, None),
            answer((981, "ballplayer, baseball player"), 1000, None),
        ],
    );
    let mut fruit = explained(
        "photos/orange.png",
        photo(640, 420, 0.5, [0.3, 0.55], 0.3),
        &[
            answer((950, "orange"), 1, Some((0.64, [0.3, 0.55], 0.34))),
            answer((957, "pomegranate, Punica granatum of the long name"), 3, Some((0.7, [0.36, 0.4], 0.16))),
        ],
    );
    fruit.result.queries[1].warnings.push(
        "The masked network scores this class 2.1 higher than the whole photo does; raise `lambda` or ask for fewer steps."
            .to_owned(),
    );
    let not_asked = explained(
        "other/ball on a meadow.jpeg",
        photo(300, 420, 0.8, [0.5, 0.4], 0.2),
        &[answer((207, "golden retriever"), 12, Some((0.08, [0.5, 0.4], 0.24)))],
    );
    vec![ball, fruit, not_asked]
}

/// The other fields of the run's result.
pub fn header() -> ExplainResult {
    let parameters = [
        ("distance", serde_json::json!("evidence")),
        ("lambda", serde_json::json!(0.02)),
        ("learning_rate", serde_json::json!(0.05)),
        (
            "levels",
            serde_json::json!(["features.3.relu", "features.6.relu", "features.13.relu", "features.18.relu"]),
        ),
        ("shape", serde_json::json!("spatial")),
        ("steps", serde_json::json!(60)),
    ];
    ExplainResult {
        model: ModelInfo {
            path: "models/mobilenetv2.onnx".into(),
            sha256: "8f1e7c0a4bd53b7e7f2f8a9e2a8e3a2d9a1b4b65c0f7d1b1e6f3d2c4b5a69788".into(),
            opset: 17,
            producer: "pytorch 2.4.0".into(),
            output: "logits".into(),
            other_outputs: vec![],
        },
        preprocessing: serde_json::json!({
            "preset": "imagenet", "size": [224, 224], "resize": 256, "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225], "layout": "NCHW", "color_order": "RGB",
        }),
        sources: Sources { preprocessing: "mobilenetv2.candor.toml".into(), labels: "classes.txt".into() },
        notes: vec![],
        engine: EngineInfo { name: "rten".into(), version: "0.27.0".into(), threads: 2 },
        method: MethodInfo {
            name: "reliable-mask".into(),
            parameters: parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        },
        methods: vec![],
        seed: 7,
        images: Vec::new(),
        failed: vec![FailedImage {
            path: "photos/broken.jpg".into(),
            error: "the file ends after 1204 bytes, in the middle of a JPEG scan".into(),
        }],
    }
}
