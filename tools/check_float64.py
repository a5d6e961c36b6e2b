"""Candor's gradient graphs in float64, where no unit is within rounding of its kink.

    python tools/check_float64.py --candor PROGRAM ZOO/NAME.EXPORTER.onnx...

For models of tools/export_models.py on which float32 cannot tell a wrong rule from a unit that rounding moved across a kink: the
graph that `candor export --method gradient` writes, and the model itself differentiated by PyTorch's autograd, both run in
float64 by tools/onnx_torch.py on the reference's input. Prints how far the maps (the largest |gradient| of the channels)
are apart, relative to their norm. The exit code is 1 if that is more than TOLERANCE; weights that Candor folds are rounded to
float32, which is what remains.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
import torch

import goldens_rules  # noqa: F401  operators that the models do not need
from deterministic import noise_image
from onnx_torch import OPERATORS, OnnxModule

TOLERANCE = 1e-6

_cast = OPERATORS["Cast"]
OPERATORS["Cast"] = lambda a, x: x.double() if a["to"] == onnx.TensorProto.FLOAT else _cast(a, x)
OPERATORS["Equal"] = lambda a, x, y: x == y


def difference(candor: str, path: Path) -> float:
    reference = json.loads((path.parent / f"{path.name.split('.')[0]}.json").read_text())
    spec = reference["input"]
    image = noise_image(spec["shape"], spec["amplitude"], spec["offset"], spec["increment"], spec["scrambled"])
    image = torch.from_numpy(image).double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(OnnxModule(path, dtype=torch.float64)(image)[0, reference["class"]], image)
    want = gradient[0].abs().amax(0)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "gradient.onnx"
        words = [candor, "export", str(path), "--method", "gradient", "-o", str(target)]
        subprocess.run(words, check=True, capture_output=True)
        module = OnnxModule(target, dtype=torch.float64)
        names = [i.name for i in onnx.load(target).graph.input]
    with torch.no_grad():
        (got,) = module.run(dict(zip(names, (image, torch.tensor([reference["class"]])))), ["map"])
    return float((got[0, 0] - want).norm() / want.norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--candor", required=True, help="the program")
    arguments = parser.parse_args()
    worst = 0.0
    for path in arguments.models:
        off = difference(arguments.candor, path)
        worst = max(worst, off)
        print(f"{path.stem}: off by {off:.1e}", flush=True)
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
