"""The fraction of each object's map that is on the object, for three methods, on tensors that are already preprocessed."""

from __future__ import annotations

import candor
import numpy as np


def main(count: int = 4) -> None:
    model = candor.scenes.model()
    scenes = [candor.scenes.scene(seed, size=112) for seed in range(count)]
    inputs = np.stack([model.preprocess(scene.image) for scene in scenes])
    targets = [next(iter(scene.masks)) for scene in scenes]
    for name in ("gradient", "grad-cam", "layer-cam"):
        maps = candor.Method(name, model)(inputs, targets)
        shares = [
            float(found[scene.masks[target]].sum() / max(float(found.sum()), 1e-9))
            for found, scene, target in zip(maps, scenes, targets)
        ]
        print(f"{name:10} {np.median(shares):.0%} of the map on the object (median of {count})")


if __name__ == "__main__":
    main()
