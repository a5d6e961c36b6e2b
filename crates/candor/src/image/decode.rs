//! Reads a photo as a person sees it: upright, opaque, 8 bits, red-green-blue.

use std::io::{self, Cursor, Read};
use std::path::Path;

use candor_graph::{file, guard, memory};
use image::error::UnsupportedErrorKind;
use image::{
    ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, RgbaImage,
    guess_format,
};

use super::change::{Change, Decoded, Window, changes};
use super::dicom;
use super::error::ImageError;
use super::jpeg;
use super::limits::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE};
use super::photo::{Samples, frame_of, windowed};

/// Maximum bytes of a PNG's row buffers and of its colour profile.
const MAX_BESIDE: u64 = 64 << 20;

/// Number of leading bytes from which every format can be recognised.
const HEAD_BYTES: u64 = 132;

/// [`decode_with_changes`] without the list of changes.
///
/// # Errors
/// As [`decode_with_changes`].
pub fn decode(path: &Path) -> Result<RgbImage, ImageError> {
    Ok(decode_with_changes(path)?.photo.into_shown())
}

/// [`decode`] for a file's content; `path` names it in errors.
///
/// # Errors
/// Those of [`decode`] that do not come from opening the file.
pub fn decode_bytes(bytes: &[u8], path: &Path) -> Result<RgbImage, ImageError> {
    Ok(decode_bytes_with_changes(bytes, path)?.photo.into_shown())
}

/// Decodes the photo in the file at `path`. The format is recognised by the content, not by the name.
///
/// Takes the first frame of an animation and the first page of a TIFF; applies the EXIF orientation; rounds 16-bit samples v as v/257;
/// composites transparent pixels over white; converts grey and CMYK to RGB. Colour profiles are ignored, as by torchvision and Pillow,
/// with which models are trained. The changes are reported, except for ignored profiles.
///
/// DICOM (feature `dicom`): the grey samples are rescaled and mapped through the file's first window or table; MONOCHROME1 is inverted.
/// Takes the first frame, or the third for `scan.dcm#3`.
///
/// # Errors
/// Each names the file and what to do. A truncated file is an error, never half a photo. Nothing
/// beyond the limits [`MAX_SIDE`], [`MAX_PIXELS`] and [`MAX_FILE_BYTES`] is read or allocated.
pub fn decode_with_changes(path: &Path) -> Result<Decoded, ImageError> {
    decode_windowed(path, None)
}

/// [`decode_with_changes`] with a window of the samples: those from centre − width/2 to centre + width/2 are mapped to 0 to 255.
///
/// # Errors
/// As [`decode_with_changes`].
pub(super) fn decode_windowed(path: &Path, window: Option<[f64; 2]>) -> Result<Decoded, ImageError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ImageError::NotFound { path: path.into() },
        io::ErrorKind::IsADirectory => ImageError::IsDirectory { path: path.into() },
        _ => ImageError::Unreadable { path: path.into(), source },
    };
    let (name, frame) = frame_of(path);
    // The size is checked after the format is known, so that the error can name the format.
    let mut file = file::open(&name, u64::MAX).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    if !dicom::announced(&bytes) {
        format_of(&bytes, path)?;
    }
    file.take(MAX_FILE_BYTES + 1 - HEAD_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    decode_content(&bytes, path, (window, frame))
}

/// [`decode_with_changes`] for a file's content; `path` names it in errors.
///
/// # Errors
/// Those of [`decode`] that do not come from opening the file.
pub fn decode_bytes_with_changes(bytes: &[u8], path: &Path) -> Result<Decoded, ImageError> {
    decode_bytes_windowed(bytes, path, None)
}

/// [`decode_bytes_with_changes`] with a window of the samples.
///
/// # Errors
/// As [`decode_bytes_with_changes`].
pub(super) fn decode_bytes_windowed(
    bytes: &[u8],
    path: &Path,
    window: Option<[f64; 2]>,
) -> Result<Decoded, ImageError> {
    decode_content(bytes, path, (window, None))
}

fn decode_content(
    bytes: &[u8],
    path: &Path,
    (window, frame): (Option<[f64; 2]>, Option<u32>),
) -> Result<Decoded, ImageError> {
    let too_large = bytes.len() as u64 > MAX_FILE_BYTES;
    // A decoder's panic on a damaged file becomes an error about the file.
    let damaged = |format, detail| Err(ImageError::Damaged { path: path.into(), format, detail });
    if dicom::announced(bytes) && !too_large {
        return guard::guarded(|| dicom::decode(bytes, path, window, frame))
            .unwrap_or_else(|words| damaged("DICOM", words));
    }
    let format = format_of(bytes, path)?;
    if too_large {
        return Err(ImageError::FileTooLarge { path: path.into() });
    }
    if let Some(frame) = frame {
        return Err(ImageError::NoFrame { path: path.into(), frame, frames: 1 });
    }
    let complete = match format {
        ImageFormat::Jpeg => jpeg::is_complete(bytes),
        ImageFormat::WebP => riff_is_complete(bytes),
        _ => true, // the decoder will find out
    };
    if !complete {
        return Err(ImageError::Truncated { path: path.into(), format: name(format), bytes: bytes.len() });
    }
    guard::guarded(|| decode_as(format, bytes, path, window))
        .unwrap_or_else(|words| damaged(name(format), words))
}

