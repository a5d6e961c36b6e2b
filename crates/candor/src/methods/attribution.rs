//! How attributions to input channels, and maps on a layer's grid, become maps on the input's grid.

use crate::map::{Interpolation, Map};
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters, names};

/// How the channels of one pixel are combined into one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// The largest magnitude, without its sign.
    MaxAbs,
    /// The signed sum, which keeps the attribution's total.
    Sum,
}

/// One value for each input channel of each pixel.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// C×H×W on the model's input grid, row-major.
    pub values: Vec<f32>,
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// How its channels are combined into a map.
    pub channels: Channels,
}

impl Attribution {
    /// The map, H×W.
    pub fn map(&self) -> Map {
        let [channels, height, width] = self.shape;
        let area = height * width;
        let pixel = |i: usize| {
            let over = (0..channels).map(|c| self.values[c * area + i]);
            match self.channels {
                Channels::MaxAbs => over.fold(0.0f32, |m, v| m.max(v.abs())),
                Channels::Sum => over.sum(),
            }
        };
        Map { height, width, data: (0..area).map(pixel).collect() }
    }
}

/// The positive part of a map on the layer's grid, enlarged to the model's input grid.
pub(super) fn enlarged(map: Map, model: &Model) -> Map {
    let [_, height, width] = model.input_shape;
    let positive = Map { data: map.data.iter().map(|v| v.max(0.0)).collect(), ..map };
    positive.resize(height, width, Interpolation::Bilinear)
}

/// Names of the ways to combine channels.
const CHANNELS_BY_NAME: [(&str, Channels); 2] = [("max-abs", Channels::MaxAbs), ("sum", Channels::Sum)];

/// The parameter `channels`, largest magnitude by default.
pub(super) const CHANNELS: Parameter = Parameter {
    name: "channels",
    default: "max-abs",
    kind: Kind::Choice(&names(&CHANNELS_BY_NAME)),
    help: "how the colour channels become one value: the largest magnitude, or the signed sum",
};

/// Reads the parameter `channels`.
pub(super) fn channels(p: &Parameters) -> Channels {
    p.choice(&CHANNELS_BY_NAME, CHANNELS.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_become_their_largest_magnitude_or_their_sum() {
        let of =
            |channels| Attribution { values: vec![1.0, 2.0, -3.0, 0.5], shape: [2, 1, 2], channels }.map();
        assert_eq!(of(Channels::MaxAbs).data, [3.0, 2.0]);
        assert_eq!(of(Channels::Sum).data, [-2.0, 2.5]);
    }
}
