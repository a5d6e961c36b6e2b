"""Goldens of every gradient rule and lowering: crates/candor-graph/tests/golden/rules.json.

    CANDOR_ROWS=DIR cargo test -p candor-graph --test rules -- --ignored write_rows
    python tools/goldens/rules.py DIR

The rows are those of crates/candor-graph/tests/rules.rs, written as ONNX files of the operator as it is (not lowered, not
differentiated) with their inputs and weights. For each row the file gets

    NAME: {y, gradients}        y, and d Σ weights·y / d input for each input; flat

by PyTorch in float64: the operators of tools/candor_tools/onnx_torch.py and more_operators.py, differentiated by autograd; rounding
passes gradients straight through. These operators are first checked against ONNX's definition, row by row: y must agree with the
reference evaluator of the `onnx` package, or with ONNX Runtime for its own domain, to REFERENCE_TOLERANCE (both compute in float32).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import torch

import candor_tools.more_operators  # noqa: F401  registers them
from candor_tools.checkout import ROOT
from candor_tools.onnx_torch import OnnxModule

GOLDEN = ROOT / "crates/candor-graph/tests/golden/rules.json"
REFERENCE_TOLERANCE = 2e-5
DIGITS = 7

# What the reference evaluator (1.23.2) does not support or computes wrongly, and ONNX Runtime computes correctly: it has no GlobalLpPool, no
# negative pads and no groups of dilated transposed convolutions, and its p-norm with p 1 lacks the absolute value.
RUNTIME = (
    "Pad (negative)",
    "ConvTranspose (groups, dilated)",
    "ConvTranspose (kernel and bias, groups, dilated)",
    "GlobalLpPool (p 3)",
    "LpNormalization (p 1, axis 1)",
)


def expected(name: str, path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    """y by the evaluator of the onnx package, or by ONNX Runtime for operators of its domain and those of RUNTIME."""
    model = onnx.load(path)
    feeds = {i.name: x for i, x in zip(model.graph.input, inputs)}
    if name in RUNTIME or any(n.domain for n in model.graph.node):
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    # The operator set with the newest version of each operator; a γ for each group of GroupNormalization is from set 18.
    version = 18
    for node in model.graph.node:
        if node.op_type != "GroupNormalization":
            version = max(version, first_version(node))
        elif scale_length(model, node) == onnx.helper.get_node_attr_value(node, "num_groups"):
            version = 18
        else:
            version = max(version, 21)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", version))
    batch = len(inputs[0])
    if name.startswith("MatMulInteger"):  # the evaluator takes one dimension for the columns of a, too: write rows out
        name_of_zero = next(n.input[2] for n in model.graph.node if n.op_type == "MatMulInteger")
        zero = next(t for t in model.graph.initializer if t.name == name_of_zero)
        zero.dims.extend([1] * len(zero.dims))
    if name.startswith("LRN"):  # the evaluator loops over as many channels as there are images: make their numbers equal
        feeds = {k: np.concatenate([x] * (x.shape[1] // batch)) for k, x in feeds.items()}
        return onnx.reference.ReferenceEvaluator(model).run(None, feeds)[0][:batch]
    return onnx.reference.ReferenceEvaluator(model).run(None, feeds)[0]


def first_version(node: onnx.NodeProto) -> int:
    if node.op_type == "DequantizeLinear":
        return 19  # in the evaluator
    if any(a.name.endswith("window_size") for a in node.attribute):
        return 25
    if node.op_type == "Pad" and any(a.s == b"wrap" for a in node.attribute):
        return 19
    return min(s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == node.op_type and not s.domain)


def scale_length(model: onnx.ModelProto, node: onnx.NodeProto) -> int:
    return next(t.dims[0] for t in model.graph.initializer if t.name == node.input[1])


def relative(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30))


def flat(t: torch.Tensor) -> list[float]:
    return [float(f"{v:.{DIGITS}g}") for v in t.detach().reshape(-1).tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    folder = parser.parse_args().rows
    golden, errors, wrong = {}, {}, []
    for row in json.loads((folder / "rows.json").read_text()):
        name = row["name"]
        if name in golden:
            wrong.append(f"{name}: there are two of that name")
        try:
            golden[name], errors[name] = answer(row, folder / row["file"])
        except Exception as e:
            wrong.append(f"{name}: {type(e).__name__}: {e}")
    wrong += [f"{n}: PyTorch and the reference differ by {e:.1e}" for n, e in errors.items() if not e <= REFERENCE_TOLERANCE]
    if wrong:
        raise SystemExit("\n".join(wrong))
    GOLDEN.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in golden.items()) + "\n}\n")
    worst = max(errors, key=errors.get)
    print(f"{len(golden)} rows; PyTorch and the reference differ most in {worst}: {errors[worst]:.1e}")


def answer(row: dict, path: Path) -> tuple[dict, float]:
    """The golden of a row, and the relative error of y against the reference."""
    inputs, weights = [array(t) for t in row["inputs"]], array(row["weights"])
    module = OnnxModule(path, dtype=torch.float64)
    given = [torch.from_numpy(x).double().requires_grad_(True) for x in inputs]
    (y,) = module.run(dict(zip((i.name for i in onnx.load(path).graph.input), given)), [module.output])
    total = (y * torch.from_numpy(weights).double()).sum()
    gradients = torch.autograd.grad(total, given, allow_unused=True, materialize_grads=True)
    error = relative(y.detach().numpy(), expected(row["name"], path, inputs))
    return {"y": flat(y), "gradients": [flat(g) for g in gradients]}, error


def array(t: dict) -> np.ndarray:
    return np.asarray(t["values"], np.float32).reshape(t["shape"])


if __name__ == "__main__":
    main()
