//! Thresholds at which a map becomes a box: the smoothing, the fraction of a scale, and the map that sets the scale.

use crate::localization::boxes::{Box4, Levels, Rule, share_of_scale};
use candor::map::Map;

/// Standard deviations of the Gaussians that are tried for smoothing maps, in pixels of a 224×224 input.
pub const SIGMAS: [f32; 4] = [0.0, 4.0, 8.0, 14.0];

/// A choice of smoothing and threshold: a Gaussian of [`SIGMAS`], and an α of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index in [`SIGMAS`].
    pub sigma: usize,
    /// Index among the rule's α.
    pub alpha: usize,
}

impl Choice {
    /// The choice in words, for tables.
    pub fn words(self, rule: Rule) -> String {
        format!("{} {:.3} at σ {}", rule.name(), rule.alphas()[self.alpha], SIGMAS[self.sigma])
    }
}

/// The choice that determines a map's box, and the scale to which its threshold is relative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Smoothing and α of [`Rule::Value`].
    pub choice: Choice,
    /// The map whose maximum is the scale.
    pub scale: Scale,
}

/// The map whose maximum a threshold is a fraction of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Each map itself: where is the class?
    Map,
    /// The map of the model's answer: is the class present, and where?
    Image,
}

impl Frozen {
    /// The box of a map, `None` if no pixel is above the threshold. `answer`: the map of the model's answer.
    pub fn found(self, map: &Map, answer: &Map) -> Option<Box4> {
        let sigma = pixels(SIGMAS[self.choice.sigma], map);
        let blurred = map.blurred(sigma);
        let scale = match self.scale {
            Scale::Map => blurred.max(),
            Scale::Image => answer.blurred(sigma).max(),
        };
        let alpha = Rule::Value.alphas()[self.choice.alpha];
        // An empty map has no box: a pixel with value 0 is never foreground.
        let boxes = (blurred.max() > 0.0).then(|| Levels::of(&blurred, scale).boxes(share_of_scale(alpha)));
        boxes?.largest()
    }
}

/// One of [`SIGMAS`], in pixels of a map.
pub fn pixels(sigma: f32, map: &Map) -> f32 {
    sigma * map.height.min(map.width) as f32 / 224.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_the_images_scale_a_faint_map_has_no_box_and_on_its_own_it_has() {
        let map = |value: f32| {
            let mut map = Map::zeros(20, 20);
            (4..9).for_each(|y| map.data[y * 20 + 4..y * 20 + 9].fill(value));
            map
        };
        let choice = Choice { sigma: 0, alpha: 10 };
        let found = |scale, value| Frozen { choice, scale }.found(&map(value), &map(1.0));
        assert_eq!(found(Scale::Map, 0.1), Some([4, 4, 9, 9]));
        assert_eq!(found(Scale::Image, 0.1), None);
        assert_eq!(found(Scale::Image, 0.9), Some([4, 4, 9, 9]));
        assert_eq!(found(Scale::Map, 0.0), None, "an empty map");
    }
}
