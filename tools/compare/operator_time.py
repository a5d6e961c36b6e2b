"""Times single operators and their gradients on each engine and in PyTorch, in alternation within one run.

    python tools/compare/operator_time.py [--repeats 7] [--threads 2] --candor "target/release/examples/operator_time --engine rten"
                                          --candor "target/release/examples/operator_time --engine onnxruntime"

Each ONNX file has one operator, with its size in ResNet-50, MobileNetV2 or ViT-B/16, and a batch of two images.
*forward* is one run; *gradient* is one run of the operator and of its gradient with respect to the input, as a graph of Candor
(in PyTorch: by autograd). Prints a Markdown table of medians in milliseconds.
"""

import argparse
import json
import shlex
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from candor_tools.onnx_torch import OnnxModule

SETTLE_SECONDS = 0.02
RUNS = 9
"""Of a request, as the server's."""


def conv(channels: int, out: int, kernel: int, stride: int, group: int = 1) -> tuple[list, dict]:
    """One Conv node with its weight."""
    weight = np.random.default_rng(0).standard_normal((out, channels // group, kernel, kernel), dtype=np.float32)
    pads = [kernel // 2] * 4
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=group)
    return [node], {"w": weight / np.sqrt(weight[0].size)}


def attention(heads: int, tokens: int, width: int) -> tuple[list, dict]:
    """softmax(x xᵀ / √d) x for each head."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["k"], perm=[0, 1, 3, 2]),
        helper.make_node("Mul", ["x", "scale"], ["q"]),
        helper.make_node("MatMul", ["q", "k"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "x"], ["y"]),
    ]
    return nodes, {"scale": np.float32(width**-0.5)}


def layer_norm(width: int) -> tuple[list, dict]:
    ones = np.ones(width, np.float32)
    return [helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["y"], axis=-1)], {"scale": ones, "bias": 0 * ones}


def one(op: str, constants: dict | None = None, **attributes) -> tuple[list, dict]:
    """One node."""
    constants = constants or {}
    return [helper.make_node(op, ["x", *constants], ["y"], **attributes)], constants


CLIP = {"low": np.float32(0), "high": np.float32(6)}
OPERATORS = {
    "Conv 3×3, depthwise": ([2, 384, 14, 14], conv(384, 384, 3, 1, 384)),
    "Conv 3×3, depthwise, stride 2": ([2, 96, 112, 112], conv(96, 96, 3, 2, 96)),
    "Conv 3×3": ([2, 128, 28, 28], conv(128, 128, 3, 1)),
    "Conv 3×3, stride 2": ([2, 128, 56, 56], conv(128, 128, 3, 2)),
    "Conv 1×1": ([2, 256, 56, 56], conv(256, 64, 1, 1)),
    "Conv 1×1, stride 2": ([2, 256, 56, 56], conv(256, 512, 1, 2)),
    "Conv 7×7, stride 2": ([2, 3, 224, 224], conv(3, 64, 7, 2)),
    "MaxPool 3×3, stride 2": ([2, 64, 112, 112], one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)),
    "AveragePool 2×2": ([2, 256, 28, 28], one("AveragePool", kernel_shape=[2, 2], strides=[2, 2])),
    "Relu": ([2, 256, 56, 56], one("Relu")),
    "Clip 0..6": ([2, 96, 112, 112], one("Clip", CLIP)),
    "HardSwish": ([2, 240, 28, 28], one("HardSwish")),
    "Gelu": ([2, 197, 3072], one("Gelu")),
    "Softmax": ([2, 12, 197, 197], one("Softmax", axis=-1)),
    "LayerNormalization": ([2, 197, 768], layer_norm(768)),
    "attention, 12 heads of 64": ([2, 12, 197, 64], attention(12, 197, 64)),
}
"""Shape of the input, nodes and constants."""


def write(folder: Path) -> list[Path]:
    """Writes a file for each operator."""
    paths = []
    for i, (shape, (nodes, constants)) in enumerate(OPERATORS.values()):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
        graph = helper.make_graph(nodes, "operator", [x], [y], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.save(onnx.shape_inference.infer_shapes(model), folder / f"{i}.onnx")
        paths.append(folder / f"{i}.onnx")
    return paths


class PyTorch:
    """Eager, in this process."""

    name = f"PyTorch {torch.__version__.split('+')[0]}"

    def __init__(self, paths: list[Path]):
        self.modules = [OnnxModule(p) for p in paths]
        self.inputs = [torch.randn(shape) for shape, _ in OPERATORS.values()]

    def ask(self, request: str) -> float:
        what, number = request.split()
        module, x = self.modules[int(number)], self.inputs[int(number)]
        seconds = []
        for _ in range(RUNS):
            if what == "forward":
                start = time.perf_counter()
                with torch.no_grad():
                    module(x)
            else:
                leaf = x.clone().requires_grad_(True)
                start = time.perf_counter()
                y = module(leaf)
                torch.autograd.grad(y, leaf, torch.ones_like(y))
            seconds.append(time.perf_counter() - start)
        return median(seconds)


class Server:
    """A server with the protocol, in its own process."""

    def __init__(self, command: str, paths: list[Path], threads: int):
        words = [*shlex.split(command), "--threads", str(threads), *map(str, paths)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name = json.loads(self.process.stdout.readline())["name"]

    def ask(self, request: str) -> float:
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise SystemExit(f"{self.name}, {request}: {answer['error']}")
        return answer["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--candor", action="append", default=[], metavar="COMMAND", help="a server; may be repeated")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder))
        candidates = [PyTorch(paths), *(Server(command, paths, a.threads) for command in a.candor)]
        names = [c.name for c in candidates]
        requests = [f"{what} {i}" for i in range(len(paths)) for what in ("forward", "gradient")]
        seconds = {(r, n): [] for r in requests for n in names}
        for repeat in range(a.repeats + 1):
            for request in requests:
                for i in range(len(candidates)):
                    candidate = candidates[(repeat + i) % len(candidates)]
                    time.sleep(SETTLE_SECONDS)
                    took = candidate.ask(request)
                    if repeat:  # the first round warms up and compiles
                        seconds[request, candidate.name].append(took)
    print("| operator | input | " + " | ".join(f"{n}: forward | gradient" for n in names) + " |")
    print("|---" * (2 + 2 * len(names)) + "|")
    for i, (name, (shape, _)) in enumerate(OPERATORS.items()):
        cells = [f"{1e3 * median(seconds[f'{what} {i}', n]):.2f}" for n in names for what in ("forward", "gradient")]
        print(f"| {name} | {'×'.join(map(str, shape))} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
