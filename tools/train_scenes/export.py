"""The trained network as ONNX, written node by node: batch normalisation folded, every value with a readable name."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from data import SIDE
from network import Network

OPSET = 17


class Graph:
    """Collects nodes and weights."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def constant(self, name: str, value: torch.Tensor) -> str:
        array = value.detach().numpy().astype(np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def convolution(self, module, x: str, name: str) -> str:
        """Conv with the batch normalisation that follows it folded in."""
        conv, norm = module
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = self.constant(f"{name}.weight", conv.weight * scale[:, None, None, None])
        bias = self.constant(f"{name}.bias", norm.bias - norm.running_mean * scale)
        padding = [conv.padding[0]] * 4
        shape = {"kernel_shape": list(conv.kernel_size), "strides": list(conv.stride), "pads": padding}
        return self.node("Conv", [x, weight, bias], name, **shape)

    def block(self, block, x: str, name: str, output: str) -> str:
        first = self.node("Relu", [self.convolution(block.first, x, f"{name}.first")], f"{name}.first.relu")
        second = self.convolution(block.second, first, f"{name}.second")
        shortcut = self.convolution(block.shortcut, x, f"{name}.shortcut")
        return self.node("Relu", [self.node("Add", [second, shortcut], f"{name}.sum")], output)


def save(network: Network, path: str) -> None:
    """Writes N×3×112×112 `input` → N×classes `logits`; the features of each size are `level56` … `level7`."""
    graph = Graph()
    side = SIDE // 2
    x = graph.node("Relu", [graph.convolution(network.stem, "input", "stem")], f"level{side}")
    for block in network.blocks:
        side //= 2
        x = graph.block(block, x, f"block{side}", f"level{side}")
    pooled = graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "pooled")], "features", axis=1)
    weight = graph.constant("head.weight", network.head.weight)
    graph.node("Gemm", [pooled, weight], "logits", transB=1)
    classes = network.head.out_features
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])
    body = helper.make_graph(graph.nodes, "scenes", [image], [logits], graph.weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="candor-train-scenes")
    model.ir_version = 8  # that of opset 17, so that old runtimes can read the file
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
