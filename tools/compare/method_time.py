"""Times explanation methods on a torchvision model: PyTorch's libraries and Candor, all warm, in alternation within one run.

    python tools/parity/export_models.py --out ZOO --only resnet50 --exporter script
    python tools/compare/method_time.py resnet50 ZOO/resnet50.script.onnx [--methods grad-cam,integrated-gradients,rise]
           [--repeats 7] [--compile] [--candor "target/release/examples/mask_time --engine rten"]...

The module is rebuilt by the recipe in the .json beside the ONNX file; the difference of its logits from Candor's is printed
first. In PyTorch: pytorch-grad-cam (Grad-CAM on the last block), Captum (integrated gradients, 50 steps, midpoints), and RISE as in
its authors' code (--rise-masks masks of 7×7 cells, batches of --rise-batch; Captum has none). Each runs on the unchanged module and in
its fastest form on a CPU (BatchNormalization folded, channels-last); with --compile also through torch.compile.

What is timed: from the image tensor in memory to the map in memory. Loading and compiling are not. Maps are compared by
Pearson's r with those of the first candidate (RISE draws different masks in each).
"""

import argparse
import functools
import json
import os
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from candor_tools.deterministic import noise_image
from candor_tools.model_families import TORCHVISION, model_of
from mask_time import SETTLE_SECONDS, Server, spread

REQUESTS = {
    "grad-cam": "method grad-cam",
    "integrated-gradients": "method integrated-gradients steps=50 rule=midpoint",
    "rise": "method rise masks={rise_masks}",
}
AMPLITUDE, CELLS, KEPT = 2.0, 7, 0.5


def last_block(model: torch.nn.Module) -> torch.nn.Module:
    """The layer for Grad-CAM: ResNet's last block, else the last of `features`."""
    return model.layer4[-1] if hasattr(model, "layer4") else model.features[-1]


