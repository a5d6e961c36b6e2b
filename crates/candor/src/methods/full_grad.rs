//! FullGrad: ψ(x · ∂S_c/∂x) + Σ over layers of Σ over channels of ψ(b · ∂S_c/∂b), with ψ = |·| enlarged to the input (Srinivas
//! and Fleuret 2019). Without ψ the parts add up to S_c for a ReLU network.

use candor_graph::graph::{Graph, ValueId};
use candor_graph::insert::image_shape;

use super::backward::{OneSweep, Plan};
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::{Interpolation, Map};
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters};

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "rescale",
    default: "none",
    kind: Kind::Choice(&["none", "unit"]),
    help: "unit brings each layer's part to 0..1 as the authors do, which makes every map full scale",
}];

/// The method.
pub(super) struct FullGrad;

impl Definition for FullGrad {
    fn description(&self) -> Description {
        Description {
            name: "fullgrad",
            summary: "what the input and every bias of a convolution contribute to the class's logit",
            source: "Srinivas, Fleuret 2019",
            cost: Cost { forward: 1, backward: 1, note: "" },
            signed: false,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, _: &Choices) -> Result<Box<dyn Compiled>> {
        let biases = biases(&model.graph);
        let mut wrt = vec![model.input];
        wrt.extend(biases.iter().map(|b| b.value));
        let unit = p.word("rescale") == "unit";
        // Σ over channels after |·|, then enlarged: the same as enlarging each channel, and much less work.
        let psi = move |parts: &mut dyn Iterator<Item = Vec<f32>>, shape: [usize; 2], model: &Model| {
            let channels: Vec<Vec<f32>> = parts.map(|c| c.iter().map(|v| v.abs()).collect()).collect();
            let all = || channels.iter().flatten();
            let (low, high) = all().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            let (low, range) = if unit && high > low { (low, high - low) } else { (0.0, 1.0) };
            let mut map = Map::zeros(shape[0], shape[1]);
            for channel in &channels {
                map.data.iter_mut().zip(channel).for_each(|(m, v)| *m += (v - low) / range);
            }
            let [_, height, width] = model.input_shape;
            map.resize(height, width, Interpolation::Bilinear)
        };
        Ok(Box::new(OneSweep::new(
            model,
            Plan::gradient(model, &wrt),
            Box::new(move |v| {
                let [_, height, width] = v.model.input_shape;
                let mut input = vec![0.0; height * width];
                for (i, (x, g)) in v.image.iter().zip(&v.found[0]).enumerate() {
                    input[i % (height * width)] += x * g;
                }
                let mut map = psi(&mut std::iter::once(input), [height, width], v.model);
                for (bias, gradient) in biases.iter().zip(&v.found[1..]) {
                    let [_, h, w] = bias.shape;
                    let channels = bias.values.iter().zip(gradient.chunks(h * w));
                    let mut parts = channels.map(|(b, g)| g.iter().map(|g| b * g).collect());
                    let part = psi(&mut parts, [h, w], v.model);
                    map.data.iter_mut().zip(&part.data).for_each(|(m, p)| *m += p);
                }
                Explanation::of_map(map, Default::default())
            }),
        )?))
    }
}

/// A convolution's bias: ∂S/∂b is ∂S/∂(its output), at each position.
struct Bias {
    value: ValueId,
    shape: [usize; 3],
    values: Vec<f32>,
}

fn biases(graph: &Graph) -> Vec<Bias> {
    let bias = |n: &candor_graph::graph::Node| {
        let values = graph.constant(n.input(2)?)?.as_floats()?.to_vec();
        let shape = image_shape(graph, n.output()).ok()?;
        Some(Bias { value: n.output(), shape, values })
    };
    graph.nodes.iter().filter(|n| n.op == "Conv").filter_map(bias).collect()
}
