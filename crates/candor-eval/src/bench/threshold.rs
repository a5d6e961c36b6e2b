//! Thresholds at which a map becomes a box: smoothing, a share of a scale, and whose scale it is.

use crate::localization::boxes::{Box4, Levels, Rule, share_of_scale};
use candor::map::Map;

/// Standard deviations of the Gaussians under which maps are tried, in pixels of a 224×224 input.
pub const SIGMAS: [f32; 4] = [0.0, 4.0, 8.0, 14.0];

/// A choice: a Gaussian of [`SIGMAS`], and the α of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Position in [`SIGMAS`].
    pub sigma: usize,
    /// Position among the rule's α.
    pub alpha: usize,
}

impl Choice {
    /// As the tables say it.
    pub fn words(self, rule: Rule) -> String {
        format!("{} {:.3} at σ {}", rule.name(), rule.alphas()[self.alpha], SIGMAS[self.sigma])
    }
}

/// The choice that decides where a map's box is, and the scale on which it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Smoothing and α of [`Rule::Value`].
    pub choice: Choice,
    /// Whose maximum α is a share of.
    pub scale: Scale,
}

/// Whose maximum a threshold is a share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Each map's own: where is the class?
    Map,
    /// That of the map of the model's answer: is the class there, and where?
    Image,
}

impl Frozen {
    /// The box of a map, `None` if nothing of it is above the threshold. `answer`: the map of the model's answer.
    pub fn found(self, map: &Map, answer: &Map) -> Option<Box4> {
        let sigma = pixels(SIGMAS[self.choice.sigma], map);
        let blurred = map.blurred(sigma);
        let scale = match self.scale {
            Scale::Map => blurred.max(),
            Scale::Image => answer.blurred(sigma).max(),
        };
        let alpha = Rule::Value.alphas()[self.choice.alpha];
        // An empty map has no box: a pixel without any value is never foreground.
        let boxes = (blurred.max() > 0.0).then(|| Levels::of(&blurred, scale).boxes(share_of_scale(alpha)));
        boxes?.largest()
    }
}

/// One of [`SIGMAS`] in pixels of a map.
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
