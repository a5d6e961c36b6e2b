"""The models of the goldens and the input of each, which is away from kinks: goldens/models.py describes the choice."""

import numpy as np

from candor_tools.deterministic import INCREMENT, INCREMENT_STEP, MULTIPLIER, noise_image

# model → (amplitude, offset, candidate, inner values). The range is that of the model's own preprocessing. Inner values: the last
# activation before the head, then one per earlier spatial resolution. None is the input of a MaxPool with ties (windows of zeros
# after a Relu), where the gradient of the value itself is a convention.
MODELS = {
    "cifar10_resnet20": (2.0, 0.0, 1, ["relu_70", "relu_47"]),
    "cifar10_resnet56": (2.0, 0.0, 0, ["relu_196", "relu_131"]),
    "cifar10_resnet8_mlperftiny": (127.5, 127.5, 0, ["relu_19", "relu_13"]),
    "mobilenet_v1_0.25_128": (1.0, 0.0, 0, ["clip_54", "clip_46"]),
    "mobilenet_v1_0.25_224_bn": (1.0, 0.0, 2, ["conv_pw_13_relu", "conv_pw_11_relu"]),
    "mobilenet_v2_1.0_224": (1.0, 0.0, 41, ["clip_97", "clip_75"]),
    "pneumonia_cnn_128": (2.0, 0.0, 0, ["relu_15", "maxpool_12"]),
    "scenes": (1.0, 0.0, 0, ["level7", "level14"]),
    "squeezenet1_0_deepcompressed": (128.0, 0.0, 3, ["fire9_concat", "fire7_concat"]),
    "tiny_darknet_224": (0.5, 0.5, 6, ["leaky_re_lu_15", "leaky_re_lu_10"]),
}

# The regular noise causes near-ties in 300 windows of tiny_darknet's first MaxPool (about one is expected).
SCRAMBLED = {"tiny_darknet_224"}


def candidate(t: int) -> int:
    """The increment of candidate input t."""
    return (INCREMENT + t * INCREMENT_STEP) % 2**32


def input_image(name: str, shape: list[int], t: int | None = None) -> np.ndarray:
    """A model's input, float32; `t`: a candidate other than the chosen one."""
    amplitude, offset, chosen, _ = MODELS[name]
    return noise_image(shape, amplitude, offset, candidate(chosen if t is None else t), name in SCRAMBLED)


def input_entry(name: str, shape: list[int]) -> dict:
    """`input` of a golden: the parameters that regenerate the image."""
    amplitude, offset, chosen, _ = MODELS[name]
    return {
        "shape": shape,
        "amplitude": amplitude,
        "offset": offset,
        "multiplier": MULTIPLIER,
        "increment": candidate(chosen),
        "scrambled": name in SCRAMBLED,
    }
