//! How the detector's network learns: candle's AdamW on rows of clean and adversarial images.

use candle_core::{Device, Tensor as Array, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use candor::progress::Progress;

use super::network::{HIDDEN, KERNEL, Layout, Network, WIDTHS};
use crate::error::{Error, Result};
use candor::noise::Noise;

/// How the network is trained. The defaults were chosen on training images alone.
#[derive(Clone, Debug)]
pub struct Training {
    /// Minimum number of passes over the clean images; each draws as many adversarial ones, equally many of every attack.
    pub epochs: usize,
    /// Minimum number of steps: with few images the number of passes rises, to at most four times [`Training::epochs`].
    pub steps: usize,
    /// Images in one step.
    pub batch: usize,
    /// Learning rate of AdamW at the start; it falls to zero along a cosine.
    pub rate: f64,
    /// Its weight decay.
    pub decay: f64,
    /// Seed of the weights, of the order and of the flips.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Training { epochs: 30, steps: 480, batch: 64, rate: 2e-3, decay: 1e-2, seed: 0 }
    }
}

/// Training images: a row of features each.
pub struct Examples<'e> {
    /// Of unchanged images.
    pub clean: Vec<&'e [f32]>,
    /// Of adversarial images, one list an attack.
    pub adversarial: Vec<Vec<&'e [f32]>>,
}

impl Network {
    /// Trains a network of rows of that layout to distinguish adversarial images (1) from clean ones (0).
    ///
    /// # Errors
    /// [`Error::Detector`] if there is nothing to learn from, if candle fails, or [`candor::Error::Cancelled`]: `progress` is told of no steps, and may end it at each.
    pub fn train(
        layout: Layout,
        examples: &Examples<'_>,
        how: &Training,
        progress: &mut dyn Progress,
    ) -> Result<Network> {
        let attacks: Vec<&Vec<&[f32]>> = examples.adversarial.iter().filter(|a| !a.is_empty()).collect();
        if examples.clean.is_empty() || attacks.is_empty() {
            return Err(Error::Detector("there are no clean or no adversarial images to learn from".into()));
        }
        let (mean, deviation) = moments(layout, examples);
        let grid = layout.grid;
        let standard = |sample: &[f32], flip: bool| -> Vec<f32> {
            let at = |i: usize| {
                let (column, x) = (layout.column(i), i % grid);
                let source = if flip && i < layout.area() { i - x + (grid - 1 - x) } else { i };
                (sample[source] - mean[column]) / deviation[column]
            };
            (0..sample.len()).map(at).collect()
        };
        let mut noise = Noise::new(how.seed);
        let parameters = Parameters::drawn(layout, &mut noise).map_err(candle)?;
        let steps = (2 * examples.clean.len()).div_ceil(how.batch).max(1);
        let settings = ParamsAdamW { lr: how.rate, weight_decay: how.decay, ..ParamsAdamW::default() };
        let mut adam = AdamW::new(parameters.all(), settings).map_err(candle)?;
        let epochs = how.steps.div_ceil(steps).clamp(how.epochs, 4 * how.epochs);
        for epoch in 0..epochs {
            let order = noise.choose(examples.clean.len(), examples.clean.len());
            for (step, part) in order.chunks(how.batch.div_ceil(2)).enumerate() {
                progress.poll()?;
                let done = (epoch * steps + step) as f64 / (epochs * steps) as f64;
                adam.set_learning_rate(how.rate * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos()));
                let mut values = vec![];
                for &i in part {
                    values.extend(standard(examples.clean[i], noise.chance(0.5)));
                }
                for _ in part {
                    let attack = attacks[noise.below(attacks.len())];
                    values.extend(standard(attack[noise.below(attack.len())], noise.chance(0.5)));
                }
                let labels = [vec![0f32; part.len()], vec![1f32; part.len()]].concat();
                parameters.step(&mut adam, values, labels).map_err(candle)?;
            }
        }
        let weights = parameters.values().map_err(candle)?;
        Ok(Network { layout, mean, deviation, weights })
    }
}

fn candle(e: candle_core::Error) -> Error {
    Error::Detector(format!("candle failed while training: {e}"))
}

/// Mean and standard deviation of each plane and number over clean and adversarial images, each half of the weight. Constant
/// columns get a deviation of 1.
fn moments(layout: Layout, examples: &Examples<'_>) -> (Vec<f32>, Vec<f32>) {
    let columns = layout.planes + layout.numbers;
    let of = |samples: &[&[f32]]| {
        let mut sums = vec![(0.0, 0.0, 0usize); columns];
        for (i, v) in samples.iter().flat_map(|s| s.iter().enumerate()) {
            let (sum, squares, count) = &mut sums[layout.column(i)];
            let v = f64::from(*v);
            *sum += v;
            *squares += v * v;
            *count += 1;
        }
        sums
    };
    let adversarial: Vec<&[f32]> = examples.adversarial.iter().flatten().copied().collect();
    let one = |(a, b): ((f64, f64, usize), (f64, f64, usize))| {
        let half = |of: (f64, f64, usize)| [of.0, of.1].map(|v| v / of.2.max(1) as f64 / 2.0);
        let ([mean, square], [m, s]) = (half(a), half(b));
        let (mean, square) = (mean + m, square + s);
        let deviation = (square - mean * mean).max(0.0).sqrt();
        (mean as f32, if deviation > 1e-6 { deviation as f32 } else { 1.0 })
    };
    of(&examples.clean).into_iter().zip(of(&adversarial)).map(one).unzip()
}

