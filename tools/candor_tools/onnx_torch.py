"""Evaluate an ONNX classifier with PyTorch: small, readable, exact.

`OnnxModule` interprets the graph node by node with torch.nn.functional, so that PyTorch's autograd gives reference
gradients of the very graph that Candor rewrites. It runs in float32 (timings) or float64 (goldens), accepts hooks
on inner values (masks), and can start and stop anywhere (`feeds`, `fetch`).

    module = OnnxModule("model.onnx", dtype=torch.float64)
    logits = module(x)
    masked = module(x, values={"relu_70": lambda a: mask * a})
    inner, = module.run({"input": x}, ["relu_70"])

tools/parity/check_onnx_torch.py compares its forward pass with ONNX Runtime's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from math import ceil
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

Tensor = torch.Tensor
Hooks = dict[str, Callable[[Tensor], Tensor]]


# --- operators: OPERATORS[op_type](attributes, *inputs) -> tensor or tuple of tensors -------------------------------

OPERATORS: dict[str, Callable] = {}


def operator(*names: str):
    """Register a function as the implementation of one or more ONNX operators."""

    def register(function):
        for name in names:
            OPERATORS[name] = function
        return function

    return register


def integers(value) -> list[int]:
    """A list of Python integers from an attribute or a constant tensor."""
    return value.reshape(-1).tolist() if isinstance(value, Tensor) else list(value)


def window_pads(attributes: dict, size: Iterable[int], kernel: list[int]) -> tuple[list[int], list[int]]:
    """Explicit (begin, end) padding of a convolution or pooling window, with auto_pad resolved."""
    rank = len(kernel)
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto == "NOTSET":
        pads = attributes.get("pads", [0] * 2 * rank)
        return list(pads[:rank]), list(pads[rank:])
    begin, end = [0] * rank, [0] * rank
    if auto == "VALID":
        return begin, end
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    for i, (n, k, s, d) in enumerate(zip(size, kernel, strides, dilations)):
        total = max(0, (ceil(n / s) - 1) * s + (k - 1) * d + 1 - n)
        begin[i], end[i] = (total // 2, total - total // 2) if auto == "SAME_UPPER" else (total - total // 2, total // 2)
    return begin, end


def torch_pad(begin: list[int], end: list[int]) -> list[int]:
    """F.pad's order: last axis first, begin then end."""
    return [p for pair in zip(reversed(begin), reversed(end)) for p in pair]


@operator("Conv")
def conv(a, x, w, b=None):
    kernel, rank = list(w.shape[2:]), w.dim() - 2
    begin, end = window_pads(a, x.shape[2:], kernel)
    padding = begin
    if begin != end:
        x, padding = F.pad(x, torch_pad(begin, end)), [0] * rank
    function = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    return function(x, w, b, strides, padding, dilations, a.get("group", 1))


def pool_padding(a, x) -> tuple[list[int], list[int], list[int]]:
    """(begin, end, surplus): the stated padding, and what ceil_mode adds at the end so that flooring is exact.

    As in PyTorch and ONNX Runtime, ceil_mode drops a last window that would start in the end padding.
    """
    kernel = a["kernel_shape"]
    rank = len(kernel)
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    begin, end = window_pads(a, x.shape[2:], kernel)
    surplus = [0] * rank
    if a.get("ceil_mode", 0):
        for i, (n, k, s, d) in enumerate(zip(x.shape[2:], kernel, strides, dilations)):
            reach = (k - 1) * d + 1
            windows = ceil((n + begin[i] + end[i] - reach) / s) + 1
            if (windows - 1) * s >= n + begin[i]:
                windows -= 1
            surplus[i] = max(0, (windows - 1) * s + reach - (n + begin[i] + end[i]))
    return begin, end, surplus


@operator("MaxPool")
def max_pool(a, x):
    kernel, rank = a["kernel_shape"], len(a["kernel_shape"])
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    begin, end, surplus = pool_padding(a, x)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
    if begin == end and all(2 * p <= k for p, k in zip(begin, kernel)):
        return function(x, kernel, strides, begin, dilations, ceil_mode=bool(a.get("ceil_mode", 0)))
    x = F.pad(x, torch_pad(begin, [e + s for e, s in zip(end, surplus)]), value=-torch.inf)
    return function(x, kernel, strides, 0, dilations)


@operator("AveragePool")
def average_pool(a, x):
    kernel, rank = a["kernel_shape"], len(a["kernel_shape"])
    strides = a.get("strides", [1] * rank)
    begin, end, surplus = pool_padding(a, x)
    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
    if not any(begin + end + surplus):
        return function(x, kernel, strides)
    counted = torch.ones_like(x[:1, :1])
    counted = F.pad(counted, torch_pad(begin, end), value=float(a.get("count_include_pad", 0)))
    counted = F.pad(counted, torch_pad([0] * rank, surplus))
    x = F.pad(x, torch_pad(begin, [e + s for e, s in zip(end, surplus)]))
    return function(x, kernel, strides) / function(counted, kernel, strides)


