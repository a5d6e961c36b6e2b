"""The tables of docs/results/detection.md from the detect.json of `candor detect eval`.

    python tools/detection_table.py DIR/detect.json [--kinds ours,baseline]
"""

import argparse
import json

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("result")
parser.add_argument("--kinds", default="ours,baseline,ablation")
args = parser.parse_args()
with open(args.result, encoding="utf-8") as file:
    study = json.load(file)

attacks = study["attacks"]
detectors = [d for d in study["detectors"] if d["kind"] in args.kinds.split(",")]


def short(label: str) -> str:
    """`pgd+eps=2/255+early-stop=false` → `pgd 2`."""
    name, *settings = label.split("+")
    settings = dict(s.split("=", 1) for s in settings)
    eps = settings.get("eps", settings.get("method.eps", "")).removesuffix("/255")
    margin = f" κ={settings['confidence']}" if "confidence" in settings else ""
    return f"{name} {eps}".strip() + margin


def table(head: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def figures(title: str, key: str, value, adaptive=None) -> None:
    """A row a detector. `adaptive`: what to show of the attack by one who knows ours, which is made against ours alone."""
    against = study.get("adaptive", []) if adaptive else []
    rows = []
    for d in detectors:
        cells = d[key]
        if all(c is None for c in cells):
            continue
        known = [value(c) for c in cells if c]
        shown = [f"{value(c):.3f}" if c else "–" for c in cells]
        knows = [f"{adaptive(a):.3f}" if d["kind"] == "ours" and adaptive(a) is not None else "–" for a in against]
        rows.append([d["name"], *shown, f"**{sum(known) / len(known):.3f}**", *knows])
    print(f"**{title}**\n")
    knowing = [f"knows the detector, {255 * a['eps']:.0f}" for a in against]
    table(["detector", *[short(a["label"]) for a in attacks], "mean", *knowing], rows)


train, calibration, test = study["clean"]
print(f"{train} clean images train, {calibration} calibrate, {test} test.\n")
table(
    ["attack", "as asked for", "succeeds", "median L∞ (/255)", "median L2", "test images"],
    [
        [short(a["label"]), f"`{a['label']}`", f"{100 * a['success']:.1f} %"]
        + ([f"{255 * a['norms'][0]:.1f}", f"{a['norms'][1]:.3f}"] if a["norms"] else ["–", "–"])
        + [str(a["test"])]
        for a in attacks
    ],
)
figures("AUROC, trained on all attacks", "seen", lambda c: c["auroc"], lambda a: a["auroc"])
figures("AUROC, trained on the attacks of other names", "unseen", lambda c: c["auroc"])
figures("AUROC, trained on this attack alone", "same", lambda c: c["auroc"])
figures("Detected at the threshold for 5 % false alarms, trained on all", "seen", lambda c: c["detected"][1], lambda a: a["detected"][1])
figures("Detected at the threshold for 1 % false alarms, trained on all", "seen", lambda c: c["detected"][0], lambda a: a["detected"][0])
figures("Detected at the threshold for 5 % false alarms, trained on the attacks of other names", "unseen", lambda c: c["detected"][1])

ours = study["detectors"][0]
print("**Ours with 95 % intervals: AUROC**\n")
table(
    ["attack", "trained on all", "on other names", "on this alone"],
    [
        [short(a["label"])]
        + [
            f"{c['auroc']:.3f} ({c['interval'][0]:.3f} to {c['interval'][1]:.3f})" if (c := ours[key][i]) else "–"
            for key in ("seen", "unseen", "same")
        ]
        for i, a in enumerate(attacks)
    ],
)
print("**The weakest budget that succeeds on an image, trained on all: AUROC (detected at 5 %)**\n")
families = [name for name, _ in ours["weakest"]]
table(
    ["detector", *families],
    [
        [d["name"], *[f"{c['auroc']:.3f} ({100 * c['detected'][1]:.0f} %)" if c else "–" for _, c in d["weakest"]]]
        for d in detectors
    ],
)
print("**Alarms on clean test images, at the thresholds for 1 % and 5 %**\n")
table(
    ["detector", *[name for name, _ in ours["false_alarms"]]],
    [[d["name"], *[", ".join(f"{100 * s:.1f} %" for s in shares) for _, shares in d["false_alarms"]]] for d in detectors],
)
if study.get("adaptive"):
    print("**By one who knows the detector**\n")
    table(
        ["budget", "images", "succeeds", "alarm at 1 %", "alarm at 5 %", "AUROC", "misleads the model without an alarm"],
        [
            [f"L∞ {255 * a['eps']:.0f}/255, {a['steps']} steps", str(a["images"]), f"{100 * a['success']:.0f} %"]
            + [f"{100 * s:.0f} %" for s in a["detected"]]
            + ["–" if a["auroc"] is None else f"{a['auroc']:.3f}", f"{100 * a['evades']:.0f} %"]
            for a in study["adaptive"]
        ],
    )
