"""Operators for `onnx_torch` that no shared classifier needs: those of the rows of goldens/rules.py, and of exported methods.

Importing this module registers them. Two replace simpler versions: BatchNormalization (training mode) and Pad (all modes).
"""

import torch
import torch.nn.functional as F

from candor_tools.onnx_torch import OPERATORS, conv, gemm, integers, operator, pad, torch_pad


def axes_of(a, x, axes):
    axes = integers(axes) if axes is not None else a.get("axes") or range(x.dim())
    return {"dim": tuple(axes), "keepdim": bool(a.get("keepdims", 1))}


for _name, _function in {
    "ReduceMin": torch.amin,
    "ReduceL1": lambda x, **k: x.abs().sum(**k),
    "ReduceL2": lambda x, **k: x.square().sum(**k).sqrt(),
    "ReduceSumSquare": lambda x, **k: x.square().sum(**k),
    "ReduceLogSumExp": torch.logsumexp,
    "ReduceLogSum": lambda x, **k: x.sum(**k).log(),
    "ReduceProd": lambda x, dim, keepdim: x.prod(dim[0], keepdim),
}.items():
    OPERATORS[_name] = lambda a, x, axes=None, f=_function: f(x, **axes_of(a, x, axes))

for _name, _function in {
    "Sum": lambda *x: sum(x), "Mean": lambda *x: sum(x) / len(x), "Sin": torch.sin, "Cos": torch.cos, "Mish": F.mish,
    "Selu": F.selu, "Softsign": F.softsign, "Greater": torch.gt, "PRelu": lambda x, s: torch.where(x < 0, x * s, x),
    "GatherND": lambda x, i: x[tuple(i.unbind(-1))], "Tile": lambda x, n: x.tile(tuple(integers(n))),
    "BiasGelu": lambda x, b: F.gelu(x + b), "FastGelu": lambda x, b: F.gelu(x + b, approximate="tanh"),
}.items():  # fmt: skip
    OPERATORS[_name] = lambda a, *inputs, f=_function: f(*inputs)


@operator("Max", "Min")
def extremum(a, *inputs):
    function = torch.maximum if a["op_type"] == "Max" else torch.minimum
    result = inputs[0]
    for x in inputs[1:]:
        result = function(result, x)
    return result


@operator("Swish", "QuickGelu")
def swish(a, x):
    return x * torch.sigmoid(a.get("alpha", 1.0 if a["op_type"] == "Swish" else 1.702) * x)


@operator("Celu")
def celu(a, x):
    return F.celu(x, a.get("alpha", 1.0))


@operator("ThresholdedRelu")
def thresholded_relu(a, x):
    return F.threshold(x, a.get("alpha", 1.0), 0.0)


@operator("Shrink")
def shrink(a, x):
    low, bias = a.get("lambd", 0.5), a.get("bias", 0.0)
    return torch.where(x < -low, x + bias, torch.where(x > low, x - bias, 0.0 * x))


@operator("Mod")
def modulo(a, x, y):
    return torch.fmod(x, y) if a.get("fmod", 0) else torch.remainder(x, y)


@operator("LRN")
def local_response(a, x):
    size = a["size"]
    squares = F.pad(x.square(), (0, 0, 0, 0, (size - 1) // 2, size // 2))
    total = squares.unfold(1, size, 1).sum(-1)
    return x / (a.get("bias", 1.0) + a.get("alpha", 1e-4) / size * total) ** a.get("beta", 0.75)


@operator("LpNormalization")
def lp_normalization(a, x):
    return x / x.norm(p=a.get("p", 2), dim=a.get("axis", -1), keepdim=True)


@operator("MeanVarianceNormalization")
def mean_variance(a, x):
    axes = tuple(a.get("axes", (0, 2, 3)))
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True).sqrt() + 1e-9)


@operator("LpPool")
def lp_pool(a, x):
    (k, _), (s, _) = a["kernel_shape"], a["strides"]
    return x.unfold(2, k, s).unfold(3, k, s).norm(p=a.get("p", 2), dim=(-2, -1))


@operator("GlobalLpPool")
def global_lp_pool(a, x):
    return x.norm(p=a.get("p", 2), dim=(2, 3), keepdim=True)


@operator("Col2Im")
def col2im(a, x, image, block):
    top, left, bottom, right = a.get("pads", (0, 0, 0, 0))
    height, width = (int(v) for v in image)
    whole = torch.nn.functional.fold(
        x,
        (height + top + bottom, width + left + right),
        tuple(int(v) for v in block),
        dilation=tuple(a.get("dilations", (1, 1))),
        stride=tuple(a.get("strides", (1, 1))),
    )
    return whole[:, :, top : top + height, left : left + width]


