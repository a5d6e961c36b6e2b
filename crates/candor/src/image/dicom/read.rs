//! Reads DICOM with the crates of dicom-rs.

use std::io::Cursor;
use std::path::Path;

use candor_graph::error::one_line;
use candor_graph::memory;
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, FileMetaTable, OpenFileOptions};
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_pixeldata::{
    ConvertOptions, DecodedPixelData, ModalityLutOption, PixelDecoder, VoiLutFunction, VoiLutOption,
    WindowLevelTransform,
};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use crate::image::change::{Change, Decoded, Window};
use crate::image::error::ImageError;
use crate::image::jpeg;
use crate::image::limits::{MAX_PIXELS, MAX_SIDE};
use crate::image::photo::{Samples, windowed};

const NAME: &str = "DICOM";

/// As [`super::decode`].
pub(super) fn decode(
    bytes: &[u8],
    path: &Path,
    window: Option<[f64; 2]>,
    frame: Option<u32>,
) -> Result<Decoded, ImageError> {
    let object = open(bytes, path)?;
    let frames = fitting(&object, path, bytes.len())?;
    let number = frame.unwrap_or(1);
    if number > frames {
        return Err(ImageError::NoFrame { path: path.into(), frame: number, frames });
    }
    let pixels = object.decode_pixel_data_frame(number - 1).map_err(|e| failed(&e, path, bytes.len()))?;
    let mut changes = vec![];
    changes.extend((frames > 1).then_some(Change::Frame { number, of: frames }));
    let values = levels(&pixels, window, &mut changes).map_err(|e| failed(&e, path, bytes.len()))?;
    let inverted = pixels.photometric_interpretation().as_str() == "MONOCHROME1";
    changes.extend(inverted.then_some(Change::Inverted));
    changes.push(Change::FromGrey);
    let values = values.into_iter().map(|v| if inverted { 255.0 - v } else { v } as f32).collect();
    let samples = Samples { width: pixels.columns(), height: pixels.rows(), values };
    Ok(Decoded { photo: samples.into(), changes })
}

/// The file's elements, if its transfer syntax is supported and no element is longer than the file: the library allocates whatever length
/// an element claims, up to 4 GiB.
fn open(bytes: &[u8], path: &Path) -> Result<DefaultDicomObject, ImageError> {
    let damaged = |e: &dyn std::error::Error| failed(e, path, bytes.len());
    let truncated = || ImageError::Truncated { path: path.into(), format: NAME, bytes: bytes.len() };
    let mut rest = bytes.get(128..).unwrap_or_default();
    if !head_fits(rest) {
        return Err(truncated());
    }
    let meta = FileMetaTable::from_reader(&mut rest).map_err(|e| damaged(&e))?;
    let uid = meta.transfer_syntax();
    let compressed = |syntax: String| Err(ImageError::Compressed { path: path.into(), syntax });
    let Some(syntax) = TransferSyntaxRegistry.get(uid) else {
        return compressed(format!("transfer syntax {uid}"));
    };
    if !syntax.can_decode_all() {
        return compressed(format!("{} ({uid})", syntax.name()));
    }
    let mut elements = LazyDataSetReader::new_with_ts(Cursor::new(rest), syntax).map_err(|e| damaged(&e))?;
    while let Some(element) = elements.advance() {
        let element = element.map_err(|e| damaged(&e))?;
        let length = match &element {
            LazyDataToken::LazyValue { header, .. } => header.len.0,
            LazyDataToken::LazyItemValue { len, .. } => *len,
            _ => continue,
        };
        if length as usize > rest.len() {
            return Err(truncated());
        }
        element.skip().map_err(|e| damaged(&e))?;
    }
    OpenFileOptions::new().from_reader(bytes).map_err(|e| damaged(&e))
}

/// Whether the elements of the file meta information, which are explicit little endian in every file (PS3.10, 7.1), and the length that
/// it states (0002,0000) end within `bytes`.
fn head_fits(bytes: &[u8]) -> bool {
    let mut at = 4;
    while let Some(&[2, 0, _, _, a, b, c, d]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let long = bytes.get(at + 8..).and_then(|rest| rest.first_chunk());
        let (header, length) = match (&[a, b], long) {
            (
                b"AE" | b"AS" | b"AT" | b"CS" | b"DA" | b"DS" | b"DT" | b"FD" | b"FL" | b"IS" | b"LO" | b"LT"
                | b"PN" | b"SH" | b"SL" | b"SS" | b"ST" | b"TM" | b"UI" | b"UL" | b"US",
                _,
            )
            | (_, None) => (8, usize::from(u16::from_le_bytes([c, d]))),
            // As the library also reads value representations that it does not know.
            (_, Some(length)) => (12, u32::from_le_bytes(*length) as usize),
        };
        at += header + length;
    }
    // The first element is that length, of 12 bytes.
    let own = bytes.get(12..).and_then(|rest| rest.first_chunk());
    let end = own.map_or(16, |own| 16 + u32::from_le_bytes(*own) as usize);
    at <= bytes.len() && end <= at
}