@operator("GlobalAveragePool")
def global_average_pool(a, x):
    return x.mean(dim=tuple(range(2, x.dim())), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(a, x):
    return x.amax(dim=tuple(range(2, x.dim())), keepdim=True)


@operator("BatchNormalization")
def batch_normalization(a, x, scale, bias, mean, variance):
    return F.batch_norm(x, mean, variance, scale, bias, False, 0.0, a.get("epsilon", 1e-5))


@operator("LayerNormalization")
def layer_normalization(a, x, scale, bias=None):
    return F.layer_norm(x, x.shape[a.get("axis", -1) :], scale, bias, a.get("epsilon", 1e-5))


@operator("Clip")
def clip(a, x, low=None, high=None):
    low = a.get("min") if low is None else low.item()
    high = a.get("max") if high is None else high.item()
    return torch.clamp(x, low, high)


@operator("LeakyRelu")
def leaky_relu(a, x):
    return F.leaky_relu(x, a.get("alpha", 0.01))


@operator("Elu")
def elu(a, x):
    return F.elu(x, a.get("alpha", 1.0))


@operator("HardSigmoid")
def hard_sigmoid(a, x):
    return torch.clamp(a.get("alpha", 0.2) * x + a.get("beta", 0.5), 0.0, 1.0)


@operator("Gelu")
def gelu(a, x):
    return F.gelu(x, approximate=a.get("approximate", b"none").decode())


@operator("Softmax", "LogSoftmax")
def softmax(a, x):
    function = F.log_softmax if a["op_type"] == "LogSoftmax" else F.softmax
    if a["opset"] >= 13:
        return function(x, a.get("axis", -1))
    axis = a.get("axis", 1) % x.dim()  # before opset 13: over all axes from `axis` on, together
    return function(x.flatten(axis), axis).reshape(x.shape)


@operator("Gemm")
def gemm(a, x, w, c=None):
    x = x.T if a.get("transA", 0) else x
    w = w.T if a.get("transB", 0) else w
    y = a.get("alpha", 1.0) * (x @ w) if a.get("alpha", 1.0) != 1.0 else x @ w
    return y if c is None else y + a.get("beta", 1.0) * c


@operator("Concat")
def concat(a, *inputs):
    return torch.cat(inputs, a["axis"])


@operator("Split")
def split(a, x, sizes=None):
    axis = a.get("axis", 0)
    if sizes is None and "split" not in a:
        return torch.split(x, ceil(x.shape[axis] / a["outputs"]), axis)
    return torch.split(x, integers(a["split"] if sizes is None else sizes), axis)


@operator("Slice")
def slice_(a, x, starts=None, ends=None, axes=None, steps=None):
    starts, ends = integers(a["starts"] if starts is None else starts), integers(a["ends"] if ends is None else ends)
    axes = integers(axes) if axes is not None else a.get("axes", list(range(len(starts))))
    steps = integers(steps) if steps is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps):
        if step > 0:
            index = [slice(None)] * x.dim()
            index[axis] = slice(start, end, step)
            x = x[tuple(index)]
        else:
            n = x.shape[axis]
            start, end = min(start + n if start < 0 else start, n - 1), max(end + n if end < 0 else end, -1)
            x = x.index_select(axis, torch.arange(start, end, step))
    return x


@operator("Pad")
def pad(a, x, pads=None, value=None, axes=None):
    pads = integers(a["pads"] if pads is None else pads)
    axes = integers(axes) if axes is not None else list(range(x.dim()))
    begin, end = [0] * x.dim(), [0] * x.dim()
    for axis, b, e in zip(axes, pads[: len(axes)], pads[len(axes) :]):
        begin[axis], end[axis] = b, e
    mode = a.get("mode", b"constant").decode()
    if mode == "constant":
        return F.pad(x, torch_pad(begin, end), value=a.get("value", 0.0) if value is None else value.item())
    if any(begin[:2] + end[:2]):
        raise NotImplementedError(f"Pad with mode {mode} on the batch or channel axis")
    return F.pad(x, torch_pad(begin[2:], end[2:]), mode={"reflect": "reflect", "edge": "replicate"}[mode])


@operator("Flatten")
def flatten(a, x):
    axis = a.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1)


@operator("Reshape")
def reshape(a, x, shape):
    shape = [x.shape[i] if n == 0 and not a.get("allowzero", 0) else n for i, n in enumerate(integers(shape))]
    return x.reshape(shape)


