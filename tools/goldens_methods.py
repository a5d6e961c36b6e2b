"""Golden maps of explanation methods on the shared models, from Captum, zennit and pytorch-grad-cam in float64.

    CANDOR_DATA=… python tools/goldens_methods.py [MODEL...] [--out crates/candor/tests/golden/methods]

One file a model, <model>.json:

    model, sha256, input   as in tools/goldens_models.py: the same inputs, which lie away from kinks
    layer                  the value that CAM methods and excitation backprop read: the last level
    maps                   one entry for each method, its parameters and class:
      method, set, class   as on Candor's command line: --method, --set, --class
      reference            what computed it
      norm, sum, projections, stride, samples   of the H×W map, as in tools/goldens_models.py, 128 samples at most

Conventions made equal here: relevance starts from the class's logit; maps of the layer are cut at zero and enlarged with
half-pixel centres (`align_corners=False`); nothing is normalised.
"""

import argparse
import hashlib
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

from deterministic import DIRECTIONS, MULTIPLIER, noise, noise_image
from goldens_models import MODELS as INPUTS
from goldens_models import SCRAMBLED, candidate, float32_list, write_json
from onnx_torch import OnnxModule, data_directory

SAMPLES = 128

# model → the last level, and which families of methods are compared on it.
MODELS = {
    "cifar10_resnet20": ("relu_70", {"gradient", "relu", "deeplift", "lrp", "excitation", "cam", "slow"}),
    "squeezenet1_0_deepcompressed": ("fire9_concat", {"gradient", "relu", "deeplift", "lrp", "excitation", "cam"}),
    "mobilenet_v2_1.0_224": ("clip_97", {"gradient", "deeplift", "cam", "lrp"}),
}


class Stack(torch.nn.Module):
    """a + b through zennit's Sum, which its rules recognise."""

    def __init__(self):
        super().__init__()
        self.sum = Sum()

    def forward(self, *terms):
        return self.sum(torch.stack(torch.broadcast_tensors(*terms), -1))


class Modules(torch.nn.Module):
    """An OnnxModule whose layers are torch.nn modules, one a node, so that hooks find them."""

    def __init__(self, graph: OnnxModule):
        super().__init__()
        self.graph, self.kept = graph, {}
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
            even = top == bottom and left == right
            conv = torch.nn.Conv2d(
                weight.shape[1] * a.get("group", 1), weight.shape[0], tuple(weight.shape[2:]), a.get("strides", 1),
                (top, left) if even else 0, a.get("dilations", 1), a.get("group", 1), bias is not None,
            )
            conv.weight.data = weight
            if bias is not None:
                conv.bias.data = bias
            return conv if even else torch.nn.Sequential(torch.nn.ZeroPad2d((left, right, top, bottom)), conv)
        if node.op_type == "Gemm":
            weight = constants[node.inputs[1]]
            weight = weight if a.get("transB", 0) else weight.T
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
            linear.weight.data, linear.bias.data = weight, constants[node.inputs[2]]
            return linear
        simple = {"Relu": torch.nn.ReLU, "Clip": torch.nn.ReLU6, "Add": Stack}
        if node.op_type == "GlobalAveragePool":
            return torch.nn.AdaptiveAvgPool2d(1)
        if node.op_type == "MaxPool":
            return torch.nn.MaxPool2d(a["kernel_shape"], a["strides"], ceil_mode=bool(a.get("ceil_mode", 0)))
        return simple[node.op_type]() if node.op_type in simple else None

    def forward(self, x, keep=()):
        state = self.graph.constants | {self.graph.input: x}
        for i, node in enumerate(self.graph.nodes):
            if str(i) in self.layers:
                inputs = [state[n] for n in node.inputs if n not in self.graph.constants]
                state[node.outputs[0]] = self.layers[str(i)](*inputs)
            else:
                state[node.outputs[0]] = node(state)
        self.kept = {name: state[name] for name in keep}
        return state[self.graph.output]


