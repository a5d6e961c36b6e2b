"""Writes classifiers with random weights as ONNX files, with PyTorch's results beside them. Nothing is downloaded.

    python tools/parity/export_models.py --out DIR [--only NAME...] [--exporter script|dynamo ...] [--timm] [--list]

torchvision's families, or timm's (`--timm`); NAME@SIDE is a family with an input of another side. For each, in DIR:

    NAME.json               the reference, from PyTorch in float64: see `reference`
    NAME.script.onnx        torch.onnx.export(dynamo=False)
    NAME.dynamo.onnx        torch.onnx.export(dynamo=True)
    NAME.EXPORTER.failed    the exporter's message if the export failed

The batch is dynamic if the exporter supports it, else one (`batch` in the .json: exporter → "free" | "fixed").

Weights: PyTorch's initialisation from a fixed seed, changed by `make_generic`, because a new model is too special to test
with: zero heads give 0, a layer scale of 1e-6 or a zero gain hides the block before it, and norms are identities. The
statistics of BatchNormalization are then measured on four noise images like the reference's, so that activations neither
vanish nor explode. The recipe "separated" also keeps units away from kinks (`separate`).

Reference: the input is `noise_image` of tools/candor_tools/deterministic.py, scrambled, amplitude 2. Relu, MaxPool and Hardswish have
kinks; if rounding moves one unit across, the gradient jumps by more than any tolerance. So the recipe and the input are
chosen among RECIPES × CANDIDATES. They are ordered by the distance of their units from the kinks in float64, in units of the
float32 rounding there (`margin` of tools/parity/kinks.py), farthest first. Of the first TRIED the first is taken for which the gradient
moves by no more than GOOD_ENOUGH, or else the one for which it moves least. How far it moves is the larger of two differences:
PyTorch in float32 against float64, and float64 with the input disturbed by ±DISTURBANCE. A model without kinks takes the first pair. The
recipe and the figures are in the .json. `--reference` computes the references again, and exports a model again if its recipe changes.

`--no-reference` only exports, with the recipe "generic", if no gradient is needed (sweep.py): minutes instead of hours.

The reference computes BatchNormalization as a product and a sum: PyTorch 2.15's own has a wrong gradient in evaluation mode on a CPU
if the incoming gradient is laid out channels last, as it is behind a patch embedding. Every reference is compared with a
difference quotient (`quotient_error`), which found this.
"""

import argparse
import json
import math
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch

from candor_tools.deterministic import DIRECTIONS, MULTIPLIER, noise
from candor_tools.model_families import AMPLITUDE, RECIPES, TIMM, TORCHVISION, model_of, picture, side
from kinks import margin, roundings

CANDIDATES, TRIED, GOOD_ENOUGH, SAMPLES, DISTURBANCE = 24, 4, 2e-5, 1024, 1e-6
OPSET = {"script": 17, "dynamo": 18}


def gradient(model: torch.nn.Module, image: torch.Tensor, class_id: int | None) -> tuple[np.ndarray, int, np.ndarray]:
    """Logits, the class (by default the largest logit), and the gradient of its logit with respect to the image."""
    image = image.clone().requires_grad_(True)
    logits = model(image)
    class_id = int(logits[0].argmax()) if class_id is None else class_id
    (grad,) = torch.autograd.grad(logits[0, class_id], image)
    return logits.detach()[0].double().numpy(), class_id, grad.double().numpy().reshape(-1)


def relative(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-300))


BATCH_NORM = torch.nn.functional.batch_norm


