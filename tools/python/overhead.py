"""Measures Python's overhead per map, memory over time, and the gain of threads: python tools/python/overhead.py [MODEL.onnx PHOTO]

Each result is a ratio within one run. The library's time is that of its call alone, from the photo's pixels to maps and scores, measured inside the
native module.
"""

import resource
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import candor
import numpy as np


def python_over_library(model, photo, method, repeats, **options):
    """Wall-clock time of `Model.explain` divided by the library's part of it, over all calls."""
    model.explain(photo, ["top1", "lowest"], method, **options)
    wall = inside = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        found = model.explain(photo, ["top1", "lowest"], method, **options)
        [result.map.sum() for result in found]
        wall += time.perf_counter() - start
        inside += found._native.seconds()
    return wall / inside, inside / repeats


def memory(model, photo, count, method, **options):
    """Peak of the resident set in MiB after a warm-up and after `count` more explanations."""
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for _ in range(50):
        model.explain(photo, ["top1", "lowest"], method, **options)
    before = peak()
    for _ in range(count):
        model.explain(photo, ["top1", "lowest"], method, **options)
    return before, peak()


def threads(model, photos, method, **options):
    """Seconds for all photos one after the other, and with two threads; whether the maps are equal."""
    explain = lambda photo: model.explain(photo, "top1", method, **options).classes[0].map
    [explain(photo) for photo in photos]
    start = time.perf_counter()
    alone = [explain(photo) for photo in photos]
    middle = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(explain, photos))
    end = time.perf_counter()
    return middle - start, end - middle, all(np.array_equal(a, b) for a, b in zip(alone, found))


def main():
    warnings.simplefilter("ignore")
    path, photo = sys.argv[1:3] if len(sys.argv) > 2 else (None, None)
    load = (lambda **keys: candor.load(path, **keys)) if path else candor.scenes.model
    from PIL import Image

    pixels = np.asarray(Image.open(photo).convert("RGB")) if photo else candor.scenes.scene(1, 336).image
    model = load()
    for method, repeats, options in [("reliable", 5, {"iterations": 50}), ("grad-cam", 100, {}), ("gradient", 100, {})]:
        ratio, seconds = python_over_library(model, pixels, method, repeats, **options)
        print(f"{method}: {ratio:.4f} of the library's time ({1000 * seconds:.1f} ms a call)")
    before, after = memory(model, pixels, 1000, "grad-cam")
    print(f"memory: peak {before:.1f} MiB after 50 calls, {after:.1f} MiB after 1,000 more")
    photos = [np.roll(pixels, 17 * i, axis=1) for i in range(8)]
    for count in (0, 1):
        one, two, same = threads(load(threads=count), photos, "reliable", iterations=30)
        print(f"threads of the engine {count or 'all'}: {one:.2f} s one after the other, {two:.2f} s by two, {one / two:.2f} times as fast; the same maps: {same}")


if __name__ == "__main__":
    main()