/// The weights while they are learned. Images are N×H×W×C here and convolutions are matrix products, whose gradients candle computes
/// many times faster than those of its own convolution on a processor.
struct Parameters {
    layout: Layout,
    /// Kernel and bias, as [`Network`] has them.
    layers: Vec<(Var, Var)>,
}

impl Parameters {
    /// Kernels from He's normal distribution (He et al. 2015), biases zero.
    fn drawn(layout: Layout, noise: &mut Noise) -> candle_core::Result<Self> {
        let mut layers = vec![];
        let mut draw = |rows: usize, outputs: usize| {
            let deviation = (2.0 / rows as f32).sqrt();
            let values: Vec<f32> = (0..rows * outputs).map(|_| deviation * noise.normal()).collect();
            let kernel = Var::from_tensor(&Array::from_vec(values, (rows, outputs), &Device::Cpu)?)?;
            let bias = Var::from_tensor(&Array::zeros(outputs, candle_core::DType::F32, &Device::Cpu)?)?;
            candle_core::Result::Ok((kernel, bias))
        };
        let mut channels = layout.planes;
        for width in WIDTHS.into_iter().filter(|_| layout.planes > 0) {
            layers.push(draw(KERNEL * KERNEL * channels, width)?);
            channels = width;
        }
        layers.push(draw(layout.found(), HIDDEN)?);
        layers.push(draw(HIDDEN, 1)?);
        Ok(Parameters { layout, layers })
    }

    fn all(&self) -> Vec<Var> {
        self.layers.iter().flat_map(|(kernel, bias)| [kernel.clone(), bias.clone()]).collect()
    }

    /// Logits N of standardised rows N×length.
    fn logits(&self, rows: &Array) -> candle_core::Result<Array> {
        let Layout { planes, grid, numbers } = self.layout;
        let mut found = vec![];
        if planes > 0 {
            let images = rows.narrow(1, 0, self.layout.area())?.reshape(((), planes, grid, grid))?;
            found.push(self.pooled(images.permute((0, 2, 3, 1))?.contiguous()?)?);
        }
        if numbers > 0 {
            found.push(rows.narrow(1, self.layout.area(), numbers)?);
        }
        let linear = |x: &Array, (kernel, bias): &(Var, Var)| x.matmul(kernel)?.broadcast_add(bias);
        let last = self.layers.len() - 2;
        let hidden = linear(&Array::cat(&found, 1)?, &self.layers[last])?.relu()?;
        linear(&hidden, &self.layers[last + 1])?.squeeze(1)
    }

    /// What the convolutions find in images N×grid×grid×planes.
    fn pooled(&self, mut x: Array) -> candle_core::Result<Array> {
        for (i, (kernel, bias)) in self.layers[..WIDTHS.len()].iter().enumerate() {
            let (n, h, w, _) = x.dims4()?;
            let y = windows(&x)?.matmul(kernel)?.broadcast_add(bias)?.relu()?;
            let width = WIDTHS[i];
            x = if i + 1 < WIDTHS.len() {
                // An odd last row or column is left out, as by the graph's MaxPool.
                let y = y.reshape((n, h, w, width))?.narrow(1, 0, h / 2 * 2)?.narrow(2, 0, w / 2 * 2)?;
                y.reshape((n, h / 2, 2, w / 2, 2 * width))?
                    .max(2)?
                    .reshape((n, h / 2, w / 2, 2, width))?
                    .max(3)?
            } else {
                y.reshape((n, h, w, width))?
            };
        }
        x.mean(1)?.mean(1)
    }

    fn step(&self, adam: &mut AdamW, values: Vec<f32>, labels: Vec<f32>) -> candle_core::Result<()> {
        let n = labels.len();
        let rows = Array::from_vec(values, (n, self.layout.length()), &Device::Cpu)?;
        let labels = Array::from_vec(labels, n, &Device::Cpu)?;
        let logits = self.logits(&rows)?;
        // max(s, 0) − s·y + ln(1 + e^−|s|): the cross entropy without overflow.
        let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
        let loss = ((logits.relu()? - logits.mul(&labels)?)? + tail)?.mean_all()?;
        adam.backward_step(&loss)
    }

    /// Kernels as ONNX has them, outputs×channels×3×3, with their biases; those of linear layers as inputs×outputs.
    fn values(&self) -> candle_core::Result<Vec<(Vec<f32>, Vec<f32>)>> {
        let mut all = vec![];
        let convolutions = self.layers.len() - 2;
        for (i, (kernel, bias)) in self.layers.iter().enumerate() {
            let kernel = if i < convolutions {
                let (rows, outputs) = kernel.dims2()?;
                let channels = rows / (KERNEL * KERNEL);
                kernel.reshape((KERNEL, KERNEL, channels, outputs))?.permute((3, 2, 0, 1))?.contiguous()?
            } else {
                kernel.as_tensor().clone()
            };
            all.push((kernel.flatten_all()?.to_vec1()?, bias.flatten_all()?.to_vec1()?));
        }
        Ok(all)
    }
}

