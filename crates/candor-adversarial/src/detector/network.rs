//! The detector's network: three blocks of convolution and global average pooling over the planes, and two linear
//! layers over the pooled channels and the numbers. Trained in [`super::training`], stored as an ONNX graph, and run by the engine like
//! every other graph.

use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::{Attr, Graph};
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

use crate::error::{Error, Result};
use crate::outputs::floats;
use candor::engine::{Engine, Session};

/// Channels of the three blocks.
pub(super) const WIDTHS: [usize; 3] = [16, 32, 32];
pub(super) const KERNEL: usize = 3;
/// Units of the hidden linear layer.
pub(super) const HIDDEN: usize = 32;

/// Layout of a row of features: planes×grid×grid values, row-major, followed by the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of planes; may be 0.
    pub planes: usize,
    /// Height and width of a plane.
    pub grid: usize,
    /// Number of numbers; may be 0.
    pub numbers: usize,
}

impl Layout {
    /// Number of values of all planes.
    pub fn area(self) -> usize {
        self.planes * self.grid * self.grid
    }

    /// Number of values of a row.
    pub fn length(self) -> usize {
        self.area() + self.numbers
    }

    /// Index of the plane or number to which value `i` of a row belongs; planes are counted first.
    #[cfg(feature = "train")]
    pub(super) fn column(self, i: usize) -> usize {
        if i < self.area() { i / (self.grid * self.grid) } else { self.planes + i - self.area() }
    }

    /// Shapes of the network's weights: kernel and bias of each convolution, if there are planes, and of the two linear layers.
    pub(super) fn weights(self) -> Vec<Vec<usize>> {
        let mut all = vec![];
        let mut found = self.numbers;
        if self.planes > 0 {
            let mut channels = self.planes;
            for width in WIDTHS {
                all.extend([vec![width, channels, KERNEL, KERNEL], vec![width]]);
                channels = width;
            }
            found += channels;
        }
        all.extend([vec![found, HIDDEN], vec![1, HIDDEN], vec![HIDDEN, 1], vec![1, 1]]);
        all
    }
}

/// A trained network.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) layout: Layout,
    /// Mean of each plane and number.
    pub(super) mean: Vec<f32>,
    /// Standard deviation of each plane and number.
    pub(super) deviation: Vec<f32>,
    /// With the shapes of [`Layout::weights`].
    pub(super) weights: Vec<Vec<f32>>,
}

impl Network {
    /// The network as a graph: `features` N×length → `score` N×1 in 0..=1, including the standardisation.
    ///
    /// # Errors
    /// [`Error::Explain`] if the size of a weight does not match its layer.
    pub fn graph(&self) -> Result<Graph> {
        let b = Builder::new(Graph::new(18));
        let shape = [Dim::Batch(1), Dim::Fixed(self.layout.length())];
        let input = b.input("features", DataType::Float, &shape);
        let score = self.logit(&b, input)?.op("Sigmoid", &[], &[]).id();
        let mut graph = b.finish().map_err(|e| candor::error::Error::graph("the detector", e))?;
        graph.rename(score, "score");
        graph.outputs = vec![score];
        Ok(graph)
    }

    /// The logit of the score, N×1, for features N×length.
    pub(super) fn logit<'b>(&self, b: &'b Builder, features: Expr<'b>) -> Result<Expr<'b>> {
        let weights = self.layout.weights().into_iter().zip(&self.weights);
        let weights: Vec<_> =
            weights.map(|(shape, values)| constant(b, &shape, values)).collect::<Result<_>>()?;
        self.logit_with(b, features, &weights)
    }

