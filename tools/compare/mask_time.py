"""Times the same reliable mask in PyTorch and in Candor, both warm, in alternation within one run.

    python tools/compare/mask_time.py MODEL [--levels a,b,c] [--iterations 60] [--queries 2] [--repeats 7]
                                      [--compile] [--device cuda] [--candor "target/release/examples/mask_time --engine rten"]...

MODEL is an ONNX file, the name of a shared model, or `scenes`, the embedded one. PyTorch runs in two forms: eager on the unchanged
graph, and with BatchNormalization folded and channels-last memory (its fastest on a CPU). In each repeat every candidate runs once,
in rotating order. Prints a Markdown table of medians and ratios, and whether all candidates computed the same result.

What is timed
    mask      from the image tensor in memory to the masks in memory, all queries of the image in one batch: the
              prefix once, o_c(S(x)), n_c, then `iterations` × (forward, backward, Adam, projection). Loading, compiling
              and drawing are not timed. Objective: tools/candor_tools/reliable_mask.py (spatial, evidence).
    gradient  forward + gradient of one logit (the first class) with respect to the image, batch 1.

Protocol of a Candor server (this script with --serve is a PyTorch one: the reference implementation)
    It is started as   BINARY [own arguments] MODEL --levels a,b,c --classes 3,503 --iterations 60 --lambda 0.005
                       --learning-rate 0.05 --threads 2 --amplitude 1.0 --offset 0.0
    with the image noise_image(shape, amplitude, offset) of tools/candor_tools/deterministic.py, one query for each class. It loads the
    model and prints one line:

        {"ready": true, "name": "candor rten 0.27"}

    Then it answers each line on stdin with one JSON line on stdout, flushed (anything else goes to stderr):

        mask      →  {"seconds": 1.234, "mass": [[Σ m_1, Σ m_2, …] for each query]}
        gradient  →  {"seconds": 0.012, "norm": L2 norm of the gradient}
        logits    →  {"logits": [...]}
        method NAME KEY=VALUE ...  →  {"seconds": 0.012, "map": [...]}, the map of the first class (method_time.py asks for it)
        otherwise →  {"error": "what is wrong"}

    What a request needs beyond the model is compiled at the first such request, outside of its seconds.

    `mass` and `norm` let the comparison check the work; without them the table says "not checked". Rounding grows with
    the iterations (Adam turns a gradient near zero into a full step): for a strict check use --iterations 3. The server measures
    its own seconds (monotonic clock), waits on stdin without spinning, and exits 0 at the end of stdin.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from candor_tools.checkout import model_file
from candor_tools.deterministic import noise_image
from candor_tools.model_inputs import MODELS
from candor_tools.onnx_torch import OnnxModule
from candor_tools.reliable_mask import ReliableMask, find_levels

REQUESTS = ("mask", "gradient")
SETTLE_SECONDS = 0.05
"""Pause between turns: thread pools spin for a while after their work."""


class PyTorch:
    """A candidate inside this process."""

    def __init__(self, name: str, arguments: argparse.Namespace, compiled: bool = False, **module_options):
        self.name, self.arguments = name, arguments
        self.module = OnnxModule(arguments.model, **module_options).to(arguments.device)
        self.mask = ReliableMask(
            self.module, arguments.levels, arguments.lambda_, arguments.learning_rate, compiled=compiled
        )
        self.forward = torch.compile(self.module, dynamic=False) if compiled else self.module
        noise = noise_image(self.module.input_shape, arguments.amplitude, arguments.offset)
        self.x = torch.from_numpy(noise).to(arguments.device)
        self.classes = torch.tensor(arguments.classes, device=arguments.device)

    def ask(self, request: str) -> dict:
        """Answers as in the protocol."""
        work = {"mask": self._mask, "gradient": self._gradient}.get(request)
        if work is None:
            return {"error": f"unknown request {request!r}"}
        start = time.perf_counter()
        result = work()
        if self.x.is_cuda:
            torch.cuda.synchronize()
        return {"seconds": time.perf_counter() - start} | result()

    def _mask(self) -> Callable[[], dict]:
        run = self.mask.learn(self.x, self.classes, self.arguments.iterations)
        return lambda: {"mass": torch.stack([m.sum((1, 2, 3)) for m in run.masks], 1).tolist()}

    def _gradient(self) -> Callable[[], dict]:
        x = self.x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.forward(x)[0, self.classes[0]], x)
        return lambda: {"norm": float(gradient.norm())}

    def close(self) -> None:
        """Nothing to release."""


class Server:
    """A candidate in its own process, addressed by the protocol."""

    def __init__(self, command: str, arguments: argparse.Namespace):
        self.command = [*shlex.split(command), *server_arguments(arguments)]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name = self._read().get("name", "candor")

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{shlex.join(self.command)}\nended with status {self.process.wait()} before answering")
        try:
            answer = json.loads(line)
        except json.JSONDecodeError:
            raise SystemExit(f"not a JSON line on the server's stdout: {line.rstrip()!r}") from None
        if "error" in answer:
            raise SystemExit(f"{self.command[0]}: {answer['error']}")
        return answer

    def ask(self, request: str) -> dict:
        """Sends one request and waits for its answer."""
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End of stdin: the server exits."""
        self.process.stdin.close()
        self.process.wait(timeout=30)


