"""Golden maps of explanation methods on the embedded and shared models, from Captum, zennit and pytorch-grad-cam in float64.

    CANDOR_DATA=… python tools/goldens/methods.py [MODEL...] [--out crates/candor/tests/golden/methods]

Less than a minute for cifar10_resnet20 and `scenes` (which needs no shared data), up to ten for the models of 224². One file per model, <model>.json:

    model, sha256, input   as in tools/goldens/models.py: the same inputs, which are away from kinks
    layer                  the value that CAM methods and excitation backprop read: the last level
    maps                   one entry for each method, its parameters and class:
      method, set, class   as on Candor's command line: --method, --set, --class
      reference            what computed it
      norm, sum, projections, stride, samples   of the H×W map, as in tools/goldens/models.py, 64 samples at most

Conventions made equal here, with the reasons in book/src/reference/methods.md: relevance starts from the class's logit; negative values of maps
of the layer are set to zero, and they are enlarged with half-pixel centres (`align_corners=False`); nothing is normalised; ReLU6 is a ReLU (guided
backprop, deconvnet, DeepLIFT, LRP); DeepLIFT's max pooling adds up where windows overlap (`summed_max_pooling`).
"""

import argparse
import hashlib
import time
from math import gcd
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import (
    DeepLift,
    Deconvolution,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    Occlusion,
    Saliency,
)
from captum.attr._core import deep_lift
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from zennit.attribution import Gradient
from zennit.composites import (
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    ExcitationBackprop,
)
from zennit.core import Composite
from zennit.layer import Sum
from zennit.rules import Epsilon, Gamma, Norm, Pass
from zennit.types import Activation, AvgPool, Linear

from candor_tools.checkout import ROOT, model_file
from candor_tools.deterministic import DIRECTIONS, noise
from candor_tools.golden_file import float32_list, write_json
from candor_tools.model_inputs import input_entry, input_image
from candor_tools.onnx_torch import OnnxModule

SAMPLES = 64

LEFT_OUT = {"score-cam", "second class", "gamma", "epsilon-plus-flat", "epsilon-alpha2-beta1"}

# model → the last level, points of integrated gradients (0: left out), (window, stride) of occlusion, and what is left out
# to save time ("second class": only its expensive methods) or because zennit has no rule for it. MobileNetV2 has kinks on the path of
# integrated gradients from a zero image: noise of 3e-7 in its convolutions changes the map by 1e-3 to 4e-3 (1 to 4 points),
# and PyTorch's own float32 differs from float64 by up to 3e-3.
MODELS = {
    "cifar10_resnet20": ("relu_70", 50, (4, 2), set()),
    "scenes": ("level7", 20, (28, 14), set()),
    "squeezenet1_0_deepcompressed": ("fire9_concat", 8, (56, 56), {"contrastive", "score-cam"}),
    "mobilenet_v2_1.0_224": ("clip_97", 0, (112, 112), LEFT_OUT),
}


class Stack(torch.nn.Module):
    """a + b through zennit's Sum, which its rules recognise."""

    def __init__(self):
        super().__init__()
        self.sum = Sum()

    def forward(self, *terms):
        return self.sum(torch.stack(torch.broadcast_tensors(*terms), -1))


class PaddedConv(torch.nn.Conv2d):
    """A convolution with uneven padding of its own: zennit's flat and z-box rules must not treat padding as pixels."""

    def __init__(self, pads, *arguments):
        super().__init__(*arguments)
        self.pads = pads

    def forward(self, x):
        return super().forward(F.pad(x, self.pads))


class CutRelu(torch.nn.Sequential):
    """ReLU6 that contains a ReLU, which Captum's guided backprop recognises."""

    def __init__(self):
        super().__init__(torch.nn.ReLU(), torch.nn.Hardtanh(-6.0, 6.0))


class OpenRelu(torch.nn.Module):
    """The same for deconvnet, which does not use activations: the cut at 6 passes gradients on."""

    def __init__(self):
        super().__init__()
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        y = self.relu(x)
        return y + (y.clamp(max=6.0) - y).detach()


