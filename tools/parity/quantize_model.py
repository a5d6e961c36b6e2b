"""Writes an int8 model in QDQ form, made from a float model by ONNX Runtime's static quantiser.

    python tools/parity/quantize_model.py MODEL.onnx --candor PROGRAM [--preset NAME] [--sidecar FILE] --out INT8.onnx PHOTO...

Weights are int8 with a scale for each channel, activations uint8 with a scale and a zero point; both use the smallest and the
largest value on the photos. Do not report results on the photos that were used here. The photos are preprocessed as
in Candor (`candor inspect` shows how), except that the whole photo is resized by Pillow's bilinear filter.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image


class Photos(CalibrationDataReader):
    """The photos one by one, as inputs of the model."""

    def __init__(self, paths: list[Path], name: str, size: tuple[int, int], how: dict):
        self.feeds = ({name: self.read(p, size, how)} for p in paths)

    @staticmethod
    def read(path: Path, size: tuple[int, int], how: dict) -> np.ndarray:
        photo = Image.open(path).convert("RGB").resize(size, Image.Resampling.BILINEAR)
        pixels = (np.asarray(photo, np.float64) * how["scale"] - np.asarray(how["mean"])) / np.asarray(how["std"])
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)

    def get_next(self):
        return next(self.feeds, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--candor", required=True, help="the program")
    parser.add_argument("--preset")
    parser.add_argument("--sidecar", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    words = [arguments.candor, "inspect", str(arguments.model), "--json"]
    words += ["--preset", arguments.preset] if arguments.preset else []
    words += ["--sidecar", str(arguments.sidecar)] if arguments.sidecar else []
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    how, (_, height, width) = found["preprocessing"], found["input"]["shape"]
    if how["color"] != "rgb":
        raise SystemExit(f"channel order {how['color']} is not written yet")
    prepared = arguments.out.with_suffix(".prepared.onnx")
    quant_pre_process(str(arguments.model), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared), str(arguments.out), Photos(arguments.photos, found["input"]["name"], (width, height), how),
        quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        per_channel=True, calibrate_method=CalibrationMethod.MinMax,
    )
    prepared.unlink()
    nodes = [n.op_type for n in onnx.load(arguments.out).graph.node]
    pairs = nodes.count("QuantizeLinear"), nodes.count("DequantizeLinear")
    print(f"{arguments.out}: {len(nodes)} nodes, {pairs[0]} QuantizeLinear, {pairs[1]} DequantizeLinear")


if __name__ == "__main__":
    main()
