"""Lowered operators on the node tests of the `onnx` package: crates/candor-graph/tests/golden/nodes.json.

    python tools/goldens/nodes.py                   with noise as data: the committed file
    python tools/goldens/nodes.py --package FILE    with the package's own data, for
    CANDOR_NODES=FILE cargo test -p candor-graph --test nodes -- --ignored --nocapture

The cases are the tests of single nodes in the package (`onnx.backend.test.case.node`) for the operators of the table in
crates/candor-graph/src/rewrite/lower/mod.rs, in the types that Candor supports: a node with its attributes, shapes and
parameters (`parameter`: sizes, pads, scales, masks). The data are noise of the case's shape, not the package's. Outputs are those of the
reference evaluator of the package, which must first reproduce the package's vectors (cases for which it does not are left out and
printed), or of ONNX Runtime for the cases RUNTIME. nodes.json is

    {without: [operators for which the package has no test],
     cases: [{name, op, model, inputs: [{type, shape, values or noise}], output: {type, shape, stride, values}}]}

where `model` is the ONNX file in hexadecimal, its parameters initializers, and its only output the node's first. The values of
an output are its entries 0, stride, …. Noise {multiplier, increment, scrambled, amplitude, offset} is noise · amplitude +
offset, rounded down for integer types.
"""

import argparse
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
from onnx import TensorProto, numpy_helper

from candor_tools.checkout import ROOT
from candor_tools.deterministic import noise

CRATE = ROOT / "crates/candor-graph"
GOLDEN, TABLE = CRATE / "tests/golden/nodes.json", CRATE / "src/rewrite/lower/mod.rs"
NEWEST = int(re.search(r"NEWEST: i64 = (\d+)", (CRATE / "src/onnx/upgrade.rs").read_text())[1])
"""The newest operator set that Candor reads; tests of newer ones are read as of it, if they are valid in it."""
TYPES = ("FLOAT", "INT64", "INT32", "BOOL", "UINT8", "INT8")
DIGITS, SAMPLES = 7, 64
"""Decimal digits of floats; about how many values of an output are stored."""

RUNTIME = {
    "test_l1normalization": "the evaluator's norm of p 1 lacks the absolute value",
    "test_resize_downsample_scales_linear_align_corners": "the evaluator aligns with a fractional size, engines with the output's",
    "test_resize_downsample_scales_cubic_align_corners": "the evaluator aligns with a fractional size, engines with the output's",
}
"""Cases, by how they begin, for which ONNX Runtime's answer is taken. The package's vectors of the last two are not met."""

FLOAT_PARAMETERS = {"Resize": (1, 2), "QLinearConv": (1, 4, 6), "QLinearMatMul": (1, 4, 6), "Pad": (2,)}
BYTE_PARAMETERS = {"QLinearConv": (2, 5, 7), "QLinearMatMul": (2, 5, 7), "ConvInteger": (2, 3), "MatMulInteger": (2, 3)}


def operators() -> list[str]:
    """Lowered operators of the standard domain, in the table's order."""
    rows = re.findall(r'\("(.*?)", "(\w+)", \w+::\w+\)', TABLE.read_text())
    return [op for domain, op in rows if not domain]


def tests() -> Iterator:
    """The package's tests of single lowered nodes in Candor's types."""
    import onnx.backend.test.case.node as package

    wanted = operators()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = package.collect_testcases(None)
    types = [getattr(TensorProto, t) for t in TYPES]
    for case in cases:
        graph = case.model.graph
        if len(graph.node) != 1 or graph.node[0].domain or graph.node[0].op_type not in wanted:
            continue
        if not all(v.type.tensor_type.elem_type in types for v in [*graph.input, *graph.output]):
            continue
        opset = case.model.opset_import[0]
        opset.version = min(opset.version, NEWEST)
        try:
            onnx.checker.check_model(case.model)
        except onnx.checker.ValidationError:
            print(f"{case.name}: needs a newer operator set than {NEWEST}")
            continue
        yield case


def parameter(op: str, index: int, value: np.ndarray) -> bool:
    """Whether an input is a parameter of the operation, not its data."""
    if value.dtype == np.float32:
        return index in FLOAT_PARAMETERS.get(op, ())
    return value.dtype not in (np.uint8, np.int8) or index in BYTE_PARAMETERS.get(op, ())


def own(op: str, index: int, value: np.ndarray) -> dict:
    """Noise in place of data: floats in [−1.5, 1.5), integers in [−60, 60) around the middle; variances positive."""
    amplitude, offset = (1.5, 0.0) if value.dtype == np.float32 else (60.0, 128.0 if value.dtype == np.uint8 else 0.0)
    if (op, index) == ("BatchNormalization", 4):
        amplitude, offset = 1.0, 1.1
    return {
        "multiplier": 2246822519, "increment": 97 * index + 1, "scrambled": True, "amplitude": amplitude, "offset": offset,
    }  # fmt: skip


