"""The page of all claims in Markdown, its figures beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from narrows import store
from narrows.claims import run
from narrows.claims.claim import Sweep, spread
from narrows.report.figures import Line, curves, save_svg


def write_claims(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the page to `path`, and the figures to the folder `claims` beside it.

    Raises:
        MissingExtra: matplotlib is not installed.
        WriteFailed: a file could not be written.
    """
    folder = path.parent / "claims"
    for result in results:
        for sweep in run.sweeps(result["slug"]):
            folder.mkdir(parents=True, exist_ok=True)
            save_svg(draw_sweep(sweep, result), folder / f"{result['slug']}-{sweep.key}.svg")
    store.write_text(path, run.page(results))


def draw_sweep(sweep: Sweep, result: Mapping[str, Any]) -> Any:
    """One line a column, with bands of one standard error over seeds, as a matplotlib figure."""
    places = sorted((at, row) for row, at in sweep.at.items())
    lines = []
    for column, name in sweep.columns.items():
        found = [spread(result["rows"][row][column]) for _, row in places]
        mean, error = zip(*found, strict=True)
        lines.append(Line(name, [at for at, _ in places], mean, error))
    return curves(lines, sweep.x_label, sweep.y_label, sweep.percent)
