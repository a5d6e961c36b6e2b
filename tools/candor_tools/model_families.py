"""The classifier families that tools/parity/export_models.py exports: name → side of the input in pixels, and how a model is built.

`NAME@SIDE` is a family with another side of the input, which the architecture must allow: a smaller one has fewer units, and therefore
fewer within rounding error of a kink.
"""

import torch

from candor_tools.deterministic import INCREMENT, INCREMENT_STEP, noise_image

TORCHVISION = {
    "resnet18": 224, "vit_b_16": 224, "swin_t": 224, "mobilenet_v2": 224, "convnext_tiny": 224, "efficientnet_b0": 224,
    "densenet121": 224, "alexnet": 224, "googlenet": 224, "inception_v3": 299, "squeezenet1_1": 224,
    "mobilenet_v3_large": 224, "mnasnet1_0": 224, "shufflenet_v2_x1_0": 224, "regnet_y_400mf": 224, "swin_v2_t": 256,
    "maxvit_t": 224, "efficientnet_v2_s": 224, "resnet50": 224, "resnext50_32x4d": 224, "vgg11_bn": 224,
    "wide_resnet50_2": 224,
}  # fmt: skip
"""torchvision, in an order that shows a new kind of architecture early."""

TIMM = {
    "deit_tiny_patch16_224": 224, "resnetv2_50": 224, "nfnet_l0": 224, "mixer_s16_224": 224, "convmixer_768_32": 224,
    "xcit_nano_12_p16_224": 224, "pvt_v2_b0": 224, "levit_128s": 224, "mobilevit_s": 256, "beit_base_patch16_224": 224,
    "eva02_tiny_patch14_224": 224, "hrnet_w18_small": 224, "poolformer_s12": 224, "ghostnet_100": 224,
    "efficientformer_l1": 224, "fastvit_t8": 256, "edgenext_xx_small": 256, "coatnet_0_rw_224": 224, "tresnet_m": 224,
    "repvgg_a0": 224, "res2net50_26w_4s": 224, "volo_d1_224": 224, "cait_xxs24_224": 224, "tiny_vit_5m_224": 224,
}  # fmt: skip
"""timm, architectures that torchvision lacks."""


def side(name: str, families: dict[str, int]) -> int:
    """The input's side of NAME or NAME@SIDE."""
    family, _, other = name.partition("@")
    return int(other) if other else families[family]


def make_generic(model: torch.nn.Module) -> None:
    """Replaces the special values of a new initialisation by random ones of a typical size."""
    for name, parameter in model.named_parameters():
        value = parameter.data
        flat = value.flatten()
        constant = flat.numel() > 0 and bool((flat == flat[0]).all())
        if not constant:
            continue
        first = abs(flat[0].item())
        if value.squeeze().dim() >= 2:  # a zero head or position embedding
            torch.nn.init.normal_(value, std=0.02)
        elif first == 0.0 and "bias" in name:
            torch.nn.init.normal_(value, std=0.05)
        elif first == 0.0 or first < 0.5:  # a zero gain or a small layer scale
            torch.nn.init.uniform_(value, 0.2, 0.5)
        else:
            value.mul_(1.0 + 0.1 * torch.randn_like(value))


def separate(model: torch.nn.Module) -> None:
    """Moves the outputs of BatchNormalization three standard deviations away from zero, even channels above it and odd ones below.

    Then almost no unit of a following Relu, Relu6 or Hardswish is so close to a kink that rounding moves it across.
    """
    for norm in batch_norms(model):
        if not norm.affine:
            continue
        vary = 1.0 + 0.1 * torch.randn(2, norm.weight.numel()).clamp(-2, 2)
        sign = torch.ones_like(norm.bias.data)
        sign[1::2] = -1.0
        norm.weight.data = vary[0] / 3.0
        norm.bias.data = sign * vary[1]


def calibrate(model: torch.nn.Module, images: torch.Tensor) -> None:
    """Measures the statistics of BatchNormalization on images, layer by layer.

    A variance counts as at least FLOOR times the layer's mean square. Otherwise a practically constant channel would be
    amplified, with its rounding errors.
    """

    def measure(norm: torch.nn.Module, inputs: tuple) -> None:
        (x,) = inputs
        axes = [axis for axis in range(x.dim()) if axis != 1]
        norm.running_mean.copy_(x.mean(axes))
        norm.running_var.copy_(x.var(axes, unbiased=False).clamp_min(FLOOR * x.square().mean().item()))

    model.eval()
    hooks = [norm.register_forward_pre_hook(measure) for norm in batch_norms(model)]
    if hooks:
        with torch.no_grad():
            model(images)
    for hook in hooks:
        hook.remove()


FLOOR = 0.1
AMPLITUDE, CALIBRATION = 2.0, range(100, 104)
"""Of the noise images of the references, and the candidates among them that calibrate BatchNormalization."""
RECIPES = ("generic", "separated")


def batch_norms(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The BatchNormalization modules that keep statistics."""
    kind = torch.nn.modules.batchnorm._BatchNorm
    return [m for m in model.modules() if isinstance(m, kind) and m.running_mean is not None]


def build(name: str, recipe: str, images: torch.Tensor) -> torch.nn.Module:
    """The model in evaluation mode, calibrated on images; with the same weights at every call."""
    torch.manual_seed(0)
    name = name.partition("@")[0]
    if name in TORCHVISION:
        import torchvision

        # Auxiliary heads are for training; they would become outputs of the export.
        extra = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
        model = torchvision.models.get_model(name, weights=None, **extra)
    else:
        import timm

        model = timm.create_model(name, pretrained=False)
    make_generic(model)
    if recipe == "separated":
        separate(model)
    calibrate(model, images)
    return model.eval()


def picture(size: int, index: int) -> tuple[torch.Tensor, int]:
    """A noise image 1×3×size×size, and the increment that generates it."""
    increment = (INCREMENT + index * INCREMENT_STEP) % 2**32
    return torch.from_numpy(noise_image([1, 3, size, size], AMPLITUDE, 0.0, increment, scrambled=True)), increment


def model_of(name: str, size: int, recipe: str) -> torch.nn.Module:
    return build(name, recipe, torch.cat([picture(size, k)[0] for k in CALIBRATION]))
