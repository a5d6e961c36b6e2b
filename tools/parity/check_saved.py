"""Checks models that Candor wrote: by the ONNX checker, and with ONNX Runtime against PyTorch.

    cargo run --release -p candor-graph --example gradient -- MODEL.onnx GRADIENT.onnx
    python tools/parity/check_saved.py MODEL.onnx GRADIENT.onnx

Prints one line: whether the checker accepts GRADIENT.onnx (full check: types and shapes too), the operators and domains it
uses, and the relative error of its outputs and of its gradient of Σ outputs, run by ONNX Runtime, against autograd through
tools/candor_tools/onnx_torch.py in float64.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from candor_tools.deterministic import noise_image
from candor_tools.model_inputs import MODELS
from candor_tools.onnx_torch import OnnxModule


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30))


def main() -> None:
    original, written = map(Path, sys.argv[1:3])
    model = onnx.load(written)
    onnx.checker.check_model(model, full_check=True)
    domains = sorted({n.domain or "ai.onnx" for n in model.graph.node})
    module = OnnxModule(str(original), dtype=torch.float64)
    amplitude, offset, *_ = MODELS.get(original.stem, (1.0, 0.0))
    image = noise_image(module.input_shape, amplitude, offset)
    x = torch.from_numpy(image).double().requires_grad_(True)
    y = module(x)
    (g,) = torch.autograd.grad(y.sum(), x)
    session = onnxruntime.InferenceSession(str(written), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: image})
    print(
        f"{original.stem}: checker passed, {len(model.graph.node)} nodes of {', '.join(domains)}, opset "
        f"{model.opset_import[0].version}; outputs {relative(outputs[0], y.detach().numpy()):.1e}, "
        f"gradient {relative(outputs[-1], g.numpy()):.1e}"
    )


if __name__ == "__main__":
    main()
