"""Quantus' metrics on an ONNX model: one or two of each family; tools/python/quantus_metrics.py runs them all."""

from __future__ import annotations

import candor
import numpy as np
import pytest

quantus = pytest.importorskip("quantus", reason="quantus is not installed")


@pytest.fixture(scope="module")
def batch() -> tuple[candor.Model, np.ndarray, np.ndarray]:
    model = candor.scenes.model()
    x = np.stack([model.preprocess(photo) for photo in list(candor.scenes.photos().values())[:2]])
    return model, x, model.logits(x).argmax(axis=1)


def test_the_nine_methods(batch: tuple[candor.Model, np.ndarray, np.ndarray]) -> None:
    model, x, _ = batch
    adapter = candor.quantus.Model(model, softmax=True)
    assert np.allclose(adapter.predict(x).sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(candor.quantus.Model(model).predict(x), model.logits(x))
    assert adapter.get_model() is model and adapter.get_softmax_arg_model() is adapter
    assert adapter.shape_input(x[0], x[0].shape).shape == (1, 3, 112, 112)
    assert adapter.shape_input(x.transpose(0, 2, 3, 1), (2, 112, 112, 3), channel_first=False, batched=True).shape == x.shape
    weights = adapter.state_dict()
    assert len(weights) == adapter.random_layer_generator_length > 5
    shifted = adapter.add_mean_shift_to_first_layer(0.5, x.shape)
    assert np.allclose(shifted.predict(x + 0.5), adapter.predict(x), atol=1e-5)
    hidden = adapter.get_hidden_representations(x)
    assert hidden.shape[0] == 2 and hidden.ndim == 2
    names = model._native.value_names()
    assert np.array_equal(adapter.get_hidden_representations(x, layer_names=[names[3]]), adapter.get_hidden_representations(x, layer_indices=[3]))


def test_layers_are_randomised_one_after_the_other(batch: tuple[candor.Model, np.ndarray, np.ndarray]) -> None:
    model, x, _ = batch
    adapter = candor.quantus.Model(model)
    before = adapter.state_dict()
    for order, counts in [("top_down", [1, 2]), ("bottom_up", [1, 2]), ("independent", [1, 1])]:
        names = []
        for (name, changed), count in zip(adapter.get_random_layer_generator(order, seed=1), counts):
            names.append(name)
            after = candor.quantus.Model(changed).state_dict()
            differ = [n for n in before if not np.array_equal(before[n], after[n])]
            assert len(differ) == count and name in differ
            assert not np.allclose(changed.logits(x), model.logits(x))
            assert all(np.array_equal(np.sort(before[n], None), np.sort(after[n], None)) for n in differ)
        assert names[0] == (list(before)[-1] if order == "top_down" else list(before)[0])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("PixelFlipping", {"features_in_step": 1568, "perturb_baseline": "mean"}),
        ("MaxSensitivity", {"nr_samples": 2}),
        ("PointingGame", {}),
        ("Sparseness", {}),
        ("RandomLogit", {"num_classes": 12}),
        ("InputInvariance", {}),
    ],
)
def test_a_metric_of_each_family(name: str, settings: dict[str, object], batch: tuple[candor.Model, np.ndarray, np.ndarray]) -> None:
    model, x, y = batch
    metric = getattr(quantus, name)(disable_warnings=True, display_progressbar=False, **settings)
    masks = np.zeros((2, 1, 112, 112))
    masks[:, :, 20:90, 20:90] = 1
    scores = metric(
        model=model, x_batch=x, y_batch=y, a_batch=None, s_batch=masks, explain_func=candor.quantus.explain_func, explain_func_kwargs={"method": "gradient"}
    )
    assert len(scores) == 2 and all(np.all(np.isfinite(np.asarray(s, dtype=float))) for s in scores)
