//! Hierarchical attribution fusion (HAF): the levels' masks as one map.

use candor_graph::tensor::Tensor;

use crate::map::{Interpolation, Map};

/// The channel mean M_l of a C×H×W mask.
pub fn channel_mean(mask: &[f32], shape: [usize; 3]) -> Map {
    let [channels, height, width] = shape;
    let area = height * width;
    let mean = |i: usize| (0..channels).map(|c| mask[c * area + i]).sum::<f32>() / channels.max(1) as f32;
    Map { height, width, data: (0..area).map(mean).collect() }
}

/// M = (1/L) Σ_l upsample(M_l / z_l), on a grid of `height`×`width`.
///
/// `scales` are the z_l: the maximum of the *top-1 query's* M_l, a property of the image, so that a map keeps its
/// absolute meaning: 0 = nothing here supports this class. Dividing by a query's own maximum would blow a nearly empty
/// mask up to full scale. Where the top-1 query's mask is itself empty the level counts as it is (z_l = 1).
pub fn fuse(means: &[Map], scales: &[f32], size: [usize; 2], interpolation: Interpolation) -> Map {
    let mut fused = Map::zeros(size[0], size[1]);
    for (mean, &scale) in means.iter().zip(scales) {
        let z = if scale > MIN_SCALE { scale } else { 1.0 };
        let upsampled = mean.resize(size[0], size[1], interpolation);
        for (sum, v) in fused.data.iter_mut().zip(&upsampled.data) {
            *sum += v / z / means.len() as f32;
        }
    }
    fused
}

/// A top-1 mask below this selects nothing: one step of the optimiser.
pub(super) const MIN_SCALE: f32 = 0.05;

/// The attribution form A_l = mean over channels of m_l ⊙ a_l, which also says how strong the feature is.
pub fn attribution_mean(mask: &[f32], shape: [usize; 3], feature: &Tensor, row: usize) -> Map {
    let [mask_channels, height, width] = shape;
    let area = height * width;
    let channels = feature.shape().get(1).copied().unwrap_or(1);
    let values = feature.as_floats().unwrap_or_default();
    let values = &values[row * channels * area..(row + 1) * channels * area];
    let product = |i: usize| {
        let one = |c: usize| mask[(c % mask_channels) * area + i] * values[c * area + i];
        (0..channels).map(one).sum::<f32>() / channels as f32
    };
    Map { height, width, data: (0..area).map(product).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_mask_stays_empty_and_scales_are_the_images() {
        let top = [Map { height: 1, width: 2, data: vec![0.5, 0.25] }];
        let wrong = [Map { height: 1, width: 2, data: vec![0.01, 0.0] }];
        let scales = [top[0].max()];
        let fused = |m: &[Map]| fuse(m, &scales, [1, 2], Interpolation::Nearest);
        assert_eq!(fused(&top).data, vec![1.0, 0.5]);
        assert_eq!(fused(&wrong).data, vec![0.02, 0.0]);
    }

    #[test]
    fn channel_mean_of_a_full_mask() {
        let mean = channel_mean(&[1.0, 0.0, 0.0, 0.5], [2, 1, 2]);
        assert_eq!(mean.data, vec![0.5, 0.25]);
    }
}
