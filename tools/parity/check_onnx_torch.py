"""Compares the evaluator of ONNX graphs in PyTorch (`OnnxModule`) with ONNX Runtime: the forward pass of the embedded and of
every shared model.

    python tools/parity/check_onnx_torch.py [MODEL.onnx...]

In float32, in float32 with BatchNormalization folded and channels-last memory, and in float64. The exit code is 1 if an error is
above the tolerance.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from candor_tools.checkout import SCENES, data_directory
from candor_tools.onnx_torch import OnnxModule


def relative_error(value, reference) -> float:
    """max |value − reference| / max |reference|."""
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    return float(np.abs(value - reference).max() / max(np.abs(reference).max(), 1e-30))


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare OnnxModule's forward pass with ONNX Runtime's.")
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL", help="ONNX files (default: the embedded model and all shared ones)")
    parser.add_argument("--batch", type=int, default=2, help="images a batch (default 2)")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest relative error that passes")
    arguments = parser.parse_args()
    worst = 0.0
    models = arguments.models or [SCENES, *sorted((data_directory() / "models").glob("*.onnx"))]
    print(f"{'model':32} {'float32':>9} {'folded+NHWC':>12} {'float64':>9}   (max |difference| / max |logit|)")
    for path in models:
        module = OnnxModule(path)
        generator = np.random.default_rng(0)
        x = generator.standard_normal([arguments.batch, *module.input_shape[1:]], dtype=np.float32)
        x = x * 60 if path.stem.startswith(("squeezenet", "cifar10_resnet8")) else x
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        expected = session.run([module.output], {module.input: x})[0]
        fused = OnnxModule(path, fold_batch_norm=True, channels_last=True)
        double = OnnxModule(path, dtype=torch.float64)
        with torch.no_grad():
            errors = [
                relative_error(module(torch.from_numpy(x)), expected),
                relative_error(fused(torch.from_numpy(x)), expected),
                relative_error(double(torch.from_numpy(x).double()), expected),
            ]
        worst = max(worst, *errors)
        print(f"{path.stem:32} {errors[0]:9.1e} {errors[1]:12.1e} {errors[2]:9.1e}")
    return int(not worst <= arguments.tolerance)


if __name__ == "__main__":
    sys.exit(main())