def arithmetic_batch_norm(x, mean, variance, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """torch.nn.functional.batch_norm, in evaluation mode as a product and a sum."""
    if training:
        return BATCH_NORM(x, mean, variance, weight, bias, training, momentum, eps)
    scale = (variance + eps).rsqrt() * (1.0 if weight is None else weight)
    shift = (0.0 if bias is None else bias) - mean * scale
    shape = [1, -1] + [1] * (x.dim() - 2)
    return x * scale.reshape(shape) + shift.reshape(shape)


def quotient_error(model: torch.nn.Module, image: torch.Tensor, class_id: int, grad: np.ndarray) -> float:
    """Difference between the gradient and a difference quotient along a random direction, relative to the largest possible value."""
    step, along = 1e-5, torch.from_numpy(noise(grad.size, *DIRECTIONS[1], scrambled=True).reshape(image.shape))
    with torch.no_grad():
        ahead, behind = (model(image + s * along)[0, class_id].item() for s in (step, -step))
    return abs((ahead - behind) / (2 * step) - float(grad @ along.numpy().reshape(-1))) / float(np.linalg.norm(grad))


def by_margin(name: str, size: int, candidates: int) -> list[tuple[float, str, int]]:
    """(margin, recipe, candidate), largest margin first; only the first pair if it has no kinks."""
    pairs = []
    for recipe in RECIPES:
        single, double = (model_of(name, size, recipe).to(t) for t in (torch.float32, torch.float64))
        rounding = roundings(single, double, picture(size, 0)[0])
        for candidate in range(candidates):
            pairs.append((margin(double, picture(size, candidate)[0], rounding), recipe, candidate))
            if not math.isfinite(pairs[-1][0]):
                return pairs[-1:]
    return sorted(pairs, key=lambda pair: -pair[0])


def reference(name: str, size: int, candidates: int = CANDIDATES) -> dict:
    """{model, recipe, input {shape, amplitude, offset, multiplier, increment, scrambled}, directions, logits, class, norm,
    projections, stride, samples (entries 0, stride, … of the gradient), precision ("float64"),
    torch_float32_relative_error {logits, gradient}, kink_margin (null: no kinks), kink_sensitivity, quotient_error}"""
    torch.nn.functional.batch_norm = arithmetic_batch_norm
    pairs = by_margin(name, size, candidates)
    best, recipe = None, None
    for room, recipe_of_pair, candidate in pairs[:TRIED]:
        if recipe_of_pair != recipe:
            recipe = recipe_of_pair
            single, double = (model_of(name, size, recipe).to(t) for t in (torch.float32, torch.float64))
        image, increment = picture(size, candidate)
        logits, class_id, grad = gradient(double, image.double(), None)
        logits32, _, grad32 = gradient(single, image, class_id)
        errors = {"logits": relative(logits32, logits), "gradient": relative(grad32, grad)}
        moves = errors["gradient"]
        if moves <= GOOD_ENOUGH:
            shift = noise(grad.size, *DIRECTIONS[0], scrambled=True).reshape(image.shape) * DISTURBANCE
            for disturbed in (image.double() + torch.from_numpy(shift), image.double() - torch.from_numpy(shift)):
                moves = max(moves, relative(gradient(double, disturbed, class_id)[2], grad))
        if best is None or moves < best[0]:
            error = quotient_error(double, image.double(), class_id, grad)
            best = (moves, room, errors, recipe, increment, logits, class_id, grad, error)
        if moves <= GOOD_ENOUGH:
            break
    torch.nn.functional.batch_norm = BATCH_NORM
    moves, room, errors, recipe, increment, logits, class_id, grad, error = best
    stride = max(1, grad.size // SAMPLES) | 1
    return {
        "model": name,
        "recipe": recipe,
        "input": {
            "shape": [1, 3, size, size], "amplitude": AMPLITUDE, "offset": 0.0,
            "multiplier": MULTIPLIER, "increment": increment, "scrambled": True,
        },
        "directions": [{"multiplier": m, "increment": i} for m, i in DIRECTIONS],
        "logits": logits.tolist(),
        "class": class_id,
        "norm": float(np.linalg.norm(grad)),
        "projections": [float(grad @ noise(grad.size, m, i)) for m, i in DIRECTIONS],
        "stride": stride,
        "samples": grad[::stride].tolist(),
        "precision": "float64",
        "torch_float32_relative_error": errors,
        "kink_margin": room if math.isfinite(room) else None,
        "kink_sensitivity": moves,
        "quotient_error": error,
    }


def export(model: torch.nn.Module, size: int, exporter: str, path: Path) -> str:
    """Writes the file; returns whether its batch is "free" or "fixed"."""
    example = torch.zeros(2, 3, size, size)
    names = {"input_names": ["input"], "output_names": ["logits"], "opset_version": OPSET[exporter]}
    attempts = [("free", example), ("fixed", example[:1])]
    for kind, image in attempts:
        free = kind == "free"
        try:
            if exporter == "script":
                axes = {"input": {0: "batch"}, "logits": {0: "batch"}} if free else None
                torch.onnx.export(model, (image,), str(path), dynamo=False, dynamic_axes=axes, **names)
            else:
                shapes = ({0: torch.export.Dim("batch")},) if free else None
                torch.onnx.export(
                    model, (image,), str(path), dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False,
                    **names,
                )
            return kind
        except Exception:
            if kind == "fixed":
                raise
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--exporter", nargs="*", default=["script", "dynamo"], choices=["script", "dynamo"])
    parser.add_argument("--timm", action="store_true")
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--no-reference", action="store_true")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="images looked at for each recipe (default %(default)s)")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    families = TIMM if arguments.timm else TORCHVISION
    if arguments.list:
        print("\n".join(families))
        return
    warnings.filterwarnings("ignore")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.only or families:
        size = side(name, families)
        path = arguments.out / f"{name}.json"
        document = json.loads(path.read_text()) if path.exists() else {}
        batch, exported = document.get("batch", {}), document.get("recipe")
        if arguments.no_reference:
            document = document or {"model": name, "recipe": RECIPES[0]}
        elif arguments.reference or "logits" not in document:
            document = reference(name, size, arguments.candidates)
        document["batch"] = batch
        for exporter in arguments.exporter:
            target = arguments.out / f"{name}.{exporter}.onnx"
            failed = target.with_suffix(".failed")
            if document["recipe"] == exported and (target.exists() or arguments.reference):
                continue
            try:
                batch[exporter] = export(model_of(name, size, document["recipe"]), size, exporter, target)
                failed.unlink(missing_ok=True)
                print(f"{name} {exporter}: {batch[exporter]} batch", flush=True)
            except Exception as error:
                target.unlink(missing_ok=True)
                line = " ".join("".join(traceback.format_exception_only(error)).split())[:500]
                failed.write_text(line + "\n")
                print(f"{name} {exporter}: {line}", file=sys.stderr, flush=True)
        path.write_text(json.dumps(document, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
