"""Compares `candor.graph.gradient` with onnx-ad: python tools/python/beside_onnx_ad.py MODEL.onnx...

onnx-ad (MIT, https://github.com/yacoda/onnx-ad) also differentiates ONNX graphs, with other rules and by another author. Where both can, their results
are compared with each other and, along each one's own gradient, with central differences, all by ONNX Runtime on the same input, and so are the seconds
for making and for running the gradient. Prints a Markdown table. Needs onnx-ad, onnx and onnxruntime.
"""

import sys
import time

import candor
import numpy as np
import onnx
import onnx.version_converter
import onnxruntime


def main():
    print("| model | nodes | Candor: make s, nodes, run ms | onnx-ad: make s, nodes, run ms | largest difference / largest value | Candor, onnx-ad: directional derivative, relative error |")
    print("|---|---|---|---|---|---|")
    for path in sys.argv[1:]:
        print(row(path), flush=True)


def row(path):
    # onnx-ad's MaxPool needs operator set 16.
    model = onnx.version_converter.convert_version(onnx.load(path), 18)
    shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    name, output = model.graph.input[0].name, model.graph.output[0].name
    random = np.random.default_rng(0)
    x = random.normal(size=shape).astype(np.float32)
    y = session(model.SerializeToString()).run([output], {name: x})[0]
    seed = random.normal(size=y.shape).astype(np.float32)
    cells, gradients = [], []
    for make in (by_candor, by_onnx_ad):
        try:
            start = time.perf_counter()
            made, run = make(model, name, output, shape)
            seconds = time.perf_counter() - start
            gradient = run(x, seed)
            times = []
            for _ in range(5):
                start = time.perf_counter()
                run(x, seed)
                times.append(time.perf_counter() - start)
            cells.append(f"{seconds:.2f}, {len(made.graph.node)}, {1000 * np.median(times):.1f}")
            gradients.append(gradient)
        except Exception as error:  # failures of a package are part of the table
            cells.append(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}")
            gradients.append(None)
    ours, theirs = gradients
    both = ours is not None and theirs is not None
    difference = f"{np.abs(ours - theirs).max() / np.abs(ours).max():.1e}" if both else "–"
    errors = ", ".join("–" if g is None else f"{against_differences(model, name, output, x, seed, g):.1e}" for g in gradients)
    return f"| {path.rsplit('/', 1)[-1]} | {len(model.graph.node)} | {cells[0]} | {cells[1]} | {difference} | {errors} |"


def by_candor(model, name, output, shape):
    made = candor.graph.gradient(model.SerializeToString(), of=output, wrt=name, seed="dy")
    runner = session(made)
    return onnx.load_from_string(made), lambda x, seed: runner.run([f"grad_{name}"], {name: x, "dy": seed})[0]


def by_onnx_ad(model, name, output, shape):
    import onnx_ad

    made = onnx_ad.reverse(fixed(model, name, shape), layout="onnx")
    runner = session(made.SerializeToString())
    seed_name = next(i.name for i in runner.get_inputs() if i.name == f"adj_{output}")

    def run(x, seed):
        # One direction of seeds, on its own last axis.
        return runner.run([f"adj_{name}"], {name: x, seed_name: seed[..., None]})[0][..., 0]

    return made, run


def fixed(model, name, shape):
    """The model with a fixed input shape."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for dim, size in zip(copy.graph.input[0].type.tensor_type.shape.dim, shape):
        dim.dim_value = size
    return copy


def against_differences(model, name, output, x, seed, gradient):
    """Relative error of ‖gradient‖ against a central difference of ⟨seed, y⟩ along it: a wrong gradient is not the steepest way up."""
    runner = session(model.SerializeToString())
    value = lambda x: float((runner.run([output], {name: x.astype(np.float32)})[0].astype(np.float64) * seed).sum())
    norm = float(np.linalg.norm(gradient.astype(np.float64)))
    v = gradient.astype(np.float64) / norm
    best = np.inf
    for step in (1e-1, 3e-2, 1e-2, 3e-3):
        numeric = (value(x + step * v) - value(x - step * v)) / (2 * step)
        best = min(best, abs(numeric - norm) / norm)
    return best


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options)


if __name__ == "__main__":
    main()
