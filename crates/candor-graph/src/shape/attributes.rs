//! Checks a node's attributes against the ranks of its inputs: axes that exist, a kernel size for each spatial axis, numbers
//! that come in pairs. Inference, passes and rules index by what is checked here.

use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, ValueId};
use crate::onnx::upgrade::FLATTENED;

/// Checks a node whose inputs all have known ranks.
///
/// # Errors
/// [`GraphError::ShapeMismatch`] that names what does not fit.
pub(super) fn check(graph: &Graph, node: &Node) -> Result<()> {
    let given = Given { graph, node };
    if let Some(least) = least_rank(&node.op) {
        given.rank_from(least)?;
    }
    match node.op.as_str() {
        "Conv" | "ConvTranspose" | "ConvInteger" | "QLinearConv" => given.convolution(),
        "MaxPool" | "AveragePool" | "LpPool" => given.window(given.rank()?.saturating_sub(2)),
        "Transpose" => given.permutation(),
        "Slice" => given.slice(),
        "Pad" => given.pads(),
        "Tile" => given.one_for_each_axis(1),
        "Resize" | "Upsample" => given.sizes(),
        "DepthToSpace" | "SpaceToDepth" => given.blocks(),
        "GroupNormalization" => given.groups(),
        "Split" => given.parts(),
        "Concat" => given.same_ranks(),
        "Gemm" => given.matrices(),
        "Attention" => given.attention(),
        _ => Ok(()),
    }?;
    given.axis()?;
    given.axes()
}

/// Minimum rank of the first input, for operators that need more than a scalar.
fn least_rank(op: &str) -> Option<usize> {
    Some(match op {
        "Conv"
        | "ConvTranspose"
        | "ConvInteger"
        | "QLinearConv"
        | "MaxPool"
        | "AveragePool"
        | "LpPool"
        | "GlobalAveragePool"
        | "GlobalMaxPool"
        | "GlobalLpPool"
        | "InstanceNormalization"
        | "LRN" => 3,
        "BatchNormalization" | "GroupNormalization" | "Gemm" | "Trilu" => 2,
        "Concat" | "Gather" | "GatherElements" | "GatherND" | "Hardmax" | "LayerNormalization"
        | "LogSoftmax" | "LpNormalization" | "MatMul" | "QLinearMatMul" | "MatMulInteger"
        | "RMSNormalization" | "ScatterElements" | "ScatterND" | "Slice" | "Softmax" | "Split" | "TopK" => 1,
        _ => return None,
    })
}

/// A node and its graph.
struct Given<'a> {
    graph: &'a Graph,
    node: &'a Node,
}

