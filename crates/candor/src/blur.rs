//! Gaussian blur of maps and images.

/// Blurs values C×H×W with a Gaussian of standard deviation `sigma` pixels, truncated after `reach` standard deviations, with border
/// values repeated. Returns the values unchanged if `sigma` is not positive.
pub fn blurred(image: &[f32], [_, height, width]: [usize; 3], sigma: f32, reach: f32) -> Vec<f32> {
    if sigma <= 0.0 {
        return image.to_vec();
    }
    let reach = (reach * sigma).ceil() as isize;
    let weights: Vec<f32> =
        (-reach..=reach).map(|d| (-(d * d) as f32 / (2.0 * sigma * sigma)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let along = |values: &[f32], at: &dyn Fn(usize, isize) -> usize| -> Vec<f32> {
        let one = |i: usize| {
            let terms = weights.iter().zip(-reach..=reach).map(|(w, d)| w * values[at(i, d)]);
            terms.sum::<f32>() / total
        };
        (0..values.len()).map(one).collect()
    };
    let shift = |at: usize, d: isize, size: usize| (at as isize + d).clamp(0, size as isize - 1) as usize;
    let rows = along(image, &|i, d| i - i % width + shift(i % width, d, width));
    along(&rows, &|i, d| {
        let row = i / width % height;
        i - row * width + shift(row, d, height) * width
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blurring_keeps_a_plain_image_and_spreads_a_point() {
        let plain = vec![2.0; 2 * 5 * 7];
        assert!(blurred(&plain, [2, 5, 7], 1.5, 3.0).iter().all(|v| (v - 2.0).abs() < 1e-5));
        let mut point = vec![0.0; 21 * 21];
        point[10 * 21 + 10] = 1.0;
        let out = blurred(&point, [1, 21, 21], 2.0, 3.0);
        assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        assert!((out[10 * 21 + 12] - out[12 * 21 + 10]).abs() < 1e-7 && out[10 * 21 + 12] < out[220]);
    }
}