@operator("SpaceToDepth")
def space_to_depth(a, x):
    # ONNX puts the channels last within a block, PyTorch first.
    n, c, h, w = x.shape
    b = a["blocksize"]
    return F.pixel_unshuffle(x, b).reshape(n, c, b * b, h // b, w // b).transpose(1, 2).reshape(n, -1, h // b, w // b)


@operator("DepthToSpace")
def depth_to_space(a, x):
    b = a["blocksize"]
    if a.get("mode", b"DCR") == b"DCR":
        n, c, h, w = x.shape
        x = x.reshape(n, b * b, c // (b * b), h, w).transpose(1, 2).reshape(n, c, h, w)
    return F.pixel_shuffle(x, b)


_batch_normalization = OPERATORS["BatchNormalization"]


@operator("BatchNormalization")
def batch_normalization(a, x, scale, bias, mean, variance):
    if not a.get("training_mode", 0):
        return _batch_normalization(a, x, scale, bias, mean, variance)
    return (F.batch_norm(x, None, None, scale, bias, True, 0.0, a.get("epsilon", 1e-5)),)


@operator("GroupNormalization")
def group_normalization(a, x, scale, bias):
    groups, channels = a["num_groups"], x.shape[1]
    if len(scale) == groups:  # before operator set 21
        scale, bias = scale.repeat_interleave(channels // groups), bias.repeat_interleave(channels // groups)
    return F.group_norm(x, groups, scale, bias, a.get("epsilon", 1e-5))


@operator("InstanceNormalization")
def instance_normalization(a, x, scale, bias):
    return F.instance_norm(x, weight=scale, bias=bias, eps=a.get("epsilon", 1e-5))


@operator("RMSNormalization")
def rms_normalization(a, x, scale):
    return F.rms_norm(x, x.shape[a.get("axis", -1) :], scale, a.get("epsilon", 1e-5))


@operator("SkipLayerNormalization")
def skip_layer_normalization(a, x, skip, gamma, beta=None, bias=None):
    total = x + skip if bias is None else x + skip + bias
    return F.layer_norm(total, x.shape[-1:], gamma, beta, a["epsilon"])


@operator("Attention")
def attention(a, q, k, v, mask=None):
    joined = q.dim() == 3
    if joined:
        q, k, v = (
            t.unflatten(-1, (a[heads], -1)).transpose(1, 2)
            for t, heads in ((q, "q_num_heads"), (k, "kv_num_heads"), (v, "kv_num_heads"))
        )
    k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], 1) for t in (k, v))
    scores = a.get("scale", q.shape[-1] ** -0.5) * q @ k.mT
    cap = a.get("softcap", 0.0)
    scores = cap * torch.tanh(scores / cap) if cap else scores
    ahead = torch.arange(k.shape[2]) - torch.arange(q.shape[2])[:, None]
    left, right = (a.get(name, -1) for name in ("left_window_size", "right_window_size"))
    seen = torch.ones_like(ahead, dtype=torch.bool) if mask is None else mask.bool()
    seen = seen & ((ahead <= 0) | (not a.get("is_causal", 0)))
    seen = seen & ((ahead >= -left) | (left < 0)) & ((ahead <= right) | (right < 0))
    weights = scores.masked_fill(~seen, -1e30).softmax(-1) * seen.any(-1, keepdim=True)
    y = weights @ v
    return y.transpose(1, 2).flatten(2) if joined else y


@operator("MultiHeadAttention")
def multi_head_attention(a, q, k, v, bias):
    heads = {"q_num_heads": a["num_heads"], "kv_num_heads": a["num_heads"]}
    return attention(heads, *(x + b for x, b in zip((q, k, v), bias.chunk(3))))


@operator("FusedMatMul")
def fused_mat_mul(a, x, y):
    x = x.mT if a.get("transA", 0) else x
    return a.get("alpha", 1.0) * (x @ (y.mT if a.get("transB", 0) else y))


@operator("FusedConv")
def fused_conv(a, x, w, b, z):
    return torch.tanh(conv(a, x, w, b) + z)


@operator("FusedGemm")
def fused_gemm(a, x, w, c):
    return torch.sigmoid(gemm(a, x, w, c))


@operator("ConvTranspose")
def conv_transpose(a, x, w, b=None):
    pads, rank = a.get("pads", [0, 0, 0, 0]), 2
    extra, strides, dilations = (a.get(k, d) for k, d in (("output_padding", [0, 0]), ("strides", [1, 1]), ("dilations", [1, 1])))
    y = F.conv_transpose2d(x, w, None, strides, 0, 0, a.get("group", 1), dilations)
    # PyTorch has one padding for both ends: crop the result as ONNX defines it.
    y = F.pad(y, torch_pad([-p for p in pads[:rank]], [e - p for e, p in zip(extra, pads[rank:])]))
    return y if b is None else y + b.reshape(-1, 1, 1)


def triangles(n: int, to: int) -> torch.Tensor:
    """to×n: linear interpolation with antialiasing; the image is continued with its border values."""
    weights = torch.zeros(to, n, dtype=torch.float64)
    for i in range(to):
        at = (i + 0.5) * n / to - 0.5
        for j in range(-n, 2 * n):
            weights[i, min(max(j, 0), n - 1)] += max(0.0, 1.0 - abs(j - at) * min(to / n, 1.0))
    return weights / weights.sum(1, keepdim=True)