/// N×H×W×C → (N·H·W)×(9·C): the 3×3 neighbourhood of each place, zero outside.
fn windows(x: &Array) -> candle_core::Result<Array> {
    let (n, h, w, channels) = x.dims4()?;
    let padded = x.pad_with_zeros(1, 1, 1)?.pad_with_zeros(2, 1, 1)?;
    let mut shifted = vec![];
    for y in 0..KERNEL {
        for x in 0..KERNEL {
            shifted.push(padded.narrow(1, y, h)?.narrow(2, x, w)?);
        }
    }
    Array::cat(&shifted, 3)?.reshape((n * h * w, KERNEL * KERNEL * channels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::CompiledNetwork;
    use candor::Unwatched;
    use candor::engine::RTen;

    /// Planes of noise, with a bright corner for one class and a bright middle for the other, and numbers that say nothing.
    fn samples(bright: usize, grid: usize, count: usize, noise: &mut Noise) -> Vec<Vec<f32>> {
        let mut one = || {
            let mut sample: Vec<f32> = (0..2 * grid * grid + 3).map(|_| 0.3 * noise.normal()).collect();
            let start = bright * (grid + 1);
            (0..2).for_each(|y| (0..2).for_each(|x| sample[start + y * grid + x] += 2.0));
            sample
        };
        (0..count).map(|_| one()).collect()
    }

    #[test]
    fn a_network_learns_and_its_graph_is_the_trained_network() {
        let grid = 9;
        let mut noise = Noise::new(1);
        let (clean, adversarial) = (samples(0, grid, 40, &mut noise), samples(4, grid, 40, &mut noise));
        let rows = |all: &'_ [Vec<f32>]| all.iter().map(|r| r.to_vec()).collect::<Vec<_>>();
        let (a, b) = (rows(&clean[..20]), rows(&adversarial[..20]));
        let examples = Examples {
            clean: a.iter().map(Vec::as_slice).collect(),
            adversarial: vec![b.iter().map(Vec::as_slice).collect(), vec![]],
        };
        let how = Training { epochs: 40, rate: 1e-2, ..Training::default() };
        let layout = Layout { planes: 2, grid, numbers: 3 };
        let network = Network::train(layout, &examples, &how, &mut Unwatched).unwrap();
        let mut scorer = CompiledNetwork::new(&RTen::new(1), &network.graph().unwrap()).unwrap();
        let mut score = |all: &[Vec<f32>]| {
            scorer.scores(&all[20..].iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap()
        };
        let area = candor_eval::statistics::auroc(&score(&adversarial), &score(&clean)).unwrap();
        assert!(area > 0.95, "{area}");
        let again = Network::train(layout, &examples, &how, &mut Unwatched).unwrap();
        assert_eq!(network.weights, again.weights, "the same seed, the same network");
        // candle's logits are the graph's.
        let weights = Parameters::of(&network).unwrap();
        let standard = |row: &Vec<f32>| -> Vec<f32> {
            let at = |(i, v): (usize, &f32)| {
                let column = layout.column(i);
                (v - network.mean[column]) / network.deviation[column]
            };
            row.iter().enumerate().map(at).collect()
        };
        let values: Vec<f32> = clean[20..].iter().flat_map(standard).collect();
        let rows = Array::from_vec(values, (20, layout.length()), &Device::Cpu).unwrap();
        let logits: Vec<f32> = weights.logits(&rows).unwrap().to_vec1().unwrap();
        for (logit, score) in logits.iter().zip(score(&clean)) {
            let want = 1.0 / (1.0 + (-f64::from(*logit)).exp());
            assert!((score - want).abs() < 1e-5, "{score} not {want}");
        }
    }

    impl Parameters {
        fn of(network: &Network) -> candle_core::Result<Self> {
            let mut all = vec![];
            for (i, (kernel, bias)) in network.weights.iter().enumerate() {
                let outputs = bias.len();
                let kernel = if i < WIDTHS.len() {
                    let channels = kernel.len() / (KERNEL * KERNEL * outputs);
                    let shape = (outputs, channels, KERNEL, KERNEL);
                    let kernel = Array::from_vec(kernel.clone(), shape, &Device::Cpu)?;
                    kernel
                        .permute((2, 3, 1, 0))?
                        .contiguous()?
                        .reshape((KERNEL * KERNEL * channels, outputs))?
                } else {
                    Array::from_vec(kernel.clone(), (kernel.len() / outputs, outputs), &Device::Cpu)?
                };
                let bias = Array::from_vec(bias.clone(), outputs, &Device::Cpu)?;
                all.push((Var::from_tensor(&kernel)?, Var::from_tensor(&bias)?));
            }
            Ok(Parameters { layout: network.layout, layers: all })
        }
    }
}
