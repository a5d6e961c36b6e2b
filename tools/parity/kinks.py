"""Distance of the piecewise units of a PyTorch model from the points where their gradient jumps."""

import math

import torch


def roundings(single: torch.nn.Module, double: torch.nn.Module, image: torch.Tensor) -> list[float]:
    """For each piecewise layer in the order of the calls: the root mean square of the float32 rounding error of its input."""
    with torch.no_grad(), Watch(keep=True) as exact:
        double(image.double())
    with torch.no_grad(), Watch(keep=True) as rounded:
        single(image)
    return [(a.double() - b).square().mean().sqrt().item() for a, b in zip(rounded.inputs, exact.inputs, strict=True)]


def margin(double: torch.nn.Module, image: torch.Tensor, roundings: list[float]) -> float:
    """The smallest distance of a unit's input to a kink, in units of the layer's rounding.

    Infinite for a model without kinks. For MaxPool the distance is that of a window's two largest values; windows in which
    they are equal are left out, since they are zeros of a Relu, which pass no gradient on. Only the operators of KINKS
    and MaxPool are seen, by the functions of PyTorch that modules call.
    """
    with torch.no_grad(), Watch() as watch:
        double(image.double())
    return min((d / max(r, 1e-300) for d, r in zip(watch.distances, roundings, strict=True)), default=math.inf)


KINKS = {
    "relu": (0.0,), "leaky_relu": (0.0,), "relu6": (0.0, 6.0), "hardswish": (-3.0, 3.0), "hardsigmoid": (-3.0, 3.0),
}  # fmt: skip


class Watch(torch.overrides.TorchFunctionMode):
    """Records the calls of piecewise functions: the distance to a kink or, to `keep` them, their inputs."""

    def __init__(self, keep: bool = False) -> None:
        super().__init__()
        self.keep, self.distances, self.inputs = keep, [], []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "").strip("_")
        distance = None
        if name in KINKS:
            distance = lambda x: kink_distance(x, KINKS[name])  # noqa: E731
        elif name == "hardtanh":
            distance = lambda x: kink_distance(x, hardtanh_kinks(*args[1:], **kwargs))  # noqa: E731
        elif name == "clamp":
            bounds = tuple(bound for bound in (*args[1:], *kwargs.values()) if bound is not None)
            distance = lambda x: kink_distance(x, bounds)  # noqa: E731
        elif name.startswith("max_pool2d"):
            distance = lambda x: pool_distance(x, *args[1:], **kwargs)  # noqa: E731
        if distance is not None and self.keep:
            self.inputs.append(args[0].clone())
        elif distance is not None:
            self.distances.append(distance(args[0]))
        return function(*args, **kwargs)


def kink_distance(x: torch.Tensor, kinks: tuple[float, ...]) -> float:
    return min((x - kink).abs().min().item() for kink in kinks)


def hardtanh_kinks(min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> tuple[float, ...]:
    return (min_val, max_val)


def pool_distance(x: torch.Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, **_) -> float:
    def pair(value) -> tuple[int, int]:
        return (value, value) if isinstance(value, int) else tuple(value)

    if pair(dilation) != (1, 1):
        raise NotImplementedError("MaxPool with dilations")
    kernel, padding = pair(kernel_size), pair(padding)
    stride = pair(stride or kernel_size)
    right, below = (padding[axis] + stride[axis] * bool(ceil_mode) for axis in (1, 0))
    x = torch.nn.functional.pad(x, (padding[1], right, padding[0], below), value=-1e300)
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(4)
    largest = windows.topk(2).values
    gaps = largest[..., 0] - largest[..., 1]
    gaps = gaps[gaps > 0]
    return gaps.min().item() if gaps.numel() else math.inf
