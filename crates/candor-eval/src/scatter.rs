//! How scattered a map is: total variation, entropy, number of connected parts.

use candor::map::Map;

/// Total variation: the mean over neighbouring pixels of their absolute difference, in units of the map's largest magnitude.
/// 0 for an empty map; high for noise, low for one smooth blob.
pub fn total_variation(map: &Map) -> f64 {
    let most = f64::from(map.max().max(-map.min()));
    if most == 0.0 {
        return 0.0;
    }
    let (h, w) = (map.height, map.width);
    let difference = |i: usize, j: usize| f64::from((map.data[i] - map.data[j]).abs());
    let across = (0..h).flat_map(|r| (1..w).map(move |c| (r * w + c, r * w + c - 1)));
    let down = (1..h).flat_map(|r| (0..w).map(move |c| (r * w + c, (r - 1) * w + c)));
    let (mut sum, mut count) = (0.0, 0usize);
    for (i, j) in across.chain(down) {
        sum += difference(i, j);
        count += 1;
    }
    sum / count.max(1) as f64 / most
}

/// Entropy of the magnitudes as a distribution over pixels, as a fraction of its maximum: 1 for a uniform map, 0 for a single
/// pixel. `None` for an empty map.
pub fn entropy(map: &Map) -> Option<f64> {
    let total: f64 = map.data.iter().map(|v| f64::from(v.abs())).sum();
    if total == 0.0 || map.data.len() < 2 {
        return None;
    }
    let bits = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    let sum: f64 = map.data.iter().map(|v| bits(f64::from(v.abs()) / total)).sum();
    Some(sum / (map.data.len() as f64).ln())
}

/// Number of connected parts (4 neighbours) of the pixels whose magnitude is above half the largest; 0 for an empty map.
pub fn components(map: &Map) -> usize {
    let threshold = map.max().max(-map.min()) / 2.0;
    if threshold == 0.0 {
        return 0;
    }
    let (h, w) = (map.height, map.width);
    let mut open: Vec<bool> = map.data.iter().map(|v| v.abs() > threshold).collect();
    let mut count = 0;
    for start in 0..open.len() {
        if !open[start] {
            continue;
        }
        count += 1;
        open[start] = false;
        let mut stack = vec![start];
        while let Some(i) = stack.pop() {
            let (r, c) = (i / w, i % w);
            let around = [
                (r > 0).then(|| i - w),
                (r + 1 < h).then(|| i + w),
                (c > 0).then(|| i - 1),
                (c + 1 < w).then(|| i + 1),
            ];
            for j in around.into_iter().flatten() {
                if open[j] {
                    open[j] = false;
                    stack.push(j);
                }
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, data: &[f32]) -> Map {
        Map { height: data.len() / width, width, data: data.to_vec() }
    }

    fn ramp(f: impl Fn(usize) -> f32) -> Map {
        Map { height: 8, width: 8, data: (0..64).map(f).collect() }
    }

    #[test]
    fn scatter_tells_a_blob_from_noise() {
        let blob = ramp(|i| f32::from(u8::from((2..6).contains(&(i / 8)) && (2..6).contains(&(i % 8)))));
        let noise = ramp(|i| ((i * 2_654_435_761) >> 7 & 255) as f32 / 255.0);
        let empty = ramp(|_| 0.0);
        assert!(total_variation(&blob) < total_variation(&noise));
        assert_eq!((components(&blob), components(&empty)), (1, 0));
        assert!(components(&noise) > 3);
        assert!(entropy(&blob).unwrap() < entropy(&noise).unwrap());
        assert_eq!((entropy(&empty), total_variation(&empty)), (None, 0.0));
        assert_eq!(components(&map(3, &[1.0, 0.0, 1.0])), 2);
    }
}
