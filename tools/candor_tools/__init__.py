"""What the scripts in goldens/, parity/ and compare/ share. `pip install -e tools` makes it importable."""
