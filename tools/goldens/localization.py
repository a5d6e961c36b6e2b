"""Golden figures of localisation by the published code of `wsolevaluation` (Choe et al. 2020).

    git clone https://github.com/clovaai/wsolevaluation DIR
    python tools/goldens/localization.py DIR [--out crates/candor-eval/tests/golden/localization.json]

DIR's evaluation.py is imported unchanged; its reader of metadata is replaced by one that returns the boxes and masks made here,
and `np.float` is restored. Nothing is resized: the maps' grid stands for the 224 × 224 of that code.

    opencv                  version of OpenCV, whose order of contours decides between equal areas
    thresholds              20, 0.0 to 0.95: shares of the largest 8-bit value of a map, as i · 0.05
    maps                    for each: name, height, width; data (row-major float32, 0..1; the code gets them as float64);
                            boxes, the ground truth [x0, y0, x1, y1]; mask, the ground truth in 0/1, row-major;
                            single, multi: for each threshold the best IoU with any true box of the largest contour's box
                            (multi_contour_eval False) and of any contour's (True);
                            largest: for each threshold the former's box;
                            tied: for each threshold how many different boxes the contours of the largest area have. All 1,
                            but for the map `ties`, where `largest` holds the one that OpenCV listed first.
    max_box_acc             percent: the most maps right at one threshold, IoU 0.5, largest contour
    max_box_acc_v2          percent: mean over IoU 0.3, 0.5, 0.7 of the same, any contour; max_box_acc_v2_each has the three
    pxap                    percent: area under precision and recall of all maps' pixels; pxap_thresholds: how many edges
                            i · 0.01
"""

import argparse
import contextlib
import io
import sys
import types
from pathlib import Path

import cv2
import numpy as np

from candor_tools.checkout import ROOT
from candor_tools.golden_file import float32_list, write_json

HEIGHT, WIDTH = 40, 48
SEED = 20200601
THRESHOLDS = [i * 0.05 for i in range(20)]
IOUS = [30, 50, 70]
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)


def published(directory: Path):
    """The module evaluation.py of the checkout, without the modules that read files from disk."""
    np.float, np.int = np.float64, np.int64
    config, loaders = types.ModuleType("config"), types.ModuleType("data_loaders")
    config.str2bool = bool
    loaders.configure_metadata = lambda metadata: metadata
    loaders.get_image_ids = lambda metadata: list(metadata)
    loaders.get_bounding_boxes = lambda metadata: {name: m["boxes"] for name, m in metadata.items()}
    # The size to which the code resizes boxes: they are unchanged.
    loaders.get_image_sizes = lambda metadata: {name: (224, 224) for name in metadata}
    loaders.get_mask_paths = lambda metadata: ({n: m["mask"] for n, m in metadata.items()}, dict.fromkeys(metadata))
    sys.modules.update({"config": config, "data_loaders": loaders})
    sys.path.insert(0, str(directory))
    import evaluation

    evaluation.get_mask = lambda root, mask, ignore: mask
    return evaluation


def blob(row, column, tall, wide, peak=1.0):
    """A Gaussian."""
    return peak * np.exp(-((ROWS - row) ** 2 / tall**2 + (COLUMNS - column) ** 2 / wide**2) / 2)


def smooth(random):
    """Noise blurred three times with a box of 7 × 7 pixels, stretched to 0..1."""
    values = random.random((HEIGHT, WIDTH))
    for _ in range(3):
        padded = np.pad(values, 3, mode="wrap")
        values = sum(padded[r : r + HEIGHT, c : c + WIDTH] for r in range(7) for c in range(7)) / 49
    return (values - values.min()) / (values.max() - values.min())


def blocks(*parts):
    """Rectangles (first row, last row, first column, last column, value) on zeros."""
    values = np.zeros((HEIGHT, WIDTH))
    for top, bottom, left, right, value in parts:
        values[top : bottom + 1, left : right + 1] = value
    return values


def rings():
    """A ring of one pixel inside a broad one, and a dot."""
    return blocks(
        (4, 35, 6, 41, 0.7), (8, 31, 10, 37, 0.0), (13, 26, 15, 32, 1.0), (14, 25, 16, 31, 0.0), (18, 20, 22, 25, 0.85)
    )