@operator("Resize")
def resize(a, x, _, scales=None, sizes=None):
    mode, where = a["mode"].decode(), a.get("coordinate_transformation_mode", b"half_pixel").decode()
    size = {"size": integers(sizes)[2:]} if sizes is not None else {"scale_factor": tuple(integers(scales)[2:])}
    if mode == "nearest":
        return F.interpolate(x, mode="nearest-exact" if where == "half_pixel" else "nearest", **size)
    if a.get("antialias", 0) and not a.get("exclude_outside", 0):
        # PyTorch leaves out positions outside the image; here they have the border's values.
        rows, columns = (triangles(n, to).to(x.dtype) for n, to in zip(x.shape[2:], size["size"]))
        return rows @ x @ columns.T
    corners = where == "align_corners"
    mode = {"linear": "bilinear", "cubic": "bicubic"}[mode]
    return F.interpolate(x, mode=mode, align_corners=corners, antialias=bool(a.get("antialias", 0)), **size)


@operator("Pad")
def any_pad(a, x, pads, value=None, axes=None):
    if a.get("mode", b"constant") != b"wrap":
        return pad(a, x, pads, value, axes)
    pads = integers(pads)
    return F.pad(x, torch_pad(pads[2:4], pads[6:]), mode="circular")


@operator("GatherElements")
def gather_elements(a, x, index):
    return x.gather(a.get("axis", 0), index)


@operator("ScatterElements")
def scatter_elements(a, x, index, updates):
    return x.scatter(a.get("axis", 0), index, updates)


@operator("ScatterND")
def scatter_nd(a, x, index, updates):
    return x.index_put(tuple(index.unbind(-1)), updates, accumulate=a.get("reduction", b"none") == b"add")


@operator("TopK")
def top_k(a, x, k):
    return tuple(torch.topk(x, int(k.item()), a.get("axis", -1)))


@operator("Trilu")
def trilu(a, x, k=None):
    return (torch.triu if a.get("upper", 1) else torch.tril)(x, 0 if k is None else int(k))


@operator("CumSum")
def cum_sum(a, x, axis):
    axis = int(axis)
    y = x.flip(axis).cumsum(axis).flip(axis) if a.get("reverse", 0) else x.cumsum(axis)
    return y - x if a.get("exclusive", 0) else y


@operator("Einsum")
def einsum(a, *inputs):
    return torch.einsum(a["equation"].decode(), *inputs)


class Round(torch.autograd.Function):
    """Rounding with a straight-through gradient."""

    @staticmethod
    def forward(context, x):
        return x.round()

    @staticmethod
    def backward(context, grad):
        return grad


def along(value, x, a):
    """A scale or zero point for each entry of `axis`, reshaped to broadcast."""
    shape = [1] * x.dim()
    shape[a.get("axis", 1)] = -1
    value = value.double()
    return value.reshape(shape) if value.numel() > 1 else value


@operator("QuantizeLinear")
def quantize_linear(a, x, scale, zero):
    return (Round.apply(x / along(scale, x, a)) + along(zero, x, a)).clamp(0, 255)


@operator("DequantizeLinear")
def dequantize_linear(a, x, scale, zero):
    return (x.double() - along(zero, x, a)) * along(scale, x, a)


@operator("DynamicQuantizeLinear")
def dynamic_quantize_linear(a, x):
    with torch.no_grad():
        low, high = x.min().clamp(max=0), x.max().clamp(min=0)
        scale = (high - low) / 255
        zero = torch.round((-low / scale).clamp(0, 255))
    levels = Round.apply(x / scale) + zero
    # The range is that of x, so that no value saturates; at the ends of the range clamp would have no gradient.
    return levels + (levels.clamp(0, 255) - levels).detach(), scale, zero


@operator("QLinearConv")
def q_linear_conv(a, x, xs, xz, w, ws, wz, ys, yz, bias):
    y = conv(a, dequantize_linear({}, x, xs, xz), dequantize_linear({}, w, ws, wz), bias.double() * xs * ws)
    return quantize_linear({}, y, ys, yz)


@operator("QLinearMatMul")
def q_linear_mat_mul(a, x, xs, xz, w, ws, wz, ys, yz):
    return quantize_linear({}, dequantize_linear({}, x, xs, xz) @ dequantize_linear({}, w, ws, wz), ys, yz)


@operator("ConvInteger")
def conv_integer(a, x, w, xz, wz):
    return conv(a, x - xz.double(), w.double() - along(wz, w, {"axis": 0}))


@operator("MatMulInteger")
def mat_mul_integer(a, x, w, xz, wz):
    return (x - along(xz, x, {"axis": -2})) @ (w.double() - along(wz, w, {"axis": -1}))
