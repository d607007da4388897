"""Figures of the reports: matplotlib figures, and how one becomes part of a page.

A figure keeps its text as text and its colours as names of the page's style, so that it follows
the reader's light or dark scheme and can be searched and read aloud. Colours are those of Okabe
and Ito (2008), told apart by people with any common colour blindness; markers and labels say the
same once more.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows import store
from narrows.errors import require
from narrows.report.labels import one_line
from narrows.report.layout import beside, spread

# Okabe and Ito's colours without black and yellow, which vanish on dark or light pages.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
INK, QUIET, LINE = "#1b1b1c", "#6b6b6c", "#d8d8d9"
_MARKERS = ("o", "s", "D", "^", "v", "P")
_SIZE = (5.4, 3.7)  # inches: about 390 units, so that text stays readable on a phone
_FONT = 10


@dataclass(frozen=True)
class Point:
    """One row of the accuracy-bits plane.

    Attributes:
        name: of the row.
        bits: per example, positive.
        accuracy: in [0, 1].
        error: standard error of the accuracy; 0 with one seed.
        reference: whether it is a baseline, drawn in grey.
    """

    name: str
    bits: float
    accuracy: float
    error: float = 0.0
    reference: bool = False


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: its label.
        x: positions.
        y: values.
        error: standard errors for the band, or empty.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()


def plane(points: Sequence[Point]) -> Any:
    """Accuracy against bits (log scale), one labelled point a row, as a matplotlib figure."""
    figure, axes = blank("bits per example (log scale)", "test accuracy")
    colours = iter(_styles())
    for point in points:
        colour, marker = (QUIET, "X") if point.reference else next(colours)
        axes.errorbar(
            [point.bits],
            [point.accuracy],
            yerr=[point.error] if point.error else None,
            fmt=marker,
            color=colour,
            markersize=7,
            capsize=2,
        )
    _log_axis(axes, [p.bits for p in points])
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    label_points(axes, points)
    return figure


def curves(lines: Sequence[Line], x_label: str, y_label: str, percent: bool = True) -> Any:
    """Curves with bands of one standard error, each named at its right end."""
    figure, axes = blank(x_label, y_label)
    ends = []
    for line, (colour, marker) in zip(lines, cycle(len(lines)), strict=True):
        every = max(1, len(line.x) // 8)
        axes.plot(
            line.x, line.y, color=colour, marker=marker, markersize=4.5, markevery=every, lw=1.8
        )
        if any(line.error):
            low = [y - e for y, e in zip(line.y, line.error, strict=True)]
            high = [y + e for y, e in zip(line.y, line.error, strict=True)]
            axes.fill_between(line.x, low, high, color=colour, alpha=0.18, lw=0)
        ends.append((line.name, line.x[-1], line.y[-1], colour))
    whole = all(float(x).is_integer() for line in lines for x in line.x)
    axes.xaxis.get_major_locator().set_params(integer=whole)
    if percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    label_ends(axes, ends)
    return figure


def training(line: Line, y_label: str) -> Any:
    """A small panel with one stage's curve over epochs; a single epoch is a point."""
    figure, axes = blank("epoch", y_label, size=(3.6, 2.3))
    alone = {"marker": "o", "markersize": 4} if len(line.x) == 1 else {}
    axes.plot(line.x, line.y, color=SERIES[0], lw=1.6, **alone)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def to_svg(figure: Any, name: str) -> str:
    """A figure as an SVG element for a page.

    Args:
        figure: of matplotlib.
        name: put before every id, so that several figures can share a page; a CSS identifier.

    Returns:
        `<svg ...>...</svg>` without prologue, namespaces, metadata or fixed size, coloured by
        the page's variables `--ink`, `--quiet`, `--line` and `--series-0` to `--series-5`.
    """
    matplotlib = require("matplotlib", "report")
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    style = {"svg.fonttype": "none", "svg.hashsalt": name}
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # The page's own fonts draw the text: a letter that matplotlib lacks is no loss.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _for_page(buffer.getvalue(), name)


