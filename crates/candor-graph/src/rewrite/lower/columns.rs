//! Col2Im: columns of windows back to an image.

use super::required;
use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Node};
use crate::tensor::Tensor;

/// Maximum number of weights of the convolution that replaces a node.
const MOST_WEIGHTS: usize = 1 << 24;

/// Adds up the columns of all windows, each element at its position: a transposed convolution with one group per channel, whose
/// kernels each have a single 1.
pub(super) fn col2im<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let ints = |i: usize| n.input(i).and_then(|id| b.with(|g| g.known_ints(id)));
    let (Some(image), Some(block)) = (ints(1), ints(2)) else { return Ok(None) };
    let window = |name: &str, default: Vec<i64>| n.ints(name).map_or(default, <[i64]>::to_vec);
    let (strides, dilations) = (window("strides", vec![1; 2]), window("dilations", vec![1; 2]));
    let pads = window("pads", vec![0; 4]);
    let two = [&image, &block, &strides, &dilations].map(Vec::len) == [2; 4] && pads.len() == 4;
    if !two {
        return Err(GraphError::unsupported(n, "only images of two dimensions are supported"));
    }
    let columns = required(b, n, 0)?;
    let shape = columns.shape()?;
    let [_, depth, count] = &shape[..] else {
        return Err(GraphError::shapes(n, "its columns are not N×C×L"));
    };
    let (Some(depth), Some(count)) = (depth.fixed(), count.fixed()) else { return Ok(None) };
    let unfit = || GraphError::shapes(n, "its columns are not those of windows over such an image");
    let small = |v: &&Vec<i64>| v.iter().all(|&k| (1..=1 << 20).contains(&k));
    if ![&image, &block, &strides, &dilations].iter().all(small)
        || !pads.iter().all(|p| (0..=1 << 20).contains(p))
    {
        return Err(unfit());
    }
    // Number of windows along an axis, and the elements of the image that they leave over.
    let axis = |a: usize| -> Result<(i64, i64)> {
        let room = image[a] + pads[a] + pads[a + 2] - dilations[a] * (block[a] - 1) - 1;
        if room < 0 { Err(unfit()) } else { Ok((room / strides[a] + 1, room % strides[a])) }
    };
    let ((rows, below), (across, beside)) = (axis(0)?, axis(1)?);
    let taps = (block[0] * block[1]) as usize;
    let fits = depth > 0 && depth % taps == 0 && count as i64 == rows * across;
    if !fits || depth.checked_mul(taps).is_none_or(|w| w > MOST_WEIGHTS) {
        return Err(unfit());
    }
    let mut ones = vec![0.0; depth * taps];
    (0..depth).for_each(|i| ones[i * taps + i % taps] = 1.0);
    let weight = Tensor::floats(&[depth, 1, block[0] as usize, block[1] as usize], ones)?;
    let attributes = [
        ("kernel_shape", Attr::Ints(block)),
        ("strides", Attr::Ints(strides)),
        ("dilations", Attr::Ints(dilations)),
        ("pads", Attr::Ints(pads)),
        ("output_padding", Attr::Ints(vec![below, beside])),
        ("group", Attr::Int((depth / taps) as i64)),
    ];
    let grid = columns.reshape(&[0, depth as i64, rows, across]);
    Ok(Some(vec![grid.op("ConvTranspose", &[b.constant(weight)], &attributes)]))
}
