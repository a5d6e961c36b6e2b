//! Where a classifier's logits are: which of its outputs has the classes, and what stands behind a softmax, a sigmoid, a TopK or an ArgMax.

use candor_graph::builder::Builder;
use candor_graph::error::GraphError;
use candor_graph::graph::{Graph, Node, ValueId};
use candor_graph::shape::{self, Dim};
use candor_graph::tensor::DataType;

use super::{ModelOptions, unknown_value};
use crate::error::{Error, ModelError, Result};

/// How the logits were found, which results state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The output is the logits.
    Logits,
    /// The output is a softmax; the logits are its input.
    Softmax,
    /// The output is a sigmoid per class (labels do not exclude each other); the logits are its input.
    MultiLabel,
    /// The output is one logit z, or its sigmoid: two classes that exclude each other, with the logits −z and z.
    Binary,
    /// The output is probabilities whose logits cannot be found; the scores are their logarithms.
    LogProbability,
}

impl Head {
    /// Whether a class has a probability of its own: the sigmoid of its logit, which is its log-odds.
    pub fn is_sigmoid(self) -> bool {
        matches!(self, Head::MultiLabel | Head::Binary)
    }

    /// Whether a photo has one class only: chance is then a bound of what counts as evidence.
    pub fn is_exclusive(self) -> bool {
        self != Head::MultiLabel
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Head::Logits => "logits",
            Head::Softmax => "softmax; its input is taken as logits",
            Head::MultiLabel => "sigmoid per class; its input is taken as logits",
            Head::Binary => "one logit: class 1 where it is above 0, class 0 where it is below",
            Head::LogProbability => "probabilities without logits; their logarithms are taken",
        }
    }
}

/// The logits of a model.
pub(super) struct Found {
    /// Their value, N×K: of one logit z, N×2 with −z and z.
    pub logits: ValueId,
    pub head: Head,
    /// Name of the output that they are behind.
    pub output: String,
    /// Names and shapes of the other outputs.
    pub others: Vec<String>,
    /// What a user must know.
    pub notes: Vec<String>,
}

/// Finds the logits: the value that the options name, or what is behind the output that they name, or behind the only output that has
/// classes.
pub(super) fn find(graph: &mut Graph, options: &ModelOptions, path: &str) -> Result<Found> {
    let at = |e| Error::graph(path, e);
    let outputs: Vec<Scores> = graph.outputs.iter().filter_map(|&id| Scores::behind(graph, id)).collect();
    let chosen = match (&options.output, &options.logits) {
        (Some(name), _) => of_output(graph, &outputs, name).map_err(|e| Error::model(path, e))?,
        (None, Some(name)) => {
            let found = graph.find(name).filter(|&id| graph.shape(id).is_some());
            let id = found.ok_or_else(|| at(unknown_value(graph, name, "logits")))?;
            of_value(graph, &outputs, id).map_err(|e| Error::model(path, e))?
        }
        (None, None) => only(graph, &outputs).map_err(|e| Error::model(path, e))?,
    };
    let described = |&id: &ValueId| (id != chosen.output).then(|| describe(graph, id));
    let others = graph.outputs.iter().filter_map(described).collect();
    let output = graph.name(chosen.output).to_string();
    let (logits, head) = chosen.as_rows(graph).map_err(at)?;
    Ok(Found { logits, head, output, others, notes: chosen.notes })
}

/// The scores behind one output.
#[derive(Clone, Debug)]
struct Scores {
    /// The output.
    output: ValueId,
    /// The scores as the graph has them.
    value: ValueId,
    head: Head,
    notes: Vec<String>,
}

impl Scores {
    /// What is behind a value; `None` if that is not a row of scores for each image.
    fn behind(graph: &Graph, output: ValueId) -> Option<Self> {
        let producers = graph.producers();
        let producer = |id: ValueId| producers.get(&id).map(|&i| &graph.nodes[i]);
        let mut scores = Scores { output, value: output, head: Head::Logits, notes: vec![] };
        let mut at = output;
        let mut clipped = false;
        while let Some(node) = producer(at)
            && let Some(input) = node.input(0)
        {
            let on_axis = |scores: &mut Scores| scores.check_axis(graph, node, input);
            match node.op.as_str() {
                // These move nothing.
                "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" | "Cast" => {}
                // At the most, a sigmoid's values are cut off before 0 and 1.
                "Clip" => clipped = true,
                "TopK" | "ArgMax" => {
                    on_axis(&mut scores);
                    (scores.value, scores.head, clipped) = (input, Head::Logits, false);
                }
                "Softmax" | "LogSoftmax" if !clipped => {
                    on_axis(&mut scores);
                    (scores.value, scores.head) = (input, Head::Softmax);
                    break;
                }
                "Sigmoid" => {
                    (scores.value, scores.head) = (input, Head::MultiLabel);
                    break;
                }
                _ => break,
            }
            at = input;
        }
        let float = graph.value(scores.value).dtype == Some(DataType::Float);
        let classes = classes(graph, scores.value).filter(|_| float)?;
        if classes == 1 && scores.head == Head::Softmax {
            scores.notes.push(format!(
                "the softmax of output '{}' is over one class, so that the model answers 1 for every image; its input is taken as a logit",
                graph.name(output)
            ));
        }
        Some(scores)
    }

