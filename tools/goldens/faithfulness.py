"""Golden figures of faithfulness by published code, on a small model that both sides can build: float64 except for the images.

    git clone https://github.com/eclique/RISE DIR
    python tools/goldens/faithfulness.py DIR [--out crates/candor-eval/tests/golden/faithfulness.json]

    shape, hidden, classes   C, H, W; units of the hidden layer; outputs
    image, substrate, map    `noise_image`s of tools/candor_tools/deterministic.py: C·H·W, C·H·W and H·W float32 values
    first, second, direct    the model's weights, `noise` × amplitude in float64: hidden × C·H·W, classes × hidden and
                             classes × C·H·W. Logits: second · tanh(first · x) + direct · x; the score is the probability of
                             `class`, the model's answer for the image (RISE's code watches no other).
    curves                   step, pixels a step; deletion, insertion: the scores along the way and their area, by
                             `CausalMetric` and `auc` of DIR's evaluation.py, from the image to `substrate` and back
    imputations              for sets of removed pixels (row-major indices): their values, channel by channel, by
                             NoisyLinearImputer of pytorch-grad-cam (the authors' code), without noise
    road                     percentages; most, least: scores without the pixels of the highest and lowest values, imputed so
    infidelity               perturbations (`noise_image`s, one after the other) and how many; attribution: `map` for every
                             channel; value and scaled: captum.metrics.infidelity, plain and with `normalize`
    sensitivity              nearby images: image + `noise_image`s, one after the other, and how many; value:
                             captum.metrics.sensitivity_max of gradient × input of the class's logit, summed over channels
    gini                     of `map`, by the formula of Quantus' Sparseness without the 1e-7 it adds to every value
"""

import argparse
import contextlib
import sys
import types
from pathlib import Path

import numpy as np
import torch
from captum.metrics import infidelity, sensitivity_max
from pytorch_grad_cam.metrics.road import NoisyLinearImputer

from candor_tools.checkout import ROOT
from candor_tools.deterministic import MULTIPLIER, noise
from candor_tools.golden_file import float32_list, write_json

SHAPE = CHANNELS, HEIGHT, WIDTH = 3, 12, 14
AREA, SIZE = HEIGHT * WIDTH, CHANNELS * HEIGHT * WIDTH
HIDDEN, CLASSES, STEP = 16, 5, 14
PERCENTAGES = list(range(10, 100, 10))


def spec(increment: int, amplitude: float, offset: float = 0.0) -> dict:
    """What regenerates an array."""
    return {
        "multiplier": MULTIPLIER, "increment": increment, "scrambled": True, "amplitude": amplitude, "offset": offset,
    }


def drawn(s: dict, *shape: int) -> torch.Tensor:
    """noise · amplitude + offset, float64."""
    values = noise(int(np.prod(shape)), s["multiplier"], s["increment"], s["scrambled"])
    return torch.from_numpy(values * s["amplitude"] + s["offset"]).reshape(shape)


IMAGE, SUBSTRATE, MAP = spec(1, 1.0, 0.2), spec(2, 0.3), spec(3, 0.5, 0.5)
FIRST, SECOND, DIRECT = spec(4, 0.15), spec(5, 1.0), spec(6, 0.05)
PERTURBATIONS, NEARBY = spec(7, 0.4), spec(8, 0.15)
SAMPLES = 12


def published(directory: Path):
    """RISE's evaluation.py, without its code for drawing and for a GPU."""
    utils, filters = types.ModuleType("utils"), types.ModuleType("scipy.ndimage.filters")
    utils.np, utils.torch, filters.gaussian_filter = np, torch, None
    sys.modules.update({"utils": utils, "scipy.ndimage.filters": filters})
    sys.path.insert(0, str(directory))
    torch.Tensor.cuda = lambda self: self
    import evaluation

    evaluation.HW = AREA
    return evaluation


class Model:
    """The small model."""

    def __init__(self):
        self.first, self.second = drawn(FIRST, HIDDEN, SIZE), drawn(SECOND, CLASSES, HIDDEN)
        self.direct = drawn(DIRECT, CLASSES, SIZE)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """N × classes."""
        x = x.double().reshape(len(x), -1)
        return torch.tanh(x @ self.first.T) @ self.second.T + x @ self.direct.T

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x).softmax(1)

    def gradient_times_input(self, x: torch.Tensor, target: int) -> torch.Tensor:
        """N × H × W, rounded to float32 as a map is."""
        with torch.enable_grad():
            x = x.double().clone().requires_grad_(True)
            gradient = torch.autograd.grad(self.logits(x)[:, target].sum(), x)[0]
        return (gradient * x).detach().sum(1).float().double()


