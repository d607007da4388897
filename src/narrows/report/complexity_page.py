"""Complexity of features as figures, and as a page with a row for each feature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from narrows.report import sections
from narrows.report.environment import environment
from narrows.report.figures import SERIES, Line, Point, blank, curves, label_points
from narrows.report.page import figure, write

if TYPE_CHECKING:
    from narrows.measure.complexity import FeatureComplexity

_CAUTION = (
    "Complexity depends on what is made of each layer before it is probed: layers of few columns "
    "tell less. Features share a dictionary: read correlations beside what permutation gives."
)
_NAMED = 4  # features labelled at either end
_ROWS = 1000  # features in the table


def draw_complexity(found: FeatureComplexity) -> Any:
    """Complexity against importance, one point a feature; sorted where importance is not known.

    The simplest and the most complex features are labelled.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    order = found.order()
    x = found.complexity[order]
    if found.importance is None:
        drawn, axes = blank("feature, simplest first", "complexity K")
        places = torch.arange(len(x), dtype=torch.float64)
        points = [(float(a), float(b)) for a, b in zip(places, x, strict=True)]
    else:
        drawn, axes = blank("complexity K", "importance Γ, mean absolute contribution")
        height = found.importance[order]
        points = [(float(a), float(b)) for a, b in zip(x, height, strict=True)]
    axes.plot(*zip(*points, strict=True), "o", color=SERIES[0], markersize=4.5, alpha=0.75)
    ends = sorted({*range(min(_NAMED, len(x))), *range(max(0, len(x) - _NAMED), len(x))})
    axes.margins(x=0.08, y=0.1)
    label_points(axes, [Point(found.names[int(order[i])], *points[i]) for i in ends])
    return drawn


def draw_layers(found: FeatureComplexity) -> Any:
    """Mean V-information of each fifth of the features, from layer to layer."""
    fifths = torch.tensor_split(found.order(), min(5, len(found.names)))
    last = len(fifths) - 1
    lines = []
    for i, own in enumerate(fifths):
        name = "simplest" if i == 0 else "most complex" if i == last else str(i + 1)
        values = found.v_information[:, own].mean(1).tolist()
        lines.append(Line(name, range(1, len(values) + 1), values))
    return curves(lines, "layer", "I_V, held-out R²", percent=False)


def write_complexity(found: FeatureComplexity, path: str | Path) -> None:
    """Write complexities as one page that opens offline: two figures and a row for each feature.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
        WriteFailed: the page could not be written.
    """
    known = found.importance is not None
    against = "Each feature's complexity" + (" against its importance." if known else ", sorted.")
    layered = f"Layers in order: {', '.join(found.layers)}."
    plots = [
        figure(draw_complexity(found), "complexity", title="Complexity", caption=against),
        figure(draw_layers(found), "layers", title="From layer to layer", caption=layered),
    ]
    notes = [_CAUTION, *(f"Note: {text}." for text in found.warnings)]
    notes += [f"{name} dropped: {why}." for name, why in found.dropped.items()]
    order = found.order().tolist()
    if len(order) > _ROWS:
        notes.append(f"The table holds the {_ROWS:,} simplest of {len(order):,} features.")
    header = ["K", "standard error", *(["Γ"] if known else []), f"I_V at {found.layers[-1]}"]
    rows = [[found.names[i], *_numbers(found, i)] for i in order[:_ROWS]]
    made = {"title": "Versions and machine", "entries": sections.entries(environment())}
    used = {"title": "Settings", "entries": sections.entries(dict(found.settings))}
    page = {
        "title": "Complexity of features",
        "subtitle": f"{len(found.names):,} features over {len(found.layers)} layers",
        "notes": notes,
        "metrics": {"header": header, "rows": rows},
        "plots": plots,
        "plots_title": "Complexity",
        "configuration": [used, made],
    }
    write(path, page)


def _numbers(found: FeatureComplexity, i: int) -> list[str]:
    own = [found.complexity[i], found.stderr[i]]
    own += [] if found.importance is None else [found.importance[i]]
    return [f"{float(v):.4g}" for v in (*own, found.v_information[-1, i])]
