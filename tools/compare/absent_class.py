"""What other packages show for an absent class.

    python tools/compare/absent_class.py MODEL.onnx PHOTO... [--layer NAME] [--masks N]

For each photo and method: the map of the model's answer and that of the class of median rank. Prints medians over the photos of the second map's
maximum and mass (mean of its positive values) as fractions of the first one's, as the package returns them. The model is an ONNX classifier of logits
with inception preprocessing; for PyTorch's packages onnx2torch converts it. Packages that are not installed are named and left out: onnx2torch, captum,
grad-cam, torchcam, quantus (these together), xplique (with onnx2torch), dianna, openvino-xai (each in its own environment, as their
requirements exclude each other).
"""

import argparse
import importlib.metadata
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(photo: Path, side: int) -> np.ndarray:
    image = Image.open(photo).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return (np.asarray(image, dtype=np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]


def report(method: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    positive = [[np.maximum(np.asarray(m, dtype=np.float64), 0) for m in pair] for pair in pairs]
    most = np.median([absent.max() / answer.max() for answer, absent in positive])
    mass = np.median([absent.mean() / answer.mean() for answer, absent in positive])
    print(f"| {method} | {len(pairs)} | {most:.3f} | {mass:.3f} |", flush=True)


def torch_packages(model: str, queries: list, layer_name: str) -> None:
    import onnx2torch
    import torch
    from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Saliency
    from pytorch_grad_cam import FinerCAM, GradCAM, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchcam import methods as torchcam

    network = onnx2torch.convert(model).eval()
    layer = dict(network.named_modules())[layer_name]
    tensor = torch.from_numpy
    grad_cam, path = LayerGradCam(network, layer), IntegratedGradients(network)

    def each(method, explain):
        report(method, [(explain(x, answer), explain(x, absent)) for x, answer, absent in queries])

    def by_grad_cam(kind):
        cam = kind(model=network, target_layers=[layer])
        if kind is FinerCAM:
            return lambda x, c: cam(input_tensor=tensor(x), targets=None, target_idx=c)
        return lambda x, c: cam(input_tensor=tensor(x), targets=[ClassifierOutputTarget(c)])

    def by_torchcam(normalized):
        def explain(x, c):
            with torchcam.GradCAM(network, target_layer=layer_name) as cam:
                return cam(c, network(tensor(x).requires_grad_()), normalized=normalized)[0].detach().numpy()

        return explain

    def gradients(x, c):
        return path.attribute(tensor(x), target=c, n_steps=50, internal_batch_size=10).detach().numpy().sum(1)

    each("captum LayerGradCam", lambda x, c: grad_cam.attribute(tensor(x), c, relu_attributions=True).detach().numpy())
    each("captum IntegratedGradients", gradients)
    saliency = Saliency(network)
    each("captum Saliency", lambda x, c: saliency.attribute(tensor(x).requires_grad_(), target=c).detach().numpy())
    for kind in (GradCAM, LayerCAM, FinerCAM):
        each(f"pytorch-grad-cam {kind.__name__}", by_grad_cam(kind))
    each("torchcam GradCAM", by_torchcam(True))
    each("torchcam GradCAM, normalized=False", by_torchcam(False))
    import quantus

    def maps(model, inputs, targets, **_):
        cams = [grad_cam.attribute(tensor(x[None]), int(c), relu_attributions=True) for x, c in zip(np.float32(inputs), targets)]
        return torch.cat([LayerAttribution.interpolate(m, inputs.shape[2:]) for m in cams]).detach().numpy()

    metric = quantus.RandomLogit(num_classes=1000, seed=0, abs=False, display_progressbar=False, disable_warnings=True)
    images, answers = np.concatenate([q[0] for q in queries]), np.array([q[1] for q in queries])
    scores = metric(model=network, x_batch=images, y_batch=answers, a_batch=None, explain_func=maps, device="cpu", batch_size=4)
    print(f"quantus RandomLogit of Grad-CAM (similarity of a random class's map to the answer's): {np.median(scores):.3f}")


def dianna(logits, queries: list, masks: int) -> None:
    from dianna import explain_image

    def probabilities(images):
        scores = logits(np.asarray(images, dtype=np.float32).transpose(0, 3, 1, 2))
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    settings = dict(method="RISE", n_masks=masks, feature_res=7, p_keep=0.5, axis_labels={2: "channels"})
    explain = lambda x, *classes: explain_image(probabilities, x[0].transpose(1, 2, 0), labels=list(classes), **settings)
    report(f"dianna RISE, {masks} masks", [tuple(np.asarray(explain(*q))) for q in queries])


def xplique(model: str, queries: list) -> None:
    import onnx2torch
    from xplique.attributions import Saliency
    from xplique.wrappers import TorchWrapper

    saliency = Saliency(TorchWrapper(onnx2torch.convert(model).eval(), "cpu"))
    explain = lambda x, c: np.asarray(saliency(x.transpose(0, 2, 3, 1), np.eye(1000, dtype=np.float32)[[c]]))
    report("xplique Saliency", [(explain(x, answer), explain(x, absent)) for x, answer, absent in queries])


def openvino_xai(model: str, queries: list) -> None:
    import openvino
    from openvino_xai import Explainer, Task
    from openvino_xai.explainer.explainer import ExplainMode

    read = openvino.Core().read_model(model)
    explainer = Explainer(model=read, task=Task.CLASSIFICATION, preprocess_fn=lambda x: x, explain_mode=ExplainMode.WHITEBOX)

    def pair(x, *classes):
        maps = explainer(x, targets=list(classes), overlay=False, colormap=False).saliency_map
        return tuple(maps[c] for c in classes)

    report("openvino-xai ReciproCAM", [pair(*q) for q in queries])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--layer", default="Clip_97", help="onnx2torch's name of the last feature map")
    parser.add_argument("--masks", type=int, default=300)
    a = parser.parse_args()
    logits, side = forward(a.model)
    queries = []
    for photo in a.photos:
        x = pixels(photo, side)
        order = np.argsort(-logits(x)[0])
        queries.append((x, int(order[0]), int(order[len(order) // 2])))
    print("| method | photos | maximum | mass |\n|---|---|---|---|")
    packages = {
        "captum": lambda: torch_packages(a.model, queries, a.layer),
        "xplique": lambda: xplique(a.model, queries),
        "dianna": lambda: dianna(logits, queries, a.masks),
        "openvino_xai": lambda: openvino_xai(a.model, queries),
    }
    for name, run in packages.items():
        try:
            print(f"{name} {importlib.metadata.version(name.replace('_', '-'))}")
        except importlib.metadata.PackageNotFoundError:
            print(f"{name} is not installed")
            continue
        run()


def forward(model: str):
    """The model's logits, by ONNX Runtime or OpenVINO, whichever is installed; and the side of its input in pixels."""
    try:
        import onnxruntime
    except ImportError:
        import openvino

        compiled = openvino.compile_model(openvino.Core().read_model(model))
        return (lambda x: compiled(x)[0]), compiled.inputs[0].partial_shape[3].get_length()
    session = onnxruntime.InferenceSession(model)
    image = session.get_inputs()[0]
    return (lambda x: session.run(None, {image.name: x})[0]), image.shape[3]


if __name__ == "__main__":
    main()
