"""The information plane as figures, and as a page with a table of what was lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.errors import unknown, wrong
from narrows.report import sections
from narrows.report.environment import environment
from narrows.report.figures import QUIET, Point, blank, cycle, label_ends, label_points
from narrows.report.page import figure, write

if TYPE_CHECKING:
    from narrows.measure.watching import PlaneTable

_CAUTION = (
    "A layer with continuous units tells all of its input, always. A fall of I(X;T) is a "
    "property of the units, of the estimator and of its cells or noise: compare estimators."
)


def draw_information_plane(table: PlaneTable, estimator: str | None = None) -> Any:
    """Each layer's way through the plane; hollow where it begins, filled where it ends.

    Args:
        table: of a plane with at least one snapshot.
        estimator: whose; the first by default. The figure names it.

    Raises:
        InvalidInput: a table without rows of that estimator.
        MissingExtra: matplotlib is not installed.
    """
    own = _own(table, estimator)
    name = own[0]["estimator"]
    drawn, axes = blank(f"I(X;T), {table.unit}, by {name}", f"I(T;Y), {table.unit}")
    layers = list(dict.fromkeys(own["layer"]))
    ends = []
    for layer, (colour, marker) in zip(layers, cycle(len(layers)), strict=True):
        part = own.where(layer=layer)
        x, y = part["I(X;T)"], part["I(T;Y)"]
        axes.plot(x, y, color=colour, lw=1.2, alpha=0.6)
        axes.plot(x[:1], y[:1], marker, color=colour, markersize=6, fillstyle="none")
        axes.plot(x[-1:], y[-1:], marker, color=colour, markersize=6)
        ends.append(Point(layer or "model", x[-1], y[-1]))
    axes.margins(x=0.08, y=0.1)
    label_points(axes, ends)
    return drawn


def draw_course(table: PlaneTable, estimator: str | None = None) -> Any:
    """I(X;T) of each layer over epochs, on a log scale of epochs from 1 on."""
    own = _own(table, estimator)
    name = own[0]["estimator"]
    drawn, axes = blank("epoch", f"I(X;T), {table.unit}, by {name}")
    layers = list(dict.fromkeys(own["layer"]))
    if max(own["epoch"]) > 20:
        axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ends = []
    for layer, (colour, marker) in zip(layers, cycle(len(layers)), strict=True):
        part = own.where(layer=layer)
        x, y = part["epoch"], part["I(X;T)"]
        every = max(1, len(x) // 8)
        axes.plot(x, y, color=colour, marker=marker, markersize=4.5, markevery=every, lw=1.8)
        ends.append((layer or "model", x[-1], y[-1], colour))
    axes.set_ylim(bottom=0)
    axes.tick_params(which="minor", bottom=False, colors=QUIET)
    label_ends(axes, ends)
    return drawn


def write_information_plane(table: PlaneTable, path: str | Path) -> None:
    """Write a plane as one page that opens offline: two figures and a row for each estimator.

    Raises:
        InvalidInput: a table without rows.
        MissingExtra: jinja2 or matplotlib is not installed.
        WriteFailed: the page could not be written.
    """
    _own(table, None)  # there is something to draw
    names = list(dict.fromkeys(table["estimator"]))
    plots = []
    for i, name in enumerate(names):
        way = f"By {name}: each layer's way through the plane, from hollow to filled."
        words = {"title": f"The plane by {name}", "caption": way}
        plots.append(figure(draw_information_plane(table, name), f"plane-{i}", **words))
        words = {"title": f"I(X;T) by {name}", "caption": f"By {name}: I(X;T) over epochs."}
        plots.append(figure(draw_course(table, name), f"course-{i}", **words))
    rows = []
    for fall in table.compression():
        name = f"{fall.layer or 'model'}, {fall.estimator}"
        numbers = [f"{v:.3f}" for v in (fall.final, fall.loss, fall.ty)]
        rows.append([name, f"{fall.most:.3f}", str(fall.at), *numbers])
    header = ["most I(X;T)", "at epoch", "final", "lost", "final I(T;Y)"]
    epochs = table["epoch"]
    page = {
        "title": "Information plane",
        "subtitle": f"{len(set(table['layer']))} layers, epochs {min(epochs)} to {max(epochs)}, "
        f"in {table.unit}",
        "notes": [_CAUTION, *(f"{e}, layer {n}: {t}." for (n, e), t in table.warnings().items())],
        "metrics": {"header": header, "rows": rows},
        "plots": plots,
        "plots_title": "The plane",
        "configuration": [
            {"title": "Versions and machine", "entries": sections.entries(environment())}
        ],
    }
    write(path, page)


def _own(table: PlaneTable, estimator: str | None) -> PlaneTable:
    if len(table) == 0:
        raise wrong("plane", "no snapshot", "at least one")
    name = table[0]["estimator"] if estimator is None else estimator
    own = table.where(estimator=name)
    if len(own) == 0:
        raise unknown("estimator", name, dict.fromkeys(table["estimator"]))
    return own