@operator("Transpose")
def transpose(a, x):
    return x.permute(a.get("perm", list(reversed(range(x.dim())))))


@operator("Squeeze")
def squeeze(a, x, axes=None):
    axes = integers(axes) if axes is not None else a.get("axes")
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


@operator("Unsqueeze")
def unsqueeze(a, x, axes=None):
    axes = integers(axes) if axes is not None else a["axes"]
    for axis in sorted(i % (x.dim() + len(axes)) for i in axes):
        x = x.unsqueeze(axis)
    return x


@operator("ReduceMean", "ReduceSum", "ReduceMax")
def reduce(a, x, axes=None):
    axes = integers(axes) if axes is not None else a.get("axes")
    if not axes and a.get("noop_with_empty_axes", 0):
        return x
    function = {"ReduceMean": torch.mean, "ReduceSum": torch.sum, "ReduceMax": torch.amax}[a["op_type"]]
    return function(x, dim=tuple(axes or range(x.dim())), keepdim=bool(a.get("keepdims", 1)))


@operator("Gather")
def gather(a, x, index):
    axis = a.get("axis", 0) % x.dim()
    index = torch.where(index < 0, index + x.shape[axis], index)
    return x.index_select(axis, index.reshape(-1).to(x.device)).reshape(x.shape[:axis] + index.shape + x.shape[axis + 1 :])


@operator("Shape")
def shape(a, x):
    return torch.tensor(x.shape[a.get("start", 0) : a.get("end", None)])


@operator("Expand")
def expand(a, x, shape):
    return x * torch.ones(integers(shape), dtype=x.dtype)


@operator("Cast")
def cast(a, x):
    target = torch.from_numpy(np.zeros(1, onnx.helper.tensor_dtype_to_np_dtype(a["to"]))).dtype
    return x if target.is_floating_point and x.is_floating_point() else x.to(target)  # keeps float64 runs float64


@operator("Dropout")
def dropout(a, x, *_):
    return x


@operator("Div")
def divide(a, x, y):
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


for _name, _function in {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Pow": torch.pow, "MatMul": torch.matmul,
    "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "HardSwish": F.hardswish, "Identity": lambda x: x,
    "Exp": torch.exp, "Log": torch.log, "Sqrt": torch.sqrt, "Erf": torch.erf, "Neg": torch.neg, "Abs": torch.abs,
    "Reciprocal": torch.reciprocal, "Softplus": F.softplus, "Where": torch.where,
}.items():  # fmt: skip
    OPERATORS[_name] = lambda a, *inputs, f=_function: f(*inputs)


# --- the module -----------------------------------------------------------------------------------------------------


class Node:
    """One ONNX node, with attributes decoded and its operator looked up once."""

    def __init__(self, proto: onnx.NodeProto, opset: int):
        if proto.op_type not in OPERATORS:
            raise NotImplementedError(f"node {proto.name or proto.output[0]}: operator {proto.op_type}")
        self.op_type, self.inputs, self.outputs = proto.op_type, list(proto.input), list(proto.output)
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        self.attributes |= {"op_type": proto.op_type, "opset": opset, "outputs": len(self.outputs)}
        self.function = OPERATORS[proto.op_type]

    def __call__(self, values: dict[str, Tensor]):
        return self.function(self.attributes, *[values[i] if i else None for i in self.inputs])


