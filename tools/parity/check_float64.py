"""Candor's exported graphs in float64, where rounding moves no unit across a kink.

    python tools/parity/check_float64.py --candor PROGRAM [--photos N] [--engine NAME] MODEL.onnx...
    python tools/parity/check_float64.py --candor PROGRAM [--photos N | --noise] --methods A,B,... MODEL.onnx...

Use it when a float32 comparison differs and the cause is either a wrong rule or one unit of a Relu, Clip or MaxPool that
rounding moved across its kink.

Without `--methods` it compares two gradients, both evaluated in float64 by tools/candor_tools/onnx_torch.py: the graph that
`candor export --method gradient` writes, and the model itself differentiated by PyTorch's autograd. A model of
tools/parity/export_models.py gets the input of its reference; another model gets the photos of tools/parity/check_export.py, with the
top-1 and the lowest class of each. It prints the difference of the two maps (the largest |gradient| of the channels) relative to their
norm. What remains is the rounding of weights that Candor folds in float32. The exit code is 1 if the difference is above TOLERANCE.

For photos it also prints, as shares of the largest value of autograd's map:

    Candor's        the difference of the map of `candor explain`. If it is above LEFT: how many units of Relu and Clip near
                    their kinks had to be flipped in autograd to reach it, and what difference is left
    ONNX Runtime's  the difference of the exported graph's map by ONNX Runtime in float32; how many units of Relu, Clip and
                    MaxPool were on the other side in that run; and what difference is left if autograd uses those sides

With `--methods` it runs the graphs that `candor export` writes for these methods (tools/parity/exported.py), with the settings of
tools/parity/check_export.py and those of `--set`, on photos or on the noise of its `--noise`. Each graph is run in float64. Printed,
as shares of the largest value of that map: the difference of Candor's own map and of ONNX Runtime's; how many decisions ONNX
Runtime's run took differently; and what difference is left if float64 takes the same decisions. Reading the decisions adds outputs
to the graph, which may change what ONNX Runtime fuses: "told" is the difference between the maps with and without these outputs.

For `reliable` it also prints the largest difference of the masks after one iteration of the Loop between float64 and ONNX Runtime,
from the same start and with the same decisions, over all iterations. If that is above MASK_OFF: of how many entries, and the largest
root of Adam's second moment among these, in units of the largest of its layer. Where that is as small as rounding, Adam turns rounding
into full steps. The exit code is 1 if more than check_export.TOLERANCE is left.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from PIL import Image

import candor_tools.more_operators  # noqa: F401  registers them
from candor_tools.deterministic import noise_image
from candor_tools.onnx_torch import OPERATORS, Node, OnnxModule, pool_padding, torch_pad
from check_export import SETTINGS, SIDECAR, noise_picture, photos_of_samples, preprocess
from check_export import TOLERANCE as EXPORT_TOLERANCE
from exported import Exported

TOLERANCE = 1e-6
LEFT = 1e-5
"""A map by an engine is this far from autograd's at most, in units of its largest value, if no unit is on another side."""
MASK_OFF = 1e-4
NEAREST, AROUND = 12, 8
"""Units tried of a layer, and pixels around the place where maps differ."""

_cast = OPERATORS["Cast"]
OPERATORS["Cast"] = lambda a, x: x.double() if a["to"] == onnx.TensorProto.FLOAT else _cast(a, x)
OPERATORS["Equal"] = lambda a, x, y: x == y


KINKED = ("Relu", "Clip", "MaxPool")


def watched(node: Node) -> str:
    """The value that shows on which sides the units of a piecewise node are."""
    return node.inputs[0] if node.op_type == "MaxPool" else node.outputs[0]


def bounds(node: Node, low: torch.Tensor | None, high: torch.Tensor | None) -> tuple[float, float]:
    if node.op_type == "Relu":
        return 0.0, float("inf")
    low, high = (node.attributes.get(k) if t is None else t.item() for k, t in (("min", low), ("max", high)))
    return -np.inf if low is None else low, np.inf if high is None else high


