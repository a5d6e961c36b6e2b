//! Writes scenes as files: pictures, masks and a table, for training and for benchmarks.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{CLASSES, Scene, SceneError, SceneOptions};

/// Colours of the mask files: background, then objects in order; repeated if there are more.
const MASK_COLOURS: [[u8; 3]; 7] = [
    [0, 0, 0],
    [230, 80, 60],
    [60, 160, 230],
    [250, 200, 60],
    [90, 190, 100],
    [170, 100, 210],
    [240, 140, 190],
];

/// Why a set of scenes could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Invalid options.
    #[error(transparent)]
    Options(#[from] SceneError),
    /// A file or folder could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Path of the file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Name of the table.
const TABLE: &str = "scenes.csv";
/// Name of the file of classes.
const NAMES: &str = "classes.txt";

/// Names of the files that [`write()`] writes.
pub fn files(count: u64) -> impl Iterator<Item = String> {
    (0..count).flat_map(|number| [picture(number), mask(number)]).chain([NAMES, TABLE].map(String::from))
}

fn picture(number: u64) -> String {
    format!("{number:06}.png")
}

fn mask(number: u64) -> String {
    format!("{number:06}_mask.png")
}

/// Writes `count` scenes, with the seeds `seed`, `seed + 1`, …, into the folder `dir`, which is created if it is missing:
///
/// - `NNNNNN.png`, the picture; the number is that of the scene, from 0;
/// - `NNNNNN_mask.png`, an indexed PNG of the same size: 0 where there is no object, else 1 + the object's number;
/// - `scenes.csv`, written last, with the columns `file,object,class_index,class,x0,y0,x1,y1,mask`: one row per object,
///   numbered from 0 within its scene; x1 and y1 are excluded. A scene without objects has one row with only `file` and
///   `mask`;
/// - `classes.txt`, the names of the classes, one per line: labels for any model of these classes.
///
/// Each file is written atomically; existing files with the same names are replaced.
///
/// # Errors
/// [`DatasetError::Options`] before anything is written; [`DatasetError::Write`] names the file that failed.
pub fn write(dir: &Path, count: u64, seed: u64, options: &SceneOptions) -> Result<(), DatasetError> {
    options.check()?;
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| DatasetError::Write { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let mut table = String::from("file,object,class_index,class,x0,y0,x1,y1,mask\n");
    for number in 0..count {
        let scene = Scene::generate(seed.wrapping_add(number), options);
        let (file, mask) = (picture(number), mask(number));
        for (name, bytes) in [(&file, picture_png(&scene)), (&mask, mask_png(&scene))] {
            let path = dir.join(name);
            bytes.and_then(|bytes| replace(&path, &bytes)).map_err(failed(&path))?;
        }
        rows(&mut table, &scene, &file, &mask);
    }
    let names: String = CLASSES.iter().map(|name| format!("{name}\n")).collect();
    for (name, text) in [(NAMES, names), (TABLE, table)] {
        let path = dir.join(name);
        replace(&path, text.as_bytes()).map_err(failed(&path))?;
    }
    Ok(())
}

/// Appends the scene's rows to the table.
fn rows(table: &mut String, scene: &Scene, file: &str, mask: &str) {
    const NEVER: &str = "writing to a string cannot fail";
    if scene.objects.is_empty() {
        writeln!(table, "{file},,,,,,,,{mask}").expect(NEVER);
    }
    for (number, object) in scene.objects.iter().enumerate() {
        let (class, [x0, y0, x1, y1]) = (object.class, object.bbox);
        writeln!(table, "{file},{number},{class},{},{x0},{y0},{x1},{y1},{mask}", CLASSES[class])
            .expect(NEVER);
    }
}

/// Writes the bytes to a temporary file beside the target, with a unique name, and renames it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The scene's picture as a PNG file.
///
/// # Errors
/// The encoder's errors.
pub fn picture_png(scene: &Scene) -> io::Result<Vec<u8>> {
    let (width, height) = scene.image.dimensions();
    encode(width, height, png::ColorType::Rgb, scene.image.as_raw())
}

/// The scene's masks as one indexed PNG file: 0 where there is no object, else 1 + the object's number.
///
/// # Errors
/// The encoder's errors.
pub fn mask_png(scene: &Scene) -> io::Result<Vec<u8>> {
    let (width, height) = scene.image.dimensions();
    let mut indices = vec![0; width as usize * height as usize];
    for (number, object) in (1..).zip(&scene.objects) {
        for (index, _) in indices.iter_mut().zip(&object.mask).filter(|(_, inside)| **inside) {
            *index = number;
        }
    }
    encode(width, height, png::ColorType::Indexed, &indices)
}

fn encode(width: u32, height: u32, colour: png::ColorType, pixels: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    // Noise is hardly compressible: more effort would take most of the time and save little.
    encoder.set_compression(png::Compression::Fast);
    encoder.set_depth(png::BitDepth::Eight);
    if colour == png::ColorType::Indexed {
        let colours = (0..=CLASSES.len()).flat_map(|i| match i {
            0 => MASK_COLOURS[0],
            _ => MASK_COLOURS[1 + (i - 1) % (MASK_COLOURS.len() - 1)],
        });
        encoder.set_palette(colours.collect::<Vec<u8>>());
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_the_scenes() {
        let folder = tempfile::tempdir().unwrap();
        let options = SceneOptions { size: 48, objects: 0..=3, ..Default::default() };
        write(folder.path(), 12, 40, &options).unwrap();
        let table = fs::read_to_string(folder.path().join("scenes.csv")).unwrap();
        let mut lines = table.lines();
        assert_eq!(lines.next(), Some("file,object,class_index,class,x0,y0,x1,y1,mask"));
        for number in 0..12 {
            let scene = Scene::generate(40 + number, &options);
            let file = format!("{number:06}.png");
            let picture = image::open(folder.path().join(&file)).unwrap().to_rgb8();
            assert_eq!(picture, scene.image);
            if scene.objects.is_empty() {
                assert_eq!(lines.next(), Some(format!("{file},,,,,,,,{number:06}_mask.png").as_str()));
            }
            for (i, object) in scene.objects.iter().enumerate() {
                let [x0, y0, x1, y1] = object.bbox;
                let (class, name) = (object.class, CLASSES[object.class]);
                let want = format!("{file},{i},{class},{name},{x0},{y0},{x1},{y1},{number:06}_mask.png");
                assert_eq!(lines.next(), Some(want.as_str()));
            }
        }
        assert_eq!(lines.next(), None);
        let leftovers = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(leftovers, 26, "12 pictures, 12 masks, the classes, one table and nothing temporary");
        let classes = fs::read_to_string(folder.path().join("classes.txt")).unwrap();
        assert!(classes.lines().eq(CLASSES));
    }

    #[test]
    fn mask_indices_are_object_numbers() {
        let scene = Scene::generate(3, &SceneOptions { objects: 3..=3, ..Default::default() });
        let bytes = mask_png(&scene).unwrap();
        let mut decoder = png::Decoder::new(io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().unwrap();
        assert_eq!(reader.info().color_type, png::ColorType::Indexed);
        let mut indices = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut indices).unwrap();
        for (i, index) in indices.into_iter().enumerate() {
            let owner = scene.objects.iter().position(|o| o.mask[i]);
            assert_eq!(usize::from(index), owner.map_or(0, |o| o + 1));
        }
    }

    #[test]
    fn errors_name_the_path_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        let error = write(&blocked, 1, 0, &SceneOptions::default()).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        let bad = SceneOptions { size: 1, ..Default::default() };
        let target = folder.path().join("new");
        assert!(matches!(write(&target, 1, 0, &bad), Err(DatasetError::Options(_))));
        assert!(!target.exists());
    }
}
