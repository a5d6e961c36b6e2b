"""Torch modules in one line, compared with their own gradients and with pytorch-grad-cam and Captum."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import candor
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")


def small() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.5),
        torch.nn.Conv2d(8, 6, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(6, 5),
    )


@pytest.fixture()
def example() -> torch.Tensor:
    return torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def gradient(module: torch.nn.Module, x: torch.Tensor, target: int) -> torch.Tensor:
    x = x.clone().requires_grad_()
    module(x)[:, target].sum().backward()
    assert x.grad is not None
    return x.grad


def test_a_module_in_one_line(example: torch.Tensor) -> None:
    module = small().train()
    model = candor.load(module, example)
    assert module.training and all(m.training for m in module), "the module is as it was"
    module.eval()
    x = torch.randn(3, 3, 32, 32)
    found = candor.Method("gradient", model).attribute(x, 2)
    wanted = gradient(module, x, 2)
    assert isinstance(found, torch.Tensor) and (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert model.path == "Sequential" and model.classes == 5


def test_what_cannot_be_exported_is_said(example: torch.Tensor) -> None:
    with pytest.raises(candor.UsageError, match="example="):
        candor.load(small())
    with pytest.raises(candor.UsageError, match="N×C×H×W"):
        candor.load(small(), torch.zeros(3))

    class Two(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x.mean((2, 3)), x

    with pytest.raises(candor.ExportError, match="not a tensor of logits"):
        candor.load(Two(), example)

    class Random(torch.nn.Module):
        """Gives different logits each time, so that no graph can equal it."""

        def __init__(self) -> None:
            super().__init__()
            self.calls = 0
            self.inner = small()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.inner(x) * self.calls

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(candor.ExportError, match="differ|cannot be exported"):
            candor.load(Random(), example)


def test_preprocessing_of_published_weights() -> None:
    class Transform:
        mean, std, crop_size, resize_size = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], [32], [36]

    model = candor.load(small(), torch.zeros(1, 3, 32, 32), preprocess=Transform())
    photo = np.full((40, 40, 3), 128, np.uint8)
    wanted = (128 / 255 - np.array(Transform.mean)) / np.array(Transform.std)
    assert np.allclose(model.preprocess(photo)[:, 5, 5], wanted, atol=1e-5)
    with pytest.raises(candor.UsageError, match="no mean and std"):
        candor.load(small(), torch.zeros(1, 3, 32, 32), preprocess=object())


#: Architecture, and the layer and reshape function, which pytorch-grad-cam needs and Candor does not.
def tokens(tensor: torch.Tensor) -> torch.Tensor:
    side = int((tensor.shape[1] - 1) ** 0.5)
    return tensor[:, 1:].reshape(len(tensor), side, side, -1).permute(0, 3, 1, 2)


MODELS = {
    "resnet18": (lambda m: m.layer4[-1], None),
    "mobilenet_v3_small": (lambda m: m.features[-1], None),
    "vit_b_16": (lambda m: m.encoder.layers[-1].ln_1, tokens),
    "swin_t": (lambda m: m.features[-1][-1].norm1, lambda t: t.permute(0, 3, 1, 2)),
}


@pytest.fixture(scope="module", params=list(MODELS))
def loaded(request: pytest.FixtureRequest) -> Iterator[tuple[str, torch.nn.Module, candor.Model, torch.Tensor]]:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    torch.manual_seed(3)
    module = models.get_model(request.param, weights=None)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():  # the head of the vision transformer, and biases
                parameter.normal_(0, 0.02)
        for _ in range(3):  # BatchNormalization that fits the random weights, without which signals would vanish
            module.train()(torch.randn(4, 3, 224, 224))
    module.eval()
    x = torch.randn(5, 3, 224, 224)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield request.param, module, candor.load(module, x[:1]), x


def test_gradients_of_torchvision(loaded: tuple[str, torch.nn.Module, candor.Model, torch.Tensor]) -> None:
    """In about one image in six, a unit of ReLU or MaxPool is at its kink, where rounding decides: torch's own gradients in single and in double
    precision differ there by a hundredth of the largest value, and Candor's from both. So most, not all, of five images must agree."""
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    _, module, model, x = loaded
    wanted = captum.Saliency(module).attribute(x.clone().requires_grad_(), target=1, abs=False)
    found = candor.Method("gradient", model).attribute(x, target=1)
    differences = (found - wanted).abs().amax((1, 2, 3)) / wanted.abs().amax((1, 2, 3))
    print("largest differences of five images, as shares of the largest value:", [f"{d:.1e}" for d in differences.tolist()])
    assert (differences < 1e-4).sum() >= 3 and differences.max() < 0.1


def test_grad_cam_of_torchvision(loaded: tuple[str, torch.nn.Module, candor.Model, torch.Tensor]) -> None:
    """For convolutional networks, where the automatic layer is the same; pytorch-grad-cam divides each map by its largest value."""
    peer = pytest.importorskip("pytorch_grad_cam", reason="pytorch-grad-cam is not installed")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    name, module, model, x = loaded
    if name not in ("resnet18", "mobilenet_v3_small"):
        pytest.skip("Candor takes the attention's output of transformers, of which pytorch-grad-cam has no map")
    layer, reshape = MODELS[name]
    method = candor.Method("grad-cam", model)
    # With random weights many classes have an empty map: the first two with positive values are used.
    classes = [t for t in range(30) if (method(x[:1], t) > 0).any()][:2]
    assert len(classes) == 2
    x = x[:1].repeat(2, 1, 1, 1)
    with peer.GradCAM(module, [layer(module)], reshape_transform=reshape) as cam:
        wanted = cam(x, [targets.ClassifierOutputTarget(t) for t in classes])
    found = method(x, classes).numpy()
    low, high = (f(found, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    assert np.abs((found - low) / (high - low) - wanted).max() < 1e-4