class Library:
    """One form of the PyTorch module with the three libraries."""

    def __init__(self, name: str, module: torch.nn.Module, blocks: torch.nn.Module, size: int, a: argparse.Namespace):
        from captum.attr import IntegratedGradients
        from pytorch_grad_cam import GradCAM

        self.name, self.module, self.batch, self.masks = name, module, a.rise_batch, a.rise_masks
        memory = torch.channels_last if a.channels_last_now else torch.contiguous_format
        self.x = torch.from_numpy(noise_image([1, 3, size, size], AMPLITUDE, 0.0)).contiguous(memory_format=memory)
        with torch.no_grad():
            self.logits = module(self.x)[0]
        self.class_id = int(self.logits.argmax())
        self.cam = GradCAM(model=module, target_layers=[last_block(blocks)])
        self.gradients = IntegratedGradients(module)
        self.inner_batch = a.ig_batch

    def ask(self, method: str) -> dict:
        work = {"grad-cam": self._grad_cam, "integrated-gradients": self._integrated_gradients, "rise": self._rise}[method]
        start = time.perf_counter()
        found = work()
        return {"seconds": time.perf_counter() - start, "map": found}

    def _grad_cam(self) -> np.ndarray:
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        return self.cam(input_tensor=self.x, targets=[ClassifierOutputTarget(self.class_id)])[0]

    def _integrated_gradients(self) -> np.ndarray:
        found = self.gradients.attribute(
            self.x, target=self.class_id, n_steps=50, method="riemann_middle", internal_batch_size=self.inner_batch
        )
        return found[0].sum(0).detach().numpy()

    def _rise(self) -> np.ndarray:
        """RISE (Petsiuk et al. 2018): each mask is a random grid, enlarged and shifted by part of a cell."""
        count, size, random = self.masks, self.x.shape[-1], np.random.default_rng(0)
        cell = -(-size // CELLS)
        total = torch.zeros(size, size)
        for start in range(0, count, self.batch):
            n = min(self.batch, count - start)
            grid = torch.from_numpy((random.random((n, 1, CELLS, CELLS)) < KEPT).astype(np.float32))
            large = torch.nn.functional.interpolate(grid, size=(CELLS + 1) * cell, mode="bilinear", align_corners=False)
            shifts = random.integers(0, cell, (n, 2))
            masks = torch.stack([m[:, y : y + size, x : x + size] for m, (y, x) in zip(large, shifts)])
            with torch.no_grad():
                scores = self.module(self.x * masks).softmax(1)[:, self.class_id]
            total += (scores[:, None, None] * masks[:, 0]).sum(0)
        return (total / count / KEPT).numpy()

    def close(self) -> None:
        """Nothing to release."""


class Candor(Server):
    """A Candor server, for methods."""

    def __init__(self, command: str, arguments: argparse.Namespace):
        super().__init__(command, arguments)
        self.rise_masks = arguments.rise_masks

    def ask(self, method: str) -> dict:
        answer = super().ask(REQUESTS.get(method, method).format(rise_masks=self.rise_masks))
        if "map" in answer:
            answer["map"] = np.array(answer["map"], dtype=np.float64)
        return answer


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def candidates(a: argparse.Namespace) -> list:
    size = TORCHVISION[a.name]
    recipe = json.loads((Path(a.model).parent / f"{a.name}.json").read_text())["recipe"]
    build = functools.partial(model_of, a.name, size, recipe)
    a.channels_last_now = False
    eager = build()
    made = [Library("PyTorch eager", eager, eager, size, a)]
    a.channels_last_now = True
    best = build().to(memory_format=torch.channels_last)
    fold(best)
    made.append(Library("PyTorch channels-last, BN folded", best, best, size, a))
    if a.compile:
        a.channels_last_now = False
        plain = build()
        made.append(Library("torch.compile", torch.compile(plain, dynamic=True), plain, size, a))
    a.levels, a.iterations, a.lambda_, a.learning_rate = [], 1, 0.005, 0.05
    a.amplitude, a.offset, a.classes = AMPLITUDE, 0.0, [made[0].class_id]
    return made + [Candor(command, a) for command in a.candor]


def fold(model: torch.nn.Module) -> None:
    """Folds each BatchNorm2d into the Conv2d before it."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for parent in list(model.modules()):
        children, previous = list(parent.named_children()), None
        convs = {n: m for n, m in children if isinstance(m, torch.nn.Conv2d)}
        for name, child in children:
            if isinstance(child, torch.nn.BatchNorm2d):
                # torchvision names the pairs conv1/bn1 … and 0/1 in a Sequential.
                before = previous if isinstance(parent, torch.nn.Sequential) else name.replace("bn", "conv")
                if before in convs:
                    setattr(parent, before, fuse_conv_bn_eval(convs[before], child))
                    setattr(parent, name, torch.nn.Identity())
            previous = name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(TORCHVISION), help="a torchvision model")
    parser.add_argument("model", help="its ONNX file, from tools/parity/export_models.py")
    parser.add_argument("--methods", default=",".join(REQUESTS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ig-batch", type=int, default=10, help="points of the path in one batch of Captum")
    parser.add_argument("--rise-masks", type=int, default=1000, help="RISE's cost is proportional to it")
    parser.add_argument("--rise-batch", type=int, default=10, help="masks in one batch of RISE")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too")
    parser.add_argument("--candor", action="append", default=[], metavar="COMMAND", help="a server; may be repeated")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    everyone = candidates(a)
    for c in everyone[len(everyone) - len(a.candor) :]:
        logits = torch.tensor(c.ask("logits")["logits"])
        reference = everyone[0].logits
        print(f"{c.name}: logits differ by {(logits - reference).norm() / reference.norm():.1e}", file=sys.stderr)
    print(f"{a.name}, batch 1, {a.threads} threads, {a.repeats} repeats, PyTorch {torch.__version__}, batches of {a.ig_batch} "
          f"(IG) and {a.rise_batch} (RISE) in PyTorch. Milliseconds: median (min–max). Load {os.getloadavg()[0]:.1f}.\n")
    print("| method | candidate | time | ÷ eager | ÷ best PyTorch | r with eager's map |\n|---|---|---|---|---|---|")
    for method in a.methods.split(","):
        answers = {c.name: [] for c in everyone}
        for c in everyone:
            c.ask(method)
        for repeat in range(a.repeats):
            for i in range(len(everyone)):
                c = everyone[(repeat + i) % len(everyone)]
                time.sleep(SETTLE_SECONDS)
                answers[c.name].append(c.ask(method))
        medians = {name: median(x["seconds"] for x in got) for name, got in answers.items()}
        eager = everyone[0].name
        best = min(t for name, t in medians.items() if "orch" in name)
        for name, got in answers.items():
            r = correlation(got[0]["map"], answers[eager][0]["map"])
            print(f"| {method} | {name} | {spread([x['seconds'] for x in got])} | {medians[name] / medians[eager]:.2f} | "
                  f"{medians[name] / best:.2f} | {r:.4f} |", flush=True)
    for c in everyone:
        c.close()


if __name__ == "__main__":
    main()
