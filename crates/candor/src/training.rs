//! How far the statistics of a model's layers on photos are from those in training, as stored in its weights; true classes are not
//! needed.
//!
//! If the file has BatchNormalization, with the mean μ and variance σ² of each channel: the divergence
//!
//! K = mean ½ (v/σ² + (m − μ)²/σ² − 1 − ln v/σ²)
//!
//! of the normal distribution with the mean m and variance v on the photos from that of training (Kullback–Leibler), averaged over
//! channels, then over nodes; 0 if they are equal.
//!
//! If it is folded into convolutions, their biases b = β − γμ/σ cancel the mean of the convolution's result on correctly prepared input:
//! the balance
//!
//! B = mean ½ ln ((Var b + Var a) / Var (a + b))
//!
//! with a the mean over photos and positions without the bias, variances over a layer's channels, averaged over layers, in nats; 0 if the
//! biases are unrelated to the input. Both are new in Candor as criteria of preprocessing. They were chosen among four divergences (on
//! one, three or all nodes) and eleven forms of the balance on the ten trained networks of the results page, with 20 photos of many
//! classes and 20 of one; nothing was chosen on the photos of that page.

use candor_graph::graph::ValueId;
use candor_graph::statistics::{self, Biased, Normalised};
use candor_graph::tensor::Tensor;

use crate::engine::Session;
use crate::error::{Error, Result, floats};
use crate::model::Model;

/// Minimum standard deviation of a channel in training; other channels are dead.
const DEAD: f32 = 1e-6;

/// What a model's weights store about training.
enum Told {
    /// BatchNormalization's statistics.
    Kept(Vec<Normalised>),
    /// Biases of convolutions.
    Folded(Vec<Biased>),
}

/// Runs a model and measures the statistics of its layers.
pub struct Observer<'m> {
    model: &'m Model,
    told: Told,
    session: Box<dyn Session>,
}

/// How well the statistics of layers on some photos fit those of training.
#[derive(Clone, Debug, PartialEq)]
pub enum Fit {
    /// K in nats, and K with each photo left out.
    Divergence(f64, Vec<f64>),
    /// B in nats, and B with each photo left out.
    Balance(f64, Vec<f64>),
}

/// Means and mean squares, indexed by layer, photo, channel.
type Seen = Vec<Vec<(Vec<f64>, Vec<f64>)>>;