impl Given<'_> {
    fn fail<T>(&self, reason: String) -> Result<T> {
        Err(GraphError::shapes(self.node, reason))
    }

    fn rank_of(&self, i: usize) -> Option<usize> {
        self.graph.sym(self.node.input(i)?).ndim()
    }

    fn rank(&self) -> Result<usize> {
        match self.rank_of(0) {
            Some(rank) => Ok(rank),
            None => self.fail("input 0 is missing".to_string()),
        }
    }

    fn rank_from(&self, least: usize) -> Result<()> {
        match self.rank()? {
            rank if rank < least => self.fail(format!("its input has rank {rank}, not at least {least}")),
            _ => Ok(()),
        }
    }

    fn known(&self, i: usize) -> Option<Vec<i64>> {
        self.graph.known_ints(self.node.input(i)?)
    }

    fn size(&self, id: Option<ValueId>, axis: usize) -> Option<i64> {
        Some(self.graph.shape(id?)?.get(axis)?.fixed()? as i64)
    }

    fn within(&self, what: &str, axes: &[i64], rank: usize) -> Result<()> {
        let range = -(rank as i64)..rank as i64;
        match axes.iter().find(|a| !range.contains(a)) {
            Some(axis) => self.fail(format!("{what} {axis} does not exist in rank {rank}")),
            None => Ok(()),
        }
    }

    /// The attribute `axis`.
    fn axis(&self) -> Result<()> {
        let node = self.node;
        let Some(&Attr::Int(axis)) = node.attrs.get("axis") else { return Ok(()) };
        let rank = match node.op.as_str() {
            "QuantizeLinear" | "DequantizeLinear" if self.rank_of(1) == Some(0) => return Ok(()),
            // The axis may be one past the last, which flattens into columns of one.
            "Flatten" | "OneHot" => self.rank()? + 1,
            _ if node.attrs.contains_key(FLATTENED) => self.rank()? + 1,
            _ => self.rank()?,
        };
        self.within("axis", &[axis], rank)
    }

    /// The axes that an attribute or an input lists.
    fn axes(&self) -> Result<()> {
        let at = match self.node.op.as_str() {
            "Slice" | "Pad" => 3,
            op if op.starts_with("Reduce") || op == "Squeeze" => 1,
            "Unsqueeze" => {
                let axes = self.known(1).unwrap_or_default();
                return self.within("axis", &axes, self.rank()? + axes.len());
            }
            "MeanVarianceNormalization" => usize::MAX,
            _ => return Ok(()),
        };
        let listed = self.known(at).or_else(|| self.node.ints("axes").map(<[i64]>::to_vec));
        self.within("axis", &listed.unwrap_or_default(), self.rank()?)
    }

    fn convolution(&self) -> Result<()> {
        let at = if self.node.op == "QLinearConv" { 3 } else { 1 };
        let (rank, weight) = (self.rank()?, self.rank_of(at));
        if weight.is_some_and(|w| w != rank) {
            return self.fail(format!("its input has rank {rank}, its weight {}", weight.unwrap_or(0)));
        }
        self.window(rank - 2)?;
        let group = self.node.int("group", 1);
        if group < 1 {
            return self.fail(format!("group is {group}"));
        }
        let (x, w) = (self.node.input(0), self.node.input(at));
        let (channels, filters, each) = (self.size(x, 1), self.size(w, 0), self.size(w, 1));
        if filters.is_some_and(|n| n % group != 0) || channels.is_some_and(|n| n % group != 0) {
            return self.fail(format!("its channels cannot be split into {group} groups"));
        }
        let (read, wanted) = match self.node.op.as_str() {
            "ConvTranspose" => (channels, filters),
            _ => (channels, each.and_then(|n| n.checked_mul(group))),
        };
        match (read, wanted) {
            (Some(read), Some(wanted)) if read != wanted => {
                self.fail(format!("its weight reads {wanted} channels, its input has {read}"))
            }
            _ => Ok(()),
        }
    }

    /// Kernel, strides, dilations and pads for `axes` spatial axes.
    fn window(&self, axes: usize) -> Result<()> {
        for (name, count, least) in [
            ("kernel_shape", axes, 1),
            ("strides", axes, 1),
            ("dilations", axes, 1),
            ("pads", 2 * axes, i64::MIN),
            ("output_padding", axes, 0),
        ] {
            let Some(values) = self.node.ints(name) else { continue };
            let fits = |v: &i64| *v >= least && v.unsigned_abs() <= MOST as u64;
            if values.len() != count || !values.iter().all(fits) {
                return self.fail(format!("{name} {values:?} does not fit {axes} spatial axes"));
            }
        }
        Ok(())
    }

    fn permutation(&self) -> Result<()> {
        let Some(perm) = self.node.ints("perm") else { return Ok(()) };
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if sorted.iter().copied().ne(0..self.rank()? as i64) {
            return self.fail(format!("perm {perm:?} is no order of {} axes", self.rank()?));
        }
        Ok(())
    }

    fn slice(&self) -> Result<()> {
        let lengths: Vec<usize> = (1..5).filter_map(|i| self.known(i)).map(|v| v.len()).collect();
        if lengths.windows(2).any(|w| w[0] != w[1]) || lengths.iter().any(|&n| n > self.rank().unwrap_or(0)) {
            return self.fail("starts, ends, axes and steps do not belong together".to_string());
        }
        match self.known(4) {
            Some(steps) if steps.contains(&0) => self.fail("a step is 0".to_string()),
            Some(steps) if steps.iter().any(|s| i32::try_from(s.unsigned_abs()).is_err()) => {
                self.fail(format!("steps {steps:?} are too large"))
            }
            _ => Ok(()),
        }
    }

    fn pads(&self) -> Result<()> {
        let Some(pads) = self.known(1) else { return Ok(()) };
        let axes = match self.node.input(3) {
            None => self.rank()?,
            Some(_) => match self.known(3) {
                Some(axes) => axes.len(),
                None => return Ok(()),
            },
        };
        if pads.len() != 2 * axes || pads.iter().any(|p| p.unsigned_abs() > MOST as u64) {
            return self.fail(format!("pads {pads:?} do not fit {axes} axes"));
        }
        Ok(())
    }

    fn one_for_each_axis(&self, i: usize) -> Result<()> {
        match self.known(i) {
            Some(v) if v.len() != self.rank()? || v.iter().any(|&n| n < 0) => {
                self.fail(format!("{v:?} does not fit rank {}", self.rank()?))
            }
            _ => Ok(()),
        }
    }

    fn sizes(&self) -> Result<()> {
        if self.node.ints("axes").is_some() {
            return Ok(());
        }
        self.one_for_each_axis(3)?;
        let factors = self.node.input(2).and_then(|id| self.graph.constant(id)?.as_floats());
        match factors {
            Some(f)
                if !f.is_empty()
                    && (f.len() != self.rank()? || f.iter().any(|v| !(*v > 0.0 && *v < 1e6))) =>
            {
                self.fail(format!("scales {f:?} do not fit rank {}", self.rank()?))
            }
            _ => Ok(()),
        }
    }

    fn blocks(&self) -> Result<()> {
        let (block, rank) = (self.node.int("blocksize", 0), self.rank()?);
        if !(1..=MOST).contains(&block) || rank != 4 {
            return self.fail(format!("blocksize {block} does not fit rank {rank}"));
        }
        let size = |axis| self.size(self.node.input(0), axis);
        let fits = |size: Option<i64>, by: i64| size.is_none_or(|n| n % by == 0);
        let whole = match self.node.op.as_str() {
            "DepthToSpace" => block.checked_mul(block).is_some_and(|b| fits(size(1), b)),
            _ => fits(size(2), block) && fits(size(3), block),
        };
        if whole { Ok(()) } else { self.fail(format!("its input cannot be cut into blocks of {block}")) }
    }

    fn groups(&self) -> Result<()> {
        let groups = self.node.int("num_groups", 1);
        match self.size(self.node.input(0), 1) {
            _ if groups < 1 => self.fail(format!("num_groups is {groups}")),
            Some(n) if n % groups != 0 => {
                self.fail(format!("{n} channels cannot be split into {groups} groups"))
            }
            _ => Ok(()),
        }
    }

    fn parts(&self) -> Result<()> {
        match self.known(1) {
            Some(v) if v.len() != self.node.outputs.len() || v.iter().any(|&n| n < 0) => {
                self.fail(format!("split {v:?} does not fit {} outputs", self.node.outputs.len()))
            }
            _ => Ok(()),
        }
    }

    /// Two matrices, and what can be added to their product.
    fn matrices(&self) -> Result<()> {
        match (0..3).find(|&i| self.rank_of(i).is_some_and(|rank| rank > 2 || (i == 1 && rank < 2))) {
            Some(i) => {
                self.fail(format!("input {i} is not a matrix but has rank {}", self.rank_of(i).unwrap_or(0)))
            }
            None => Ok(()),
        }
    }

    /// Queries, keys and values of equal rank, with heads separate or joined.
    fn attention(&self) -> Result<()> {
        let ranks: Vec<Option<usize>> = (0..3).map(|i| self.rank_of(i)).collect();
        match ranks[..] {
            [Some(q), Some(k), Some(v)] if (3..=4).contains(&q) && q == k && k == v => Ok(()),
            _ => self.fail(format!("queries, keys and values have the ranks {ranks:?}, not all 3 or all 4")),
        }
    }

    fn same_ranks(&self) -> Result<()> {
        let rank = self.rank()?;
        match (0..self.node.inputs.len()).find(|&i| self.rank_of(i) != Some(rank)) {
            Some(i) => self.fail(format!("input {i} is not of rank {rank} as the first is")),
            None => Ok(()),
        }
    }
}

/// Largest absolute value of any integer attribute.
const MOST: i64 = 1 << 24;
