//! Trains the detector's network: AdamW on rows of clean and adversarial images. The gradient is a graph, built like the network's own,
//! and the engine runs it.

use candor::engine::{Engine, Session};
use candor::mask::adam::{Adam, BETA_2};
use candor::noise::Noise;
use candor::progress::Progress;
use candor_graph::builder::Builder;
use candor_graph::grad::gradients;
use candor_graph::graph::Graph;
use candor_graph::shape::Dim;
use candor_graph::tensor::DataType;

use super::network::{Layout, Network, tensor};
use crate::error::{Error, Result};
use crate::outputs::floats;

/// How the network is trained. The defaults were chosen on training images only.
#[derive(Clone, Debug)]
pub struct Training {
    /// Minimum number of passes over the clean images; each pass draws the same number of adversarial ones, equally many of every attack.
    pub epochs: usize,
    /// Minimum number of steps: with few images the number of passes increases to at most four times [`Training::epochs`].
    pub steps: usize,
    /// Images per step.
    pub batch: usize,
    /// Initial learning rate of AdamW; it falls to zero along a cosine.
    pub rate: f64,
    /// Its weight decay.
    pub decay: f64,
    /// Seed of the initial weights, of the order and of the flips.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Training { epochs: 30, steps: 480, batch: 64, rate: 2e-3, decay: 1e-2, seed: 0 }
    }
}

/// Training images: one row of features each.
pub struct Examples<'e> {
    /// Of clean images.
    pub clean: Vec<&'e [f32]>,
    /// Of adversarial images, one list per attack.
    pub adversarial: Vec<Vec<&'e [f32]>>,
}

impl Network {
    /// Trains a network for rows with that layout to distinguish adversarial images (1) from clean ones (0).
    ///
    /// # Errors
    /// [`Error::Detector`] if there is nothing to train on, if the engine fails, or [`candor::Error::Cancelled`]: `progress` receives no
    /// steps, but can cancel the work at each.
    pub fn train(
        engine: &dyn Engine,
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
        let mut noise = Noise::new(how.seed);
        let mut network = Network { layout, mean, deviation, weights: drawn(layout, &mut noise) };
        let mut step = Step::new(engine, &network)?;
        let mut adam: Vec<Adam> = network.weights.iter().map(|w| Adam::new(w.len(), BETA_2)).collect();
        let steps = (2 * examples.clean.len()).div_ceil(how.batch).max(1);
        let epochs = how.steps.div_ceil(steps).clamp(how.epochs, 4 * how.epochs);
        for epoch in 0..epochs {
            let order = noise.choose(examples.clean.len(), examples.clean.len());
            for (i, part) in order.chunks(how.batch.div_ceil(2)).enumerate() {
                progress.poll()?;
                let mut rows = vec![];
                for &i in part {
                    rows.extend(flipped(layout, examples.clean[i], noise.chance(0.5)));
                }
                for _ in part {
                    let attack = attacks[noise.below(attacks.len())];
                    rows.extend(flipped(layout, attack[noise.below(attack.len())], noise.chance(0.5)));
                }
                let labels = [vec![0f32; part.len()], vec![1f32; part.len()]].concat();
                let gradients = step.gradients(&network.weights, rows, labels)?;
                let done = (epoch * steps + i) as f64 / (epochs * steps) as f64;
                let rate = how.rate * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
                let (rate, kept) = (rate as f32, (1.0 - rate * how.decay) as f32);
                for ((weights, adam), gradient) in network.weights.iter_mut().zip(&mut adam).zip(gradients) {
                    for (weight, down) in weights.iter_mut().zip(adam.step(gradient.into_iter())) {
                        *weight = *weight * kept - rate * down;
                    }
                }
            }
        }
        Ok(network)
    }
}

/// A row whose planes are mirrored if `flip`.
fn flipped(layout: Layout, row: &[f32], flip: bool) -> impl Iterator<Item = f32> {
    let grid = layout.grid;
    (0..row.len()).map(move |i| {
        let x = i % grid;
        if flip && i < layout.area() { row[i - x + (grid - 1 - x)] } else { row[i] }
    })
}

/// Mean and standard deviation of each plane and number over clean and adversarial images, with half of the weight each. Constant
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