    /// Notes an operator over the classes that is not along their axis.
    fn check_axis(&mut self, graph: &Graph, node: &Node, input: ValueId) {
        let Some(shape) = graph.shape(input) else { return };
        let default = if node.op == "ArgMax" { 0 } else { -1 };
        let axis = node.int("axis", default).rem_euclid(shape.len().max(1) as i64) as usize;
        let classes = shape.iter().skip(1).any(|d| d.fixed().is_some_and(|n| n > 1));
        if axis == 0 && shape.len() > 1 && classes {
            self.notes.push(format!(
                "the {} of output '{}' is over the batch and not over the classes (node '{}'): what the model itself answers depends on the \
                 other images of the batch. Its input is taken as the logits; export it again with axis=1",
                node.op,
                graph.name(self.output),
                node.shown().node
            ));
        }
    }

    /// The scores as N×K, with the head that K tells: one logit z is −z and z.
    fn as_rows(&self, graph: &mut Graph) -> Result<(ValueId, Head), GraphError> {
        let shape = graph.shape(self.value).unwrap_or_default();
        let classes = classes(graph, self.value).unwrap_or(0);
        if classes != 1 && shape.len() == 2 {
            return Ok((self.value, self.head));
        }
        let builder = Builder::new(std::mem::take(graph));
        let value = builder.value(self.value);
        let rows = match shape.len() {
            2 => value,
            1 => value.reshape(&[-1, classes as i64]),
            _ => value.op("Flatten", &[], &[]),
        };
        let (rows, head) = match classes {
            1 => (builder.concat(&[-rows, rows], 1), Head::Binary),
            _ => (rows, self.head),
        };
        let rows = rows.id();
        *graph = builder.finish()?;
        Ok((rows, head))
    }
}

/// Classes of a value that is one row of scores for each image: N×K, N×K×1×1 and the like; N, which is one logit; K alone, where the
/// exporter took the batch of one away. `None` for another value.
fn classes(graph: &Graph, id: ValueId) -> Option<usize> {
    let shape = graph.shape(id)?;
    let images = graph.inputs.first().and_then(|&id| graph.shape(id)?.first().copied());
    match shape[..] {
        [Dim::Batch(1)] => Some(1),
        [Dim::Fixed(n)] if images == Some(Dim::Fixed(1)) => Some(n),
        [Dim::Fixed(n)] if images == Some(Dim::Fixed(n)) => Some(1),
        [first, ref rest @ ..] if !rest.is_empty() => {
            let mut large = rest.iter().filter(|d| **d != Dim::Fixed(1));
            let classes = large.next().map_or(Some(1), |d| d.fixed());
            let one_row = images.is_none_or(|n| n == first || first == Dim::Unknown);
            classes.filter(|&k| k > 0 && large.next().is_none() && one_row)
        }
        _ => None,
    }
}

/// `'logits' N×1000`
fn describe(graph: &Graph, id: ValueId) -> String {
    format!("'{}' {}", graph.name(id), shape::display(graph.shape(id).as_deref()))
}

fn described(graph: &Graph, outputs: impl Iterator<Item = ValueId>) -> String {
    let all: Vec<String> = outputs.map(|id| describe(graph, id)).collect();
    if all.is_empty() { "there are none".to_string() } else { all.join(", ") }
}

/// The scores behind the output of that name.
fn of_output(graph: &Graph, outputs: &[Scores], name: &str) -> Result<Scores, ModelError> {
    if let Some(found) = outputs.iter().find(|s| graph.name(s.output) == name) {
        return Ok(found.clone());
    }
    let known = described(graph, graph.outputs.iter().copied());
    match graph.outputs.iter().find(|&&id| graph.name(id) == name) {
        Some(&id) => Err(ModelError::OutputWithoutClasses { output: describe(graph, id), outputs: known }),
        None => Err(ModelError::UnknownOutput { name: name.to_string(), outputs: known }),
    }
}

/// The scores that a named value holds, or is made of.
fn of_value(graph: &Graph, outputs: &[Scores], id: ValueId) -> Result<Scores, ModelError> {
    // The head that an output makes of this very value.
    if let Some(found) = outputs.iter().find(|s| s.value == id) {
        return Ok(found.clone());
    }
    let output = graph.outputs.first().copied().unwrap_or(id);
    let behind = Scores::behind(graph, id).map(|s| Scores { output, ..s });
    behind.ok_or_else(|| ModelError::NotClasses { shape: shape::display(graph.shape(id).as_deref()) })
}

/// The only scores there are.
fn only(graph: &Graph, outputs: &[Scores]) -> Result<Scores, ModelError> {
    let Some(first) = outputs.first() else {
        let outputs = described(graph, graph.outputs.iter().copied());
        return Err(ModelError::NoClassOutput { outputs });
    };
    let mut different: Vec<&Scores> = vec![];
    for scores in outputs {
        if different.iter().all(|d| d.value != scores.value) {
            different.push(scores);
        }
    }
    if different.len() > 1 {
        let outputs = described(graph, different.iter().map(|s| s.output));
        return Err(ModelError::SeveralOutputs { outputs });
    }
    // Of several forms of the same logits, the one that says more about them.
    let told = outputs.iter().find(|s| s.head != Head::Logits);
    Ok(told.unwrap_or(first).clone())
}