def made(spec: dict, value: np.ndarray) -> np.ndarray:
    """The values of noise, in the shape and the type of `value`."""
    values = noise(value.size, spec["multiplier"], spec["increment"], spec["scrambled"])
    values = values.reshape(value.shape) * spec["amplitude"] + spec["offset"]
    return (values if value.dtype == np.float32 else np.floor(values)).astype(value.dtype)


def described(value: np.ndarray) -> dict:
    kind = TensorProto.DataType.Name(onnx.helper.np_dtype_to_tensor_dtype(value.dtype))
    return {"type": kind, "shape": list(value.shape)}


def numbers(value: np.ndarray) -> list:
    flat = value.reshape(-1).tolist()
    if value.dtype != np.float32:
        return flat
    return [float(f"{v:.{DIGITS}g}") if np.isfinite(v) else str(v) for v in flat]


def feeds(case) -> dict[str, np.ndarray]:
    """The inputs that the package's test gives; omitted ones have no name."""
    return {v.name: np.asarray(x) for v, x in zip(case.model.graph.input, case.data_sets[0][0])}


def entry(case, given: dict[str, np.ndarray], specs: dict[str, dict], output: np.ndarray) -> dict:
    """A case in its stored form; inputs without a spec are stored with their values, and then the output completely."""
    model, op = onnx.ModelProto(), case.model.graph.node[0].op_type
    model.CopyFrom(case.model)
    graph, data = model.graph, []
    places = {name: index for index, name in enumerate(graph.node[0].input)}
    for value in list(graph.input):
        if parameter(op, places[value.name], given[value.name]):
            graph.input.remove(value)
            graph.initializer.append(numpy_helper.from_array(given[value.name], value.name))
        else:
            x, spec = given[value.name], specs.get(value.name)
            data.append(described(x) | ({"noise": spec} if spec else {"values": numbers(x)}))
    del graph.output[1:]
    model.ClearField("doc_string")
    model.producer_name = ""
    stride = max(1, output.size // SAMPLES) | 1 if specs else 1
    stored = described(output) | {"stride": stride, "values": numbers(output.reshape(-1)[::stride])}
    return {"name": case.name, "op": op, "model": model.SerializeToString().hex(), "inputs": data, "output": stored}


def by_runtime(case, given: dict[str, np.ndarray]) -> list:
    import onnxruntime

    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.opset_import[0].version = min(model.opset_import[0].version, 21)
    model.ir_version = 10
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, given)


def close(got: list, want: list, case) -> bool:
    return len(got) == len(want) and all(
        g.shape == np.shape(w) and np.allclose(g, w, rtol=case.rtol, atol=case.atol, equal_nan=True)
        for g, w in zip(got, want)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, help="write the package's own vectors there")
    target = parser.parse_args().package
    entries, seen, left_out = [], set(), []
    for case in tests():
        given, op = feeds(case), case.model.graph.node[0].op_type
        seen.add(op)
        runtime = next((why for name, why in RUNTIME.items() if case.name.startswith(name)), None)
        if target and runtime and "align_corners" in case.name:
            left_out.append(f"{case.name}: {runtime}")
        elif target:
            entries.append(entry(case, given, {}, np.asarray(case.data_sets[0][1][0])))
        if target:
            continue
        evaluator = onnx.reference.ReferenceEvaluator(case.model)
        try:
            if not close(evaluator.run(None, given), case.data_sets[0][1], case):
                raise ValueError("differs from the package's vectors")
            places = {name: index for index, name in enumerate(case.model.graph.node[0].input)}
            data = {name: value for name, value in given.items() if not parameter(op, places[name], value)}
            specs = {name: own(op, places[name], value) for name, value in data.items()}
            ours = given | {name: made(specs[name], value) for name, value in data.items()}
            output = np.asarray((by_runtime(case, ours) if runtime else evaluator.run(None, ours))[0])
        except Exception as error:
            left_out.append(f"{case.name}: the evaluator: {type(error).__name__}: {error}"[:160])
            continue
        entries.append(entry(case, ours, specs, output))
    document = {"without": [op for op in operators() if op not in seen], "cases": entries}
    lines = ",\n".join(json.dumps(e) for e in document["cases"])
    text = f'{{"without": {json.dumps(document["without"])},\n"cases": [\n{lines}\n]}}\n'
    (target or GOLDEN).write_text(text)
    print("\n".join(left_out))
    print(f"{len(entries)} cases of {len(seen)} operators; without tests: {', '.join(document['without'])}")


if __name__ == "__main__":
    main()
