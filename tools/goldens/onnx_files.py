"""Small ONNX files of old operator sets and with external data, and ONNX Runtime's results for them.

    python tools/goldens/onnx_files.py            writes crates/candor-graph/tests/data/onnx/

Old operator sets have attributes where newer ones have inputs; the softmax of sets below 13 flattens its input.
Each file contains one network that uses many of them: `old_N.onnx` is of set N. `external.onnx` has its weight in
`external.bin`. `conditional` and `looped` contain an If and a Loop with constant conditions, `looped_long`
one of 100 iterations, which is refused.
`golden.json` holds the input (tools/candor_tools/deterministic.py) and the output of each, in float32.
"""

import json

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from candor_tools.checkout import ROOT
from candor_tools.deterministic import noise

OUT = ROOT / "crates/candor-graph/tests/data/onnx"
SHAPE = [2, 3, 6, 6]


def weights(name: str, shape: list[int], salt: int) -> TensorProto:
    """Reproducible weights in [−0.5, 0.5)."""
    values = noise(int(np.prod(shape)), 2246822519, salt, scrambled=True) / 2
    return numpy_helper.from_array(values.astype(np.float32).reshape(shape), name)


def old(opset: int) -> onnx.ModelProto:
    """Conv, BatchNormalization, Clip, Pad, Slice, Split, Unsqueeze, Squeeze, ReduceMean, ReduceSum, Dropout, Softmax."""
    ints = lambda name, values: numpy_helper.from_array(np.array(values, np.int64), name)  # noqa: E731
    constants = [weights("w", [4, 3, 3, 3], 1), weights("scale", [4], 2), weights("shift", [4], 3), weights("mean", [4], 4)]
    constants += [numpy_helper.from_array(np.full(4, 0.7, np.float32), "variance")]
    node = helper.make_node
    moved = {"spatial": 1} if opset < 9 else {}
    nodes = [
        node("Conv", ["x", "w"], ["conv"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]),
        node("BatchNormalization", ["conv", "scale", "shift", "mean", "variance"], ["norm"], epsilon=1e-3, **moved),
    ]
    if opset < 11:
        nodes += [
            node("Clip", ["norm"], ["clip"], min=-0.4, max=0.6),
            node("Pad", ["clip"], ["pad"], pads=[0, 0, 1, 0, 0, 0, 0, 2], mode="constant", value=0.25),
        ]
    else:
        constants += [
            numpy_helper.from_array(np.float32(-0.4), "low"),
            numpy_helper.from_array(np.float32(0.6), "high"),
            numpy_helper.from_array(np.float32(0.25), "fill"),
            ints("pads", [0, 0, 1, 0, 0, 0, 0, 2]),
        ]
        nodes += [
            node("Clip", ["norm", "low", "high"], ["clip"]),
            node("Pad", ["clip", "pads", "fill"], ["pad"], mode="constant"),
        ]
    if opset < 10:
        nodes += [node("Slice", ["pad"], ["slice"], starts=[0, 1], ends=[4, 5], axes=[2, 3])]
    else:
        constants += [ints("starts", [0, 1]), ints("ends", [4, 5]), ints("axes", [2, 3])]
        nodes += [node("Slice", ["pad", "starts", "ends", "axes"], ["slice"])]
    nodes += [
        node("Split", ["slice"], ["left", "right"], axis=1, split=[1, 3]),
        node("ReduceSum", ["left"], ["summed"], axes=[3], keepdims=1),
        node("Mul", ["right", "summed"], ["product"]),
        node("Dropout", ["product"], ["dropped"], **({"ratio": 0.5} if opset < 12 else {})),
        node("ReduceMean", ["dropped"], ["mean_rows"], axes=[2], keepdims=0),
        node("Unsqueeze", ["mean_rows"], ["wide"], axes=[2]),
        node("Squeeze", ["wide"], ["narrow"], axes=[2]),
        node("Softmax", ["narrow"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        f"old_{opset}",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "C", "W"])],
        constants,
    )
    ir = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7}[opset]
    if ir < 4:  # every initializer had to be listed as an input
        graph.input.extend(helper.make_tensor_value_info(c.name, c.data_type, c.dims) for c in constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def external() -> onnx.ModelProto:
    """One Conv whose weight is stored beside the file."""
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3])],
        "external",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "C", "H", "W"])],
        [weights("w", [4, 3, 3, 3], 5)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def conditional() -> onnx.ModelProto:
    """An If whose condition follows from the size of the image, as TorchScript exports a squeeze; one branch captures, one nests."""
    node, info = helper.make_node, helper.make_tensor_value_info
    then = helper.make_graph([node("Relu", ["x"], ["t"])], "then", [], [info("t", TensorProto.FLOAT, None)])
    inner = helper.make_graph([node("Neg", ["doubled"], ["i"])], "inner", [], [info("i", TensorProto.FLOAT, None)])
    no = helper.make_graph([node("Abs", ["x"], ["n"])], "no", [], [info("n", TensorProto.FLOAT, None)])
    otherwise = helper.make_graph(
        [
            node("Mul", ["x", "two"], ["doubled"]),
            node("If", ["always"], ["e"], name="nested", then_branch=inner, else_branch=no),
        ],
        "else", [], [info("e", TensorProto.FLOAT, None)], [numpy_helper.from_array(np.float32(2), "two")],
    )  # fmt: skip
    graph = helper.make_graph(
        [
            node("Shape", ["x"], ["shape"]),
            node("Gather", ["shape", "one"], ["channels"]),
            node("Equal", ["channels", "one"], ["grey"]),
            node("If", ["grey"], ["y"], name="grey_or_not", then_branch=then, else_branch=otherwise),
        ],
        "conditional",
        [info("x", TensorProto.FLOAT, SHAPE)],
        [info("y", TensorProto.FLOAT, ["N", "C", "H", "W"])],
        [numpy_helper.from_array(np.int64(1), "one"), numpy_helper.from_array(np.array(True), "always")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def looped(turns: int) -> onnx.ModelProto:
    """A loop with the state x ↦ x/2 + number of the iteration, which collects the means of the iterations."""
    node, info = helper.make_node, helper.make_tensor_value_info
    body = helper.make_graph(
        [
            node("Identity", ["going"], ["on"]),
            node("Cast", ["turn"], ["number"], to=TensorProto.FLOAT),
            node("Mul", ["value", "half"], ["halved"]),
            node("Add", ["halved", "number"], ["next"]),
            node("ReduceMean", ["next"], ["average"], keepdims=0),
        ],
        "body",
        [info("turn", TensorProto.INT64, []), info("going", TensorProto.BOOL, []), info("value", TensorProto.FLOAT, SHAPE)],
        [info("on", TensorProto.BOOL, []), info("next", TensorProto.FLOAT, SHAPE), info("average", TensorProto.FLOAT, [])],
    )
    graph = helper.make_graph(
        [
            node("Loop", ["turns", "", "x"], ["last", "means"], name="halve", body=body),
            node("ReduceMean", ["means"], ["mean"], keepdims=0),
            node("Add", ["last", "mean"], ["y"]),
        ],
        "looped",
        [info("x", TensorProto.FLOAT, SHAPE)],
        [info("y", TensorProto.FLOAT, ["N", "C", "H", "W"])],
        [numpy_helper.from_array(np.int64(turns), "turns"), numpy_helper.from_array(np.float32(0.5), "half")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    x = noise(int(np.prod(SHAPE)), 2654435761, 12345).astype(np.float32).reshape(SHAPE)
    golden = {"shape": SHAPE, "input": [float(v) for v in x.ravel()], "outputs": {}}
    models = {f"old_{opset}": old(opset) for opset in range(7, 13)} | {"external": external()}
    models |= {"conditional": conditional(), "looped": looped(3), "looped_long": looped(100)}
    for name, model in models.items():
        onnx.checker.check_model(model)
        path = OUT / f"{name}.onnx"
        stored = {"save_as_external_data": True, "location": "external.bin", "size_threshold": 0}
        if name == "external":
            (OUT / "external.bin").unlink(missing_ok=True)
        onnx.save(model, path, **(stored if name == "external" else {}))
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": x})
        golden["outputs"][name] = {"shape": list(y.shape), "values": [float(v) for v in y.ravel()]}
    (OUT / "golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