class Sided:
    """A piecewise node in float64, with its units on the sides that they had in another run, or on their own sides except for `flipped`.

    `moved` is the number of units with another side there, `distance` how far they are from kinks, in root mean squares of the layer.
    """

    def __init__(self, node: Node, value: np.ndarray | None) -> None:
        self.node, self.function, self.moved, self.flipped = node, node.function, 0, []
        self.other = None if value is None else torch.from_numpy(value)
        node.function = self.pool if node.op_type == "MaxPool" else self.clipped

    def clipped(self, a, x, low=None, high=None):
        y = self.function(a, x, *(() if self.node.op_type == "Relu" else (low, high)))
        low, high = bounds(self.node, low, high)
        own = (x > low) & (x < high)
        passes = own.clone() if self.other is None else (self.other > low) & (self.other < high)
        self.moved = int((passes != own).sum())
        for unit in self.flipped:
            passes.view(-1)[unit] ^= True
        self.distance = (torch.minimum((x - low).abs(), (x - high).abs()) / x.square().mean().sqrt()).detach()[0]
        return y.detach() + passes * (x - x.detach())

    def pool(self, a, x):
        if self.other is None:
            return self.function(a, x)
        begin, end, surplus = pool_padding(a, x)
        padding = torch_pad(begin, [e + s for e, s in zip(end, surplus)])

        def places(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = F.pad(x, padding, value=-torch.inf)
            _, at = F.max_pool2d(x, a["kernel_shape"], a.get("strides", 1), return_indices=True)
            return x.flatten(2), at

        (x, own), (_, at) = places(x), places(self.other)
        y, largest = (x.gather(2, place.flatten(2)).reshape(at.shape) for place in (at, own))
        self.moved = int((y != largest).sum())  # windows of zeros of a Relu pass nothing on, whichever element they select
        return y


def sided(path: Path, values: dict[str, np.ndarray]) -> tuple[OnnxModule, list[Sided]]:
    """The model in float64 on the sides of a run with these inner values; on its own sides if there are none."""
    model = OnnxModule(path, dtype=torch.float64)
    return model, [Sided(n, values.get(watched(n))) for n in model.nodes if n.op_type in KINKED]


def nearest_flipped(path: Path, image: np.ndarray, class_id: int, own: np.ndarray) -> tuple[int, float]:
    """How many units of Relu and Clip had to be flipped for autograd's map to match `own`, and the remaining difference.

    The NEAREST units of each layer to their kinks are tried among those where the maps differ, the nearest of all first; a
    flip is kept if it reduces the difference.
    """
    model, sides = sided(path, {})
    want = autograd(model, image, class_id)
    best, flips, units = largest(own, want), 0, []
    where = np.argwhere(np.abs(own - want) > 0.1 * best * want.max())
    box = [(low - AROUND, high + AROUND + 1) for low, high in zip(where.min(0), where.max(0))]
    for side in sides:
        if side.node.op_type == "MaxPool" or side.distance.dim() != 3:
            continue
        index = torch.arange(side.distance.numel()).reshape(side.distance.shape)
        scales = [n / m for n, m in zip(index.shape[1:], own.shape)]
        rows, columns = (slice(max(0, int(a * s)), int(b * s) + 1) for (a, b), s in zip(box, scales))
        distances, index = (t[:, rows, columns].flatten() for t in (side.distance, index))
        nearest = distances.topk(min(NEAREST, len(distances)), largest=False)
        units += [(d.item(), side, index[at].item()) for d, at in zip(*nearest)]
    for _, side, unit in sorted(units, key=lambda u: u[0]):
        side.flipped.append(unit)
        off = largest(own, autograd(model, image, class_id))
        if off < 0.9 * best:
            best, flips = off, flips + 1
        else:
            side.flipped.pop()
        if best <= LEFT:
            break
    return flips, best


def autograd(model: OnnxModule, image: np.ndarray, class_id: int) -> np.ndarray:
    given = torch.from_numpy(image).double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model(given)[0, class_id], given)
    return gradient[0].abs().amax(0).numpy()


