"""Golden maps of RISE, LIME and KernelSHAP from masks that both sides can compute: the published estimators in float64.

    CANDOR_DATA=… python tools/goldens/samples.py [--out crates/candor/tests/golden/samples.json]

    model, sha256, input   as in tools/goldens/models.py
    classes                the queried classes
    noise                  {multiplier, increment, scrambled}: `noise` of tools/candor_tools/deterministic.py under which masks are drawn
    rise                   masks, keep; maps: for each class every STRIDE-th pixel of the map.
                           Pixel j of mask i is (noise(i·H·W + j) + 1) / 2. Scores are probabilities.
    lime                   cells, samples, kernel, ridge; coefficients: for each class one for each superpixel
    kernel_shap            cells, samples; values: the same. Scores are logits.
                           Superpixels are the squares of a grid with `cells` along each side, numbered row by row; hidden
                           ones are 0. Sample i shows superpixel k of n where noise(i·n + k) > 0.

RISE is the authors' expression (their evaluation.py has `sal / N / p1`). LIME and KernelSHAP are Captum's LimeBase with
given samples: with scikit-learn's Ridge and the similarity of the `lime` package (cosine distance of the subsets, root of the
exponential), and with linear regression with the weights of Captum's KernelShap.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from captum._utils.models.linear_model import SkLearnLinearRegression, SkLearnRidge
from captum.attr._core.lime import LimeBase

from candor_tools.checkout import ROOT, model_file
from candor_tools.deterministic import noise
from candor_tools.golden_file import float32_list, write_json
from candor_tools.model_inputs import input_entry, input_image
from candor_tools.onnx_torch import OnnxModule

MODEL = "cifar10_resnet20"
NOISE = {"multiplier": 2246822519, "increment": 77, "scrambled": True}
MASKS, KEEP, STRIDE = 64, 0.5, 3
CELLS, SAMPLES, KERNEL, RIDGE = 4, 200, 0.25, 1.0


def drawn(count: int) -> np.ndarray:
    """`count` values of the masks' noise."""
    return noise(count, NOISE["multiplier"], NOISE["increment"], NOISE["scrambled"])


def rise(module, x, classes):
    """Σ p · M / N / p1, as in the authors' code."""
    _, _, height, width = x.shape
    masks = torch.from_numpy((drawn(MASKS * height * width) + 1) / 2).reshape(MASKS, height, width)
    p = module(x * masks[:, None]).softmax(1)[:, classes]
    return torch.matmul(p.T, masks.view(MASKS, -1)) / MASKS / KEEP


def superpixels(x):
    """The index of each pixel's square."""
    _, _, height, width = x.shape
    row, column = torch.arange(height) * CELLS // height, torch.arange(width) * CELLS // width
    return row[:, None] * CELLS + column[None, :]


def fitted(model, score, x, samples, similarity):
    """Captum's LimeBase on given samples."""
    labels = superpixels(x)

    def perturb(original, **_):
        yield from (s[None] for s in samples)

    def shown(sample, original, **_):
        return original * sample[0][labels]

    base = LimeBase(score, model, similarity, perturb, True, shown, None)
    return base.attribute(x, n_samples=len(samples))[0]


def likeness(original, perturbed, sample, **_):
    """The kernel of `lime`: √exp(−d²/k²), d the cosine distance to the whole."""
    row = sample[0].double()
    d = 1 - row.sum() / (row.norm() * len(row) ** 0.5)
    return torch.sqrt(torch.exp(-(d**2) / KERNEL**2))


def endpoints_first(original, perturbed, sample, **_):
    """The weights of Captum's KernelShap: nothing and the whole must be matched, coalitions have equal weights."""
    return torch.tensor(1e6 if sample.sum() in (0, sample.numel()) else 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write golden maps of methods that sample.")
    parser.add_argument("--out", type=Path, default=ROOT / "crates/candor/tests/golden/samples.json")
    arguments = parser.parse_args()
    path = model_file(MODEL)
    module = OnnxModule(path, dtype=torch.float64, fold_batch_norm=True)
    x = torch.from_numpy(input_image(MODEL, module.input_shape)).double()
    with torch.no_grad():
        best = int(module(x)[0].argmax())
        classes = [best, (best + 5) % 10]
        n = CELLS * CELLS
        subsets = torch.from_numpy(drawn(SAMPLES * n).reshape(SAMPLES, n) > 0).long()
        ends = torch.cat([torch.ones(1, n), torch.zeros(1, n)]).long()
        linear = [
            fitted(SkLearnRidge(alpha=RIDGE), lambda i, c=c: module(i).softmax(1)[:, c], x, subsets, likeness)
            for c in classes
        ]
        shapley = [
            fitted(SkLearnLinearRegression(), lambda i, c=c: module(i)[:, c], x, torch.cat([ends, subsets]), endpoints_first)
            for c in classes
        ]
        maps = rise(module, x, classes)
    document = {
        "model": MODEL,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": input_entry(MODEL, module.input_shape),
        "classes": classes,
        "noise": NOISE,
        "rise": {
            "masks": MASKS, "keep": KEEP, "stride": STRIDE, "maps": [float32_list(m[::STRIDE]) for m in maps],
        },
        "lime": {
            "cells": CELLS, "samples": SAMPLES, "kernel": KERNEL, "ridge": RIDGE,
            "coefficients": [float32_list(v) for v in linear],
        },
        "kernel_shap": {"cells": CELLS, "samples": SAMPLES, "values": [float32_list(v) for v in shapley]},
    }
    write_json(arguments.out, document)
    print(f"{arguments.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
