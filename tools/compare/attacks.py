"""Attacks of Candor against those of Foolbox and torchattacks on the same model, images and settings: success and median norms.

    pip install foolbox torchattacks gitpython requests
    python tools/compare/attacks.py MODEL.onnx CIFAR.bin [--images 200] [--attacks fgsm,pgd,deepfool,cw,apgd,square,jsma,transfer]
           [--from OTHER.onnx] [--float64] [--candor target/release/candor]

MODEL is a shared CIFAR-10 model (ImageNet's mean and standard deviation), CIFAR.bin the original binary layout; the first images
are used. Both sides attack the model's own answer, away from it (jsma: towards the class after it, torchattacks' choice), on
pixels in 0..1. Success and norms are of the images before they are rounded to grey levels. --float64: the reference's model
computes in double precision. Prints a Markdown table.
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
NORM = {
    "fgsm": "linf", "bim": "linf", "pgd": "linf", "pgd-l2": "l2", "deepfool": "l2", "cw": "l2",
    "apgd": "linf", "square": "linf", "jsma": "l0", "transfer": "linf",
}  # fmt: skip
CANDOR = {
    "fgsm": ["eps=8/255"],
    "bim": ["eps=8/255", "steps=10", "step=0.2"],
    "pgd": ["eps=8/255", "steps=40", "step=0.0333333"],
    "pgd-l2": ["eps=0.5", "steps=50", "step=0.025"],
    "deepfool": ["steps=50", "candidates=10", "overshoot=0.02"],
    "cw": ["steps=200", "step=0.01", "binary-search-steps=9", "initial-c=0.001"],
    "apgd": ["eps=2/255", "steps=20", "loss=dlr"],
    "square": ["eps=4/255", "queries=500"],
    "jsma": ["theta=1", "gamma=0.1"],
    "transfer": ["attack=pgd", "method.eps=8/255", "method.steps=40", "method.step=0.0333333", "method.early-stop=false"],
}


class Model(torch.nn.Module):
    """The ONNX graph on pixels in 0..1. Its parameters say where and in which precision, as torchattacks asks them."""

    def __init__(self, path: Path, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.graph = OnnxModule(path, dtype=dtype)
        for name, values in (("mean", MEAN), ("std", STD)):
            setattr(self, name, torch.nn.Parameter(torch.tensor(values, dtype=dtype)[:, None, None], requires_grad=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.graph((x - self.mean) / self.std)


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


def torchattacks_attack(name: str, model: torch.nn.Module, source: torch.nn.Module | None):
    import torchattacks

    return {
        "apgd": lambda: torchattacks.APGD(model, eps=2 / 255, steps=20, loss="dlr"),
        "square": lambda: torchattacks.Square(model, eps=4 / 255, n_queries=500),
        "jsma": lambda: torchattacks.JSMA(model, theta=1.0, gamma=0.1),
        "transfer": lambda: torchattacks.PGD(source, eps=8 / 255, alpha=0.0333333 * 8 / 255, steps=40),
    }[name]()


def length(name: str, difference: torch.Tensor) -> torch.Tensor:
    """For each image the length of the change in the attack's norm."""
    return {
        "linf": lambda: difference.abs().amax(1),
        "l2": lambda: difference.norm(dim=1),
        "l0": lambda: (difference.abs() > 1e-6).sum(1).double(),
    }[NORM[name]]()


def theirs(name: str, a: argparse.Namespace, images: torch.Tensor) -> tuple[float, float]:
    """Success rate, and median norm of the successful."""
    torch.manual_seed(0)
    dtype = torch.float64 if a.float64 else torch.float32
    images = images.to(dtype)
    model = Model(a.model, dtype).eval()
    labels = model(images).argmax(1)
    if name in ("fgsm", "bim", "pgd", "pgd-l2", "deepfool", "cw"):
        import foolbox

        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        attack, eps = foolbox_attack(name)
        _, changed, _ = attack(wrapped, images, labels, epsilons=eps)
    else:
        source = Model(a.source, dtype).eval() if name == "transfer" else None
        changed = torchattacks_attack(name, model, source)(images, labels).to(dtype)
    changed = changed.detach()
    with torch.no_grad():
        answers = model(changed).argmax(1)
    success = answers == (labels + 1) % 10 if name == "jsma" else answers != labels
    lengths = length(name, (changed - images).flatten(1)[success])
    return float(success.float().mean()), float(lengths.median()) if len(lengths) else float("nan")


def ours(name: str, a: argparse.Namespace, folder: Path, photos: list[Path], answers: list[int]) -> tuple[float, float]:
    command = [a.candor, "attack", str(a.model), "--attack", name, "--preset", "imagenet", "--json"]
    for pair in CANDOR[name]:
        command += ["--set", pair]
    if name in ("bim", "pgd", "pgd-l2"):  # Foolbox takes every step
        command += ["--set", "early-stop=false"]
    if name == "transfer":
        command += ["--from", str(a.source), "--from-preset", "imagenet"]
    groups = {None: photos}
    if name == "jsma":
        groups = {(c + 1) % 10: [p for p, answer in zip(photos, answers) if answer == c] for c in set(answers)}
    images = []
    for target, group in groups.items():
        aim = [] if target is None else ["--target", str(target)]
        out = ["--out", str(folder / f"{name}-{target}")]
        done = subprocess.run([*command, *map(str, group), *aim, *out], stdout=subprocess.PIPE, check=False, text=True)
        if done.returncode not in (0, 3):
            raise SystemExit(f"candor attack {name} ended with status {done.returncode}")
        images += json.loads(done.stdout)["images"]
    norms = [i["norms"][NORM[name]] for i in images if i["success"]]
    return len(norms) / len(images), float(np.median(norms)) if norms else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--attacks", default="fgsm,bim,pgd,pgd-l2,deepfool,cw,apgd,square")
    parser.add_argument("--from", dest="source", type=Path, help="the model on which transfer makes its images")
    parser.add_argument("--float64", action="store_true", help="the reference's model computes in double precision")
    parser.add_argument("--candor", default="target/release/candor")
    a = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    raw = np.fromfile(a.cifar, dtype=np.uint8).reshape(-1, 3073)[: a.images, 1:].reshape(-1, 3, 32, 32)
    images = torch.from_numpy(raw.astype(np.float32) / 255)
    with torch.no_grad():
        answers = Model(a.model)(images).argmax(1).tolist()
    print(f"{a.model.stem}, {len(raw)} images\n\n| attack | norm | success, Candor | reference | median norm, Candor | reference | ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        photos = [Path(folder) / f"{i:05}.png" for i in range(len(raw))]
        for path, pixels in zip(photos, raw):
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
        for name in a.attacks.split(","):
            (s, n), (t, m) = ours(name, a, Path(folder), photos, answers), theirs(name, a, images)
            print(f"| {name} | {NORM[name]} | {s:.3f} | {t:.3f} | {n:.5f} | {m:.5f} | {n / m:.3f} |", flush=True)


if __name__ == "__main__":
    main()