def exported(candor: str, path: Path, folder: Path, method: str = "gradient", settings: tuple[str, ...] = ()) -> Path:
    target = folder / f"{method}.onnx"
    words = [candor, "export", str(path), "--method", method, *settings, "-o", str(target)]
    subprocess.run(words, check=True, capture_output=True)
    return target


def explained(
    candor: str, path: Path, photo: Path, how: dict, side: list[int], folder: Path, words: list[str]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For the top-1 and the lowest class of a photo: the class, the input, and Candor's own map."""
    picture, out = folder / f"{photo.stem}.{side[0]}.png", folder / photo.stem
    Image.open(photo).convert("RGB").resize(side[::-1], Image.Resampling.BILINEAR).save(picture)
    image = preprocess(picture, how)[None]
    words = [candor, "explain", str(path), str(picture), "--class", "top1", "--class", "lowest", *words, "--out", str(out), "--json"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    for query in json.loads(done.stdout)["images"][0]["queries"]:
        yield query["class_id"], image, np.load(out / query["map"]["npz"])["map"]


def preprocessing(written: onnx.ModelProto) -> dict:
    return json.loads({p.key: p.value for p in written.metadata_props}["candor.preprocessing"])


def in_float64(target: Path, image: np.ndarray, class_id: int) -> np.ndarray:
    names = [i.name for i in onnx.load(target).graph.input]
    given = dict(zip(names, (torch.from_numpy(image).double(), torch.tensor([class_id]))))
    with torch.no_grad():
        (map_,) = OnnxModule(target, dtype=torch.float64).run(given, ["map"])
    return map_[0, 0].numpy()


def session(model: onnx.ModelProto, more: list[str]) -> onnxruntime.InferenceSession:
    """A session of ONNX Runtime with the values named as additional outputs."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in more)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def relative(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-300))


def largest(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.abs(got - want).max()) / max(float(np.abs(want).max()), 1e-300)


def on_reference(candor: str, path: Path, reference: dict, folder: Path) -> Iterator[tuple[float, str]]:
    spec, class_id = reference["input"], reference["class"]
    image = noise_image(spec["shape"], spec["amplitude"], spec["offset"], spec["increment"], spec["scrambled"])
    want = autograd(OnnxModule(path, dtype=torch.float64), image, class_id)
    off = relative(in_float64(exported(candor, path, folder), image, class_id), want)
    yield off, f"off by {off:.1e}"


def on_photos(candor: str, path: Path, photos: list[Path], folder: Path, options: list[str]) -> Iterator[tuple[float, str]]:
    target, model = exported(candor, path, folder), OnnxModule(path, dtype=torch.float64)
    written = onnx.load(target)
    inner = list(dict.fromkeys(watched(n) for n in model.nodes if n.op_type in KINKED))
    engine = session(written, inner)
    names, side = [i.name for i in engine.get_inputs()], engine.get_inputs()[0].shape[2:]
    words = ["--method", "gradient", *options]
    for photo in photos:
        for class_id, image, own in explained(candor, path, photo, preprocessing(written), side, folder, words):
            want = autograd(model, image, class_id)
            off = relative(in_float64(target, image, class_id), want)
            line = f"{photo.stem}, class {class_id}: off by {off:.1e}"
            line += f"; Candor's {largest(own, want):.1e}"
            if largest(own, want) > LEFT:
                line += " (by {} units flipped {:.1e})".format(*nearest_flipped(path, image, class_id, own))
            (single, *values) = engine.run(["map", *inner], dict(zip(names, (image, np.array([class_id])))))
            line += f"; ONNX Runtime's {largest(single[0, 0], want):.1e}"
            by_sides, sides = sided(path, dict(zip(inner, values)))
            left = largest(single[0, 0], autograd(by_sides, image, class_id))
            yield off, f"{line} ({sum(s.moved for s in sides)} units elsewhere; by its sides {left:.1e})"


def of_method(
    candor: str, path: Path, method: str, photos: list[Path], folder: Path, options: list[str], settings: list[str]
) -> Iterator[tuple[float, str]]:
    settings = [*SETTINGS.get(method, []), *settings]
    target = exported(candor, path, folder, method, settings)
    graph, written = Exported(target), onnx.load(target)
    side = graph.plain.get_inputs()[0].shape[2:]
    words = ["--method", method, *settings, *options]
    for photo in photos:
        for class_id, image, own in explained(candor, path, photo, preprocessing(written), side, folder, words):
            plain, told, decisions = graph.by_onnxruntime(image, class_id)
            want = graph.in_float64(image, class_id)
            line = f"{method}: {photo.stem}, class {class_id}: Candor's off by {largest(own, want):.1e}"
            line += f"; ONNX Runtime's by {largest(plain, want):.1e}, told {largest(told, plain):.1e}"
            left = largest(told, graph.in_float64(image, class_id, decisions))
            line += f" ({graph.moved} of {graph.units} decisions otherwise; by these {left:.1e})"
            if any(len(carried) > 1 for *_, (_, _, *carried), _ in graph.bodies.values()):
                graph.in_float64(image, class_id, decisions, rejoin=True)
                line += f"; {turns(graph.strays)}"
            yield left, line


def turns(strays: list[tuple[str, int, torch.Tensor, torch.Tensor]]) -> str:
    """How far the masks of `Exported.strays` are from the other run's: see the top of this file."""
    kinds: dict[tuple, list[tuple[torch.Tensor, torch.Tensor]]] = defaultdict(list)
    for name, turn, got, want in strays:
        loop, _, kind = name.rpartition("/")
        kinds[loop, turn, kind.partition("_")[0]].append((got, want))
    worst, entries, far, root = 0.0, 0, 0, 0.0
    for (loop, turn, kind), masks in kinds.items():
        for (got, want), (_, square) in zip(masks, kinds[loop, turn, "square"]) if kind == "mask" else ():
            off = (got - want).abs()
            worst, entries, far = max(worst, off.max().item()), entries + off.numel(), far + int((off > MASK_OFF).sum())
            if (off > MASK_OFF).any():
                root = max(root, float((square[off > MASK_OFF].max() / square.max()).sqrt()))
    line = f"masks after a turn by {worst:.1e}"
    return line + (f" ({far} of {entries} entries, root of their second moment at most {root:.1e})" if far else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--candor", required=True, help="the program")
    parser.add_argument("--photos", type=int, default=3)
    parser.add_argument("--engine", help="engine of candor explain [default: its own]")
    parser.add_argument("--methods", help="exported methods to look at instead of the gradient")
    parser.add_argument("--noise", action="store_true", help="with --methods: a picture away from kinks instead of photos")
    parser.add_argument("--set", action="append", default=[], help="parameter of the methods, KEY=VALUE")
    arguments = parser.parse_args()
    options = ["--engine", arguments.engine] if arguments.engine else []
    settings = [word for value in arguments.set for word in ("--set", value)]
    worst = 0.0
    for path in arguments.models:
        for method in arguments.methods.split(",") if arguments.methods else []:
            with tempfile.TemporaryDirectory() as folder:
                photos, words = photos_of_samples(arguments.photos), settings
                if arguments.noise:
                    sidecar = Path(folder) / "sidecar.toml"
                    sidecar.write_text(SIDECAR)
                    photos, words = [noise_picture(path, Path(folder))[0]], [*settings, "--sidecar", str(sidecar)]
                for off, line in of_method(arguments.candor, path, method, photos, Path(folder), options, words):
                    worst = max(worst, off / EXPORT_TOLERANCE * TOLERANCE)
                    print(f"{path.stem} {line}", flush=True)
        if arguments.methods:
            continue
        reference = path.parent / f"{path.name.rsplit('.', 2)[0]}.json"
        with tempfile.TemporaryDirectory() as folder:
            if reference.exists():
                lines = on_reference(arguments.candor, path, json.loads(reference.read_text()), Path(folder))
            else:
                lines = on_photos(arguments.candor, path, photos_of_samples(arguments.photos), Path(folder), options)
            for off, line in lines:
                worst = max(worst, off)
                print(f"{path.stem}: {line}", flush=True)
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