def main() -> None:
    parser = argparse.ArgumentParser(description="Write golden figures of faithfulness.")
    parser.add_argument("checkout", type=Path, help="a checkout of RISE")
    parser.add_argument("--out", type=Path, default=ROOT / "crates/candor-eval/tests/golden/faithfulness.json")
    arguments = parser.parse_args()
    code, model = published(arguments.checkout), Model()
    image, substrate = drawn(IMAGE, 1, *SHAPE).float(), drawn(SUBSTRATE, 1, *SHAPE).float()
    saliency = drawn(MAP, HEIGHT, WIDTH).float()
    assert len(saliency.unique()) == AREA, "the published code orders equal pixels in another way"
    target = int(model(image)[0].argmax())
    falling = np.argsort(-saliency.numpy().reshape(-1), kind="stable")

    def curve(mode: str) -> dict:
        metric = code.CausalMetric(model, mode, STEP, lambda _: substrate.clone())
        with contextlib.redirect_stdout(sys.stderr):
            values = metric.single_run(image.clone(), saliency.numpy())
        return {"values": values.tolist(), "area": float(code.auc(values))}

    def imputed(removed) -> torch.Tensor:
        mask = torch.ones(AREA)
        mask[list(removed)] = 0
        return NoisyLinearImputer(noise=0)(image[0], mask.reshape(HEIGHT, WIDTH))

    def imputation(removed) -> dict:
        removed = sorted(int(i) for i in removed)
        return {"removed": removed, "values": float32_list(imputed(removed).reshape(CHANNELS, -1)[:, removed])}

    def scores(order) -> list[float]:
        sets = [order[: round(p * AREA / 100)] for p in PERCENTAGES]
        return model(torch.stack([imputed(s) for s in sets]))[:, target].tolist()

    # Rows from 4 on and columns up to 9: a corner of the image and more.
    block = [r * WIDTH + c for r in range(4, HEIGHT) for c in range(10)]
    perturbations = drawn(PERTURBATIONS, SAMPLES, *SHAPE).float()
    nearby = image + drawn(NEARBY, SAMPLES, *SHAPE).float()

    def foretold(normalize: bool) -> float:
        attribution = saliency.double().expand(1, *SHAPE)
        value = infidelity(
            lambda x: model(x)[:, target], lambda _: (perturbations.double(), image - perturbations), image, attribution,
            n_perturb_samples=SAMPLES, normalize=normalize,
        )
        return float(value[0])

    def explained(x):
        """Captum passes the image as a tuple, the nearby images directly."""
        if isinstance(x, tuple):
            return (model.gradient_times_input(x[0], target),)
        return model.gradient_times_input(x, target)

    sensitivity = sensitivity_max(explained, image, lambda *_: nearby, n_perturb_samples=SAMPLES)
    v = np.sort(saliency.double().numpy().reshape(-1))
    gini = ((2 * np.arange(1, AREA + 1) - AREA - 1) * v).sum() / (AREA * v.sum())
    write_json(arguments.out, {
        "shape": list(SHAPE), "hidden": HIDDEN, "classes": CLASSES, "class": target,
        "image": IMAGE, "substrate": SUBSTRATE, "map": MAP, "first": FIRST, "second": SECOND, "direct": DIRECT,
        "curves": {"step": STEP, "deletion": curve("del"), "insertion": curve("ins")},
        "imputations": [imputation(falling[: AREA // 2]), imputation(block), imputation(falling[1:])],
        "road": {"percentages": PERCENTAGES, "most": scores(falling), "least": scores(falling[::-1])},
        "infidelity": {
            "perturbations": PERTURBATIONS, "count": SAMPLES, "value": foretold(False), "scaled": foretold(True),
        },
        "sensitivity": {"nearby": NEARBY, "count": SAMPLES, "value": float(sensitivity[0])},
        "gini": float(gini),
    })
    print(f"{arguments.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
