"""Attacks of Candor against Foolbox's on the same model, images and settings: success and median norms.

    pip install foolbox gitpython requests
    python tools/compare/attacks.py MODEL.onnx CIFAR.bin [--images 200] [--attacks fgsm,pgd,deepfool,cw]
           [--candor target/release/candor]

MODEL is a shared CIFAR-10 model (ImageNet's mean and standard deviation), CIFAR.bin the original binary layout; the first images
are used. Both sides attack the model's own answer, away from it, on pixels in 0..1. Success and norms are of the images before
they are rounded to grey levels. Prints a Markdown table.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from onnx_torch import OnnxModule

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORM = {"fgsm": "linf", "bim": "linf", "pgd": "linf", "pgd-l2": "l2", "deepfool": "l2", "cw": "l2"}
CANDOR = {
    "fgsm": ["eps=8/255"],
    "bim": ["eps=8/255", "steps=10", "step=0.2"],
    "pgd": ["eps=8/255", "steps=40", "step=0.0333333"],
    "pgd-l2": ["eps=0.5", "steps=50", "step=0.025"],
    "deepfool": ["steps=50", "candidates=10", "overshoot=0.02"],
    "cw": ["steps=200", "step=0.01", "binary-search-steps=9", "initial-c=0.001"],
}


class Module(torch.nn.Module):
    """The ONNX graph as Foolbox wants it."""

    def __init__(self, path: Path):
        super().__init__()
        self.graph = OnnxModule(path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.graph(x)


def foolbox_attack(name: str):
    import foolbox

    attacks = foolbox.attacks
    return {
        "fgsm": lambda: (attacks.LinfFastGradientAttack(), 8 / 255),
        "bim": lambda: (attacks.LinfBasicIterativeAttack(rel_stepsize=0.2, steps=10), 8 / 255),
        "pgd": lambda: (attacks.LinfPGD(rel_stepsize=0.0333333, steps=40), 8 / 255),
        "pgd-l2": lambda: (attacks.L2PGD(rel_stepsize=0.025, steps=50), 0.5),
        "deepfool": lambda: (attacks.L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02, loss="logits"), None),
        "cw": lambda: (attacks.L2CarliniWagnerAttack(binary_search_steps=9, steps=200, stepsize=0.01, initial_const=0.001), None),
    }[name]()


def theirs(name: str, module: Module, images: torch.Tensor) -> tuple[float, float]:
    """Success rate, and median norm of the successful."""
    import foolbox

    torch.manual_seed(0)
    wrapped = foolbox.PyTorchModel(module.eval(), bounds=(0, 1), preprocessing={"mean": MEAN, "std": STD, "axis": -3}, device="cpu")
    labels = wrapped(images).argmax(1)
    attack, eps = foolbox_attack(name)
    _, clipped, success = attack(wrapped, images, labels, epsilons=eps)
    difference = (clipped - images).flatten(1)[success]
    lengths = difference.abs().amax(1) if NORM[name] == "linf" else difference.norm(dim=1)
    return float(success.float().mean()), float(lengths.median()) if len(lengths) else float("nan")


def ours(name: str, a: argparse.Namespace, folder: Path, photos: list[Path]) -> tuple[float, float]:
    command = [a.candor, "attack", str(a.model), *map(str, photos), "--attack", name, "--preset", "imagenet", "--json"]
    for pair in CANDOR[name]:
        command += ["--set", pair]
    if name in ("bim", "pgd", "pgd-l2"):  # Foolbox takes every step
        command += ["--set", "early-stop=false"]
    done = subprocess.run([*command, "--out", str(folder / name)], stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(f"candor attack {name} ended with status {done.returncode}")
    images = json.loads(done.stdout)["images"]
    norms = [i["norms"][NORM[name]] for i in images if i["success"]]
    return len(norms) / len(images), float(np.median(norms)) if norms else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--attacks", default=",".join(NORM))
    parser.add_argument("--candor", default="target/release/candor")
    a = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    raw = np.fromfile(a.cifar, dtype=np.uint8).reshape(-1, 3073)[: a.images, 1:].reshape(-1, 3, 32, 32)
    images = torch.from_numpy(raw.astype(np.float32) / 255)
    module = Module(a.model)
    print(f"{a.model.stem}, {len(raw)} images\n\n| attack | norm | success, Candor | Foolbox | median norm, Candor | Foolbox | ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        photos = [Path(folder) / f"{i:05}.png" for i in range(len(raw))]
        for path, pixels in zip(photos, raw):
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
        for name in a.attacks.split(","):
            (s, n), (t, m) = ours(name, a, Path(folder), photos), theirs(name, module, images)
            print(f"| {name} | {NORM[name]} | {s:.3f} | {t:.3f} | {n:.5f} | {m:.5f} | {n / m:.3f} |", flush=True)


if __name__ == "__main__":
    main()
