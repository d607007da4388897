"""Estimators against known truths as a panel of figures, and as a page with all numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.errors import require, unknown
from narrows.report import sections
from narrows.report.environment import environment
from narrows.report.figures import INK, LINE, QUIET, SERIES
from narrows.report.page import figure, write

if TYPE_CHECKING:
    from narrows.measure.mi.calibrate_result import Calibration, Row

_READING = (
    "Points are means over samples, bars hold 95 % of single answers, the line is the truth. "
    "Bounds point to where the truth must lie; hollow grey points measure something else than "
    "mutual information and need not meet the line."
)
_MARKERS = {"estimate": "o", "lower": ">", "upper": "<", "surrogate": "o"}
_COLUMNS = 3
_WIDE, _HEAD, _LINE = 3.4, 0.9, 0.19  # inches: of a panel, of its ends, of a method


def draw_calibration(found: Calibration, task: str | None = None) -> Any:
    """A panel a task: every estimator's answers beside the truth line, as a matplotlib figure.

    Args:
        found: what `calibrate` gave.
        task: only this one; all, three in a row, by default.

    Raises:
        UnknownName: no such task.
        MissingExtra: matplotlib is not installed.
    """
    groups = _groups(found)
    if task is not None and task not in groups:
        raise unknown("task", task, groups)
    names = list(groups) if task is None else [task]
    columns = min(_COLUMNS, len(names))
    lines = -(-len(names) // columns)
    most = max(len(groups[name]) for name in names)
    size = (_WIDE * columns, lines * (_HEAD + _LINE * most))
    drawn = require("matplotlib.figure", "report").Figure(figsize=size, layout="constrained")
    panels = drawn.subplots(lines, columns, squeeze=False).flatten()
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, groups[name])
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    return drawn


def write_calibration(found: Calibration, path: str | Path) -> None:
    """Write all panels and rows as one page that opens offline.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
        WriteFailed: the page could not be written.
    """
    plots = [
        figure(
            draw_calibration(found, name),
            f"task-{i}",
            title=name,
            caption=f"The truth is {rows[0].truth:.3f} nats.",
        )
        for i, (name, rows) in enumerate(_groups(found).items())
    ]
    tables = [
        {"name": head, "summary": "", "header": list(found.header[1:]), "rows": group}
        for head, group in found.cells().items()
    ]
    said = sections.entries({str(i + 1): note for i, note in enumerate(found.notes())})
    made = {"title": "Versions and machine", "entries": sections.entries(environment())}
    page = {
        "title": "Estimators where the truth is known",
        "subtitle": found.title,
        "notes": [_READING],
        "plots": plots,
        "plots_title": "Answers beside the truth",
        "quality": tables,
        "quality_title": "Numbers",
        "configuration": [made, *([{"title": "Refused and warned", "entries": said}] * bool(said))],
    }
    write(path, page)


def _groups(found: Calibration) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in found.rows:
        groups.setdefault(row.task, []).append(row)
    return groups


def _panel(axes: Any, rows: Sequence[Row]) -> None:
    """One task: methods from top to bottom."""
    for place, row in enumerate(rows):
        other = row.kind == "surrogate"
        half = 0.0 if math.isnan(row.spread) else 1.96 * row.spread
        axes.errorbar(
            [row.mean],
            [place],
            xerr=[half] if half else None,
            fmt=_MARKERS[row.kind],
            color=QUIET if other else SERIES[0],
            fillstyle="none" if other else "full",
            markersize=5,
            capsize=2,
            lw=1.2,
        )
    axes.axvline(rows[0].truth, color=SERIES[1], lw=1.4, zorder=0)
    axes.set_yticks(range(len(rows)), [row.method for row in rows], fontsize=8, color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_title(f"{rows[0].task}: {rows[0].truth:.3f}", fontsize=9, color=INK, loc="left")
    axes.set_xlabel("nats", fontsize=8, color=INK)
    axes.tick_params(colors=QUIET, labelcolor=INK, labelsize=8)
    axes.xaxis.get_major_locator().set_params(nbins=5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.grid(axis="x", color=LINE, lw=0.6)
    axes.set_axisbelow(True)
