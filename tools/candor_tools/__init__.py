"""Shared by the scripts in goldens/, parity/ and compare/. `pip install -e tools` makes it importable."""