class OnnxModule(torch.nn.Module):
    """An ONNX graph with one image input and one logits output, as a PyTorch module.

    dtype: float32 or float64; integer constants stay integers.
    fold_batch_norm: multiply BatchNormalization into the Conv before it.
    channels_last: keep convolution weights (and the input) in NHWC memory order.
    """

    def __init__(self, path: str | Path, dtype=torch.float32, fold_batch_norm=False, channels_last=False):
        super().__init__()
        model = onnx.load(path)
        opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        self.dtype, self.channels_last = dtype, channels_last
        self.constants: dict[str, Tensor] = {i.name: self._constant(i) for i in model.graph.initializer}
        self.input = next(i.name for i in model.graph.input if i.name not in self.constants)
        self.output = model.graph.output[0].name
        declared = next(i for i in model.graph.input if i.name == self.input).type.tensor_type.shape.dim
        self.input_shape = [1] + [d.dim_value for d in declared[1:]]
        self.nodes: list[Node] = []
        for proto in model.graph.node:
            if proto.op_type == "Constant":
                self.constants[proto.output[0]] = self._constant(proto.attribute[0].t)
            else:
                self.nodes.append(Node(proto, opset))
        for node in self.nodes:
            self._settle_bounds(node)
        if fold_batch_norm:
            self._fold_batch_norm()
        if channels_last:
            for node in self.nodes:
                if node.op_type == "Conv" and self.constants[node.inputs[1]].dim() == 4:
                    weight = self.constants[node.inputs[1]]
                    self.constants[node.inputs[1]] = weight.contiguous(memory_format=torch.channels_last)
        self._plans: dict = {}

    def _apply(self, function, recurse=True):
        """`to` and similar methods also apply to the constants; integers, which are shapes and axes, stay on their device."""
        self.constants = {k: function(v) if v.is_floating_point() else v for k, v in self.constants.items()}
        return super()._apply(function, recurse)

    def _settle_bounds(self, node: Node) -> None:
        """Turns constant bounds of a Clip into numbers, with which torch.compile need not break the graph."""
        bounds = dict(zip(("min", "max"), node.inputs[1:]))
        if node.op_type == "Clip" and all(not name or name in self.constants for name in bounds.values()):
            node.attributes |= {key: self.constants[name].item() for key, name in bounds.items() if name}
            node.inputs = node.inputs[:1]

    def _constant(self, proto: onnx.TensorProto) -> Tensor:
        tensor = torch.from_numpy(numpy_helper.to_array(proto).copy())
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _fold_batch_norm(self):
        """Conv → BatchNormalization becomes one Conv, where the BatchNormalization is the only consumer."""
        producer = {o: n for n in self.nodes for o in n.outputs}
        consumers: dict[str, int] = {self.output: 1}
        for node in self.nodes:
            for i in node.inputs:
                consumers[i] = consumers.get(i, 0) + 1
        kept = []
        for node in self.nodes:
            conv = producer.get(node.inputs[0]) if node.op_type == "BatchNormalization" else None
            if conv is None or conv.op_type != "Conv" or consumers[conv.outputs[0]] > 1:
                kept.append(node)
                continue
            scale, bias, mean, variance = (self.constants[i] for i in node.inputs[1:5])
            factor = scale / torch.sqrt(variance + node.attributes.get("epsilon", 1e-5))
            weight = self.constants[conv.inputs[1]]
            old_bias = self.constants[conv.inputs[2]] if len(conv.inputs) > 2 else torch.zeros_like(mean)
            name = node.outputs[0]
            self.constants[f"{name}/weight"] = weight * factor.reshape(-1, *[1] * (weight.dim() - 1))
            self.constants[f"{name}/bias"] = (old_bias - mean) * factor + bias
            conv.inputs = [conv.inputs[0], f"{name}/weight", f"{name}/bias"]
            conv.outputs = [name]
            producer[name] = conv
        self.nodes = kept

    def _plan(self, feeds: frozenset[str], fetch: tuple[str, ...]) -> list[Node]:
        """The nodes that `fetch` needs when `feeds` are given, in graph order (cached)."""
        if (feeds, fetch) not in self._plans:
            needed, plan = set(fetch) - feeds, []
            for node in reversed(self.nodes):
                if needed.intersection(node.outputs):
                    plan.append(node)
                    needed.update(i for i in node.inputs if i and i not in feeds and i not in self.constants)
                    needed.difference_update(node.outputs)
            if needed:
                raise KeyError(f"values neither fed nor computed: {sorted(needed)}")
            self._plans[feeds, fetch] = plan[::-1]
        return self._plans[feeds, fetch]

    def run(self, feeds: dict[str, Tensor], fetch: Iterable[str], values: Hooks | None = None) -> list[Tensor]:
        """Computes `fetch` from `feeds` (any values: the image input or inner ones).

        `values` replaces the named values, fed or computed, by a function of them before anything consumes them.
        """
        values, fetch = values or {}, tuple(fetch)
        state = self.constants | {k: values[k](v) if k in values else v for k, v in feeds.items()}
        for node in self._plan(frozenset(feeds), fetch):
            result = node(state)
            for name, tensor in zip(node.outputs, result if isinstance(result, tuple) else (result,)):
                state[name] = values[name](tensor) if name in values else tensor
        return [state[name] for name in fetch]

    def forward(self, x: Tensor, values: Hooks | None = None) -> Tensor:
        """Logits N×K of a batch N×C×H×W."""
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return self.run({self.input: x}, [self.output], values)[0]

    def dominating(self) -> list[str]:
        """Values through which every path from the input to the output passes, in graph order."""
        return [name for node in self.nodes for name in node.outputs if not self._reaches_output_without(name)]

    def _reaches_output_without(self, removed: str) -> bool:
        reached = {self.input}
        for node in self.nodes:
            if reached.intersection(node.inputs):
                reached.update(o for o in node.outputs if o != removed)
        return self.output in reached
