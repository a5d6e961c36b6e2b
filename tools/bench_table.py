"""Markdown tables from the JSON files of `candor bench`, for docs/results.

    python tools/bench_table.py [--title TITLE] [--settings] DIR/wsol.json...

One table a file and table of it, or only those of TITLE. A figure is a mean; in brackets its 95 % bootstrap interval; bold: the best of the
column or not told apart from it (p >= 0.05, paired randomisation). --settings adds what the tuning split chose.
"""

import argparse
import json
from pathlib import Path

from sanity_table import number


def cell(c) -> str:
    if c is None:
        return "–"
    text = number(c["mean"])
    if c["interval"]:
        low, high = map(number, c["interval"])
        text = f"{'**' if c['among_best'] else ''}{text}{'**' if c['among_best'] else ''} ({low} to {high})"
    elif c["among_best"]:
        text = f"**{text}**"
    return text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--title")
    parser.add_argument("--settings", action="store_true")
    parser.add_argument("files", nargs="+", type=Path)
    args = parser.parse_args()
    for path in args.files:
        found = json.loads(path.read_text())
        engine, data = found["engine"], found["dataset"]
        for table in found["tables"]:
            if args.title and table["title"] != args.title:
                continue
            counts = [c["count"] for row in table["rows"] for c in row["cells"] if c]
            name = Path(found["model"]["path"]).stem
            print(f"### {name}: {table['title']}\n")
            print(f"{max(counts)} items, {data['tuning']} for tuning, {engine['name']} {engine['version']}, seed {found['seed']}.\n")
            columns = [c["name"] for c in table["columns"]] + (["chosen"] if args.settings else [])
            print("| method | " + " | ".join(columns) + " |")
            print("|---" * (len(columns) + 1) + "|")
            for row in table["rows"]:
                cells = [cell(c) for c in row["cells"]] + ([row["setting"]] if args.settings else [])
                print(f"| {row['method']} | " + " | ".join(cells) + " |")
            print()
        skipped = [f"{s['method']} ({s['reason'].split(': ', 1)[-1]})" for s in found["skipped"]]
        if skipped:
            print(f"Not defined: {'; '.join(skipped)}.\n")


if __name__ == "__main__":
    main()
