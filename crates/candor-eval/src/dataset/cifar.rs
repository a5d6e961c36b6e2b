//! CIFAR's binary layout: records of one label byte (CIFAR-10) or two (CIFAR-100, whose second, fine label is used), and 3072
//! bytes: 32×32 red, green, blue.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use candor::file;
use image::{Rgb, RgbImage};

use super::{DatasetError, MOST_BYTES, Object, Picture, Result, Sample};

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;

pub(super) fn read(path: &Path) -> Result<Vec<Sample>> {
    let bytes = file::read(path, MOST_BYTES).map_err(|e| DatasetError::read(path, e))?;
    let labels = [1, 2].into_iter().find(|l| bytes.len() % (l + PIXELS) == 0);
    let labels = labels
        .ok_or_else(|| DatasetError::read(path, "its size is not that of records of 3073 or 3074 bytes"))?;
    let record = |(i, record): (usize, &[u8])| {
        let class = usize::from(record[labels - 1]);
        Sample {
            id: format!("{i:06}"),
            picture: Picture::Cifar { file: path.to_path_buf(), record: i, labels },
            frame: None,
            objects: vec![Object {
                name: class.to_string(),
                classes: vec![class],
                bbox: None,
                mask_value: None,
            }],
            mask: None,
        }
    };
    Ok(bytes.chunks_exact(labels + PIXELS).enumerate().map(record).collect())
}

/// The picture of a record.
pub(super) fn picture(path: &Path, record: usize, labels: usize) -> Result<RgbImage> {
    let fail = |e: std::io::Error| DatasetError::read(path, e);
    let mut file = file::open(path, MOST_BYTES).map_err(fail)?;
    file.seek(SeekFrom::Start((record * (labels + PIXELS) + labels) as u64)).map_err(fail)?;
    let mut planes = vec![0; PIXELS];
    file.read_exact(&mut planes).map_err(fail)?;
    let pixel = |x: u32, y: u32| {
        let at = y as usize * SIDE + x as usize;
        Rgb([0, 1, 2].map(|c| planes[c * SIDE * SIDE + at]))
    };
    Ok(RgbImage::from_fn(SIDE as u32, SIDE as u32, pixel))
}
