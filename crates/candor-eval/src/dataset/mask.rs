//! Pixel masks: PNG files whose samples are numbers, not colours.

use std::io::BufReader;
use std::path::Path;

use candor::file;
use candor::image::{MAX_FILE_BYTES, MAX_SIDE};

use super::{DatasetError, Result};

/// The pixels of a photo that belong to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    height: usize,
    width: usize,
    pixels: Vec<bool>,
}

impl Mask {
    /// Whether a point, given as fractions of the photo's width and height (0..=1 each), belongs to the object.
    pub fn at(&self, x: f64, y: f64) -> bool {
        let place = |v: f64, size: usize| ((v * size as f64) as usize).min(size - 1);
        self.pixels[place(y, self.height) * self.width + place(x, self.width)]
    }
}

/// The pixels whose sample is one of `values`, of an indexed or grey PNG of 8 bits or fewer.
pub(super) fn read(path: &Path, values: &[u8]) -> Result<Mask> {
    let fail = |e: &dyn std::fmt::Display| DatasetError::read(path, e);
    let file = BufReader::new(file::open(path, MAX_FILE_BYTES).map_err(|e| fail(&e))?);
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|e| fail(&e))?;
    let (info, bits) = (reader.info().clone(), reader.info().bit_depth as usize);
    let grey = [png::ColorType::Indexed, png::ColorType::Grayscale].contains(&info.color_type);
    if !grey || bits > 8 {
        return Err(fail(&"a mask is an indexed or grey PNG of 8 bits or fewer"));
    }
    if info.width.max(info.height) > MAX_SIDE {
        return Err(fail(&format!(
            "{}x{} pixels are too many; at most {MAX_SIDE} a side",
            info.width, info.height
        )));
    }
    let mut bytes = vec![0; reader.output_buffer_size().ok_or_else(|| fail(&"the picture is too large"))?];
    let frame = reader.next_frame(&mut bytes).map_err(|e| fail(&e))?;
    let (height, width) = (frame.height as usize, frame.width as usize);
    let sample = |i: usize| {
        let (row, bit) = (i / width, i % width * bits);
        let byte = bytes[row * frame.line_size + bit / 8];
        (byte >> (8 - bits - bit % 8)) & ((1_u16 << bits) - 1) as u8
    };
    let pixels = (0..height * width).map(|i| values.contains(&sample(i))).collect();
    Ok(Mask { height, width, pixels })
}