impl<'m> Observer<'m> {
    /// `None` if the weights store nothing about training.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn new(model: &'m Model) -> Result<Option<Self>> {
        let told = if model.normalised.is_empty() {
            Told::Folded(statistics::biased(&model.graph).into_iter().filter(|b| b.bias.len() > 1).collect())
        } else {
            Told::Kept(model.normalised.clone())
        };
        let values: Vec<(ValueId, usize)> = match &told {
            Told::Kept(all) => all.iter().map(|n| (n.value, 1)).collect(),
            Told::Folded(all) => all.iter().map(|b| (b.value, b.axis)).collect(),
        };
        if values.is_empty() {
            return Ok(None);
        }
        let graph = statistics::with_means(model.graph.clone(), &values);
        let graph = graph.map_err(|e| Error::graph(&model.info.path, e))?;
        Ok(Some(Observer { model, told, session: model.engine.compile(&graph)? }))
    }

    /// Compares the statistics on images (C·H·W preprocessed values each) with those of training.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn fit(&mut self, images: &[&[f32]]) -> Result<Fit> {
        let layers = match &self.told {
            Told::Kept(all) => all.len(),
            Told::Folded(all) => all.len(),
        };
        let mut seen: Seen = vec![vec![]; layers];
        for part in images.chunks(self.model.batch()) {
            let batch = self.model.fixed_batch.unwrap_or(part.len());
            let mut values = part.concat();
            values.resize(batch * self.model.input_shape.iter().product::<usize>(), 0.0);
            let input = Tensor::floats(&self.model.batch_shape(batch), values)
                .map_err(|e| Error::graph(&self.model.info.path, e))?;
            let out = self.session.run(&[&input])?;
            for (layer, pair) in seen.iter_mut().zip(out[1..].chunks(2)) {
                let [means, squares] = [0, 1].map(|i| floats(pair.get(i), "means of features"));
                let (means, squares) = (means?, squares?);
                let channels = (means.len() / batch).max(1);
                let wide = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
                let rows = means.chunks(channels).zip(squares.chunks(channels)).take(part.len());
                layer.extend(rows.map(|(m, s)| (wide(m), wide(s))));
            }
        }
        let without: Vec<f64> = (0..images.len()).map(|i| self.value(&seen, Some(i))).collect();
        let value = self.value(&seen, None);
        Ok(match self.told {
            Told::Kept(_) => Fit::Divergence(value, without),
            Told::Folded(_) => Fit::Balance(value, without),
        })
    }

    fn value(&self, seen: &Seen, left_out: Option<usize>) -> f64 {
        let moments = |layer: &[(Vec<f64>, Vec<f64>)], c: usize| {
            let kept = || layer.iter().enumerate().filter(|(i, _)| Some(*i) != left_out).map(|(_, row)| row);
            let count = kept().count() as f64;
            let mean = kept().map(|r| r.0[c]).sum::<f64>() / count;
            (mean, kept().map(|r| r.1[c]).sum::<f64>() / count - mean * mean)
        };
        let of_layers: Vec<f64> = match &self.told {
            Told::Kept(all) => all
                .iter()
                .zip(seen)
                .filter_map(|(n, layer)| {
                    let alive = (0..n.scale.len()).filter(|&c| n.scale[c].abs() > DEAD);
                    let divergences: Vec<f64> = alive
                        .map(|c| {
                            let (mean, variance) = moments(layer, c);
                            let scale = f64::from(n.scale[c]);
                            divergence((mean - f64::from(n.shift[c])) / scale, variance / (scale * scale))
                        })
                        .collect();
                    mean_of(&divergences)
                })
                .collect(),
            Told::Folded(all) => all
                .iter()
                .zip(seen)
                .filter_map(|(b, layer)| {
                    let sums: Vec<f64> = (0..b.bias.len()).map(|c| moments(layer, c).0).collect();
                    balance(&sums, &b.bias)
                })
                .collect(),
        };
        mean_of(&of_layers).unwrap_or(f64::NAN)
    }
}

fn mean_of(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Kullback–Leibler divergence of a normal distribution from the standard normal distribution, in nats.
fn divergence(mean: f64, variance: f64) -> f64 {
    let variance = variance.max(1e-12);
    (variance + mean * mean - 1.0 - variance.ln()) / 2.0
}

/// B of one layer, from the means of its channels with the bias; `None` if all are equal.
fn balance(sums: &[f64], bias: &[f32]) -> Option<f64> {
    let variance = |values: &mut dyn Iterator<Item = f64>| {
        let values: Vec<f64> = values.collect();
        let mean = mean_of(&values)?;
        mean_of(&values.iter().map(|v| (v - mean).powi(2)).collect::<Vec<f64>>())
    };
    let of_bias = variance(&mut bias.iter().map(|&b| f64::from(b)))?;
    let of_rest = variance(&mut sums.iter().zip(bias).map(|(s, &b)| s - f64::from(b)))?;
    let of_sums = variance(&mut sums.iter().copied())?;
    let gain = ((of_bias + of_rest) / of_sums).ln() / 2.0;
    (of_bias > 0.0 && gain.is_finite()).then_some(gain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_in_training_has_no_divergence_and_a_bias_that_cancels_is_told() {
        assert_eq!(divergence(0.0, 1.0), 0.0);
        assert!((divergence(1.0, 1.0) - 0.5).abs() < 1e-12 && divergence(0.0, 4.0) > 0.8);
        let bias = [1.0, -2.0, 3.0];
        // For the opposite of b, little is left; for values unrelated to b, the variances add up.
        let near = balance(&[0.1, 0.0, 0.1], &bias).unwrap();
        let far = balance(&[1.0, -2.0, 3.0], &bias).unwrap();
        assert!(near > 3.0 && far.abs() < 1e-12, "{near} {far}");
        assert_eq!(balance(&[1.0, 2.0], &[0.0, 0.0]), None);
    }
}