/// Number of frames, after checking that one can be decoded and shown.
fn fitting(object: &DefaultDicomObject, path: &Path, length: usize) -> Result<u32, ImageError> {
    let unsupported = |what: String| ImageError::Unsupported { path: path.into(), what };
    let text = |tag| object.element(tag).ok().and_then(|e| e.to_str().ok()).map(|t| t.trim().to_string());
    let number = |tag| object.element(tag).ok().and_then(|e| e.to_int::<u32>().ok());
    if object.element(tags::PIXEL_DATA).is_err() {
        let floats = [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA];
        if floats.iter().any(|&tag| object.element(tag).is_ok()) {
            return Err(unsupported("DICOM with floating-point samples".into()));
        }
        let what = text(tags::MODALITY).map_or("of no modality".into(), |m| format!("modality {m}"));
        return Err(ImageError::NoPixelData { path: path.into(), what });
    }
    let colours = text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
    if !["MONOCHROME1", "MONOCHROME2"].contains(&colours.as_str()) {
        let colours = if colours.is_empty() { "that it does not name" } else { &colours };
        return Err(unsupported(format!("DICOM with colours {colours}")));
    }
    if object.element(tags::MODALITY_LUT_SEQUENCE).is_ok() {
        return Err(unsupported("DICOM with a modality lookup table".into()));
    }
    if let Some(count) = number(tags::SAMPLES_PER_PIXEL).filter(|&count| count != 1) {
        return Err(unsupported(format!("DICOM with {count} samples a pixel")));
    }
    let (width, height) = (number(tags::COLUMNS).unwrap_or(0), number(tags::ROWS).unwrap_or(0));
    let bits = number(tags::BITS_ALLOCATED).unwrap_or(0);
    let stored = number(tags::BITS_STORED).unwrap_or(0);
    if !(bits == 8 || bits == 16) {
        return Err(unsupported(format!("DICOM with {bits} bits a sample")));
    }
    // Bits above the high bit are not part of the sample.
    if width == 0 || height == 0 || stored == 0 || stored > bits || number(tags::HIGH_BIT) != Some(stored - 1)
    {
        let detail = format!("{width}x{height} pixels, {stored} of {bits} bits stored");
        return Err(ImageError::Damaged { path: path.into(), format: NAME, detail });
    }
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(ImageError::TooManyPixels { path: path.into(), width, height });
    }
    // The decoder allocates the size that an embedded JPEG claims.
    let pixel_data = object.element(tags::PIXEL_DATA).ok().and_then(|e| e.fragments());
    for fragment in pixel_data.into_iter().flatten() {
        if let Some((wide, high)) =
            jpeg::size(fragment).filter(|&(w, h)| (u32::from(w), u32::from(h)) != (width, height))
        {
            let detail = format!("a JPEG of {wide}x{high} pixels in a picture of {width}x{height}");
            return Err(ImageError::Damaged { path: path.into(), format: NAME, detail });
        }
    }
    let frames = number(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
    // The frame's bytes, its samples as f64 and as f32, and as 8-bit RGB.
    if !memory::is_available(pixels * (u64::from(bits / 8) + 8 + 4 + 3) + length as u64) {
        return Err(ImageError::TooMuchMemory { path: path.into() });
    }
    Ok(frames)
}