/// Initial weights: kernels from He's normal distribution (He et al. 2015), biases zero.
fn drawn(layout: Layout, noise: &mut Noise) -> Vec<Vec<f32>> {
    let mut all = vec![];
    for layer in layout.weights().chunks(2) {
        let (kernel, bias): (_, usize) = (&layer[0], layer[1].iter().product());
        let size: usize = kernel.iter().product();
        let deviation = (2.0 / (size / bias) as f32).sqrt();
        let mut values: Vec<f32> = (0..size).map(|_| deviation * noise.normal()).collect();
        if let [outputs, channels, ..] = kernel[..]
            && kernel.len() > 2
        {
            // Stored as H×W×channels×outputs.
            let places = size / outputs / channels;
            let at = |i: usize| {
                let (output, channel, place) = (i / places / channels, i / places % channels, i % places);
                values[(place * channels + channel) * outputs + output]
            };
            values = (0..size).map(at).collect();
        }
        all.extend([values, vec![0.0; bias]]);
    }
    all
}

/// The gradient of one step, compiled.
struct Step {
    layout: Layout,
    session: Box<dyn Session>,
}

impl Step {
    fn new(engine: &dyn Engine, network: &Network) -> Result<Self> {
        Ok(Step { layout: network.layout, session: engine.compile(&gradient_graph(network)?)? })
    }

    /// For rows N×length and labels N, the gradient of the mean cross entropy with respect to each of the weights.
    fn gradients(&mut self, weights: &[Vec<f32>], rows: Vec<f32>, labels: Vec<f32>) -> Result<Vec<Vec<f32>>> {
        let n = labels.len();
        let mut inputs = vec![tensor(&[n, self.layout.length()], rows)?, tensor(&[n, 1], labels)?];
        for (shape, values) in self.layout.weights().iter().zip(weights) {
            inputs.push(tensor(shape, values.clone())?);
        }
        let sums = self.session.run(&inputs.iter().collect::<Vec<_>>())?;
        let mean = |(i, w): (usize, &Vec<f32>)| {
            let sum = floats(&sums, i, w.len(), "a step of the detector's training")?;
            Ok(sum.iter().map(|g| g / n as f32).collect())
        };
        weights.iter().enumerate().map(mean).collect()
    }
}