def enlarged(cam: torch.Tensor, size) -> torch.Tensor:
    """The positive part of an h×w map on the input's grid."""
    return F.interpolate(cam.clamp(min=0)[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def gradient_family(model, x, c):
    gradient = Saliency(model).attribute(x, target=c, abs=False)[0]
    yield "gradient", [], gradient.abs().amax(0), "captum Saliency"
    yield "gradient", ["channels=sum"], gradient.sum(0), "captum Saliency"
    yield "gradient-times-input", [], InputXGradient(model).attribute(x, target=c)[0].sum(0), "captum InputXGradient"
    integrated = IntegratedGradients(model).attribute(x, target=c, n_steps=50)[0].sum(0)
    yield "integrated-gradients", [], integrated, "captum IntegratedGradients"


def relu_family(make, x, c):
    yield "guided-backprop", [], GuidedBackprop(make()).attribute(x, target=c)[0].abs().amax(0), "captum GuidedBackprop"
    yield "deconvnet", [], Deconvolution(make()).attribute(x, target=c)[0].abs().amax(0), "captum Deconvolution"


def lrp_family(make, x, c):
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
        model = make()
        with Gradient(model=model, composite=composite) as attributor:
            _, relevance = attributor(x, lambda out: out * F.one_hot(torch.tensor([c]), out.shape[1]))
        more = ["epsilon=0.25"] if name == "epsilon" else []
        yield "lrp", [f"composite={name}", *more], relevance[0].sum(0), f"zennit {name}"


def excitation(make, x, c, layer):
    model = make()
    with ExcitationBackprop(zero_params=["bias"]).context(model) as modified:
        out = modified(x.clone().requires_grad_(True), keep=[layer])
        (found,) = torch.autograd.grad(out[0, c], model.kept[layer])
    yield "excitation-backprop", [], enlarged(found[0].sum(0), x.shape[2:]), "zennit ExcitationBackprop"


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
    projection = torch.from_numpy(get_2d_projection(features).astype(np.float64))[0]
    if projection.reshape(-1)[projection.abs().argmax()] < 0:
        projection = -projection
    yield "eigen-cam", ["center=true"], projection, "pytorch-grad-cam get_2d_projection"


def slow_family(graph, x, c, layer):
    """Formulas written out in PyTorch, and Captum's occlusion."""
    size = x.shape[2:]
    with torch.no_grad():
        logits, a = graph.run({graph.input: x}, [graph.output, layer])
        masks = F.interpolate(a, size=size, mode="bilinear", align_corners=False)[0]
        low, high = masks.amin((1, 2), keepdim=True), masks.amax((1, 2), keepdim=True)
        masks = torch.where(high > low, (masks - low) / (high - low).clamp(min=1e-300), torch.zeros_like(masks))
        scores = graph(x * masks[:, None])[:, c]
        cam = (scores.softmax(0)[:, None, None] * a[0]).sum(0)
        yield "score-cam", [], enlarged(cam, size), "the formula in PyTorch"
        keep = 1 - torch.eye(a.shape[1], dtype=a.dtype)[:, :, None, None]
        without = graph.run({graph.input: x.expand(len(keep), -1, -1, -1), layer: a * keep}, [graph.output])[0][:, c]
        weights = (logits[0, c] - without) / logits[0, c]
        yield "ablation-cam", [], enlarged((weights[:, None, None] * a[0]).sum(0), size), "the formula in PyTorch"
        covered = Occlusion(graph).attribute(
            x, target=c, sliding_window_shapes=(3, 4, 4), strides=(3, 2, 2), baselines=0
        )
        yield "occlusion", ["window=4", "stride=2"], covered[0, 0], "captum Occlusion"
    convolutions = [n for n in graph.nodes if n.op_type == "Conv"]
    image = x.clone().requires_grad_(True)
    out, *values = graph.run({graph.input: image}, [graph.output, *(n.outputs[0] for n in convolutions)])
    first, *rest = torch.autograd.grad(out[0, c], [image, *values])
    total = (first * x).sum(1).abs()[0]
    for node, g in zip(convolutions, rest):
        part = (g[0] * graph.constants[node.inputs[2]][:, None, None]).abs()
        total = total + F.interpolate(part[None], size=size, mode="bilinear", align_corners=False)[0].sum(0)
    yield "fullgrad", [], total.detach(), "the formula in PyTorch"


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


def golden(path: Path) -> dict:
    """The golden of one model."""
    layer, families = MODELS[path.stem]
    amplitude, offset, t, _ = INPUTS[path.stem]
    graph = OnnxModule(path, dtype=torch.float64, fold_batch_norm=True)
    image = noise_image(graph.input_shape, amplitude, offset, candidate(t), path.stem in SCRAMBLED)
    x = torch.from_numpy(image).double()

    def make():
        return Modules(OnnxModule(path, dtype=torch.float64, fold_batch_norm=True)).eval()

    assert torch.allclose(make()(x), graph(x)), "the modules compute another function"
    best = int(graph(x)[0].argmax())
    classes = [best, (best + graph(x).shape[1] // 2) % graph(x).shape[1]]
    if not torch.autograd.grad(graph(y := x.clone().requires_grad_(True))[0, classes[1]], y)[0].any():
        classes[1] = int(graph(x)[0].topk(2).indices[1])
    maps = []
    for c in classes:
        found = []
        if "gradient" in families:
            found += gradient_family(graph, x, c)
        if "relu" in families:
            found += relu_family(make, x, c)
        if "deeplift" in families:
            deep = DeepLift(make()).attribute(x, baselines=torch.zeros_like(x), target=c)[0].sum(0)
            found.append(("deeplift", [], deep, "captum DeepLift"))
        if "lrp" in families:
            found += lrp_family(make, x, c)
        if "excitation" in families:
            found += excitation(make, x, c, layer)
        if "cam" in families:
            found += [f for f in cam_family(graph, x, c, layer) if f[0] != "eigen-cam" or c == best]
        if "slow" in families:
            found += slow_family(graph, x, c, layer)
        for method, settings, values, reference in found:
            if method == "eigen-cam":
                values = enlarged(values, x.shape[2:])
            maps.append(entry(method, settings, c, values, reference))
    return {
        "model": path.stem,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": {
            "shape": graph.input_shape, "amplitude": amplitude, "offset": offset, "multiplier": MULTIPLIER,
            "increment": candidate(t), "scrambled": path.stem in SCRAMBLED,
        },
        "directions": [{"multiplier": m, "increment": i} for m, i in DIRECTIONS],
        "layer": layer,
        "maps": maps,
    }


def main() -> None:
    repository = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description="Write golden maps of explanation methods.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"names (default: all of {', '.join(MODELS)})")
    parser.add_argument("--out", type=Path, default=repository / "crates/candor/tests/golden/methods")
    arguments = parser.parse_args()
    unknown = set(arguments.models) - set(MODELS)
    if unknown:
        parser.error(f"no golden is defined for {', '.join(sorted(unknown))}")
    for name in arguments.models or MODELS:
        document = golden(data_directory() / "models" / f"{name}.onnx")
        path = arguments.out / f"{name}.json"
        write_json(path, document)
        print(f"{name}: {len(document['maps'])} maps, {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