/// The samples of a frame as levels from 0 to 255, in floating point.
fn levels(
    pixels: &DecodedPixelData<'_>,
    window: Option<[f64; 2]>,
    changes: &mut Vec<Change>,
) -> Result<Vec<f64>, dicom_pixeldata::Error> {
    let options = ConvertOptions::new()
        .with_modality_lut(ModalityLutOption::Default)
        .with_voi_lut(VoiLutOption::Identity);
    let mut values: Vec<f64> = pixels.to_vec_frame_with_options(0, &options)?;
    let mut each = |level: &dyn Fn(f64) -> f64| values.iter_mut().for_each(|v| *v = level(*v));
    let own = pixels.window()?.and_then(|all| all.first().copied()).filter(|w| w.width > 0.0);
    let table = pixels.voi_lut_sequence()?.and_then(|all| all.first()).filter(|t| !t.data.is_empty());
    match (window, own, table) {
        (Some(window), _, _) => {
            each(&|v| windowed(v, window));
            changes.push(Change::Windowed { window, by: Window::Stated });
        }
        (None, Some(own), _) => {
            let function = pixels.voi_lut_function()?.and_then(|all| all.first().copied());
            let function = function.unwrap_or(VoiLutFunction::Linear);
            let transform = WindowLevelTransform::new(function, own);
            each(&|v| transform.apply(v, 255.0));
            let by = match function {
                VoiLutFunction::Linear => Window::Linear,
                VoiLutFunction::LinearExact => Window::LinearExact,
                VoiLutFunction::Sigmoid => Window::Sigmoid,
            };
            changes.push(Change::Windowed { window: [own.center, own.width], by });
        }
        (None, None, Some(table)) => {
            let white = f64::from((1u32 << table.bits_stored) - 1).max(1.0);
            let last = (table.data.len() - 1) as f64;
            let entry = |v: f64| (v.round() - f64::from(table.min_pixel_value)).clamp(0.0, last) as usize;
            each(&|v| (255.0 * f64::from(table.data[entry(v)]) / white).min(255.0));
            changes.push(Change::Table);
        }
        (None, None, None) => {
            let window = range(pixels)?;
            each(&|v| windowed(v, window));
            // The full range of 8 bits needs no mention.
            if window != [127.5, 255.0] {
                changes.push(Change::Windowed { window, by: Window::Range });
            }
        }
    }
    Ok(values)
}

/// Centre and width of the range of values that the stored bits can have, after rescaling.
fn range(pixels: &DecodedPixelData<'_>) -> Result<[f64; 2], dicom_pixeldata::Error> {
    use dicom_pixeldata::PixelRepresentation::Signed;
    let values = f64::from(1u32 << pixels.bits_stored());
    let lowest = if pixels.pixel_representation() == Signed { -values / 2.0 } else { 0.0 };
    let rescale = pixels.rescale()?[0];
    let (a, b) = (rescale.apply(lowest), rescale.apply(lowest + values - 1.0));
    let width = (b - a).abs();
    Ok([(a + b) / 2.0, if width > 0.0 { width } else { 1.0 }])
}

/// Translates the library's error.
fn failed(error: &dyn std::error::Error, path: &Path, bytes: usize) -> ImageError {
    let detail = one_line(error);
    let early = ["end of", "failed to fill", "unexpected eof", "out of range"];
    if early.iter().any(|words| detail.to_lowercase().contains(words)) {
        return ImageError::Truncated { path: path.into(), format: NAME, bytes };
    }
    ImageError::Damaged { path: path.into(), format: NAME, detail }
}

#[cfg(test)]
mod tests {
    use candor_testing::dicom::{DicomFile, Syntax};

    use super::*;

    #[test]
    fn no_element_takes_more_memory_than_the_file_has_bytes() {
        let files = [Syntax::Implicit, Syntax::Explicit].map(|syntax| {
            DicomFile::grey(syntax, (2, 1), 12, &[1, 2]).with_bytes(0x0009, 0x0010, "OB", vec![7; 4])
        });
        for whole in files.map(|file| file.bytes()) {
            assert!(open(&whole, "scan.dcm".as_ref()).is_ok());
            // The private element: its length, in either encoding, is in the four bytes before its content.
            let at = whole.windows(4).position(|bytes| bytes == [7; 4]).unwrap() - 4;
            for length in [u32::MAX - 1, 1 << 31, 1 << 20, 5000] {
                let mut long = whole.clone();
                long[at..at + 4].copy_from_slice(&length.to_le_bytes());
                let error = open(&long, "scan.dcm".as_ref()).unwrap_err();
                assert!(matches!(error, ImageError::Truncated { .. }), "{error}");
            }
        }
        // The meta information: DICM, its length, then an OB of (0002,0102), which may be as long as the file and no longer.
        let head = |own: u32, length: u32| {
            let mut head = b"DICM\x02\0\0\0UL\x04\0".to_vec();
            head.extend(own.to_le_bytes());
            head.extend(b"\x02\0\x02\x01OB\0\0");
            head.extend(length.to_le_bytes());
            head.extend([0; 6]);
            head
        };
        let fits = |own, length| head_fits(&head(own, length));
        assert!(fits(18, 6) && fits(12, 0));
        let unknown = [&head(18, 7)[..20], b"zz", &head(18, 7)[22..]].concat();
        assert!(!head_fits(&unknown));
        assert!(!fits(18, 7) && !fits(18, u32::MAX - 1) && !fits(19, 6) && !fits(u32::MAX, 6));
    }
}