def server_arguments(a: argparse.Namespace) -> list[str]:
    """The command line of the protocol."""
    options = {
        "--levels": ",".join(a.levels),
        "--classes": ",".join(map(str, a.classes)),
        "--iterations": a.iterations,
        "--lambda": a.lambda_,
        "--learning-rate": a.learning_rate,
        "--threads": a.threads,
        "--amplitude": a.amplitude,
        "--offset": a.offset,
    }
    return [str(a.model), *(str(word) for pair in options.items() for word in pair)]


def serve(candidate: PyTorch) -> None:
    """The reference server: this script's --serve."""
    print(json.dumps({"ready": True, "name": f"{candidate.name} (served)"}), flush=True)
    for line in sys.stdin:
        print(json.dumps(candidate.ask(line.strip())), flush=True)


def compare(candidates: list, repeats: int) -> dict[str, dict[str, list[dict]]]:
    """answers[request][name], `repeats` of each, in alternation; the candidate that goes first rotates."""
    answers = {r: {c.name: [] for c in candidates} for r in REQUESTS}
    for request in REQUESTS:
        for candidate in candidates:
            candidate.ask(request)  # warm
    for repeat in range(repeats):
        for request in REQUESTS:
            for i in range(len(candidates)):
                candidate = candidates[(repeat + i) % len(candidates)]
                time.sleep(SETTLE_SECONDS)
                answers[request][candidate.name].append(candidate.ask(request))
    return answers


def spread(values: list[float]) -> str:
    """Median with the smallest and largest, in milliseconds."""
    return f"{1e3 * median(values):.1f} ({1e3 * min(values):.1f}–{1e3 * max(values):.1f})"


def disagreement(answers: list[dict], reference: dict) -> str:
    """Largest relative difference of `mass` (level by level) or `norm` from the reference's, or why there is none.

    Masks that are all empty agree whatever was computed, so that they check nothing; the result says so.
    """
    key = "mass" if "mass" in reference else "norm"
    if any(key not in answer for answer in answers):
        return "not checked"
    expected = torch.tensor(reference[key], dtype=torch.float64)
    if not expected.any():
        return "not checked (all empty)"
    scale = expected.abs().amax(0).clamp(min=1e-6)  # of a level: the largest among the queries
    differences = [(torch.tensor(a[key], dtype=torch.float64) - expected).abs() / scale for a in answers]
    return f"{max(d.max().item() for d in differences):.1e}"


