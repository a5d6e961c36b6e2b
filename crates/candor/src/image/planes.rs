//! A picture as planes of its colours, and back.

use image::{Rgb, RgbImage};

/// The first `channels` colours of a picture, red first: levels of 0..=255, C×H×W.
pub fn planes(picture: &RgbImage, channels: usize) -> Vec<f32> {
    let plane = |c: usize| picture.pixels().map(move |p| f32::from(p.0[c]));
    (0..channels).flat_map(plane).collect()
}

/// The picture of `levels` of 0..=255, C×H×W with `shape` [C, H, W], rounded to 8 bits; one plane is all three colours.
///
/// # Panics
/// If there are fewer levels than the shape says, or no channel.
pub fn picture_of([channels, height, width]: [usize; 3], levels: &[f32]) -> RgbImage {
    let level = |c: usize, x: u32, y: u32| {
        let at = (c.min(channels - 1) * height + y as usize) * width + x as usize;
        levels[at].round().clamp(0.0, 255.0) as u8
    };
    RgbImage::from_fn(width as u32, height as u32, |x, y| Rgb([0, 1, 2].map(|c| level(c, x, y))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_its_planes_and_one_plane_is_grey() {
        let picture = RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8, 10 * y as u8, 200]));
        let levels = planes(&picture, 3);
        assert_eq!(levels[..6], [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        assert_eq!(picture_of([3, 2, 3], &levels), picture);
        let grey = picture_of([1, 1, 3], &[-3.0, 1.6, 300.0]);
        assert_eq!(grey.as_raw()[..], [0, 0, 0, 2, 2, 2, 255, 255, 255]);
    }
}
