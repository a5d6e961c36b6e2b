"""Tensors in, tensors out."""

from __future__ import annotations

import candor
import numpy as np
import pytest


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    model = candor.scenes.model()
    return np.stack([model.preprocess(photo) for photo in list(candor.scenes.photos().values())[:2]])


def test_a_map_of_a_tensor_is_that_of_the_photo(model: candor.Model, inputs: np.ndarray) -> None:
    photos = list(candor.scenes.photos().values())[:2]
    for name in ("gradient", "grad-cam"):
        method = candor.Method(name, model)
        maps = method(inputs)
        for found, photo in zip(maps, photos):
            assert np.array_equal(found, model.explain(photo, method=name).classes[0].map)
    assert method(inputs).dtype == np.float32 and method(inputs).shape == (2, 112, 112)


def test_attribution_has_the_shape_of_the_input_and_is_the_gradient(model: candor.Model, inputs: np.ndarray) -> None:
    found = candor.Method("gradient", model).attribute(inputs, target=[3, 4])
    assert found.shape == inputs.shape and found.min() < 0
    # Along its gradient the logit increases by the gradient's length: a wrong gradient is not the direction of steepest ascent.
    length = np.linalg.norm(found.reshape(2, -1), axis=1)
    way = found / length[:, None, None, None]
    step = np.float32(0.05)
    rise = (model.logits(inputs + step * way) - model.logits(inputs - step * way)) / (2 * step)
    assert np.allclose(rise[[0, 1], [3, 4]], length, rtol=0.02)
    assert candor.Method("grad-cam", model).attribute(inputs, 3).shape == (2, 1, 112, 112)


def test_targets(model: candor.Model, inputs: np.ndarray) -> None:
    method = candor.Method("grad-cam", model)
    answers = model.logits(inputs).argmax(axis=1)
    wanted = method(inputs, answers.tolist())
    for targets in (None, answers, [None, int(answers[1])], tuple(answers)):
        assert np.array_equal(method(inputs, targets), wanted)
    assert np.array_equal(method(inputs, 3), method(inputs, [3, np.int64(3)]))

    class ClassifierOutputTarget:  # like that of pytorch-grad-cam
        category = 3

    assert np.array_equal(method(inputs, [ClassifierOutputTarget()] * 2), method(inputs, 3))
    for target, error, words in [
        (12, candor.LabelError, "12 classes"),
        (-1, candor.InputError, "count from 0"),
        ([1], candor.InputError, "1 targets for 2 images"),
        (1.5, TypeError, "number of a class"),
        ("fish", TypeError, "number of a class"),
        (np.eye(12)[:2], candor.InputError, "argmax"),
    ]:
        with pytest.raises(error, match=words):
            method(inputs, target)


def test_any_layout_gives_the_right_answer(model: candor.Model, inputs: np.ndarray) -> None:
    method = candor.Method("gradient", model)
    wanted = method(inputs, 3)
    wide = np.zeros((4, *inputs.shape[1:]), np.float32)
    wide[::2] = inputs
    for form in (
        inputs.astype(np.float64), np.asfortranarray(inputs), wide[::2], np.flip(np.flip(inputs, 3).copy(), 3),
        np.ascontiguousarray(inputs.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), inputs.astype(">f4"), inputs.tolist(),
    ):
        assert np.array_equal(method(form, 3), wanted)
    read_only = inputs.copy()
    read_only.flags.writeable = False
    assert np.array_equal(method(read_only, 3), wanted)
    assert np.allclose(method(inputs.astype(np.float16), 3), wanted, atol=0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[0], "a batch of one"),
        (lambda x: x[:, :, :50], r"N × 3 × 112 × 112"),
        (lambda x: x.transpose(0, 2, 3, 1), r"N × 3 × 112 × 112"),
        (lambda x: x[:, :1], r"N × 3 × 112 × 112"),
        (lambda x: x[:0], "no image"),
        (lambda x: (x * 0).astype(np.uint8), "preprocess"),
        (lambda x: x.astype(np.int64), "preprocess"),
        (lambda x: x.astype(complex), "preprocess"),
        (lambda x: x.astype(object), "preprocess"),
        (lambda x: np.where(x > 0, np.nan, x), "NaN"),
        (lambda x: np.where(x > 0, np.inf, x), "inf"),
        (lambda x: np.float32(1), "N×C×H×W"),
    ],
)
def test_what_is_no_input_is_an_exception(model: candor.Model, inputs: np.ndarray, change: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        candor.Method("gradient", model)(change(inputs), 3)
    with pytest.raises(ValueError, match=words):
        model.logits(change(inputs))


def test_methods_and_their_options() -> None:
    names = [m["name"] for m in candor.methods()]
    assert names[0] == "reliable" and "grad-cam" in names
    method = candor.Method("reliable", candor.scenes.model(), iterations=7, exact=False)
    assert method.parameters["iterations"] == 7 and "reliable" in repr(method)
    with pytest.raises(candor.MethodError):
        candor.Method("reliable", candor.scenes.model(), iterations="many")
    with pytest.raises(candor.MethodError):
        candor.Method("no such", candor.scenes.model())


def test_torch_in_torch_out(model: candor.Model, inputs: np.ndarray) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    method = candor.Method("gradient", model)
    wanted = method.attribute(inputs, 3)
    tensor = torch.from_numpy(inputs)
    for form in (tensor, tensor.double(), tensor.requires_grad_(), tensor.detach().permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)):
        found = method.attribute(form, torch.tensor([3, 3]))
        assert isinstance(found, torch.Tensor) and np.array_equal(found.numpy(), wanted)
    assert isinstance(model.logits(tensor), torch.Tensor)
