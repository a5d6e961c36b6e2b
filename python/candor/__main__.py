"""``python -m candor`` is the command line."""

from .cli import main

main()
