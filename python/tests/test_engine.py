"""Which engine runs where none is named."""

import importlib.util
import warnings

import candor
import pytest

INSTALLED = importlib.util.find_spec("onnxruntime") is not None


@pytest.mark.parametrize("said, taken", [("rten", "rten"), (None, "onnxruntime" if INSTALLED else "rten")])
def test_auto_is_what_the_environment_says_else_the_faster_one_that_is_here(monkeypatch, said, taken):
    monkeypatch.delenv("ORT_DYLIB_PATH", raising=False)
    monkeypatch.setenv("CANDOR_ENGINE", said or "")
    model = candor.scenes.model()
    assert model.info["engine"]["name"] == taken
    assert taken in repr(model)


def test_commands_run_with_the_engine_of_the_model(monkeypatch, photo):
    monkeypatch.setenv("CANDOR_ENGINE", "auto")
    monkeypatch.delenv("ORT_DYLIB_PATH", raising=False)
    model = candor.scenes.model()
    monkeypatch.setenv("CANDOR_ENGINE", "rten")  # what comes later does not matter
    warnings.simplefilter("error")
    checked = candor.check(model, [photo], methods=["gradient"])
    assert checked.document["engine"]["name"] == model.info["engine"]["name"]


def test_an_engine_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("CANDOR_ENGINE", "tensorflow")
    with pytest.raises(candor.EngineError, match="'tensorflow'.*auto, rten, onnxruntime"):
        candor.scenes.model()
