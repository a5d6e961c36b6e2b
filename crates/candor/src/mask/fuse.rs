//! Hierarchical attribution fusion (HAF): combines the levels' masks into one map.

use crate::map::{Interpolation, Map};

/// The channel mean M_l of a C×H×W mask.
pub fn channel_mean(mask: &[f32], shape: [usize; 3]) -> Map {
    let [channels, height, width] = shape;
    let area = height * width;
    let mean = |i: usize| (0..channels).map(|c| mask[c * area + i]).sum::<f32>() / channels.max(1) as f32;
    Map { height, width, data: (0..area).map(mean).collect() }
}

/// How the levels' masks are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fusion {
    /// (1/L) Σ_l M_l / z_l.
    #[default]
    Mean,
    /// (Π_l M_l / z_l)^(1/L): high only where every level's mask is.
    Geometric,
    /// The coarsest level's mask times the mean of the finer ones': the coarse level selects regions, the finer ones details in them.
    Gated,
}

impl Fusion {
    /// Combines the means M_l of the levels, finest first, into one map on a grid of `height`×`width`.
    ///
    /// `scales` are the z_l: the maximum of the *top-1 query's* M_l, a property of the image, so that maps of different classes are
    /// comparable: 0 means that nothing here supports this class. Dividing by a query's own maximum would scale a nearly empty
    /// mask up to full range. If the top-1 query's mask is itself empty, z_l is 1.
    pub fn fuse(self, means: &[Map], scales: &[f32], size: [usize; 2], interpolation: Interpolation) -> Map {
        let on_grid = |(mean, &scale): (&Map, &f32)| {
            let z = if scale > MIN_SCALE { scale } else { 1.0 };
            let mut map = mean.resize(size[0], size[1], interpolation);
            map.data.iter_mut().for_each(|v| *v /= z);
            map.data
        };
        let levels: Vec<Vec<f32>> = means.iter().zip(scales).map(on_grid).collect();
        let mean =
            |levels: &[Vec<f32>], i: usize| levels.iter().map(|l| l[i]).sum::<f32>() / levels.len() as f32;
        let at = |i: usize| match (self, levels.split_last()) {
            (_, None) => 0.0,
            (Fusion::Gated, Some((coarsest, finer))) if !finer.is_empty() => coarsest[i] * mean(finer, i),
            (Fusion::Geometric, _) => {
                levels.iter().map(|l| l[i].max(0.0)).product::<f32>().powf(1.0 / levels.len() as f32)
            }
            _ => mean(&levels, i),
        };
        Map { height: size[0], width: size[1], data: (0..size[0] * size[1]).map(at).collect() }
    }
}

/// A top-1 mask whose maximum is below this selects nothing: the value is one step of the optimiser.
pub(super) const MIN_SCALE: f32 = 0.05;

/// The attribution form A_l = mean over channels of m_l ⊙ a_l, which also shows the strength of the features; a is C×H×W.
pub fn attribution_mean(mask: &[f32], shape: [usize; 3], feature: &[f32]) -> Map {
    let [mask_channels, height, width] = shape;
    let area = height * width;
    let channels = feature.len() / area.max(1);
    let product = |i: usize| {
        let one = |c: usize| mask[(c % mask_channels) * area + i] * feature[c * area + i];
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
        let fused = |m: &[Map]| Fusion::Mean.fuse(m, &scales, [1, 2], Interpolation::Nearest);
        assert_eq!(fused(&top).data, vec![1.0, 0.5]);
        assert_eq!(fused(&wrong).data, vec![0.02, 0.0]);
    }

    #[test]
    fn fusions_of_two_levels() {
        let map = |data: &[f32]| Map { height: 1, width: 3, data: data.to_vec() };
        let levels = [map(&[1.0, 1.0, 0.0]), map(&[0.25, 0.0, 1.0])];
        let fused = |fusion: Fusion| fusion.fuse(&levels, &[1.0, 1.0], [1, 3], Interpolation::Nearest).data;
        assert_eq!(fused(Fusion::Mean), [0.625, 0.5, 0.5]);
        assert_eq!(fused(Fusion::Geometric), [0.5, 0.0, 0.0]);
        assert_eq!(fused(Fusion::Gated), [0.25, 0.0, 0.0]);
        let one = Fusion::Gated.fuse(&levels[..1], &[2.0], [1, 3], Interpolation::Nearest).data;
        assert_eq!(one, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn channel_mean_of_a_full_mask() {
        let mean = channel_mean(&[1.0, 0.0, 0.0, 0.5], [2, 1, 2]);
        assert_eq!(mean.data, vec![0.5, 0.25]);
    }
}
