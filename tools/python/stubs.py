"""Writes python/candor/_candor.pyi from the native module: python tools/python/stubs.py [--check]

maturin (on the path) builds the module in the release profile and reads the description that PyO3 embeds in it, which a stripped library lacks.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUB = ROOT / "python/candor/_candor.pyi"
NOTE = "# This file is generated: python tools/python/stubs.py\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the stub is what the code says")
    parser.add_argument("--profile", default="release", help="Cargo's profile")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = ["maturin", "generate-stubs", "--quiet", "--profile", arguments.profile, "--out", folder]
        subprocess.run(command, cwd=ROOT, check=True)
        found = [path for path in Path(folder).rglob("*.pyi")]
        if len(found) != 1:
            sys.exit(f"maturin wrote {[str(path) for path in found]}, not one stub")
        made = NOTE + found[0].read_text(encoding="utf-8")
    if not arguments.check:
        STUB.write_text(made, encoding="utf-8")
    elif not STUB.is_file() or STUB.read_text(encoding="utf-8") != made:
        sys.exit(f"{STUB} is not what the code says; python tools/python/stubs.py writes it")


if __name__ == "__main__":
    main()
