//! Superpixels by SLIC: k-means of colour and position, where each cluster searches only its surroundings (Achanta et al. 2012).

/// Iterations of k-means.
const PASSES: usize = 10;

/// Segment of each pixel of a C×H×W image, numbered from 0; about `count` of them, connected. `compactness` weighs position
/// against colour, which is measured in units of the image's range.
pub fn slic(image: &[f32], shape: [usize; 3], count: usize, compactness: f32) -> Vec<usize> {
    let [channels, height, width] = shape;
    let area = height * width;
    let (low, high) = image.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let range = (high - low).max(f32::MIN_POSITIVE);
    let spacing = (area as f32 / count.max(1) as f32).sqrt().max(1.0);
    let features = |i: usize| -> Vec<f32> {
        let place = [(i / width) as f32, (i % width) as f32].map(|v| v * compactness / spacing);
        (0..channels).map(|c| (image[c * area + i] - low) / range).chain(place).collect()
    };
    let points: Vec<Vec<f32>> = (0..area).map(features).collect();
    let mut centres = grid(height, width, spacing);
    let mut means: Vec<Vec<f32>> =
        centres.iter().map(|&(y, x)| points[y as usize * width + x as usize].clone()).collect();
    let mut labels = vec![0; area];
    for _ in 0..PASSES {
        let mut nearest = vec![f32::INFINITY; area];
        for (k, &(y, x)) in centres.iter().enumerate() {
            let span = |at: f32, size: usize| {
                let from = (at - 2.0 * spacing).floor().max(0.0) as usize;
                from..((at + 2.0 * spacing).ceil() as usize + 1).min(size)
            };
            for row in span(y, height) {
                for column in span(x, width) {
                    let i = row * width + column;
                    let d = points[i].iter().zip(&means[k]).map(|(a, b)| (a - b) * (a - b)).sum();
                    if d < nearest[i] {
                        (nearest[i], labels[i]) = (d, k);
                    }
                }
            }
        }
        let mut sums = vec![(0.0f32, 0.0f32, 0.0f32, vec![0.0f32; channels + 2]); centres.len()];
        for (i, &k) in labels.iter().enumerate() {
            let (n, y, x, sum) = &mut sums[k];
            (*n, *y, *x) = (*n + 1.0, *y + (i / width) as f32, *x + (i % width) as f32);
            sum.iter_mut().zip(&points[i]).for_each(|(s, v)| *s += v);
        }
        for (k, (n, y, x, sum)) in sums.into_iter().enumerate().filter(|(_, s)| s.0 > 0.0) {
            centres[k] = (y / n, x / n);
            means[k] = sum.into_iter().map(|v| v / n).collect();
        }
    }
    connected(&labels, height, width, (spacing * spacing / 4.0) as usize)
}

/// Centres of a grid with about this spacing, in pixels.
fn grid(height: usize, width: usize, spacing: f32) -> Vec<(f32, f32)> {
    let along = |size: usize| {
        let n = ((size as f32 / spacing).round() as usize).max(1);
        (0..n).map(move |i| (i as f32 + 0.5) * size as f32 / n as f32)
    };
    along(height).flat_map(|y| along(width).map(move |x| (y, x))).collect()
}

/// Splits segments into connected ones; those smaller than `least` pixels are merged into a neighbour already visited.
fn connected(labels: &[usize], height: usize, width: usize, least: usize) -> Vec<usize> {
    let mut out = vec![usize::MAX; labels.len()];
    let mut next = 0;
    for start in 0..labels.len() {
        if out[start] != usize::MAX {
            continue;
        }
        let (mut members, mut neighbour, mut at) = (vec![start], None, 0);
        out[start] = next;
        while at < members.len() {
            let i = members[at];
            at += 1;
            let (y, x) = (i / width, i % width);
            let around = [
                (y > 0).then(|| i - width),
                (y + 1 < height).then(|| i + width),
                (x > 0).then(|| i - 1),
                (x + 1 < width).then(|| i + 1),
            ];
            for j in around.into_iter().flatten() {
                if out[j] == usize::MAX && labels[j] == labels[start] {
                    out[j] = next;
                    members.push(j);
                } else if out[j] != usize::MAX && out[j] != next {
                    neighbour = Some(out[j]);
                }
            }
        }
        match neighbour {
            Some(other) if members.len() < least => members.iter().for_each(|&i| out[i] = other),
            _ => next += 1,
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_follow_an_edge_and_are_numbered_without_gaps() {
        let (h, w) = (32, 32);
        let image: Vec<f32> = (0..h * w).map(|i| if i % w < 13 { 0.0 } else { 1.0 }).collect();
        let labels = slic(&image, [1, h, w], 16, 0.1);
        let count = labels.iter().max().map_or(0, |m| m + 1);
        assert!((8..=32).contains(&count), "{count} segments");
        for k in 0..count {
            let colours: Vec<f32> = (0..h * w).filter(|&i| labels[i] == k).map(|i| image[i]).collect();
            assert!(!colours.is_empty() && colours.iter().all(|c| *c == colours[0]), "segment {k} is mixed");
        }
    }
}