class Modules(torch.nn.Module):
    """An OnnxModule whose layers are torch.nn modules, one per node, so that hooks find them."""

    def __init__(self, graph: OnnxModule, relu6=torch.nn.ReLU6):
        super().__init__()
        self.graph, self.kept, self.relu6 = graph, {}, relu6
        self.layers = torch.nn.ModuleDict()
        for i, node in enumerate(graph.nodes):
            layer = self._layer(node)
            if layer is not None:
                self.layers[str(i)] = layer.double()

    def _layer(self, node):
        a, constants = node.attributes, self.graph.constants
        if node.op_type == "Conv":
            weight = constants[node.inputs[1]]
            bias = constants[node.inputs[2]] if len(node.inputs) > 2 else None
            top, left, bottom, right = a.get("pads", [0] * 4)
            conv = PaddedConv(
                (left, right, top, bottom), weight.shape[1] * a.get("group", 1), weight.shape[0],
                tuple(weight.shape[2:]), a.get("strides", 1), 0, a.get("dilations", 1), a.get("group", 1),
                bias is not None,
            )
            conv.weight.data = weight
            if bias is not None:
                conv.bias.data = bias
            return conv
        if node.op_type == "Gemm":
            weight = constants[node.inputs[1]]
            weight = weight if a.get("transB", 0) else weight.T
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=len(node.inputs) > 2)
            linear.weight.data = weight
            if len(node.inputs) > 2:
                linear.bias.data = constants[node.inputs[2]]
            return linear
        simple = {"Relu": torch.nn.ReLU, "Clip": self.relu6, "Add": Stack}
        if node.op_type == "GlobalAveragePool":
            return torch.nn.AdaptiveAvgPool2d(1)
        if node.op_type == "MaxPool":
            return torch.nn.MaxPool2d(a["kernel_shape"], a["strides"], ceil_mode=bool(a.get("ceil_mode", 0)))
        return simple[node.op_type]() if node.op_type in simple else None

    def forward(self, x, keep=()):
        state = self.graph.constants | {self.graph.input: x}
        for i, node in enumerate(self.graph.nodes):
            if str(i) in self.layers:
                # Copies: if a ReLU's output is a pooling's input, Captum's hooks of the ReLU on that tensor run before
                # the pooling's have put its multipliers there, and contributions no longer add up.
                inputs = [state[n].clone() for n in node.inputs if n not in self.graph.constants]
                state[node.outputs[0]] = self.layers[str(i)](*inputs)
            else:
                state[node.outputs[0]] = node(state)
        self.kept = {name: state[name] for name in keep}
        return state[self.graph.output]


