"""Goldens of the reliable mask: ten iterations in float64, by PyTorch.

    CANDOR_DATA=… python tools/goldens/mask.py [GOLDEN...] [--out crates/candor/tests/golden]

    mask_resnet20              cifar10_resnet20 of the shared data, three levels, β₂ 0.999
    mask_resnet20_beta2_0.9    the same with β₂ 0.9
    mask_scenes                the embedded model, four levels, β₂ 0.9, λ about Candor's default; needs no shared data

The input is `smooth_image` of tools/candor_tools/deterministic.py, with an amplitude at which rounding moves no unit across its kink: with
others PyTorch's own masks in float32 differ from those in float64 by up to 0.01 (see `torch_float32`). Objective, initial values,
projection and conventions are those of tools/candor_tools/reliable_mask.py; Adam is PyTorch's (β₁ 0.9, β₂ of the golden, ε 1e-8 outside
the square root, bias-corrected).

Three queries: the argmax, the runner-up (lower log-odds, but above the null's), and the lowest class (no evidence: its masks
shrink evenly). For each query:

    class, log_odds, null_log_odds, target   o_c(S(x)), n_c, max of the two
    losses             total loss before each of the iterations, then the final masks' (iterations + 1 values)
    gradient_0         at iteration 0, one number a level: the masks are ones, so D = 0 with zero gradient and every
                       entry is l1_weight
    gradient_1         at iteration 1 (all masks 1 − learning_rate): the first that D shapes; one flat list a level
    masks              after the last iteration, one flat list a level (H·W, row by row)
    torch_float32      how far PyTorch in float32 is from float64: loss (relative), gradient_1 (L2, relative), mask (largest
                       difference; Adam turns a gradient near zero into a full step, so a few entries may jump)

The lowest class has `mask_ranges` and `gradient_1_ranges` ([min, max] a level) in place of lists. Masks are rounded to
7 decimals and gradients to 6 significant digits. `mask_scenes`, whose levels are larger, has no lists of gradients, and masks of
6 decimals.
"""

import argparse
import hashlib
from pathlib import Path

import torch

from candor_tools.checkout import ROOT, model_file
from candor_tools.deterministic import smooth_image
from candor_tools.golden_file import write_json
from candor_tools.onnx_torch import OnnxModule
from candor_tools.reliable_mask import MaskRun, ReliableMask, find_levels

LEARNING_RATE, ITERATIONS = 0.05, 10

# golden → model, λ, β₂, amplitude of the image
GOLDENS = {
    "mask_resnet20": ("cifar10_resnet20", 0.05, 0.999, 1.0),
    "mask_resnet20_beta2_0.9": ("cifar10_resnet20", 0.05, 0.9, 1.2),
    "mask_scenes": ("scenes", 0.0025, 0.9, 0.38),
}
SHORT = {"mask_scenes"}
"""Goldens without lists of gradients."""


def significant(tensor: torch.Tensor, digits: int = 6) -> list[float]:
    """Entries in row-major order, rounded to `digits` significant digits."""
    return [float(f"{v:.{digits}g}") for v in tensor.reshape(-1).tolist()]


def ranges(tensors: list[torch.Tensor]) -> list[list[float]]:
    """[min, max] of each tensor."""
    return [[float(t.min()), float(t.max())] for t in tensors]


def query_entry(run: MaskRun, run32: MaskRun, query: int, c: int, full: bool, short: bool) -> dict:
    """The golden of one query; `full` writes whole masks and gradients, `short` only masks."""
    masks, masks32 = [m[query] for m in run.masks], [m[query].double() for m in run32.masks]
    first, second = ([g[query] for g in run.gradients[i]] for i in (0, 1))
    second32 = [g[query].double() for g in run32.gradients[1]]
    losses, losses32 = (torch.stack(r.losses)[:, query].double() for r in (run, run32))
    difference = torch.cat([(b - a).reshape(-1) for a, b in zip(second, second32)])
    entry = {
        "class": c,
        "log_odds": float(run.log_odds[query]),
        "null_log_odds": float(run.null_log_odds[query]),
        "target": float(torch.maximum(run.log_odds, run.null_log_odds)[query]),
        "losses": [float(v) for v in losses],
        "gradient_0": [float(g.mean()) for g in first],
        "torch_float32": {
            "loss": float(f"{((losses32 - losses).abs() / losses).max():.2e}"),
            "gradient_1": float(f"{difference.norm() / torch.cat([g.reshape(-1) for g in second]).norm():.2e}"),
            "mask": float(f"{max((b - a).abs().max() for a, b in zip(masks, masks32)):.2e}"),
        },
    }
    if full and not short:
        entry["gradient_1"] = [significant(g) for g in second]
    else:
        entry["gradient_1_ranges"] = ranges(second)
    if full:
        entry["masks"] = [[round(v, 6 if short else 7) for v in m.reshape(-1).tolist()] for m in masks]
    else:
        entry["mask_ranges"] = ranges(masks)
    return entry


def golden(name: str) -> dict:
    """The document of one golden."""
    model, lambda_, beta2, amplitude = GOLDENS[name]
    path = model_file(model)
    double, single = OnnxModule(path, dtype=torch.float64), OnnxModule(path)
    levels = find_levels(double)
    x = torch.from_numpy(smooth_image(double.input_shape, amplitude))
    with torch.no_grad():
        order = double(x.double())[0].argsort(descending=True)
    classes = order[[0, 1, -1]]
    options = {"iterations": ITERATIONS, "keep_gradients": (0, 1), "final_loss": True}
    run = ReliableMask(double, levels, lambda_, LEARNING_RATE, beta2).learn(x.double(), classes, **options)
    run32 = ReliableMask(single, levels, lambda_, LEARNING_RATE, beta2).learn(x, classes, **options)
    for level, gradient, weight in zip(levels, run.gradients[0], run.l1_weights):
        if (gradient - weight).abs().max() > 1e-12:
            raise AssertionError(f"{level}: the gradient at ones is not the L1 term's alone")
    adam = {"name": "adam", "learning_rate": LEARNING_RATE, "beta1": 0.9, "beta2": beta2, "epsilon": 1e-8}
    return {
        "model": model,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": {"kind": "smooth_image", "shape": double.input_shape, "amplitude": amplitude},
        "lambda": lambda_,
        "optimiser": adam,
        "iterations": ITERATIONS,
        "levels": [
            {"value": level, "mask_shape": list(m.shape[1:]), "l1_weight": w}
            for level, m, w in zip(levels, run.masks, run.l1_weights)
        ],
        "queries": [query_entry(run, run32, q, int(c), q < 2, name in SHORT) for q, c in enumerate(classes)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the goldens of the reliable mask.")
    parser.add_argument("goldens", nargs="*", metavar="GOLDEN", help=f"names (default: all of {', '.join(GOLDENS)})")
    parser.add_argument("--out", type=Path, default=ROOT / "crates/candor/tests/golden")
    arguments = parser.parse_args()
    unknown = set(arguments.goldens) - set(GOLDENS)
    if unknown:
        parser.error(f"no golden is called {', '.join(sorted(unknown))}")
    for name in arguments.goldens or GOLDENS:
        document, path = golden(name), arguments.out / f"{name}.json"
        write_json(path, document)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
        for q in document["queries"]:
            print(
                f"  class {q['class']}: log-odds {q['log_odds']:.4f}, null {q['null_log_odds']:.4f}, loss "
                f"{q['losses'][0]:.4f} → {q['losses'][-1]:.4f}, float32 differs by {q['torch_float32']}"
            )


if __name__ == "__main__":
    main()
