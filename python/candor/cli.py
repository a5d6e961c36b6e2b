"""The command line: the same program as the binary of the Rust crate."""

from __future__ import annotations

import sys

from . import _candor


def main() -> None:
    """Run ``candor`` with the arguments of this process."""
    sys.exit(_candor.run(["candor", *sys.argv[1:]]))