def enlarged(cam: torch.Tensor, size) -> torch.Tensor:
    """The positive part of an h×w map, enlarged to the input's grid."""
    return F.interpolate(cam.clamp(min=0)[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def gradient_family(model, x, c):
    gradient = Saliency(model).attribute(x, target=c, abs=False)[0]
    yield "gradient", [], gradient.abs().amax(0), "captum Saliency"
    yield "gradient", ["channels=sum"], gradient.sum(0), "captum Saliency"
    yield "gradient-times-input", [], InputXGradient(model).attribute(x, target=c)[0].sum(0), "captum InputXGradient"


def integrated_gradients(model, x, c, steps):
    integrated = IntegratedGradients(model).attribute(x, target=c, n_steps=steps, internal_batch_size=4)[0].sum(0)
    yield "integrated-gradients", [f"steps={steps}"], integrated, "captum IntegratedGradients"


def relu_family(make, x, c, cam):
    guided = GuidedBackprop(make(CutRelu)).attribute(x, target=c)[0]
    yield "guided-backprop", [], guided.abs().amax(0), "captum GuidedBackprop"
    product = (guided * cam).abs().amax(0)
    yield "guided-grad-cam", [], product, "captum GuidedBackprop times pytorch-grad-cam GradCAM"
    yield "deconvnet", [], Deconvolution(make(OpenRelu)).attribute(x, target=c)[0].abs().amax(0), "captum Deconvolution"


def summed_max_pooling(module, inputs, outputs, grad_input, grad_output, eps=1e-10):
    """Captum's rule for max pooling, but with sums where windows overlap, which `max_unpool2d` would overwrite."""
    (x, x0), (y, y0) = inputs.detach().chunk(2), outputs.detach().chunk(2)
    size = (module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)
    _, places = F.max_pool2d(inputs.detach(), *size, return_indices=True)
    top = torch.maximum(y, y0)
    parts = grad_output.detach() * torch.cat([top - y0, y - top])
    spread = torch.zeros_like(inputs).flatten(2).scatter_add(2, places.flatten(2), parts.flatten(2)).view_as(inputs)
    change = torch.cat(2 * [x - x0])
    total = torch.cat(2 * [sum(spread.chunk(2))])
    return torch.where(change.abs() < eps, grad_input, total / change)


def blurred(x):
    """Candor's baseline `blur`: a Gaussian of a twentieth of the shorter side, truncated at 3σ, with border values repeated."""
    sigma = min(x.shape[2:]) / 20
    reach = int(np.ceil(3 * sigma))
    weights = torch.exp(-(torch.arange(-reach, reach + 1, dtype=x.dtype) ** 2) / (2 * sigma**2))
    weights, c = weights / weights.sum(), x.shape[1]
    rows = F.pad(x, (reach, reach, 0, 0), mode="replicate")
    rows = F.conv2d(rows, weights.reshape(1, 1, 1, -1).expand(c, 1, 1, -1), groups=c)
    columns = F.pad(rows, (0, 0, reach, reach), mode="replicate")
    return F.conv2d(columns, weights.reshape(1, 1, -1, 1).expand(c, 1, -1, 1), groups=c)


def deeplift(make, x, c, pools):
    """If the baseline is constant, windows of max pooling tie and rounding decides: then the blurred image is used."""
    baseline = blurred(x) if pools else torch.zeros_like(x)
    found = DeepLift(make()).attribute(x, baselines=baseline, target=c)[0].sum(0)
    yield "deeplift", ["baseline=blur"] if pools else [], found, "captum DeepLift"


deep_lift.SUPPORTED_NON_LINEAR |= {torch.nn.ReLU6: deep_lift.nonlinear, torch.nn.MaxPool2d: summed_max_pooling}


def lrp_family(make, x, c, left_out):
    base = [(Activation, Pass()), (Sum, Norm()), (AvgPool, Norm())]

    def everywhere(rule):
        rules = base + [(Linear, rule)]
        return Composite(lambda ctx, name, module: next((r for t, r in rules if isinstance(module, t)), None))

    composites = {
        "epsilon-plus": EpsilonPlus(),
        "epsilon-plus-flat": EpsilonPlusFlat(),
        "epsilon-alpha2-beta1": EpsilonAlpha2Beta1(),
        "epsilon-alpha2-beta1-flat": EpsilonAlpha2Beta1Flat(),
        "epsilon-gamma-box": EpsilonGammaBox(low=-3.0, high=3.0),
        "epsilon": everywhere(Epsilon(0.25)),
        "gamma": everywhere(Gamma(0.25)),
    }
    for name, composite in composites.items():
        if name in left_out:
            continue
        model = make()
        with Gradient(model=model, composite=composite) as attributor:
            _, relevance = attributor(x, lambda out: out * F.one_hot(torch.tensor([c]), out.shape[1]))
        more = ["epsilon=0.25"] if name == "epsilon" else []
        yield "lrp", [f"composite={name}", *more], relevance[0].sum(0), f"zennit {name}"


def excitation(make, x, c, layer, contrastive):
    def winning(sign):
        model = make()
        if sign < 0:
            last = list(model.layers.values())[-1]
            last.weight.data = -last.weight.data
        with ExcitationBackprop(zero_params=["bias"]).context(model) as modified:
            out = modified(x.clone().requires_grad_(True), keep=[layer])
            return torch.autograd.grad(out[0, c], model.kept[layer])[0][0].sum(0)

    excited = winning(1)
    yield "excitation-backprop", [], enlarged(excited, x.shape[2:]), "zennit ExcitationBackprop"
    if contrastive:
        contrast = enlarged(excited - winning(-1), x.shape[2:])
        yield "contrastive-excitation-backprop", [], contrast, "zennit ExcitationBackprop, less that of -w"


def cam_family(graph, x, c, layer):
    size = x.shape[2:]
    logits, a = graph.run({graph.input: x.clone().requires_grad_(True)}, [graph.output, layer])
    (g,) = torch.autograd.grad(logits[0, c], a)
    features, gradients = a.detach().numpy(), g.numpy()
    kinds = {
        "grad-cam": GradCAM, "grad-cam++": GradCAMPlusPlus, "xgrad-cam": XGradCAM, "hires-cam": HiResCAM,
        "layer-cam": LayerCAM,
    }
    for name, kind in kinds.items():
        cam = kind.__new__(kind)
        cam.uses_gradients, cam.detach = True, True
        cam.activations_and_grads = SimpleNamespace(release=lambda: None)
        image = kind.get_cam_image(cam, x, None, None, features, gradients, False)
        yield name, [], enlarged(torch.from_numpy(np.asarray(image))[0], size), f"pytorch-grad-cam {kind.__name__}"


def eigen_family(graph, x, layer):
    (a,) = (v.detach().numpy() for v in graph.run({graph.input: x}, [layer]))
    places = a[0].reshape(a.shape[1], -1).T
    direction = np.linalg.svd(places, full_matrices=False)[2][0]
    projections = {
        "center=true": (get_2d_projection(a).astype(np.float64)[0], "pytorch-grad-cam get_2d_projection"),
        "center=false": ((places @ direction).reshape(a.shape[2:]), "the formula in NumPy"),
    }
    for setting, (projection, reference) in projections.items():
        if projection.reshape(-1)[np.abs(projection).argmax()] < 0:
            projection = -projection
        yield "eigen-cam", [setting], enlarged(torch.from_numpy(projection), x.shape[2:]), reference


def in_parts(function, batch, size=32):
    """`function` applied to a batch, `size` rows at a time."""
    return torch.cat([function(part) for part in batch.split(size)])


def score_cam(graph, x, classes, layer):
    """Captum has none; pytorch-grad-cam aligns corners and adds 1e-8 to the range."""
    a = graph.run({graph.input: x}, [layer])[0]
    masks = F.interpolate(a, size=x.shape[2:], mode="bilinear", align_corners=False)[0]
    low, high = masks.amin((1, 2), keepdim=True), masks.amax((1, 2), keepdim=True)
    masks = torch.where(high > low, (masks - low) / (high - low).clamp(min=1e-300), torch.zeros_like(masks))
    scores = in_parts(lambda part: graph(x * part[:, None])[:, classes], masks)
    for c, score in zip(classes, scores.T):
        cam = (score.softmax(0)[:, None, None] * a[0]).sum(0)
        yield c, ("score-cam", [], enlarged(cam, x.shape[2:]), "the formula in PyTorch")


def ablation_cam(graph, x, classes, layer):
    """pytorch-grad-cam leaves out channels that it estimates to be unimportant."""
    logits, a = graph.run({graph.input: x}, [graph.output, layer])

    def without(keep):
        feeds = {graph.input: x.expand(len(keep), -1, -1, -1), layer: a * keep[:, :, None, None]}
        return graph.run(feeds, [graph.output])[0][:, classes]

    left = in_parts(without, 1 - torch.eye(a.shape[1], dtype=a.dtype))
    for c, own, others in zip(classes, logits[0, classes], left.T):
        weights = (own - others) / own
        cam = (weights[:, None, None] * a[0]).sum(0)
        yield c, ("ablation-cam", [], enlarged(cam, x.shape[2:]), "the formula in PyTorch")


def occlusion(graph, x, c, window, stride):
    shapes = {"sliding_window_shapes": (3, window, window), "strides": (3, stride, stride)}
    covered = Occlusion(graph).attribute(x, target=c, baselines=0, **shapes)
    yield "occlusion", [f"window={window}", f"stride={stride}"], covered[0, 0], "captum Occlusion"


def full_grad(graph, x, c):
    """pytorch-grad-cam scales each layer's part to 0..1."""
    convolutions = [n for n in graph.nodes if n.op_type == "Conv" and len(n.inputs) > 2]
    image = x.clone().requires_grad_(True)
    out, *values = graph.run({graph.input: image}, [graph.output, *(n.outputs[0] for n in convolutions)])
    first, *rest = torch.autograd.grad(out[0, c], [image, *values])
    total = (first * x).sum(1).abs()[0]
    for node, g in zip(convolutions, rest):
        part = (g[0] * graph.constants[node.inputs[2]][:, None, None]).abs().sum(0)
        total = total + F.interpolate(part[None, None], size=x.shape[2:], mode="bilinear", align_corners=False)[0, 0]
    yield "fullgrad", [], total, "the formula in PyTorch"


def entry(method, settings, c, values, reference) -> dict:
    """One entry of `maps`."""
    flat = values.detach().double().numpy().reshape(-1)
    stride = next(s for s in range(-(-flat.size // SAMPLES), flat.size + 2) if gcd(s, flat.size) == 1)
    return {
        "method": method,
        "set": settings,
        "class": c,
        "reference": reference,
        "norm": float(np.linalg.norm(flat)),
        "sum": float(flat.sum()),
        "projections": [float(flat @ noise(flat.size, *d)) for d in DIRECTIONS],
        "stride": stride,
        "samples": float32_list(flat[::stride]),
    }


def maps(path: Path, graph: OnnxModule, x: torch.Tensor, classes: list[int]):
    """(class, result) for everything that is compared on a model."""
    layer, steps, (window, stride), left_out = MODELS[path.stem]

    def make(relu6=torch.nn.ReLU6):
        return Modules(OnnxModule(path, dtype=torch.float64, fold_batch_norm=True), relu6).eval()

    assert torch.allclose(make()(x), graph(x)), "the modules compute another function"
    for relu6 in (CutRelu, OpenRelu):
        assert torch.allclose(make(relu6)(x), graph(x)), "the modules compute another function"
    for c in classes:
        cams = list(cam_family(graph, x, c, layer))
        families = [
            gradient_family(graph, x, c),
            relu_family(make, x, c, cams[0][2]),
            deeplift(make, x, c, any(n.op_type == "MaxPool" for n in graph.nodes)),
            excitation(make, x, c, layer, "contrastive" not in left_out),
            cams,
            full_grad(graph, x, c),
        ]
        if c == classes[0] or "second class" not in left_out:
            families.append(lrp_family(make, x, c, left_out))
            if steps:
                families.append(integrated_gradients(graph, x, c, steps))
        for family in families:
            yield from ((c, found) for found in family)
    with torch.no_grad():
        yield from ((classes[0], found) for found in eigen_family(graph, x, layer))
        yield from ablation_cam(graph, x, classes, layer)
        yield from ((classes[0], found) for found in occlusion(graph, x, classes[0], window, stride))
        if "score-cam" not in left_out:
            yield from score_cam(graph, x, classes, layer)


def golden(path: Path) -> dict:
    """The golden of one model."""
    graph = OnnxModule(path, dtype=torch.float64, fold_batch_norm=True)
    x = torch.from_numpy(input_image(path.stem, graph.input_shape)).double()
    best = int(graph(x)[0].argmax())
    classes = [best, (best + graph(x).shape[1] // 2) % graph(x).shape[1]]
    if not torch.autograd.grad(graph(y := x.clone().requires_grad_(True))[0, classes[1]], y)[0].any():
        classes[1] = int(graph(x)[0].topk(2).indices[1])
    entries, start = [], time.monotonic()
    for c, (method, settings, values, reference) in maps(path, graph, x, classes):
        entries.append(entry(method, settings, c, values, reference))
        print(f"  {time.monotonic() - start:6.1f} s  {method} {' '.join(settings)} class {c}", flush=True)
    return {
        "model": path.stem,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": input_entry(path.stem, graph.input_shape),
        "directions": [{"multiplier": m, "increment": i} for m, i in DIRECTIONS],
        "layer": MODELS[path.stem][0],
        "maps": entries,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Write golden maps of explanation methods.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"names (default: all of {', '.join(MODELS)})")
    parser.add_argument("--out", type=Path, default=ROOT / "crates/candor/tests/golden/methods")
    arguments = parser.parse_args()
    unknown = set(arguments.models) - set(MODELS)
    if unknown:
        parser.error(f"no golden is defined for {', '.join(sorted(unknown))}")
    for name in arguments.models or MODELS:
        document = golden(model_file(name))
        path = arguments.out / f"{name}.json"
        write_json(path, document)
        print(f"{name}: {len(document['maps'])} maps, {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
