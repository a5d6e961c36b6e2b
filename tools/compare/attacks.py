"""Attacks of Candor against those of Foolbox and torchattacks on the same model, images and settings: success and median norms.

    pip install -e 'tools[attacks]'
    python tools/compare/attacks.py MODEL.onnx PHOTOS [--images 200] [--attacks fgsm,pgd,deepfool,cw,apgd,square,jsma,transfer]
           [--preset imagenet] [--set ATTACK.KEY=VALUE …] [--from OTHER.onnx] [--float64] [--device cuda]
           [--candor target/release/candor] [--engine onnxruntime] [--measured FILE.json] [--side candor | reference]

PHOTOS is a file in CIFAR-10's binary layout or a folder; the first images are used, those of a folder resized to the model's
input. Both sides attack the model's own answer, untargeted (jsma: towards the class after it, torchattacks' choice), on pixels in
0..1. Success and norms are those of the images before they are quantised to 8 bits. --float64: the reference's model computes in
double precision. --measured stores the results, and stored results are not measured again: with --side the two sides can run one after
the other, or on two machines. Prints a Markdown table.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from candor_tools.onnx_torch import OnnxModule

PRESETS = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "inception": ((0.5,) * 3, (0.5,) * 3)}
NORM = {
    "fgsm": "linf", "bim": "linf", "pgd": "linf", "pgd-l2": "l2", "deepfool": "l2", "cw": "l2",
    "apgd": "linf", "square": "linf", "jsma": "l0", "transfer": "linf",
}  # fmt: skip
# eps in 1/255 except for L2; step as a fraction of eps.
SETTINGS = {
    "fgsm": {"eps": 8},
    "bim": {"eps": 8, "steps": 10, "step": 0.2},
    "pgd": {"eps": 8, "steps": 40, "step": 0.0333333},
    "pgd-l2": {"eps": 0.5, "steps": 50, "step": 0.025},
    "deepfool": {"steps": 50, "candidates": 10, "overshoot": 0.02},
    "cw": {"steps": 200, "step": 0.01, "binary-search-steps": 9, "initial-c": 0.001, "abort-early": "true"},
    "apgd": {"eps": 2, "steps": 20},
    "square": {"eps": 4, "queries": 500},
    "jsma": {"theta": 1.0, "gamma": 0.1},
    "transfer": {"eps": 8, "steps": 40, "step": 0.0333333},
}


class Model(torch.nn.Module):
    """The ONNX graph on pixels in 0..1. Its parameters give torchattacks the device and the precision."""

    def __init__(self, path: Path, preset: str, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.graph = OnnxModule(path, dtype=dtype)
        for name, values in zip(("mean", "std"), PRESETS[preset]):
            setattr(self, name, torch.nn.Parameter(torch.tensor(values, dtype=dtype)[:, None, None], requires_grad=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.graph((x - self.mean) / self.std)


def foolbox_attack(name: str, how: dict):
    import foolbox

    attacks = foolbox.attacks
    steps, step, eps = how.get("steps"), how.get("step"), how.get("eps")
    return {
        "fgsm": lambda: (attacks.LinfFastGradientAttack(), eps / 255),
        "bim": lambda: (attacks.LinfBasicIterativeAttack(rel_stepsize=step, steps=steps), eps / 255),
        "pgd": lambda: (attacks.LinfPGD(rel_stepsize=step, steps=steps), eps / 255),
        "pgd-l2": lambda: (attacks.L2PGD(rel_stepsize=step, steps=steps), eps),
        "deepfool": lambda: (
            attacks.L2DeepFoolAttack(steps=steps, candidates=how["candidates"], overshoot=how["overshoot"], loss="logits"),
            None,
        ),
        "cw": lambda: (
            attacks.L2CarliniWagnerAttack(
                binary_search_steps=how["binary-search-steps"],
                steps=steps,
                stepsize=step,
                initial_const=how["initial-c"],
                abort_early=how["abort-early"] == "true",
            ),
            None,
        ),
    }[name]()


def torchattacks_attack(name: str, how: dict, model: torch.nn.Module, source: torch.nn.Module | None):
    import torchattacks

    eps = how.get("eps", 0) / 255
    return {
        "apgd": lambda: torchattacks.APGD(model, eps=eps, steps=how["steps"], loss="dlr"),
        "square": lambda: torchattacks.Square(model, eps=eps, n_queries=how["queries"]),
        "jsma": lambda: torchattacks.JSMA(model, theta=how["theta"], gamma=how["gamma"]),
        "transfer": lambda: torchattacks.PGD(source, eps=eps, alpha=how["step"] * eps, steps=how["steps"]),
    }[name]()


def candor_settings(name: str, how: dict) -> list[str]:
    """The settings for `--set`. Foolbox takes every step."""
    own = {key: f"{value}/255" if key == "eps" and NORM[name] == "linf" else str(value) for key, value in how.items()}
    if name == "transfer":
        own = {"attack": "pgd", "method.early-stop": "false"} | {f"method.{key}": value for key, value in own.items()}
    own |= {"loss": "dlr"} if name == "apgd" else {}
    own |= {"early-stop": "false"} if name in ("bim", "pgd", "pgd-l2") else {}
    return [part for key, value in own.items() for part in ("--set", f"{key}={value}")]


def length(name: str, difference: torch.Tensor) -> torch.Tensor:
    """For each image the norm of the change, in the attack's norm."""
    return {
        "linf": lambda: difference.abs().amax(1),
        "l2": lambda: difference.norm(dim=1),
        "l0": lambda: (difference.abs() > 1e-6).sum(1).double(),
    }[NORM[name]]()


