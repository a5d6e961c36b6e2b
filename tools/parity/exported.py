"""Exported graphs in float64, with the decisions that ONNX Runtime took in its float32 run of the same file.

An exported graph decides in three kinds of nodes: a HardSigmoid with a slope above STEEP, which is 1 on one side of a kink of a Relu,
Clip or MaxPool and 0 on the other; Sign; and ArgMax. Everything else is continuous. The file is run with its decisions as additional
outputs (those within a Loop for every iteration), and then repeated in float64 with the same decisions. If that gives the same map,
the difference between the plain runs comes from units on different sides of their kinks, and not from a wrong rule.
"""

from collections import ChainMap
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

import candor_tools.more_operators  # noqa: F401  registers them
from candor_tools.onnx_torch import OPERATORS, Node, OnnxModule

STEEP = 1e20
ALL = "/all"
"""Added to the name of a value within a Loop: of every turn."""

OPERATORS["Loop"] = lambda a, *inputs: NotImplemented  # `Exported.loop`
OPERATORS["ArgMax"] = lambda a, x: x.argmax(a.get("axis", 0), keepdim=bool(a.get("keepdims", 1)))
OPERATORS["Sign"] = lambda a, x: x.sign()


def decides(node: onnx.NodeProto) -> bool:
    alpha = next((a.f for a in node.attribute if a.name == "alpha"), 0.0)
    return node.op_type in ("Sign", "ArgMax") or node.op_type == "HardSigmoid" and abs(alpha) > STEEP


def body_of(loop: onnx.NodeProto) -> onnx.GraphProto:
    return next(a.g for a in loop.attribute if a.name == "body")


def telling(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """The model with its decisions and the state of a Loop as additional outputs; and their names."""
    told = onnx.ModelProto.FromString(model.SerializeToString())
    names = [node.output[0] for node in told.graph.node if decides(node)]
    for loop in (node for node in told.graph.node if node.op_type == "Loop"):
        body = body_of(loop)
        inner = [node.output[0] for node in body.node if decides(node)] + [result.name for result in body.output[1:]]
        loop.output.extend(name + ALL for name in inner)
        # A value can be an output of a body only once: the other output is a copy.
        body.node.extend(helper.make_node("Identity", [name], [name + ALL]) for name in inner)
        body.output.extend(helper.make_tensor_value_info(name + ALL, TensorProto.FLOAT, None) for name in inner)
        names += [name + ALL for name in inner]
    told.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return told, names


class Exported:
    """An exported graph, to be run by ONNX Runtime and in float64."""

    def __init__(self, path: Path) -> None:
        model = onnx.load(path)
        self.protos = {node.output[0]: node for node in model.graph.node}
        self.inputs = [value.name for value in model.graph.input]
        told, self.names = telling(model)
        self.plain, self.told = (
            onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]) for m in (model, told)
        )
        self.module = OnnxModule(path, dtype=torch.float64)
        opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        self.bodies = {}
        for loop in (node for node in model.graph.node if node.op_type == "Loop"):
            body = body_of(loop)
            constants = {i.name: self.module._constant(i) for i in body.initializer}
            nodes = [(Node(node, opset), decides(node)) for node in body.node]
            names = [value.name for value in body.input], [value.name for value in body.output]
            self.bodies[loop.output[0]] = (constants, nodes, *names)

    def by_onnxruntime(self, image: np.ndarray, class_id: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """The map; the map of the run that outputs its decisions; and the decisions."""
        given = dict(zip(self.inputs, (image, np.array([class_id]))))
        (plain,) = self.plain.run(["map"], given)
        map_, *values = self.told.run(["map", *self.names], given)
        return plain[0, 0], map_[0, 0], dict(zip(self.names, values))

    def in_float64(
        self, image: np.ndarray, class_id: int, other: dict[str, np.ndarray] | None = None, rejoin: bool = False
    ) -> np.ndarray:
        """The map, on the sides of another run if there is one.

        `moved` of `units` then had another side. With `rejoin` each iteration of a Loop starts from the other run's state, and `strays`
        gives the states after an iteration: (name, iteration, this run's, the other's).
        """
        self.other, self.rejoin = other, rejoin
        self.moved, self.units, self.strays = 0, 0, []
        given = (torch.from_numpy(image).double(), torch.tensor([class_id]))
        values = self.module.constants | dict(zip(self.inputs, given))
        with torch.no_grad():
            for node in self.module.nodes:
                if node.op_type == "Loop":
                    self.loop(node, values)
                else:
                    self.step(node, decides(self.protos[node.outputs[0]]), values)
        return values["map"][0, 0].numpy()

    def step(self, node: Node, deciding: bool, values, turn: int | None = None) -> None:
        result = node(values)
        if deciding and self.other is not None:
            name = node.outputs[0]
            own, result = result, torch.from_numpy(self.other[name] if turn is None else self.other[name + ALL][turn])
            result = result.to(own.dtype)
            self.moved, self.units = self.moved + int((own != result).sum()), self.units + own.numel()
        for name, tensor in zip(node.outputs, result if isinstance(result, tuple) else (result,)):
            values[name] = tensor

    def loop(self, node: Node, values: dict[str, torch.Tensor]) -> None:
        constants, nodes, (turn_name, going, *carried), (_, *results) = self.bodies[node.outputs[0]]
        state = [values[name] for name in node.inputs[2:]]
        for turn in range(int(values[node.inputs[0]])):
            own = constants | {turn_name: torch.tensor(turn), going: torch.tensor(True)} | dict(zip(carried, state))
            inner = ChainMap(own, values)
            for step, deciding in nodes:
                self.step(step, deciding, inner, turn)
            state = [inner[name] for name in results]
            if self.rejoin:
                others = [torch.from_numpy(self.other[name + ALL][turn]).double() for name in results]
                self.strays += [(name, turn, s, o) for name, s, o in zip(carried, state, others)]
                state = others
        values.update(zip(node.outputs, state))
