"""An explanation in a notebook: an HTML table with embedded pictures, without script or style, so that nbviewer and GitHub show all of it."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .explanation import ClassExplanation, Explanation


def html(explanation: Explanation) -> str:
    """The fragment for one photo."""
    answers = ", ".join(f"{escape(_short(name))} {p:.3f}" for name, p in explanation.answers)
    cells = "".join(_picture(result) for result in explanation.classes)
    figures = "".join(_row(result) for result in explanation.classes)
    warnings = "".join(
        f"<p>⚠ {escape(_short(result.class_name))}: {escape(text)}</p>"
        for result in explanation.classes
        for text in result.warnings
    )
    largest, signed, _ = explanation._native.scale()
    return (
        f"<p><b>{escape(explanation.path)}</b>: {answers}</p>"
        f"<table><tr>{cells}</tr></table>"
        "<table><tr><th>class</th><th>verdict</th><th>probability</th><th>log-odds</th><th>evidence</th><th>mean of map</th></tr>"
        f"{figures}</table>"
        f"<p>One scale for all classes: {f'−{largest:.3g}' if signed else '0'} to {largest:.3g}, raw.</p>{warnings}"
    )


def _picture(result: ClassExplanation) -> str:
    png = base64.b64encode(result._repr_png_()).decode()
    name = escape(_short(result.class_name))
    return (
        f'<td align="center"><img width="224" alt="Map of {name}" src="data:image/png;base64,{png}"><br>'
        f"{name}: {escape(result.verdict)}</td>"
    )


def _row(result: ClassExplanation) -> str:
    evidence = "–" if result.evidence is None else f"{result.evidence:+.2f}"
    figures = [f"{result.probability:.3f}", f"{result.log_odds:+.2f}", evidence, f"{result.to_dict()['map']['mass']:.4f}"]
    cells = "".join(f'<td align="right">{text}</td>' for text in figures)
    return f"<tr><td>{escape(_short(result.class_name))}</td><td>{escape(result.verdict)}</td>{cells}</tr>"


def _short(name: str) -> str:
    return name.split(",")[0]