def maps(random):
    """name → (map, boxes, whether all of float32's digits are kept)."""
    distance = np.hypot(ROWS - 19, COLUMNS - 23)
    line = np.zeros((HEIGHT, WIDTH))
    line[np.arange(5, 33), np.arange(9, 37)] = 0.9
    stairs = np.floor(COLUMNS / 4.8) / 10 * (ROWS > 3) * (ROWS < 36)
    patch = blocks((12, 15, 20, 24, 1.0)) * (0.97 + 0.03 * random.random((HEIGHT, WIDTH)))
    several = np.maximum.reduce([
        blob(9, 10, 4, 5), blob(12, 36, 5, 4, 0.85), blob(30, 14, 3, 6, 0.6), blob(31, 38, 4, 4, 0.35),
    ])
    return {
        "single_blob": (blob(18, 22, 6, 8, 0.8), [[10, 8, 33, 27]], False),
        "several_blobs": (several, [[2, 3, 18, 15], [30, 5, 42, 20]], False),
        # Without the brightest patch, single pixels together would be the largest contour.
        "noise": (np.maximum(random.random((HEIGHT, WIDTH)) ** 4 * 0.97, patch), [[5, 5, 30, 30], [20, 10, 47, 39]], True),
        "smooth_noise": (smooth(random), [[3, 2, 20, 19], [22, 20, 44, 37]], True),
        "ring": (np.exp(-((distance - 12) ** 2) / 8), [[9, 5, 37, 33]], False),
        "nested_rings": (rings(), [[15, 13, 32, 26], [0, 0, 10, 10]], False),
        "border_blob": (blob(16, 47, 6, 7), [[36, 8, 47, 24]], False),
        "corner_blob": (blob(39, 47, 9, 8, 0.95), [[36, 27, 47, 39]], False),
        "plateau": (blocks((8, 29, 12, 35, 0.6)), [[12, 8, 35, 29]], False),
        "zeros": (np.zeros((HEIGHT, WIDTH)), [[10, 10, 30, 30]], False),
        "one_pixel": (blocks((21, 21, 30, 30, 1.0)), [[30, 21, 31, 22], [5, 5, 9, 9]], False),
        "diagonal_line": (line, [[9, 5, 37, 33]], False),
        "ones": (np.ones((HEIGHT, WIDTH)), [[0, 0, 47, 39], [4, 4, 40, 30]], False),
        "steps": (stairs, [[24, 4, 47, 35]], False),
        # The long line has more pixels, but no area; the blocks meet at a corner and are one contour.
        "thin_shapes": (
            blocks((3, 3, 2, 45, 0.9), (20, 25, 10, 15, 1.0), (26, 31, 16, 22, 1.0), (36, 38, 2, 4, 0.5)),
            [[10, 20, 23, 32], [2, 3, 45, 4], [2, 36, 5, 39]], False,
        ),
        "ties": (
            blocks((5, 10, 6, 11, 0.9), (5, 10, 30, 35, 0.9), (25, 30, 18, 23, 0.9), (34, 35, 40, 41, 1.0)),
            [[18, 25, 24, 31]], False,
        ),
    }


def truth(name, boxes):
    """The ellipses in the boxes; for the map of ones everything inside its second box."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x0, y0, x1, y1 in boxes:
        across, down = (COLUMNS - (x0 + x1) / 2) / ((x1 - x0 + 1) / 2), (ROWS - (y0 + y1) / 2) / ((y1 - y0 + 1) / 2)
        mask |= (across**2 + down**2 <= 1).astype(np.uint8)
    return mask if name != "ones" else (blocks((4, 30, 4, 40, 1)) > 0).astype(np.uint8)


def tied(scores, threshold):
    """Number of different boxes of the contours with the largest area (with the code's own contours)."""
    image = (scores * 255).astype(np.uint8)[:, :, None]
    binary = cv2.threshold(image, int(threshold * np.max(image)), 255, cv2.THRESH_BINARY)[1]
    contours = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    areas = [cv2.contourArea(c) for c in contours]
    return max(1, len({cv2.boundingRect(c) for c, a in zip(contours, areas) if a == max(areas)}))


def draw():
    """The maps of the first seed from SEED on with which no areas are equal that must not be."""
    for seed in range(SEED, SEED + 1000):
        drawn = {}
        for name, (values, boxes, exact) in maps(np.random.default_rng(seed)).items():
            values = (values if exact else values.round(3)).astype(np.float32)
            drawn[name] = {"scores": values.astype(np.float64), "boxes": boxes, "mask": truth(name, boxes)}
        ties = {name: [tied(m["scores"], t) for t in THRESHOLDS] for name, m in drawn.items()}
        if all(max(t) == 1 for name, t in ties.items() if name != "ties"):
            return drawn, ties
    raise SystemExit(f"ties under every seed: {[n for n, t in ties.items() if max(t) > 1]}")


def evaluator(kind, metadata, thresholds, multi, dataset):
    """An evaluator of the published code after all maps were added."""
    one = kind(
        metadata=metadata, dataset_name=dataset, split="test", cam_threshold_list=thresholds,
        iou_threshold_list=IOUS, mask_root="", multi_contour_eval=multi,
    )
    for name, m in metadata.items():
        one.accumulate(m["scores"], name)
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(invalid="ignore"):
        return one.compute()


def whole(values) -> list:
    """The shortest decimals, integers without a decimal point."""
    return [int(v) if v == int(v) else v for v in float32_list(values)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write golden figures of localisation.")
    parser.add_argument("checkout", type=Path, help="a checkout of wsolevaluation")
    parser.add_argument("--out", type=Path, default=ROOT / "crates/candor-eval/tests/golden/localization.json")
    arguments = parser.parse_args()
    code = published(arguments.checkout)
    metadata, ties = draw()
    documents = []
    for name, m in metadata.items():

        def best(multi):
            """(best IoU for each threshold, boxes for each threshold)"""
            boxes, _ = code.compute_bboxes_from_scoremaps(m["scores"], THRESHOLDS, multi)
            return [float(code.calculate_multiple_iou(b, np.array(m["boxes"])).max()) for b in boxes], boxes

        (single, largest), (multi, _) = best(False), best(True)
        documents.append({
            "name": name, "height": HEIGHT, "width": WIDTH, "data": whole(m["scores"]), "boxes": m["boxes"],
            "mask": m["mask"].reshape(-1).tolist(), "single": single, "multi": multi,
            "largest": [b[0].tolist() for b in largest], "tied": ties[name],
        })
    edges = np.arange(0, 1, 0.01)
    each = [float(v) for v in evaluator(code.BoxEvaluator, metadata, THRESHOLDS, True, "CUB")]
    single = evaluator(code.BoxEvaluator, metadata, THRESHOLDS, False, "CUB")
    write_json(arguments.out, {
        "opencv": cv2.__version__,
        "thresholds": THRESHOLDS,
        "maps": documents,
        "max_box_acc": float(single[IOUS.index(50)]),
        "max_box_acc_v2": float(np.average(each)),
        "max_box_acc_v2_each": each,
        "pxap": float(evaluator(code.MaskEvaluator, metadata, edges, False, "OpenImages")),
        "pxap_thresholds": len(edges),
    })
    print(f"{arguments.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