    /// [`Network::logit`] for a network with other weights, with the shapes of [`Layout::weights`].
    pub(super) fn logit_with<'b>(
        &self,
        b: &'b Builder,
        features: Expr<'b>,
        weights: &[Expr<'b>],
    ) -> Result<Expr<'b>> {
        let Layout { planes, grid, numbers } = self.layout;
        let area = self.layout.area() as i64;
        let part = |from: i64, to: i64| features.slice(&[1], &[from], &[to], &[1]);
        let (convolutions, linear) = weights.split_at(weights.len() - 4);
        let mut found = vec![];
        if planes > 0 {
            let moments = [1, planes, 1, 1];
            let mean = constant(b, &moments, &self.mean[..planes])?;
            let deviation = constant(b, &moments, &self.deviation[..planes])?;
            let x = part(0, area).reshape(&[-1, planes as i64, grid as i64, grid as i64]);
            let mut x = (x - mean) / deviation;
            for (i, layer) in convolutions.chunks(2).enumerate() {
                let same = [
                    ("pads", Attr::Ints(vec![1; 4])),
                    ("kernel_shape", Attr::Ints(vec![KERNEL as i64; 2])),
                    ("strides", Attr::Ints(vec![1; 2])),
                    ("dilations", Attr::Ints(vec![1; 2])),
                ];
                x = x.op("Conv", layer, &same).op("Relu", &[], &[]);
                if i + 1 < WIDTHS.len() {
                    let halve = [
                        ("kernel_shape", Attr::Ints(vec![2, 2])),
                        ("strides", Attr::Ints(vec![2, 2])),
                        ("pads", Attr::Ints(vec![0; 4])),
                        ("dilations", Attr::Ints(vec![1; 2])),
                    ];
                    x = x.op("MaxPool", &[], &halve);
                }
            }
            let channels = WIDTHS[WIDTHS.len() - 1] as i64;
            found.push(x.op("GlobalAveragePool", &[], &[]).reshape(&[-1, channels]));
        }
        if numbers > 0 {
            let mean = constant(b, &[1, numbers], &self.mean[planes..])?;
            let deviation = constant(b, &[1, numbers], &self.deviation[planes..])?;
            found.push((part(area, area + numbers as i64) - mean) / deviation);
        }
        let hidden = b.concat(&found, 1).op("MatMul", &[linear[0]], &[]) + linear[1];
        Ok(hidden.op("Relu", &[], &[]).op("MatMul", &[linear[2]], &[]) + linear[3])
    }
}

fn constant<'b>(b: &'b Builder, shape: &[usize], values: &[f32]) -> Result<Expr<'b>> {
    Ok(b.constant(tensor(shape, values.to_vec())?))
}

pub(super) fn tensor(shape: &[usize], values: Vec<f32>) -> Result<Tensor> {
    Tensor::floats(shape, values).map_err(|e| candor::error::Error::graph("the detector", e).into())
}

/// A detector's graph, compiled.
pub struct CompiledNetwork {
    session: Box<dyn Session>,
    length: usize,
}

/// Images per batch.
const BATCH: usize = 64;

impl CompiledNetwork {
    /// Compiles a graph `features` N×length → `score` N×1.
    ///
    /// # Errors
    /// [`Error::Detector`] if the graph has another form; or if the engine does not support an operator.
    pub fn new(engine: &dyn Engine, graph: &Graph) -> Result<Self> {
        let shape = graph.inputs.first().and_then(|&i| graph.shape(i));
        match shape.as_deref() {
            Some([_, Dim::Fixed(length)]) if graph.outputs.len() == 1 => {
                Ok(CompiledNetwork { session: engine.compile(graph)?, length: *length })
            }
            _ => Err(Error::Detector("not a detector of this version: its input is not rows of features; train it again with `candor detect train`".into())),
        }
    }

    /// Number of values of a row of its input.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Probability, 0..=1, that each image is adversarial, if half of all images were.
    ///
    /// # Errors
    /// If the engine fails, or for features of another size.
    pub fn scores(&mut self, features: &[&[f32]]) -> Result<Vec<f64>> {
        let mut all = vec![];
        for part in features.chunks(BATCH) {
            let out = self.session.run(&[&tensor(&[part.len(), self.length], part.concat())?])?;
            let scores = floats(&out, 0, part.len(), "the detector")?;
            all.extend(scores.iter().map(|&s| f64::from(s)));
        }
        Ok(all)
    }
}