def theirs(name: str, a: argparse.Namespace, images: torch.Tensor) -> tuple[float, float]:
    """Success rate, and median norm of the successful images."""
    torch.manual_seed(0)
    dtype = torch.float64 if a.float64 else torch.float32
    images = images.to(a.device, dtype)
    model = Model(a.model, a.preset, dtype).eval().to(a.device)
    with torch.no_grad():
        labels = model(images).argmax(1)
    if name in ("fgsm", "bim", "pgd", "pgd-l2", "deepfool", "cw"):
        import foolbox

        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=a.device)
        attack, eps = foolbox_attack(name, a.settings[name])
        _, changed, _ = attack(wrapped, images, labels, epsilons=eps)
    else:
        source = Model(a.source, a.preset, dtype).eval().to(a.device) if name == "transfer" else None
        changed = torchattacks_attack(name, a.settings[name], model, source)(images, labels).to(dtype)
    changed = changed.detach()
    with torch.no_grad():
        answers = model(changed).argmax(1)
    success = answers == (labels + 1) % a.classes if name == "jsma" else answers != labels
    lengths = length(name, (changed - images).flatten(1)[success]).cpu().numpy()
    return float(success.float().mean()), float(np.median(lengths)) if len(lengths) else float("nan")


def ours(name: str, a: argparse.Namespace, folder: Path, files: list[Path], answers: list[int]) -> tuple[float, float]:
    command = [a.candor, "attack", str(a.model), "--attack", name, "--preset", a.preset, "--engine", a.engine, "--json"]
    command += candor_settings(name, a.settings[name])
    if name == "transfer":
        command += ["--from", str(a.source), "--from-preset", a.preset]
    groups = {None: files}
    if name == "jsma":
        groups = {(c + 1) % a.classes: [p for p, answer in zip(files, answers) if answer == c] for c in set(answers)}
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


def photos(path: Path, count: int, size: int) -> np.ndarray:
    """The first images, N×H×W×3."""
    if path.is_dir():
        files = [f for f in sorted(path.iterdir()) if f.suffix.lower() in (".jpeg", ".jpg", ".png")][:count]
        return np.stack([np.asarray(Image.open(f).convert("RGB").resize((size, size))) for f in files])
    raw = np.fromfile(path, dtype=np.uint8).reshape(-1, 3073)[:count, 1:]
    return raw.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--attacks", default="fgsm,bim,pgd,pgd-l2,deepfool,cw,apgd,square")
    parser.add_argument("--preset", default="imagenet", choices=PRESETS)
    parser.add_argument("--size", type=int, default=224, help="height and width of the model's input, for photos of a folder")
    parser.add_argument("--set", action="append", default=[], metavar="ATTACK.KEY=VALUE", help="another setting, on both sides")
    parser.add_argument("--from", dest="source", type=Path, help="the model on which transfer makes its images")
    parser.add_argument("--float64", action="store_true", help="the reference's model computes in double precision")
    parser.add_argument("--device", default="cpu", help="where the reference's model computes")
    parser.add_argument("--candor", default="target/release/candor")
    parser.add_argument("--engine", default="rten", choices=("rten", "onnxruntime"), help="Candor's")
    parser.add_argument("--measured", type=Path, metavar="FILE", help="keeps the figures; those that it holds are not measured again")
    parser.add_argument("--side", choices=("candor", "reference"), help="measure this side only")
    a = parser.parse_args()
    a.settings = {name: dict(how) for name, how in SETTINGS.items()}
    for pair in a.set:
        key, value = pair.split("=")
        name, key = key.split(".")
        a.settings[name][key] = type(a.settings[name][key])(value)
    torch.set_num_threads(os.cpu_count() or 1)
    raw = photos(a.photos, a.images, a.size)
    images = torch.from_numpy(raw.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    with torch.no_grad():
        logits = Model(a.model, a.preset)(images)
    answers, a.classes = logits.argmax(1).tolist(), logits.shape[1]
    measured = json.loads(a.measured.read_text()) if a.measured and a.measured.exists() else {}
    print(f"{a.model.stem}, {len(raw)} images\n\n| attack | norm | success, Candor | reference | median norm, Candor | reference | ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i:05}.png" for i in range(len(raw))]
        for path, pixels in zip(files, raw):
            Image.fromarray(pixels).save(path)
        for name in a.attacks.split(","):
            how = f"{a.model.stem} on {a.engine} and {'float64' if a.float64 else 'float32'}, {len(raw)} of {a.photos.name}"
            source = f" from {a.source.stem}" if name == "transfer" else ""
            figures = measured.setdefault(f"{how}: {name}{source} {a.settings[name]}", {})
            if a.side != "reference" and "candor" not in figures:
                figures["candor"] = ours(name, a, Path(folder), files, answers)
            if a.side != "candor" and "reference" not in figures:
                figures["reference"] = theirs(name, a, images)
            if a.measured:
                a.measured.write_text(json.dumps(measured, indent=1) + "\n")
            (s, n), (t, m) = (figures.get(side, (float("nan"),) * 2) for side in ("candor", "reference"))
            print(f"| {name} | {NORM[name]} | {s:.3f} | {t:.3f} | {n:.5f} | {m:.5f} | {n / m:.3f} |", flush=True)


if __name__ == "__main__":
    main()
