"""Golden gradients of the shared models, from PyTorch in float64.

    CANDOR_DATA=… python tools/goldens_models.py [MODEL...] [--out crates/candor-graph/tests/golden/models]

One file a model, <model>.json:

    model, sha256      the ONNX file's stem and hash
    input              {shape, amplitude, offset, multiplier, increment}: see tools/deterministic.py
    logits             all K, computed in float64, stored as the nearest float32
    classes            [argmax, (argmax + K//2) mod K], and the runner-up where the second's gradient is exactly zero
                       (SqueezeNet ends in a Relu, so an absent class is dead); that zero is part of the golden
    torch_float32_relative_error
                       what PyTorch loses in float32: {logits, gradients (the worst below)}
    gradients          one entry for each class and each `value` (the input, then inner values):
      class, value, shape   d logit[class] / d value; shape has a batch of 1
      norm, sum             L2 norm and sum of all entries (float64)
      projections           ⟨gradient, v_k⟩ on the directions (float64)
      stride, samples       entries at flat indexes 0, stride, 2·stride, … below n, float32; at most 512, and a stride
                        coprime to n, so that every row, column and channel is met
      torch_float32_relative_error   ‖g32 − g64‖ / ‖g64‖ over all entries
    directions         the (multiplier, increment) of v_k = noise(n)

Tolerances: samples by max |error| ≤ ε · max |sample| or by the L2 norm of their errors ≤ ε · `norm`; sum and projections
by |error| ≤ ε · `norm` · √n (n entries), which bounds an error of ε · `norm` in any direction.
"""

import argparse
import hashlib
import json
from math import gcd
from pathlib import Path

import numpy as np
import torch

from deterministic import DIRECTIONS, INPUT, noise, noise_image
from onnx_torch import OnnxModule, data_directory

SAMPLES = 512

# model → (amplitude, offset, inner values). The range is the model's own preprocessing's. Inner values: the last
# activation before the head, then one a spatial resolution earlier. None feeds a MaxPool with ties (windows of zeros
# after a Relu), where the gradient of the value itself is a convention.
MODELS = {
    "cifar10_resnet20": (2.0, 0.0, ["relu_70", "relu_47"]),
    "cifar10_resnet56": (2.0, 0.0, ["relu_196", "relu_131"]),
    "cifar10_resnet8_mlperftiny": (127.5, 127.5, ["relu_19", "relu_13"]),
    "mobilenet_v1_0.25_128": (1.0, 0.0, ["clip_54", "clip_46"]),
    "mobilenet_v1_0.25_224_bn": (1.0, 0.0, ["conv_pw_13_relu", "conv_pw_11_relu"]),
    "mobilenet_v2_1.0_224": (1.0, 0.0, ["clip_97", "clip_75"]),
    "pneumonia_cnn_128": (2.0, 0.0, ["relu_15", "maxpool_12"]),
    "squeezenet1_0_deepcompressed": (128.0, 0.0, ["fire9_concat", "fire7_concat"]),
    "tiny_darknet_224": (0.5, 0.5, ["leaky_re_lu_15", "leaky_re_lu_10"]),
}


def float32_list(values) -> list[float]:
    """The nearest float32 values, each as the shortest decimal that reads back as that float32."""
    return [float(str(v)) for v in np.asarray(values, np.float64).astype(np.float32).reshape(-1)]


def write_json(path: Path, document: dict) -> None:
    """Compact JSON, one trailing newline; NaN is an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n")


def logits_and_gradients(module: OnnxModule, x: torch.Tensor, values: list[str], classes: list[int] | None):
    """(logits, classes, {(class, value): gradient}); classes None picks them as the golden does."""
    x = x.clone().requires_grad_(True)
    inner = module.run({module.input: x}, [module.output, *values])
    logits = inner[0][0]
    if classes is None:
        best = int(logits.argmax())
        classes = [best, (best + len(logits) // 2) % len(logits)]
        if not torch.autograd.grad(logits[classes[1]], x, retain_graph=True)[0].any():
            classes.append(int(logits.topk(2).indices[1]))
    gradients = {}
    for c in classes:
        results = torch.autograd.grad(logits[c], [x, *inner[1:]], retain_graph=True)
        gradients |= {(c, v): g for v, g in zip([module.input, *values], results)}
    return logits.detach(), classes, gradients


def gradient_entry(c: int, value: str, gradient: np.ndarray, float32_error: float) -> dict:
    """One entry of `gradients`."""
    flat = gradient.reshape(-1)
    stride = next(s for s in range(-(-flat.size // SAMPLES), flat.size + 2) if gcd(s, flat.size) == 1)
    return {
        "class": c,
        "value": value,
        "shape": list(gradient.shape),
        "norm": float(np.linalg.norm(flat)),
        "sum": float(flat.sum()),
        "projections": [float(flat @ noise(flat.size, *d)) for d in DIRECTIONS],
        "torch_float32_relative_error": float(f"{float32_error:.2e}"),
        "stride": stride,
        "samples": float32_list(flat[::stride]),
    }


def golden(path: Path) -> dict:
    """The golden of one model."""
    amplitude, offset, inner = MODELS[path.stem]
    double, single = OnnxModule(path, dtype=torch.float64), OnnxModule(path)
    x = torch.from_numpy(noise_image(double.input_shape, amplitude, offset))
    logits, classes, gradients = logits_and_gradients(double, x.double(), inner, None)
    logits32, _, gradients32 = logits_and_gradients(single, x, inner, classes)
    entries = []
    for (c, value), gradient in gradients.items():
        difference = torch.linalg.norm(gradients32[c, value].double() - gradient)
        error = float(difference / torch.linalg.norm(gradient)) if gradient.any() else 0.0
        entries.append(gradient_entry(c, value, gradient.numpy(), error))
    logits_error = float((logits32.double() - logits).abs().max() / logits.abs().max())
    return {
        "model": path.stem,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": {
            "shape": double.input_shape,
            "amplitude": amplitude,
            "offset": offset,
            "multiplier": INPUT[0],
            "increment": INPUT[1],
        },
        "directions": [{"multiplier": m, "increment": i} for m, i in DIRECTIONS],
        "classes": classes,
        "torch_float32_relative_error": {
            "logits": float(f"{logits_error:.2e}"),
            "gradients": max(e["torch_float32_relative_error"] for e in entries),
        },
        "logits": float32_list(logits),
        "gradients": entries,
    }


def main() -> None:
    repository = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description="Write golden logits and gradients of the shared models.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"names (default: all of {', '.join(MODELS)})")
    parser.add_argument("--out", type=Path, default=repository / "crates/candor-graph/tests/golden/models")
    arguments = parser.parse_args()
    unknown = set(arguments.models) - set(MODELS)
    if unknown:
        parser.error(f"no golden is defined for {', '.join(sorted(unknown))}")
    for name in arguments.models or MODELS:
        document = golden(data_directory() / "models" / f"{name}.onnx")
        path = arguments.out / f"{name}.json"
        write_json(path, document)
        error = document["torch_float32_relative_error"]
        print(f"{name}: {path.stat().st_size / 1000:.0f} kB, float32 error logits {error['logits']:.0e}")
        for e in document["gradients"]:
            zeros = sum(s == 0 for s in e["samples"]) / len(e["samples"])
            print(
                f"  class {e['class']:3} d/d {e['value']:18} {str(e['shape']):20} norm {e['norm']:.3e}"
                f"  float32 error {e['torch_float32_relative_error']:.1e}  zero samples {zeros:.0%}"
            )


if __name__ == "__main__":
    main()