def report(answers: dict, names: list[str], arguments: argparse.Namespace) -> str:
    """The Markdown table. Ratios: time ÷ PyTorch eager's median, and ÷ the faster of the two PyTorch columns."""
    lines = [
        f"{Path(arguments.model).stem}: levels {', '.join(arguments.levels)}; {arguments.iterations} iterations, "
        f"{len(arguments.classes)} queries in a batch, {arguments.threads} threads, {arguments.repeats} repeats, "
        f"on {arguments.device}, PyTorch {torch.__version__}. Milliseconds: median (min–max).",
        "",
        "| work | candidate | time | per iteration | ÷ eager | ÷ best PyTorch | differs from eager |",
        "|---|---|---|---|---|---|---|",
    ]
    for request, by_name in answers.items():
        medians = {name: median(a["seconds"] for a in by_name[name]) for name in names}
        best = min(medians[name] for name in names[:2])
        for name in names:
            iteration = f"{1e3 * medians[name] / arguments.iterations:.2f}" if request == "mask" else "–"
            lines.append(
                f"| {request} | {name} | {spread([a['seconds'] for a in by_name[name]])} | {iteration} | "
                f"{medians[name] / medians[names[0]]:.2f} | {medians[name] / best:.2f} | "
                f"{disagreement(by_name[name], by_name[names[0]][0])} |"
            )
    mass = answers["mask"][names[0]][0]["mass"]
    lines += ["", f"Mask mass of each query, level by level (eager): {[[round(v, 2) for v in q] for q in mass]}"]
    if not any(map(any, mass)):
        lines += ["Every mask is empty, so the masks are not compared: lower --lambda."]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """The command line, with levels, classes and amplitude filled in."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], epilog="The protocol is described at the top of this file."
    )
    parser.add_argument("model", help="an ONNX file, or the name of a shared model")
    parser.add_argument("--levels", help="names of the masked values (default: the last activation of each size)")
    parser.add_argument("--classes", help="class ids, one a query (default: argmax, then evenly further)")
    parser.add_argument("--queries", type=int, default=2, help="number of queries where --classes is not given")
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--lambda", dest="lambda_", type=float, default=0.005, help="default 0.005: masks not all empty")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--threads", type=int, default=2, help="threads of each candidate (default 2)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile, too (needs a C++ compiler)")
    parser.add_argument("--device", default="cpu", help="where PyTorch computes (Candor's servers have their own --engine)")
    parser.add_argument("--amplitude", type=float, help="of the noise image (default: the shared model's, else 1)")
    parser.add_argument("--offset", type=float, help="of the noise image (default: the shared model's, else 0)")
    parser.add_argument("--candor", action="append", default=[], metavar="COMMAND", help="a server; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single measurement")
    parser.add_argument("--serve", action="store_true", help="be a server of the protocol (PyTorch eager)")
    a = parser.parse_args()
    if not Path(a.model).exists():
        a.model = model_file(a.model)
        if not a.model.exists():
            parser.error(f"no such file, and no such shared model: {a.model}")
    amplitude, offset, *_ = MODELS.get(Path(a.model).stem, (1.0, 0.0))
    a.amplitude = amplitude if a.amplitude is None else a.amplitude
    a.offset = offset if a.offset is None else a.offset
    module = OnnxModule(a.model)
    a.levels = a.levels.split(",") if a.levels else find_levels(module)
    if a.classes:
        a.classes = [int(c) for c in a.classes.split(",")]
    else:
        with torch.no_grad():
            logits = module(torch.from_numpy(noise_image(module.input_shape, a.amplitude, a.offset)))[0]
        a.classes = [(int(logits.argmax()) + q * len(logits) // a.queries) % len(logits) for q in range(a.queries)]
    return a


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    eager = PyTorch("PyTorch eager", arguments)
    if arguments.serve:
        return serve(eager)
    fused = PyTorch("PyTorch channels-last, BN folded", arguments, fold_batch_norm=True, channels_last=True)
    extra = [PyTorch("torch.compile", arguments, compiled=True)] if arguments.compile else []
    candidates = [eager, fused, *extra, *(Server(command, arguments) for command in arguments.candor)]
    names = [c.name for c in candidates]
    if len(set(names)) < len(names):
        raise SystemExit(f"candidates must have different names: {names}")
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stderr)
    answers = compare(candidates, arguments.repeats)
    for candidate in candidates:
        candidate.close()
    print(f"load average after: {os.getloadavg()[0]:.1f}", file=sys.stderr)
    print(report(answers, names, arguments))
    if arguments.json:
        arguments.json.write_text(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
