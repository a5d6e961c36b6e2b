"""Inputs and directions that any language can regenerate exactly, without a random-number library.

`noise(n)` is a Weyl sequence: with u_i = (i·multiplier + increment) mod 2³² (unsigned integers), entry i is
u_i / 2³² · 2 − 1, in [−1, 1), exact in float64. It is very regular, which can cause near-ties in hundreds of max-pooling windows;
`scrambled` first mixes the bits of u_i (`scramble`). `noise_image` scales it in float64 (multiply, then add) and rounds to
float32 once, at the end. `smooth_image` is a sum of sines, for goldens that need a picture rather than noise.
"""

import numpy as np

MULTIPLIER, INCREMENT, INCREMENT_STEP = 2654435761, 12345, 97654321
"""Of the input; candidate t has increment (INCREMENT + t·INCREMENT_STEP) mod 2³²."""

DIRECTIONS = [(2246822519, 1), (3266489917, 2), (668265263, 3), (374761393, 4)]
"""(multiplier, increment) of the four directions a gradient is projected on."""


def scramble(u: np.ndarray) -> np.ndarray:
    """MurmurHash3's 32-bit finaliser: xor-shift 16, multiply, xor-shift 13, multiply, xor-shift 16, all mod 2³²."""
    u = u ^ (u >> np.uint64(16))
    u = (u * np.uint64(0x85EBCA6B)) % np.uint64(2**32)
    u = u ^ (u >> np.uint64(13))
    u = (u * np.uint64(0xC2B2AE35)) % np.uint64(2**32)
    return u ^ (u >> np.uint64(16))


def noise(count: int, multiplier: int, increment: int, scrambled: bool = False) -> np.ndarray:
    """`count` float64 values in [−1, 1)."""
    index = np.arange(count, dtype=np.uint64)
    wrapped = (index * np.uint64(multiplier) + np.uint64(increment)) % np.uint64(2**32)
    if scrambled:
        wrapped = scramble(wrapped)
    return wrapped.astype(np.float64) / 2.0**32 * 2.0 - 1.0


def noise_image(
    shape: list[int], amplitude: float, offset: float, increment: int = INCREMENT, scrambled: bool = False
) -> np.ndarray:
    """float32(noise · amplitude + offset), the flat index running over N, C, H, W."""
    flat = noise(int(np.prod(shape)), MULTIPLIER, increment, scrambled) * amplitude + offset
    return flat.astype(np.float32).reshape(shape)


def smooth_image(shape: list[int], amplitude: float) -> np.ndarray:
    """float32(amplitude · sin(2π(x + c)·3/W) · cos(2π(y − c)·2/H)), c the channel, x the column, y the row."""
    _, channels, height, width = shape
    c, y, x = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width), indexing="ij")
    wave = np.sin(2.0 * np.pi * (x + c) * 3.0 / width) * np.cos(2.0 * np.pi * (y - c) * 2.0 / height)
    return (amplitude * wave).astype(np.float32)[None]
