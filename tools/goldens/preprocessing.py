"""Goldens of found preprocessing: crates/candor/tests/golden/preprocessing.json.

    python tools/goldens/preprocessing.py

Each of CONFIGURATIONS is a configuration file from beside a model: a `preprocessor_config.json` of transformers, read by the image
processor that it names (the one on Pillow images), or a `config.json` of timm, read by `resolve_data_config` and `create_transform`. For
each, and for each of PHOTOS, the file gets

    {name, file, config, photo, input, sha256, pixels, floats}

the configuration; the photo's and the input's height and width; the SHA-256 of the 8-bit pixels, channels first, before they are rescaled, and
the first of these; and some of the normalised values, as {index: value}. The photos are made by `photo`, here and in the test.

Pillow must be older than 13, which sometimes resizes columns first (crates/candor/src/image/resize.rs).
"""

import hashlib
import json

import numpy as np
import timm.data
import torch
import transformers
from PIL import Image
from transformers.image_utils import SizeDict  # noqa: F401  (a version of transformers that has processors on Pillow images)

from candor_tools.checkout import ROOT

GOLDEN = ROOT / "crates/candor/tests/golden/preprocessing.json"
PHOTOS = [(61, 84), (90, 53), (40, 40)]
FIRST = 24
SAMPLES = 24

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}


def both(height, width=None):
    return {"height": height, "width": width or height}


def of_transformers(processor, **settings):
    return {"image_processor_type": processor, **settings}