def save_svg(figure: Any, path: str | Path) -> None:
    """Write a figure as a file of its own: white ground, text as shapes, the same bytes again.

    Raises:
        MissingExtra: matplotlib is not installed.
        WriteFailed: the file could not be written.
    """
    matplotlib = require("matplotlib", "report")
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "narrows"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
    store.write_text(path, "\n".join(map(str.rstrip, buffer.getvalue().splitlines())) + "\n")


def _for_page(text: str, name: str) -> str:
    text = text[text.index("<svg") :].strip()
    head, _, body = text.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = body.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)  # it would leak out
    colours = {INK: "ink", QUIET: "quiet", LINE: "line"}
    colours |= {colour: f"series-{i}" for i, colour in enumerate(SERIES)}
    for colour, variable in colours.items():
        body = body.replace(colour, f"var(--{variable})")
    return f'<svg {box.group() if box else ""} aria-hidden="true">{body}'


def blank(x_label: str, y_label: str, size: tuple[float, float] = _SIZE) -> tuple[Any, Any]:
    """An empty figure in the house style, and its axes."""
    figure = require("matplotlib.figure", "report").Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label, color=INK, fontsize=_FONT)
    axes.set_ylabel(y_label, color=INK, fontsize=_FONT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors=QUIET, labelcolor=INK, labelsize=_FONT - 1, which="both")
    axes.grid(axis="y", color=LINE, lw=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _styles() -> list[tuple[str, str]]:
    """Colour and marker pairs; when colours begin again, markers are shifted by one."""
    turns = [_MARKERS[i:] + _MARKERS[:i] for i in range(len(_MARKERS))]
    return [pair for turn in turns for pair in zip(SERIES, turn, strict=True)]


def cycle(count: int) -> list[tuple[str, str]]:
    """Colour and marker of each of `count` series."""
    styles = _styles()
    return [styles[i % len(styles)] for i in range(count)]


def _log_axis(axes: Any, bits: Sequence[float]) -> None:
    """A log scale with plain numbers, and space beside the outer points for their labels."""
    ticker = require("matplotlib.ticker", "report")
    low, high = min(bits), max(bits)
    factor = max((high / low) ** 0.15, 1.5)
    low, high = low / factor, high * factor
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.margins(y=0.12)
    decades = math.log10(high / low)
    steps = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0, 3.0) if decades < 3.5 else (1.0,)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def label_points(axes: Any, points: Sequence[Point]) -> None:
    """Names beside the points, where they cover neither one another nor another point."""
    _settle(axes)
    places = [axes.transData.transform((p.bits, p.accuracy)) for p in points]
    frame = axes.bbox.extents
    texts = [one_line(p.name) for p in points]
    sizes = [(0.58 * (_FONT - 1) * len(text), 1.2 * (_FONT - 1)) for text in texts]
    boxes = beside([(float(x), float(y)) for x, y in places], sizes, tuple(frame))
    for point, text, place, box in zip(points, texts, places, boxes, strict=True):
        axes.annotate(
            text,
            (point.bits, point.accuracy),
            xytext=((box[0] + box[2]) / 2 - place[0], (box[1] + box[3]) / 2 - place[1]),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_FONT - 1,
            color=QUIET if point.reference else INK,
            parse_math=False,
        )


def label_ends(axes: Any, ends: Sequence[tuple[str, float, float, str]]) -> None:
    """Names at the right ends of curves, apart from one another."""
    _settle(axes)
    heights = [axes.transData.transform((x, y))[1] for _, x, y, _ in ends]
    free = spread(heights, _FONT * 1.3)
    for (name, x, y, colour), height, at in zip(ends, heights, free, strict=True):
        axes.annotate(
            one_line(name),
            (x, y),
            xytext=(7, at - height),
            textcoords="offset points",
            va="center",
            fontsize=_FONT - 1,
            color=colour,
            parse_math=False,
            annotation_clip=False,
        )


def _settle(axes: Any) -> None:
    """Fix limits and layout, so that positions in points are final (72 points an inch)."""
    axes.figure.set_dpi(72)
    axes.autoscale_view()
    axes.figure.draw_without_rendering()