fn decode_as(
    format: ImageFormat,
    bytes: &[u8],
    path: &Path,
    window: Option<[f64; 2]>,
) -> Result<Decoded, ImageError> {
    let failed = |error| explain(error, format, bytes, path);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    // A PNG is decoded row by row: the limit applies to its other chunks, of which a few bytes may expand to any size.
    limits.max_alloc = Some(if format == ImageFormat::Png { MAX_BESIDE } else { MAX_PIXELS * 16 });
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;

    let (width, height) = decoder.dimensions();
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageError::TooManyPixels { path: path.into(), width, height });
    }
    if let Some((width, height)) = largest_frame(format, bytes)
        .filter(|&(w, h)| u64::from(w) * u64::from(h) > MAX_FRAME.max(u64::from(width) * u64::from(height)))
    {
        return Err(ImageError::TooManyPixels { path: path.into(), width, height });
    }
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        let what = format!("{} with floating-point samples", name(format));
        return Err(ImageError::Unsupported { path: path.into(), what });
    }
    if !memory::is_available(room(&decoder, format)) {
        return Err(ImageError::TooMuchMemory { path: path.into() });
    }
    let orientation = decoder.orientation().map_err(failed)?;
    let mut changes = changes(format, bytes, decoder.original_color_type(), orientation);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    picture.apply_orientation(orientation);
    if let Some(window) = window {
        let windowed = Change::Windowed { window, by: Window::Stated };
        let at = changes.iter().position(|c| *c == Change::EightBits);
        match at {
            Some(at) => changes[at] = windowed,
            None => changes.push(windowed),
        }
        if let ColorType::L8 | ColorType::L16 = picture.color() {
            return Ok(Decoded { photo: grey_through(window, &picture).into(), changes });
        }
        picture = through(window, picture);
    }
    let (photo, shows_through) = opaque(picture);
    changes.extend(shows_through.then_some(Change::OnWhite));
    Ok(Decoded { photo: photo.into(), changes })
}

/// Maximum number of pixels of a GIF frame that is larger than the image: the decoder allocates them, and a few bytes can claim 4
/// billion.
const MAX_FRAME: u64 = 1 << 24;

/// Width and height of a GIF's largest frame; no frame is decoded.
fn largest_frame(format: ImageFormat, bytes: &[u8]) -> Option<(u32, u32)> {
    if format != ImageFormat::Gif {
        return None;
    }
    let mut options = gif::DecodeOptions::new();
    options.skip_frame_decoding(true);
    let mut frames = options.read_info(bytes).ok()?;
    let mut largest = None;
    while let Ok(Some(frame)) = frames.next_frame_info() {
        let size = (u32::from(frame.width), u32::from(frame.height));
        let pixels = |(w, h): (u32, u32)| u64::from(w) * u64::from(h);
        if largest.is_none_or(|known| pixels(size) > pixels(known)) {
            largest = Some(size);
        }
    }
    largest
}

/// The samples of a grey image mapped through a window, without rounding.
fn grey_through(window: [f64; 2], picture: &DynamicImage) -> Samples {
    let value = |v: f64| windowed(v, window) as f32;
    let values = match picture {
        DynamicImage::ImageLuma16(grey) => grey.as_raw().iter().map(|&v| value(v.into())).collect(),
        other => other.to_luma8().as_raw().iter().map(|&v| value(v.into())).collect(),
    };
    Samples { width: picture.width(), height: picture.height(), values }
}

/// The image with 8 bits per sample, mapped through a window; transparency is unchanged.
fn through(window: [f64; 2], picture: DynamicImage) -> DynamicImage {
    let level = |v: f64| windowed(v, window).round() as u8;
    let deep = matches!(picture.color(), ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16);
    // An 8-bit sample v is 257·v in 16 bits.
    let sample = |v: u16| if deep { f64::from(v) } else { f64::from(v / 257) };
    let wide = picture.into_rgba16();
    let bytes = wide.pixels().flat_map(|p| {
        let [r, g, b, alpha] = p.0;
        [r, g, b].map(|v| level(sample(v))).into_iter().chain([(alpha / 257) as u8])
    });
    let (width, height, bytes) = (wide.width(), wide.height(), bytes.collect());
    RgbaImage::from_raw(width, height, bytes)
        .map_or(DynamicImage::ImageRgba16(wide), DynamicImage::ImageRgba8)
}

