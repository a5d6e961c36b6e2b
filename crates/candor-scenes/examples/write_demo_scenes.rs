//! Writes the demo scenes and the labels that the library embeds: `write_demo_scenes crates/candor/assets`.

use std::error::Error;
use std::path::Path;

use candor_scenes::CLASSES;
use candor_scenes::embedded::{DEMO_SCENES, DEMO_SIZE};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: write_demo_scenes FOLDER")?;
    let folder = Path::new(&folder);
    for demo in DEMO_SCENES {
        let file = std::fs::File::create(folder.join(demo.name))?;
        let encoder = PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::Adaptive);
        demo.scene(DEMO_SIZE).image.write_with_encoder(encoder)?;
    }
    std::fs::write(folder.join("scenes_labels.txt"), CLASSES.join("\n") + "\n")?;
    Ok(())
}
