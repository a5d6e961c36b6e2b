"""Is there a fish? python is_there_a_fish.py [PHOTO...]"""

from __future__ import annotations

import sys

import candor


def main(photos: list[str]) -> None:
    model = candor.scenes.model()
    given: dict[str, str | bytes] = {path: path for path in photos} or dict(candor.scenes.photos())
    for name, photo in given.items():
        fish = model.explain(photo, ["top1", "fish"])["fish"]
        print(f"{name}: {fish.verdict}, evidence {fish.evidence or 0.0:.2f}, largest value of the map {fish.map.max():.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
