//! Decoding: every format and special case against Pillow's pixels; every kind of bad file gives a one-line error.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use candor::image::{Change, ImageError, decode, decode_bytes, decode_with_changes};
use image::RgbImage;

use candor_testing::{data_dir, fixture};

fn read(name: &str) -> RgbImage {
    decode(&fixture!(&format!("image/decode/{name}"))).unwrap()
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture!(&format!("image/decode/{name}"))).unwrap()
}

/// The error of decoding `bytes` as a file called `photo`.
fn error(bytes: &[u8]) -> ImageError {
    decode_bytes(bytes, Path::new("photo")).unwrap_err()
}

fn largest_difference(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!(a.dimensions(), b.dimensions());
    a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn lossless_formats_are_exact() {
    for name in ["rgb.webp", "rgb.bmp", "rgb.tiff"] {
        assert_eq!(read(name), read("rgb.png"), "{name}");
    }
    for name in ["grey.png", "grey16.png", "palette.png", "alpha.png", "grey_alpha.png", "animation.gif"] {
        let expected = name.rsplit_once('.').unwrap().0.to_string() + "_expected.png";
        assert_eq!(read(name), read(&expected), "{name}");
    }
}

#[test]
fn jpegs_are_libjpegs_nearly() {
    for (name, tolerance) in
        [("jpeg", 1), ("jpeg_progressive", 1), ("jpeg_grey", 1), ("jpeg_420", 4), ("jpeg_cmyk", 0)]
    {
        let difference =
            largest_difference(&read(&format!("{name}.jpg")), &read(&format!("{name}_expected.png")));
        println!("{name}: differs from libjpeg-turbo by at most {difference}");
        assert!(difference <= tolerance, "{name}: {difference}");
    }
}

#[test]
fn photos_are_turned_upright() {
    let upright = read("upright.png");
    for orientation in 1..=8 {
        let difference = largest_difference(&read(&format!("orientation{orientation}.jpg")), &upright);
        assert!(difference <= 3, "{orientation}: {difference}");
    }
    for name in ["orientation6.png", "orientation7.png", "orientation6.webp", "orientation7.webp"] {
        assert_eq!(read(name), upright, "{name}");
    }
}

#[test]
fn what_was_done_to_a_photo_is_told() {
    use Change::{EightBits, FirstFrame, FromCmyk, FromGrey, OnWhite, Upright};
    let cases: [(&str, &[Change]); 12] = [
        ("rgb.png", &[]),
        ("rgb.webp", &[]),
        ("rgb.tiff", &[]),
        ("jpeg.jpg", &[]),
        ("alpha.png", &[OnWhite]),
        ("grey_alpha.png", &[FromGrey, OnWhite]),
        ("grey16.png", &[EightBits, FromGrey]),
        ("jpeg_grey.jpg", &[FromGrey]),
        ("jpeg_cmyk.jpg", &[FromCmyk]),
        ("orientation1.jpg", &[]),
        ("orientation6.webp", &[Upright]),
        ("animation.gif", &[FirstFrame]),
    ];
    for (name, expected) in cases {
        let found = decode_with_changes(&fixture!(&format!("image/decode/{name}"))).unwrap();
        assert_eq!(found.changes, expected, "{name}");
        assert_eq!(found.photo, read(name), "{name}");
    }
}

#[test]
fn the_content_tells_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.jpg");
    fs::write(&path, bytes("rgb.png")).unwrap();
    assert_eq!(decode(&path).unwrap(), read("rgb.png"));
}

#[test]
fn a_file_that_ends_early_is_an_error() {
    let names = [
        "jpeg.jpg",
        "jpeg_progressive.jpg",
        "jpeg_thumbnail.jpg",
        "rgb.png",
        "grey16.png",
        "rgb.webp",
        "rgb.bmp",
        "rgb.tiff",
        "animation.gif",
    ];
    for name in names {
        let whole = bytes(name);
        decode_bytes(&whole, Path::new("photo")).unwrap();
        for percent in [10, 30, 50, 70] {
            let part = &whole[..whole.len() * percent / 100];
            match decode_bytes(part, Path::new("photo")) {
                Ok(_) => panic!("{name}: {percent} % of the file is a photo"),
                Err(error) => assert!(error.to_string().contains("truncated"), "{name} {percent} %: {error}"),
            }
        }
    }
}

#[test]
fn a_jpeg_without_its_end_is_truncated_and_one_with_more_is_not() {
    for name in ["jpeg.jpg", "jpeg_progressive.jpg", "jpeg_thumbnail.jpg"] {
        let whole = bytes(name);
        let part = &whole[..whole.len() - 2];
        let message = error(part).to_string();
        let length = part.len();
        assert_eq!(
            message,
            format!("photo: the JPEG data is truncated after {length} bytes; copy or download it again")
        );
        let more = [&whole[..], b"\0\0trailing \xFF\xD8\xFF\xE1"].concat();
        let photo = decode_bytes(&more, Path::new("photo")).unwrap();
        assert_eq!(photo, decode_bytes(&whole, Path::new("photo")).unwrap());
    }
}