/// Bytes that decoding allocates at once: the samples, upright and as the decoder stores them, and the photo as 8-bit RGBA and RGB.
fn room(decoder: &impl ImageDecoder, format: ImageFormat) -> u64 {
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    // A progressive JPEG is stored as 16-bit coefficients.
    let held = if format == ImageFormat::Jpeg { 2 } else { 1 };
    decoder.total_bytes().saturating_mul(1 + held).saturating_add(7 * pixels)
}

/// Converts to 8-bit RGB, with transparency over white; returns whether any pixel was transparent.
fn opaque(picture: DynamicImage) -> (RgbImage, bool) {
    if !picture.color().has_alpha() {
        return (picture.into_rgb8(), false);
    }
    let layer = picture.into_rgba8();
    let mut photo = RgbImage::new(layer.width(), layer.height());
    for (seen, pixel) in photo.pixels_mut().zip(layer.pixels()) {
        let [r, g, b, alpha] = pixel.0.map(u32::from);
        // alpha·v + (1 − alpha)·white, rounded to nearest
        seen.0 = [r, g, b].map(|v| ((v * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    (photo, layer.pixels().any(|pixel| pixel.0[3] < u8::MAX))
}

/// Whether the file is as long as its RIFF header says.
fn riff_is_complete(bytes: &[u8]) -> bool {
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
    length.is_some_and(|length| bytes.len() as u64 >= u64::from(length) + 8)
}

/// The format that the first bytes of a file, `head`, indicate.
fn format_of(head: &[u8], path: &Path) -> Result<ImageFormat, ImageError> {
    if head.is_empty() {
        return Err(ImageError::Empty { path: path.into() });
    }
    let unsupported = |what: &str| ImageError::Unsupported { path: path.into(), what: what.into() };
    match guess_format(head) {
        Ok(format) if format.reading_enabled() => Ok(format),
        Ok(format) => Err(unsupported(name(format))),
        Err(_) => match head {
            [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', ..] => Err(unsupported("HEIC")),
            [0xFF, 0x0A, ..] | [0, 0, 0, 0x0C, b'J', b'X', b'L', ..] => Err(unsupported("JPEG XL")),
            [0, 0, 0, 0x0C, b'j', b'P', ..] => Err(unsupported("JPEG 2000")),
            [b'%', b'P', b'D', b'F', ..] => Err(unsupported("PDF")),
            [b'8', b'B', b'P', b'S', ..] => Err(unsupported("Photoshop")),
            _ => Err(ImageError::NotAnImage { path: path.into(), hint: hint(head) }),
        },
    }
}

/// What a file that is not an image seems to be.
fn hint(head: &[u8]) -> &'static str {
    let text = |b: &u8| b.is_ascii_graphic() || b.is_ascii_whitespace() || *b >= 0x80;
    if head.starts_with(b"<") {
        " but HTML, XML or SVG"
    } else if head.starts_with(b"version https://git-lfs") {
        " but a Git LFS pointer (fetch the file itself with `git lfs pull`)"
    } else if head.iter().all(text) {
        " but text"
    } else {
        ""
    }
}

/// Translates the decoder's error.
fn explain(error: image::ImageError, format: ImageFormat, bytes: &[u8], path: &Path) -> ImageError {
    let path = path.to_path_buf();
    if matches!(error, image::ImageError::Limits(_)) {
        return ImageError::TooMuchMemory { path };
    }
    if let image::ImageError::Unsupported(unsupported) = &error {
        let what = match unsupported.kind() {
            UnsupportedErrorKind::Color(color) => format!("{} with colours {color:?}", name(format)),
            _ => format!("this variety of {} ({})", name(format), one_line(&error.to_string())),
        };
        return ImageError::Unsupported { path, what };
    }
    let detail = one_line(&error.to_string());
    if ends_early(&error, &detail) {
        return ImageError::Truncated { path, format: name(format), bytes: bytes.len() };
    }
    ImageError::Damaged { path, format: name(format), detail }
}

/// Whether the decoder tried to read beyond the end of the file. Decoders report that in different ways.
fn ends_early(error: &image::ImageError, detail: &str) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = error.source();
    }
    let detail = detail.to_lowercase();
    ["unexpected end", "unexpected eof", "end of file", "failed to fill", "not enough bytes"]
        .iter()
        .any(|words| detail.contains(words))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Avif => "AVIF",
        ImageFormat::OpenExr => "OpenEXR",
        ImageFormat::Hdr => "Radiance HDR",
        ImageFormat::Pnm => "PNM",
        ImageFormat::Ico => "ICO",
        ImageFormat::Dds => "DDS",
        _ => "this format",
    }
}
