"""One map from a cold start in PyTorch: import, build the model, load its weights, explain one image, write the map.

    python tools/compare/first_map.py resnet50 ZOO/resnet50.pt --save-weights     once; ZOO is a folder of tools/parity/export_models.py
    python tools/compare/first_map.py resnet50 ZOO/resnet50.pt PHOTO              writes Grad-CAM's map as map.npy

A user's script with nothing that it could leave out: torchvision's module and preprocessing, and autograd hooks
instead of a library. Time it from outside, beside `candor explain MODEL PHOTO --method grad-cam`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image


def grad_cam(model: torch.nn.Module, x: torch.Tensor) -> np.ndarray:
    """Grad-CAM of the largest logit on the last block, at the image's size."""
    kept = {}
    model.layer4[-1].register_forward_hook(lambda _m, _i, output: kept.update(a=output))
    logits = model(x)
    (slope,) = torch.autograd.grad(logits[0, logits[0].argmax()], kept["a"])
    cam = (slope.mean((2, 3), keepdim=True) * kept["a"]).sum(1, keepdim=True).relu()
    return torch.nn.functional.interpolate(cam, size=x.shape[2:], mode="bilinear")[0, 0].detach().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a torchvision ResNet")
    parser.add_argument("weights", type=Path)
    parser.add_argument("photo", type=Path, nargs="?")
    parser.add_argument("--save-weights", action="store_true", help="make the weights file and end")
    parser.add_argument("--out", type=Path, default=Path("map.npy"))
    a = parser.parse_args()
    torch.set_num_threads(2)
    if a.save_weights:
        from candor_tools.model_families import TORCHVISION, model_of

        recipe = json.loads((a.weights.parent / f"{a.name}.json").read_text())["recipe"]
        torch.save(model_of(a.name, TORCHVISION[a.name], recipe).state_dict(), a.weights)
        return
    if a.photo is None:
        parser.error("which photo?")
    with torch.device("meta"):
        model = torchvision.models.get_model(a.name, weights=None)
    model.load_state_dict(torch.load(a.weights, mmap=True), assign=True)
    transforms = torchvision.transforms
    prepare = transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    x = prepare(Image.open(a.photo).convert("RGB"))[None]
    np.save(a.out, grad_cam(model.eval(), x))


if __name__ == "__main__":
    main()