/// From rows N×length, labels N×1 and the weights to the gradient of the summed cross entropy with respect to each of the weights. Its
/// gradient with respect to the logit z is σ(z) − label.
fn gradient_graph(network: &Network) -> Result<Graph> {
    let at = |e| Error::from(candor::error::Error::graph("the detector's training", e));
    let b = Builder::new(Graph::new(18));
    let input =
        |name: &str, length: usize| b.input(name, DataType::Float, &[Dim::Batch(1), Dim::Fixed(length)]);
    let (rows, labels) = (input("features", network.layout.length()), input("labels", 1));
    let weights = network.layout.weights().into_iter().enumerate().map(|(i, shape)| {
        let shape: Vec<Dim> = shape.into_iter().map(Dim::Fixed).collect();
        b.input(&format!("weights_{i}"), DataType::Float, &shape)
    });
    let weights: Vec<_> = weights.collect();
    let logit = network.logit_with(&b, rows, &weights)?;
    let seed = logit.op("Sigmoid", &[], &[]) - labels;
    let seeds = [(logit.id(), seed.id())];
    let weights: Vec<_> = weights.iter().map(|w| w.id()).collect();
    let (mut graph, found) = gradients(b.finish().map_err(at)?, &seeds, &weights).map_err(at)?;
    graph.outputs = found;
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::CompiledNetwork;
    use candor::Unwatched;
    use candor::engine::RTen;

    /// Planes of noise, with a bright corner for one class and a bright centre for the other, and uninformative numbers.
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
        let engine = RTen::new(1);
        let network = Network::train(&engine, layout, &examples, &how, &mut Unwatched).unwrap();
        let mut scorer = CompiledNetwork::new(&engine, &network.graph().unwrap()).unwrap();
        let mut score = |all: &[Vec<f32>]| {
            scorer.scores(&all[20..].iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap()
        };
        let area = candor_eval::statistics::auroc(&score(&adversarial), &score(&clean)).unwrap();
        assert!(area > 0.95, "{area}");
        let again = Network::train(&RTen::new(2), layout, &examples, &how, &mut Unwatched).unwrap();
        assert_eq!(network.weights, again.weights, "the same seed, the same network");
    }

    /// The cross entropy of a row in double precision, directly from the definitions of the layers.
    fn loss(network: &Network, weights: &[Vec<f64>], row: &[f32], label: f64) -> f64 {
        let Layout { planes, mut grid, numbers } = network.layout;
        let standard = |(i, v): (usize, &f32)| {
            let column = network.layout.column(i);
            f64::from(v - network.mean[column]) / f64::from(network.deviation[column])
        };
        let row: Vec<f64> = row.iter().enumerate().map(standard).collect();
        let (image, numbers) = row.split_at(row.len() - numbers);
        let (mut image, mut channels) = (image.to_vec(), planes);
        let (convolutions, linear) = weights.split_at(weights.len() - 4);
        for (i, layer) in convolutions.chunks(2).enumerate() {
            let (g, inside) = (grid as i64, |v: i64| (0..grid as i64).contains(&v));
            let mut y = vec![];
            for (output, bias) in layer[1].iter().enumerate() {
                for place in 0..g * g {
                    let mut sum = *bias;
                    for k in 0..channels as i64 * 9 {
                        let (at, left) = (place / g + k % 9 / 3 - 1, place % g + k % 3 - 1);
                        if inside(at) && inside(left) {
                            let kernel = layer[0][output * channels * 9 + k as usize];
                            sum += kernel * image[((k / 9 * g + at) * g + left) as usize];
                        }
                    }
                    y.push(sum.max(0.0));
                }
            }
            channels = layer[1].len();
            image = y;
            if i < 2 {
                let half = grid / 2;
                let largest = |j: usize| {
                    let corner = (j / half / half * grid + j / half % half * 2) * grid + j % half * 2;
                    [0, 1, grid, grid + 1].into_iter().map(|d| image[corner + d]).fold(0.0, f64::max)
                };
                (image, grid) = ((0..channels * half * half).map(largest).collect(), half);
            }
        }
        let mut x: Vec<f64> =
            image.chunks(grid * grid).map(|c| c.iter().sum::<f64>() / (grid * grid) as f64).collect();
        x.extend(numbers);
        for (i, layer) in linear.chunks(2).enumerate() {
            let outputs = layer[1].len();
            let of = |o: usize| {
                let sum: f64 = x.iter().enumerate().map(|(k, v)| v * layer[0][k * outputs + o]).sum();
                let y = sum + layer[1][o];
                if i == 0 { y.max(0.0) } else { y }
            };
            x = (0..outputs).map(of).collect();
        }
        x[0].max(0.0) - x[0] * label + (-x[0].abs()).exp().ln_1p()
    }

    #[test]
    fn gradients_are_central_differences() {
        for (planes, grid, numbers) in [(2, 9, 3), (3, 8, 0), (0, 1, 7)] {
            let layout = Layout { planes, grid, numbers };
            let mut noise = Noise::new(7);
            let columns = planes + numbers;
            let mut weights = drawn(layout, &mut noise);
            // Non-zero biases, too.
            weights.iter_mut().flatten().for_each(|w| *w += 0.05 * noise.normal());
            let mean = (0..columns).map(|_| noise.normal()).collect();
            let deviation = (0..columns).map(|_| 1.0 + 0.2 * noise.normal().abs()).collect();
            let network = Network { layout, mean, deviation, weights };
            let rows: Vec<f32> = (0..6 * layout.length()).map(|_| 2.0 * noise.normal()).collect();
            let labels = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0];
            let mut step = Step::new(&RTen::new(1), &network).unwrap();
            let found = step.gradients(&network.weights, rows.clone(), labels.to_vec()).unwrap();
            let weights: Vec<Vec<f64>> =
                network.weights.iter().map(|w| w.iter().map(|&w| w.into()).collect()).collect();
            for (layer, gradient) in found.iter().enumerate() {
                let largest = gradient.iter().fold(0.0f64, |m, &g| m.max(f64::from(g).abs()));
                assert!(largest > 1e-3, "{layout:?}, weights {layer}: {largest}");
                for (i, &g) in gradient.iter().enumerate().step_by(gradient.len().div_ceil(40)) {
                    const STEP: f64 = 1e-6;
                    let at = |by: f64| {
                        let mut moved = weights.clone();
                        moved[layer][i] += by;
                        let each = rows.chunks(layout.length()).zip(labels);
                        each.map(|(row, label)| loss(&network, &moved, row, label.into())).sum::<f64>() / 6.0
                    };
                    let want = (at(STEP) - at(-STEP)) / (2.0 * STEP);
                    let off = (f64::from(g) - want).abs() / largest;
                    assert!(off < 1e-4, "{layout:?}, weights {layer}, {i}: {g}, not {want}");
                }
            }
        }
    }
}
