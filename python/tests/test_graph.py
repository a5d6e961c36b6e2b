"""Gradients of ONNX models as ONNX models."""

from __future__ import annotations

import candor
import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def run(model: bytes, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs)))


def mlp() -> onnx.ModelProto:
    """z = tanh(x W + b), y = sum over the second axis of z²: x is 2×3."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = numpy_helper.from_array(random.normal(size=(3, 4)).astype(np.float32), "W")
    bias = numpy_helper.from_array(random.normal(size=4).astype(np.float32), "b")
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["xW"]),
        helper.make_node("Add", ["xW", "b"], ["a"]),
        helper.make_node("Tanh", ["a"], ["z"]),
        helper.make_node("Mul", ["z", "z"], ["zz"]),
        helper.make_node("ReduceSum", ["zz"], ["y"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [weights, bias],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)


def by_hand(x: np.ndarray, seed: np.ndarray) -> np.ndarray:
    model = mlp()
    weights, bias = (onnx.numpy_helper.to_array(t) for t in model.graph.initializer)
    z = np.tanh(x @ weights + bias)
    return (seed[:, None] * 2 * z * (1 - z**2)) @ weights.T


def test_a_gradient_is_that_by_hand() -> None:
    x = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)
    for form in (mlp(), mlp().SerializeToString()):
        made = candor.graph.gradient(form)
        onnx.checker.check_model(onnx.load_from_string(made))
        found = run(made, x=x)
        assert list(found) == ["y", "grad_x"]
        assert np.allclose(found["grad_x"], by_hand(x, np.ones(2)), atol=1e-6)


def test_with_a_seed_it_is_a_vector_jacobian_product(tmp_path: pytest.TempPathFactory) -> None:
    x = np.random.default_rng(2).normal(size=(2, 3)).astype(np.float32)
    seed = np.array([0.0, -3.0], np.float32)
    path = tmp_path / "mlp.onnx"
    onnx.save(mlp(), path)
    found = run(candor.graph.gradient(path, of="y", wrt=["x", "z"], seed="dy"), x=x, dy=seed)
    assert np.allclose(found["grad_x"], by_hand(x, seed), atol=1e-6)
    assert found["grad_z"].shape == (2, 4)


def test_the_gradient_of_a_classifier(model: candor.Model) -> None:
    made = candor.graph.gradient(candor.scenes.model_bytes(), seed="dy")
    x = np.random.default_rng(3).normal(size=(1, 3, 112, 112)).astype(np.float32)
    session = onnxruntime.InferenceSession(made)
    name = session.get_inputs()[0].name
    dy = np.zeros((1, 12), np.float32)
    dy[0, 5] = 1
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {name: x, "dy": dy})))
    wanted = candor.Method("gradient", model).attribute(x, 5)
    assert np.abs(found[f"grad_{name}"] - wanted).max() < 1e-5 * max(1.0, np.abs(wanted).max())


def test_what_cannot_be_differentiated_is_named() -> None:
    from onnx import TensorProto, helper

    with pytest.raises(candor.ModelError, match="no value is called 'w'"):
        candor.graph.gradient(mlp(), wrt="w")
    with pytest.raises(candor.ModelError, match="not an ONNX model"):
        candor.graph.gradient(b"x")
    with pytest.raises(FileNotFoundError):
        candor.graph.gradient("no such.onnx")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])
    graph = helper.make_graph([helper.make_node("NoSuchOperator", ["x"], ["y"], name="odd")], "g", [x], [y])
    with pytest.raises(candor.UnsupportedOperator, match="odd") as caught:
        candor.graph.gradient(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))
    assert (caught.value.node, caught.value.operator) == ("odd", "NoSuchOperator")


def test_an_exported_method_gives_the_map(model: candor.Model) -> None:
    made = model.export("grad-cam", "model.grad-cam.onnx")
    assert made == candor.export(model, "grad-cam") == open("model.grad-cam.onnx", "rb").read()
    x = np.random.default_rng(4).normal(size=(2, 3, 112, 112)).astype(np.float32)
    session = onnxruntime.InferenceSession(made)
    image = session.get_inputs()[0].name
    logits, saliency = session.run(["logits", "map"], {image: x, "class": np.array([3, 4])})
    assert np.allclose(saliency[:, 0], candor.Method("grad-cam", model)(x, [3, 4]), atol=1e-5)
    assert np.allclose(logits, model.logits(x), atol=1e-4)
    with pytest.raises(candor.MethodError, match="cannot be exported"):
        model.export("lime")
