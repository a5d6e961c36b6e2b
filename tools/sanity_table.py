"""Markdown tables from the check.json files of `candor check`, for docs/results/sanity-check.md.

    python tools/sanity_table.py DIR/check.json...

One table a file: for each absent class the median over the photos of mass ÷ top-1's mass, the 95 % bootstrap interval of that
median, and the 95th percentile; top-2 as its median alone, because it may well be there.
"""

import json
import sys
from pathlib import Path

KINDS = ["median", "random", "lowest"]


def number(value) -> str:
    """Three significant digits, without noughts that say nothing."""
    if value is None:
        return "–"
    return "0" if value == 0 else f"{value:.3f}".lstrip("0") if abs(value) < 1 else f"{value:.3g}"


def ratio(figures) -> str:
    """Median (interval) and 95th percentile."""
    r = figures["ratio"]
    if r is None:
        return "–"
    low, high = map(number, r["interval"])
    return f"{number(r['median'])} ({low} to {high}), {number(r['p95'])}"


def middle(value):
    """Of a summary or a number."""
    return value["median"] if isinstance(value, dict) else value


def row(m) -> str:
    """A method's row."""
    q = m["queries"]
    top2 = q["top2"]["ratio"]
    cells = [m["method"]["name"], "passes" if m["passed"] else "fails", number(top2 and top2["median"])]
    cells += [ratio(q[kind]) for kind in KINDS]
    cells += [number(middle(q["random"]["ssim"])), number(m["existence_auroc_mass"])]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    for path in sys.argv[1:]:
        found = json.loads(Path(path).read_text())
        name = Path(found["model"]["path"]).stem
        engine = found["engine"]
        print(f"## {name}\n\n{found['images']} photos, {engine['name']} {engine['version']}.\n")
        print("| method | verdict | top-2 | median rank | random | lowest | SSIM, random | AUROC |")
        print("|---|---|---|---|---|---|---|---|")
        methods = sorted(found["methods"], key=lambda m: middle(q) if (q := m["queries"]["random"]["ratio"]) else 9)
        for m in methods:
            print(row(m))
        skipped = [f"{s['method']} ({s['reason'].split(': ', 1)[-1]})" for s in found.get("skipped", [])]
        print("\n" + (f"Not defined: {'; '.join(skipped)}.\n" if skipped else ""))


if __name__ == "__main__":
    main()
