"""What boxes could reach if each photo had its own threshold: for each method of a journal of `candor bench wsol` or `dwsol` the share of photos
whose box is right (IoU of at least 0.5) at one threshold at least, of the map without smoothing. No choice of one threshold can do better.

    python tools/best_threshold.py OUT/localization.jsonl [PHOTOS]

PHOTOS: only the first so many of the dataset.
"""

import json
import sys

RULES = ["value", "mean", "energy"]


def journal(path, photos):
    """{method: [measured figures of a photo]}"""
    found = {}
    with open(path) as lines:
        next(lines)
        for entry in map(json.loads, lines):
            figures = entry["outcome"].get("measured")
            if figures and entry["item"] < photos:
                found.setdefault(entry["method"], []).append(figures)
    return found


path, photos = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else sys.maxsize
print("method".ljust(48), "photos", *RULES)
for method, items in journal(path, photos).items():
    plain = [item["smoothed"][0]["single"] for item in items]
    best = [sum(max(ious[rule]) >= 0.5 for ious in plain) / len(plain) for rule in range(3)]
    print(method.ljust(48), str(len(items)).rjust(6), *(f"{share:.3f}" for share in best))