/// A PNG header that claims an image of that size, with almost no data.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0DIHDR".to_vec();
    png.extend(width.to_be_bytes());
    png.extend(height.to_be_bytes());
    png.extend([8, 2, 0, 0, 0]);
    png.extend(crc32(&png[12..]).to_be_bytes());
    png.extend(b"\0\0\0\x01IDAT\x78");
    png.extend(crc32(b"IDAT\x78").to_be_bytes());
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn too_many_pixels_are_refused_by_their_header() {
    for (width, height) in [(30_000, 30_000), (16_385, 1), (16_000, 16_000)] {
        let message = error(&png_of(width, height)).to_string();
        let expected = format!(
            "photo: {width}x{height} pixels are too many (at most 16384 a side and 160 million in all); \
             make it smaller"
        );
        assert_eq!(message, expected);
    }
    assert!(matches!(error(&png_of(u32::MAX >> 1, u32::MAX >> 1)), ImageError::TooMuchMemory { .. }));
    let mut gif = bytes("animation.gif");
    gif[6..10].copy_from_slice(&[0xFF; 4]);
    assert!(matches!(error(&gif), ImageError::TooManyPixels { width: 65_535, height: 65_535, .. }));
    // A frame that is larger than its image, for which the decoder would allocate 4 GiB.
    let mut gif = bytes("animation.gif");
    let frame = gif.windows(6).position(|w| w[..5] == [0x2C, 0, 0, 0, 0] && w[5] > 0).unwrap();
    gif[frame + 5..frame + 9].copy_from_slice(&[0x13, 0xFF, 0xD8, 0xFF]);
    assert!(matches!(error(&gif), ImageError::TooManyPixels { width: 0xFF13, height: 0xFFD8, .. }));
}

#[test]
fn what_is_no_image_is_named() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "photo: is empty (0 bytes); copy or download it again"),
        (
            b"not a photo\n",
            "photo: is not an image but text; give a JPEG, PNG, WebP, BMP, GIF, TIFF or DICOM",
        ),
        (
            b"<!DOCTYPE html>",
            "photo: is not an image but HTML, XML or SVG; give a JPEG, PNG, WebP, BMP, GIF, TIFF or DICOM",
        ),
        (b"\0\x01\x02\x03", "photo: is not an image; give a JPEG, PNG, WebP, BMP, GIF, TIFF or DICOM"),
        (b"%PDF-1.7", "photo: PDF is not supported; convert it to PNG or JPEG"),
        (b"\0\0\0\x18ftypheic", "photo: HEIC is not supported; convert it to PNG or JPEG"),
        (b"\0\0\0\x18ftypavif", "photo: AVIF is not supported; convert it to PNG or JPEG"),
    ];
    for (bytes, message) in cases {
        assert_eq!(error(bytes).to_string(), message);
    }
}

#[test]
fn paths_that_are_no_files_are_named() {
    let missing = decode(Path::new("nowhere/photo.jpg")).unwrap_err().to_string();
    assert_eq!(missing, "nowhere/photo.jpg: no such file; check the path");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let message = decode(folder.path()).unwrap_err().to_string();
    assert_eq!(message, format!("{path}: is a directory; give the images in it, for instance {path}/*.jpg"));
}

#[test]
fn damaged_files_give_one_line_and_never_panic() {
    for name in
        ["jpeg.jpg", "jpeg_progressive.jpg", "rgb.png", "rgb.webp", "rgb.bmp", "rgb.tiff", "animation.gif"]
    {
        let whole = bytes(name);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            if let Err(error) = decode_bytes(&damaged, Path::new("photo")) {
                let message = error.to_string();
                assert!(message.starts_with("photo: ") && !message.contains('\n'), "{name} {at}: {message}");
            }
        }
    }
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn real_photos_decode() {
    let data = data_dir();
    let mut photos: Vec<PathBuf> = Vec::new();
    for folder in ["imagenet/val_full", "imagenet/samples", "coco/images", "multi", "medical/images"] {
        let entries = fs::read_dir(data.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        photos.extend(entries.filter(|path| path.extension().is_some_and(|e| e != "csv")));
    }
    for path in &photos {
        let photo = decode(path).unwrap();
        assert!(photo.width() >= 28 && photo.height() >= 28, "{}", path.display());
    }
    println!("{} photos decode", photos.len());
}

#[test]
fn a_window_shows_the_samples_it_names() {
    use candor::image::Preset;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scan.png");
    // 12 bits in 16, as scanners write them.
    let samples = [0u16, 840, 1024, 1040, 1240, 4095];
    let scan = image::ImageBuffer::<image::Luma<u16>, Vec<u16>>::from_raw(6, 1, samples.to_vec()).unwrap();
    scan.save(&path).unwrap();
    let read = |window| {
        let preprocessing = candor::image::Preprocessing { window, ..Preset::Raw.preprocessing(1, 6) };
        preprocessing.read(&path).unwrap()
    };
    let plain = read(None);
    assert_eq!(plain.photo, decode(&path).unwrap());
    assert!(plain.photo.as_raw().iter().all(|v| *v <= 16), "of 16 bits there is hardly anything");
    let seen = read(Some([1040.0, 400.0]));
    let levels: Vec<u8> = seen.photo.pixels().map(|p| p.0[0]).collect();
    // (v − 840) / 400 · 255
    assert_eq!(levels, [0, 0, 117, 128, 255, 255]);
    let windowed = Change::Windowed { window: [1040.0, 400.0], by: candor::image::Window::Stated };
    assert!(seen.changes.contains(&windowed) && !seen.changes.contains(&Change::EightBits));
    // The model gets the same values.
    let input =
        candor::image::Preprocessing { window: Some([1040.0, 400.0]), ..Preset::Raw.preprocessing(1, 6) }
            .apply(&seen.photo);
    assert!((input[3] - 127.5).abs() < 1e-5 && (input[2] - 184.0 / 400.0 * 255.0).abs() < 1e-4, "{input:?}");
    // Samples of 8 bits are those of the file.
    image::GrayImage::from_raw(3, 1, vec![90, 100, 110]).unwrap().save(&path).unwrap();
    let levels: Vec<u8> = read(Some([100.0, 20.0])).photo.pixels().map(|p| p.0[2]).collect();
    assert_eq!(levels, [0, 128, 255]);
}