def of_timm(size, **settings):
    return {"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, *size], **settings}}


CONFIGURATIONS = {
    "vit": of_transformers("ViTImageProcessor", do_resize=True, size=both(32), resample=2, do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **HALF),
    "vit, another aspect": of_transformers("ViTImageProcessor", do_resize=True, size=both(24, 40), resample=3, do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **HALF),
    "vit, without rescaling": of_transformers("ViTImageProcessor", do_resize=True, size=both(32), resample=1, do_rescale=False, do_normalize=True, image_mean=[127.5] * 3, image_std=[127.5] * 3),
    "vit, to -1..1": of_transformers("ViTImageProcessor", do_resize=True, size=both(28), resample=0, do_rescale=True, rescale_factor=1 / 127.5, do_normalize=True, image_mean=[1.0] * 3, image_std=[1.0] * 3),
    "deit": of_transformers("DeiTImageProcessor", do_resize=True, size=both(37), resample=3, do_center_crop=True, crop_size=both(32), do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **IMAGENET),
    "beit": of_transformers("BeitImageProcessor", do_resize=True, size=both(40), resample=3, do_center_crop=True, crop_size=both(33), do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **HALF),
    "clip": of_transformers("CLIPImageProcessor", do_resize=True, size={"shortest_edge": 32}, resample=3, do_center_crop=True, crop_size=both(32), do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **CLIP),
    "convnext": of_transformers("ConvNextImageProcessor", do_resize=True, size={"shortest_edge": 32}, resample=3, crop_pct=0.875, do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **IMAGENET),
    "convnext, 0.95": of_transformers("ConvNextImageProcessor", do_resize=True, size={"shortest_edge": 33}, resample=2, crop_pct=0.95, do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **IMAGENET),
    "bit": of_transformers("BitImageProcessor", do_resize=True, size={"shortest_edge": 36}, resample=3, do_center_crop=True, crop_size=both(33), do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **HALF),
    "mobilenet": of_transformers("MobileNetV2ImageProcessor", do_resize=True, size={"shortest_edge": 37}, resample=2, do_center_crop=True, crop_size=both(32), do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **HALF),
    "mobilevit": of_transformers("MobileViTImageProcessor", do_resize=True, size={"shortest_edge": 36}, resample=2, do_center_crop=True, crop_size=both(32), do_rescale=True, rescale_factor=1 / 255, do_flip_channel_order=True),
    "mobilevit, larger than the photo": of_transformers("MobileViTImageProcessor", do_resize=True, size={"shortest_edge": 24}, resample=2, do_center_crop=True, crop_size=both(33), do_rescale=True, rescale_factor=1 / 255, do_flip_channel_order=True),
    "efficientnet": of_transformers("EfficientNetImageProcessor", do_resize=True, size=both(34), resample=3, do_center_crop=False, do_rescale=True, rescale_factor=1 / 255, rescale_offset=False, do_normalize=True, include_top=True, image_mean=[0.485, 0.456, 0.406], image_std=[0.47853944, 0.4732864, 0.47434163]),
    "levit": of_transformers("LevitImageProcessor", do_resize=True, size={"shortest_edge": 32}, resample=3, do_center_crop=True, crop_size=both(32), do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **IMAGENET),
    "poolformer": of_transformers("PoolFormerImageProcessor", do_resize=True, size={"shortest_edge": 32}, resample=3, crop_pct=0.95, do_center_crop=True, crop_size=both(32), do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **IMAGENET),
    "timm, 0.875": of_timm((32, 32), interpolation="bilinear", crop_pct=0.875, crop_mode="center", mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    "timm, 0.95 bicubic": of_timm((33, 33), interpolation="bicubic", crop_pct=0.95, crop_mode="center", mean=[0.5] * 3, std=[0.5] * 3),
    "timm, squash": of_timm((32, 32), interpolation="bicubic", crop_pct=0.9, crop_mode="squash", mean=[0.5] * 3, std=[0.5] * 3),
    "timm, border": of_timm((32, 32), interpolation="bicubic", crop_pct=1.0, crop_mode="border", mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    "timm, border cut": of_timm((31, 31), interpolation="bilinear", crop_pct=0.9, crop_mode="border", mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    "timm, not square": of_timm((24, 40), interpolation="bilinear", crop_pct=0.875, crop_mode="center", mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    "timm, lanczos": of_timm((32, 32), interpolation="lanczos", crop_pct=1.0, crop_mode="center", mean=[0.0] * 3, std=[1.0] * 3),
}


def photo(height: int, width: int) -> Image.Image:
    """A photo with coarse and fine patterns: (3x² + 5y² + (c + 1)xy + 40c) mod 256 in channel c."""
    y, x, c = np.mgrid[:height, :width, :3]
    return Image.fromarray(((3 * x * x + 5 * y * y + (c + 1) * x * y + 40 * c) % 256).astype(np.uint8))


def by_transformers(config: dict, image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """8-bit pixels and normalised values."""
    processor = getattr(transformers, config["image_processor_type"] + "Pil")
    whole = processor(**config)(image, return_tensors="np")["pixel_values"][0]
    plain = {**config, "do_rescale": False, "do_normalize": False, "include_top": False}
    return np.asarray(processor(**plain)(image, return_tensors="np")["pixel_values"][0]), np.asarray(whole)


def by_timm(config: dict, image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    settings = timm.data.resolve_data_config({}, pretrained_cfg=config["pretrained_cfg"])
    whole = timm.data.create_transform(**settings)(image)
    plain = timm.data.create_transform(**settings, normalize=False)(image)
    assert plain.dtype == torch.uint8
    return plain.numpy(), whole.numpy()


def main() -> None:
    goldens = []
    for name, config in CONFIGURATIONS.items():
        is_timm = "pretrained_cfg" in config
        for height, width in PHOTOS:
            pixels, values = (by_timm if is_timm else by_transformers)(config, photo(height, width))
            assert pixels.min() >= 0 and pixels.max() <= 255 and (pixels == np.round(pixels)).all(), name
            levels = pixels.astype(np.uint8).reshape(-1)
            chosen = np.linspace(0, values.size - 1, SAMPLES).astype(int)
            goldens.append({
                "name": name,
                "file": "config.json" if is_timm else "preprocessor_config.json",
                "config": config,
                "photo": [height, width],
                "input": list(values.shape[1:]),
                "sha256": hashlib.sha256(levels.tobytes()).hexdigest(),
                "pixels": levels[:FIRST].tolist(),
                "floats": {str(i): float(values.reshape(-1)[i]) for i in chosen},
            })
    GOLDEN.write_text("[\n" + ",\n".join(json.dumps(g) for g in goldens) + "\n]\n")
    print(f"{len(CONFIGURATIONS)} configurations, {len(goldens)} goldens")


if __name__ == "__main__":
    main()
