//! Feature maps of which only every stride-th position is read: reduces them to the positions that are read.

use std::collections::HashSet;

use super::pointwise_strides::is_pointwise;
use crate::builder::{Builder, Expr};
use crate::error::Result;
use crate::graph::{Attr, Graph, Node, ValueId};

/// Where all readers of a value read the same subset of its positions (1×1 windows with strides: the early ResNets of Caffe and Keras),
/// slices these positions out once for all readers. The result of the slice is a value that can be masked; a mask on the value before
/// it would be a lattice, since most of its entries have no effect.
///
/// # Errors
/// [`crate::error::GraphError`] if the graph is malformed.
pub(super) fn cut_out_what_is_read(graph: &mut Graph) -> Result<()> {
    let strided: Vec<(ValueId, Vec<i64>)> = graph.value_ids().filter_map(|id| read_at(graph, id)).collect();
    if strided.is_empty() {
        return Ok(());
    }
    let mut nodes: std::collections::VecDeque<Node> = std::mem::take(&mut graph.nodes).into();
    let builder = Builder::new(std::mem::take(graph));
    let mut cut: Vec<(ValueId, ValueId)> = vec![];
    while let Some(mut node) = nodes.pop_front() {
        let place = node.input(0).and_then(|id| strided.iter().find(|(value, _)| *value == id));
        if let (true, Some((value, steps))) = (window_steps(&node).is_some(), place) {
            let known = cut.iter().find(|(from, _)| from == value).map(|(_, taken)| *taken);
            let taken = known.unwrap_or_else(|| {
                let taken = builder.made_from(&node, || cut_out(builder.value(*value), steps));
                cut.push((*value, taken));
                taken
            });
            if node.op == "Conv" {
                node.inputs[0] = Some(taken);
                node.attrs.insert("strides".into(), Attr::Ints(vec![1; 2]));
            } else {
                // A pool over a single position is that position.
                let attrs = Default::default();
                node = Node { op: "Identity".to_string(), inputs: vec![Some(taken)], attrs, ..node };
            }
        }
        builder.push(node);
    }
    *graph = builder.finish()?;
    Ok(())
}

/// Every step-th position of a value, named after it.
fn cut_out(value: Expr<'_>, steps: &[i64]) -> ValueId {
    let taken = value.slice(&[2, 3], &[0, 0], &[i64::from(i32::MAX); 2], steps).id();
    value.builder().with_mut(|g| {
        let name = format!("{}_read", g.name(value.id()));
        if g.find(&name).is_none() {
            g.rename(taken, &name);
            // The node takes the value's original name; the next slice may ask for the same one.
            if let Some(node) = g.nodes.last_mut() {
                node.name = name;
            }
        }
    });
    taken
}

/// The steps at which all readers read a value, if they are equal and not all one.
fn read_at(graph: &Graph, id: ValueId) -> Option<(ValueId, Vec<i64>)> {
    if graph.outputs.contains(&id) || graph.constant(id).is_some() {
        return None;
    }
    let mut readers = graph.nodes.iter().filter(|n| n.inputs.contains(&Some(id)));
    let steps = readers.next().and_then(window_steps)?;
    readers.all(|n| window_steps(n).as_ref() == Some(&steps)).then_some((id, steps))
}

/// The strides of a node whose windows are a single position each.
fn window_steps(node: &Node) -> Option<Vec<i64>> {
    let pool = matches!(node.op.as_str(), "MaxPool" | "AveragePool")
        && node.domain.is_empty()
        && node.outputs.len() == 1
        && node.ints("kernel_shape").is_some_and(|k| k.iter().all(|&n| n == 1))
        && node.ints("pads").is_none_or(|p| p.iter().all(|&n| n == 0))
        && node.int("ceil_mode", 0) == 0;
    let strides = node.ints("strides").filter(|s| s.len() == 2 && s.iter().any(|&n| n != 1));
    strides.filter(|_| pool || is_pointwise(node)).map(<[i64]>::to_vec)
}

/// Values of which only some positions are read, directly or through operators that work position by position.
pub fn read_in_parts(graph: &Graph) -> HashSet<ValueId> {
    const BY_PLACE: [&str; 12] = [
        "Relu",
        "LeakyRelu",
        "Clip",
        "Sigmoid",
        "HardSwish",
        "HardSigmoid",
        "Elu",
        "PRelu",
        "BatchNormalization",
        "Identity",
        "Tanh",
        "Dropout",
    ];
    let mut parts = HashSet::new();
    let mut readers: std::collections::HashMap<ValueId, Vec<&Node>> = std::collections::HashMap::new();
    for node in &graph.nodes {
        node.inputs.iter().flatten().for_each(|&id| readers.entry(id).or_default().push(node));
    }
    for node in graph.nodes.iter().rev() {
        for &id in node.outputs.iter().flatten().filter(|id| !graph.outputs.contains(id)) {
            let in_parts = |n: &&Node| {
                is_cut(graph, n)
                    || (BY_PLACE.contains(&n.op.as_str())
                        && n.outputs.iter().flatten().all(|o| parts.contains(o)))
            };
            if readers.get(&id).is_some_and(|all| all.iter().all(in_parts)) {
                parts.insert(id);
            }
        }
    }
    parts
}

/// Whether a node selects every n-th position and does nothing else.
fn is_cut(graph: &Graph, node: &Node) -> bool {
    let steps = || node.input(4).and_then(|id| graph.known_ints(id));
    window_steps(node).is_some() || (node.op == "Slice" && steps().is_some_and(|s| s.iter().any(|&n| n > 1)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::cut_out_what_is_read;
    use crate::builder::Builder;
    use crate::graph::{Attr, Graph, ValueId};
    use crate::shape::Dim;
    use crate::tensor::{DataType, Tensor};

    #[test]
    fn every_cut_has_a_node_of_its_own_name() {
        let b = Builder::new(Graph::new(18));
        let size = [Dim::Batch(1), Dim::Fixed(2), Dim::Fixed(8), Dim::Fixed(8)];
        let halved = |x: ValueId| {
            let weight = b.constant(Tensor::full(&[2, 2, 1, 1], 1.0));
            let attributes = [
                ("kernel_shape", Attr::Ints(vec![1; 2])),
                ("strides", Attr::Ints(vec![2; 2])),
                ("pads", Attr::Ints(vec![0; 4])),
            ];
            b.value(x).op("Relu", &[], &[]).op("Conv", &[weight], &attributes).id()
        };
        let once = halved(b.input("x", DataType::Float, &size).id());
        let twice = halved(once);
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![twice];
        cut_out_what_is_read(&mut graph).unwrap();
        assert_eq!(graph.nodes.iter().filter(|n| n.op == "Slice").count(), 2);
        let names: HashSet<&str> = graph.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names.len(), graph.nodes.len());
    }
}
