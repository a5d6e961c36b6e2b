//! Finds a classifier's logits: the output that has the classes, and the value before a softmax, a sigmoid, a TopK or an ArgMax.

use candor_graph::builder::Builder;
use candor_graph::error::GraphError;
use candor_graph::graph::{Graph, Node, ValueId};
use candor_graph::shape::{self, Dim};
use candor_graph::tensor::DataType;

use super::{ModelOptions, unknown_value};
use crate::error::{Error, ModelError, Result};

/// How the logits were found, as reported in results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The logits are the output.
    Logits,
    /// The output is a softmax; the logits are its input.
    Softmax,
    /// The output is a sigmoid per class (classes do not exclude each other); the logits are its input.
    MultiLabel,
    /// The output is one logit z, or its sigmoid: two classes that exclude each other, with the logits −z and z.
    Binary,
    /// The output is probabilities whose logits cannot be found; the scores are their logarithms.
    LogProbability,
}

impl Head {
    /// Whether each class has its own probability: the sigmoid of its logit, which is its log-odds.
    pub fn is_sigmoid(self) -> bool {
        matches!(self, Head::MultiLabel | Head::Binary)
    }

    /// Whether classes exclude each other: chance is then a lower bound of the null.
    pub fn is_exclusive(self) -> bool {
        self != Head::MultiLabel
    }

    /// The head in words.
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

/// The logits found in a model.
pub(super) struct Found {
    /// Their value, N×K; for one logit z, N×2 with −z and z.
    pub logits: ValueId,
    pub head: Head,
    /// Name of the output that is computed from them.
    pub output: String,
    /// Names and shapes of the other outputs.
    pub others: Vec<String>,
    /// What a user must know.
    pub notes: Vec<String>,
}

/// Finds the logits: the value that the options name, or those of the output that they name, or those of the only output that has
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

/// The scores from which an output is computed.
#[derive(Clone, Debug)]
struct Scores {
    /// The output.
    output: ValueId,
    /// The scores' value in the graph.
    value: ValueId,
    head: Head,
    notes: Vec<String>,
}

impl Scores {
    /// Finds the scores from which a value is computed; `None` if they are not one row per image.
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
                // These do not change the scores.
                "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" | "Cast" => {}
                // Usually keeps the values of a sigmoid away from 0 and 1.
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

    /// Adds a note if an operator over the classes does not work along their axis.
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

    /// The scores as N×K, and the head, which depends on K: one logit z becomes −z and z.
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

/// Number of classes of a value with one row of scores per image: N×K, N×K×1×1 and the like; N, which is one logit; K alone, if the
/// exporter removed the batch of one. `None` for another value.
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

/// The scores of the output with that name.
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

/// The scores that a named value holds or is computed from.
fn of_value(graph: &Graph, outputs: &[Scores], id: ValueId) -> Result<Scores, ModelError> {
    // If an output is computed from this very value, its head is used.
    if let Some(found) = outputs.iter().find(|s| s.value == id) {
        return Ok(found.clone());
    }
    let output = graph.outputs.first().copied().unwrap_or(id);
    let behind = Scores::behind(graph, id).map(|s| Scores { output, ..s });
    behind.ok_or_else(|| ModelError::NotClasses { shape: shape::display(graph.shape(id).as_deref()) })
}

/// The scores, if there is only one candidate.
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
    // If several outputs give the same logits, the one that says more about them.
    let told = outputs.iter().find(|s| s.head != Head::Logits);
    Ok(told.unwrap_or(first).clone())
}
