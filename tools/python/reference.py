"""Writes book/src/reference/python.md from the docstrings: python tools/python/reference.py [--check]

Needs candor (and quantus for its part, which is kept if quantus is not installed).
"""

import argparse
import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "book/src/reference/python.md"
PACKAGE = ROOT / "python/candor"

#: The public names by heading: (file, names); the docstrings are read from the source, so that nothing is imported.
SECTIONS = [
    ("Models", [("_load.py", ["load"]), ("model.py", ["Model"])]),
    ("Explanations of photos", [("explanation.py", ["Explanation", "ClassExplanation", "Explanations"])]),
    ("Tensors", [("method.py", ["Method", "methods"])]),
    ("Graphs", [("graph.py", ["gradient"]), ("__init__.py", ["export"])]),
    ("Evaluation", [("evaluation.py", ["check", "CheckResult"]), ("bench.py", ["wsol", "dwsol", "adversarial", "grid", "faithfulness", "speed", "BenchResult"])]),
    ("Many photos, many machines", [("batch.py", ["Worker", "map_of"]), ("ray.py", ["explain", "Summary", "Worker"])]),
    ("Security", [("security.py", ["attack", "AttackResult", "Attacked", "Detector"])]),
    ("Quantus", [("quantus.py", ["Model", "explain_func"])]),
    ("Scenes", [("scenes.py", ["model", "model_bytes", "photos", "scene", "Scene"])]),
    ("Exceptions and warnings", [("errors.py", None)]),
]
NOTE = "<!-- This page is generated: python tools/python/reference.py -->\n"


def page() -> str:
    text = [NOTE, "\n# The Python package\n\nThe docstrings of `candor`. [From Python](../tutorial/from-python.md) is the way in.\n"]
    for title, files in SECTIONS:
        text.append(f"\n## {title}\n")
        for file, names in files:
            tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
            module = "candor" if file.startswith("_") or file in _TOP else f"candor.{file[:-3]}"
            if names is None:
                text.append(f"\n{documented(ast.get_docstring(tree))}\n")
                names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
            nodes = {node.name: node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
            text += [entry(nodes[name], module) for name in names]
    return "".join(text)


_TOP = {"model.py", "explanation.py", "method.py", "evaluation.py", "security.py", "errors.py"}


def entry(node: ast.ClassDef | ast.FunctionDef, module: str) -> str:
    lines = [f"\n### {module}.{node.name}\n"]
    if isinstance(node, ast.FunctionDef):
        lines.append(f"\n```text\n{signature(node)}\n```\n")
    lines.append(f"\n{documented(ast.get_docstring(node))}\n")
    if isinstance(node, ast.ClassDef):
        init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        if init is not None and (node.name in ("Method", "Detector") or module == "candor.batch"):
            lines.insert(1, f"\n```text\n{signature(init, node.name)}\n```\n")
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and shown(method):
                head = f"`{method.name}`" if is_property(method) else f"`{signature(method)}`"
                body = textwrap.indent(documented(ast.get_docstring(method)), "  ")
                lines.append(f"\n- {head}\n\n{body}\n")
    return "".join(lines)


def shown(method: ast.FunctionDef) -> bool:
    overload = any(getattr(d, "id", "") == "overload" for d in method.decorator_list)
    public = not method.name.startswith("_") or method.name == "__call__"
    return public and not overload and bool(ast.get_docstring(method))


def is_property(method: ast.FunctionDef) -> bool:
    return any(getattr(d, "id", "") == "property" for d in method.decorator_list)


def signature(node: ast.FunctionDef, name: str | None = None) -> str:
    arguments = [a for a in ast.unparse(strip(node.args)).split(", ") if a not in ("self", "cls")]
    return f"{name or node.name}({', '.join(arguments)})".replace("__call__(", "method(")


def strip(arguments: ast.arguments) -> ast.arguments:
    """Arguments without annotations."""
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.annotation = None
    return arguments


def documented(text: str | None) -> str:
    """A docstring in NumPy's format as Markdown."""
    text = inspect.cleandoc(text or "")
    text = re.sub(r":(?:class|func|meth):`~?(?:candor\.)?([^`]+)`", r"`\1`", text).replace("``", "`")
    text = re.sub(r"\|(?=\S)", "\\|", text)
    out: list[str] = []
    lines = text.split("\n")
    section, i, fence = "", 0, False
    while i < len(lines):
        line = lines[i]
        under = lines[i + 1] if i + 1 < len(lines) else ""
        if line and under and set(under) == {"-"}:
            section = line
            out += [f"**{line}**", ""]
            i += 2
            continue
        if line.rstrip().endswith("::"):
            out += [line.rstrip()[:-2] + ":" if line.strip() != "::" else "", "```text"]
            i += 1
            while i < len(lines) and (not lines[i] or lines[i].startswith("    ") or (fence and lines[i])):
                out.append(lines[i][4:])
                i += 1
            while not out[-1]:
                out.pop()
            out += ["```", ""]
            continue
        if line.startswith(">>>"):
            block = []
            while i < len(lines) and lines[i]:
                block.append(lines[i])
                i += 1
            out += ["```pycon", *block, "```"]
            continue
        if section in ("Parameters", "Attributes", "Raises", "Returns") and line and not line.startswith(" "):
            described = []
            i += 1
            while i < len(lines) and lines[i].startswith(" "):
                described.append(lines[i].strip())
                i += 1
            out.append(f"- {term(line)}{': ' + ' '.join(described) if described else ''}")
            continue
        out.append(line)
        i += 1
    return "\n".join(out).replace("\n\n\n", "\n\n").strip()


def term(line: str) -> str:
    name, colon, kind = line.partition(" : ")
    return f"`{name}` ({kind})" if colon else (f"`{line}`" if re.fullmatch(r"[\w., *]+", line) and " of " not in line and "N×" not in line else line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the page is what the docstrings say")
    check = parser.parse_args().check
    made = page()
    if check and PAGE.read_text(encoding="utf-8") != made:
        sys.exit(f"{PAGE} is not what the docstrings say; python tools/python/reference.py writes it")
    if not check:
        PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
