//! A classifier's input: the image, with known sizes, N×C×H×W; pixels as floats; other inputs as constants.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use candor_graph::graph::{Graph, ValueId};
use candor_graph::shape::{self, Dim};
use candor_graph::tensor::{DataType, Tensor, TensorData};
use candor_graph::{insert, memory, rewrite};

use super::ModelOptions;
use crate::error::ModelError;
use crate::image::{Layout, MAX_PIXELS, MAX_SIDE};

/// The image input.
pub(super) struct ImageInput {
    /// N×C×H×W, float.
    pub value: ValueId,
    /// Whether the file takes integers: pixels of 0 to 255.
    pub whole_numbers: bool,
}

/// Refuses an input that is too large.
pub(super) fn check_input([channels, height, width]: [usize; 3], batch: usize) -> Result<(), ModelError> {
    let pixels = height as u64 * width as u64;
    let bytes = [channels, batch, size_of::<f32>()].iter().try_fold(pixels, |n, &k| n.checked_mul(k as u64));
    let fits = height.max(width) <= MAX_SIDE as usize
        && pixels <= MAX_PIXELS
        // Memory for the images and for the input made from them.
        && bytes.and_then(|n| n.checked_mul(2)).is_some_and(memory::is_available);
    if fits { Ok(()) } else { Err(ModelError::LargeInput { batch, channels, height, width }) }
}

/// Finds the only input of four axes and makes it float and N×C×H×W, with known sizes. All other inputs must have a value in the options.
pub(super) fn image_input(
    graph: &mut Graph,
    options: &ModelOptions,
    inputs: String,
) -> Result<ImageInput, ModelError> {
    fill(graph, &options.inputs, &inputs)?;
    let is_image = |t: DataType| !matches!(t, DataType::Bool);
    let images: Vec<(ValueId, Vec<Dim>)> = graph
        .inputs
        .iter()
        .filter(|&&id| graph.value(id).dtype.is_some_and(is_image))
        .filter_map(|&id| Some((id, graph.shape(id).filter(|s| s.len() == 4)?)))
        .collect();
    let [(input, shape)] = &images[..] else {
        return Err(ModelError::ImageInputs { count: images.len(), inputs });
    };
    if graph.inputs.len() > 1 {
        return Err(ModelError::OtherInputs { inputs });
    }
    let (input, shape) = (*input, shape.clone());
    let whole_numbers = graph.value(input).dtype != Some(DataType::Float);
    if whole_numbers {
        rewrite::take_floats(graph, input)?;
    }
    let is_channels = |d: Dim| matches!(d, Dim::Fixed(1 | 3));
    let layout = options.layout.unwrap_or(match (is_channels(shape[1]), is_channels(shape[3])) {
        (false, true) => Layout::Nhwc,
        _ => Layout::Nchw,
    });
    let order = if layout == Layout::Nhwc { [0, 3, 1, 2] } else { [0, 1, 2, 3] };
    let [batch, channels, height, width] = order.map(|i| shape[i]);
    // If exporters leave all sizes free, the weights still determine the number of channels.
    let channels =
        if channels == Dim::Unknown { read_channels(graph, input).unwrap_or(channels) } else { channels };
    if !is_channels(channels) {
        let channels = shape::display(Some(&[channels]));
        return Err(ModelError::Channels { channels, inputs });
    }
    let free = [height, width].contains(&Dim::Unknown);
    let size = match (options.size, free) {
        (Some(size), _) => size.map(Dim::Fixed),
        (None, false) => [height, width],
        (None, true) => return Err(ModelError::FreeSize { inputs }),
    };
    let known = |d: Dim, told: Dim| if d == Dim::Unknown { told } else { d };
    let nchw = [batch, channels, known(height, size[0]), known(width, size[1])];
    if layout == Layout::Nchw {
        graph.set_shape(input, &nchw);
        return Ok(ImageInput { value: input, whole_numbers });
    }
    graph.inputs.clear();
    let value = graph.add_input("image_nchw", DataType::Float, &nchw);
    let turned =
        insert::in_front(std::mem::take(graph), input, |b| Ok(b.value(value).transpose(&[0, 2, 3, 1])));
    (*graph, _) = turned?;
    // Keeps the name of the file's input, whose axes are in another order.
    graph.take_name(value, input);
    Ok(ImageInput { value, whole_numbers })
}

/// Turns each input for which there is a value into a constant filled with it.
fn fill(graph: &mut Graph, values: &BTreeMap<String, f64>, inputs: &str) -> Result<(), ModelError> {
    for (name, &value) in values {
        let Some(id) = graph.find(name).filter(|id| graph.inputs.contains(id)) else {
            return Err(ModelError::UnknownInput { name: name.clone(), inputs: inputs.to_string() });
        };
        // A free dimension is the batch or one.
        let shape: Vec<usize> =
            graph.shape(id).unwrap_or_default().iter().map(|d| d.fixed().unwrap_or(1)).collect();
        let count = shape.iter().product();
        let data = match graph.value(id).dtype.unwrap_or(DataType::Float) {
            DataType::Float => TensorData::Float(vec![value as f32; count]),
            DataType::Int64 => TensorData::Int64(vec![value as i64; count]),
            DataType::Int32 => TensorData::Int32(vec![value as i32; count]),
            DataType::Uint8 => TensorData::Uint8(vec![value as u8; count]),
            DataType::Int8 => TensorData::Int8(vec![value as i8; count]),
            DataType::Bool => TensorData::Bool(vec![value != 0.0; count]),
        };
        graph.set_constant(id, Arc::new(Tensor::new(shape, data)?));
        graph.inputs.retain(|input| *input != id);
    }
    Ok(())
}

/// Number of channels in the weights of the first convolution after the image.
fn read_channels(graph: &Graph, input: ValueId) -> Option<Dim> {
    let mut same = HashSet::from([input]);
    for node in &graph.nodes {
        if !node.input(0).is_some_and(|id| same.contains(&id)) {
            continue;
        }
        match node.op.as_str() {
            "Conv" => {
                let weight = node.input(1).and_then(|id| graph.constant(id))?;
                let group = node.int("group", 1).max(1) as usize;
                return Some(Dim::Fixed(weight.shape().get(1)? * group));
            }
            "Shape" => {}
            _ => same.extend(node.outputs.iter().flatten().copied()),
        }
    }
    None
}
