"""Drawing, shared by all results: lines with bands, as a picture or as one page."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from narrows.errors import require

Line = tuple[Sequence[float], Sequence[float], Sequence[float]]


def lines(drawn: Mapping[str, Line], x: str, y: str) -> Any:
    """A matplotlib figure with one line per name.

    Args:
        drawn: for each name its positions, values, and half the height of its band (NaN where
            there is none).
        x: what the horizontal axis shows.
        y: what the vertical axis shows.
    """
    figure = require("matplotlib.figure", "report").Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, (at, values, half) in drawn.items():
        axes.plot(at, values, label=name, linewidth=1.8)
        low = [v - h for v, h in zip(values, half, strict=True)]
        high = [v + h for v, h in zip(values, half, strict=True)]
        axes.fill_between(at, low, high, alpha=0.2, linewidth=0)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def svg(figure: Any) -> str:
    """A figure as an `<svg>` element; the same figure gives the same text."""
    text = io.StringIO()
    with require("matplotlib", "report").rc_context({"svg.hashsalt": "narrows"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; every cell is escaped."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def write_page(path: str | Path, title: str, *parts: str) -> None:
    """Write one page that needs no other file; `parts` are HTML."""
    heading = html.escape(title)
    page = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{heading}</title>",
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;"
        "padding:0 1rem}svg{max-width:100%;height:auto}td,th{padding:.2rem .8rem;"
        "text-align:right}</style>",
        f"<h1>{heading}</h1>",
        *parts,
    ]
    Path(path).write_text("\n".join(page) + "\n", encoding="utf-8")
