"""The spectrum of features as a figure, and as a page with its numbers."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows import store
from narrows.report import sections
from narrows.report.environment import environment
from narrows.report.figures import INK, QUIET, SERIES, blank
from narrows.report.page import figure, write

if TYPE_CHECKING:
    from narrows.measure.geometry import SpectrumReport

_DPI = 200  # of pictures


def draw_spectrum(report: SpectrumReport) -> Any:
    """Eigenvalues against their rank, both on log scales, with the fitted line."""
    drawn, axes = blank("rank of the direction", "share of the variance")
    whole = sum(report.eigenvalues)
    shares = [v / whole for v in report.eigenvalues if v > 0]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(range(1, len(shares) + 1), shares, "o", color=SERIES[0], markersize=3.5)
    law = report.power_law
    if law is not None:
        low, high = law.range
        ranks = range(low, high + 1)
        weights = [1 / i for i in ranks]
        level = sum(
            w * (math.log(shares[i - 1]) + law.alpha * math.log(i))
            for i, w in zip(ranks, weights, strict=True)
        ) / sum(weights)
        line = [math.exp(level - law.alpha * math.log(i)) for i in ranks]
        axes.plot(ranks, line, color=SERIES[1], lw=1.8)
        axes.annotate(
            f"α {law.alpha:.2f}, R² {law.r2:.2f}",
            (low, line[0]),
            xytext=(4, 8),
            textcoords="offset points",
            color=SERIES[1],
            fontsize=9,
        )
    axes.annotate(
        f"RankMe {report.rankme:.1f} of {report.dim}",
        (0.03, 0.05),
        xycoords="axes fraction",
        color=INK,
        fontsize=9,
    )
    axes.tick_params(which="minor", colors=QUIET, labelsize=0)
    return drawn


def write_spectrum(report: SpectrumReport, path: str | Path) -> None:
    """Write the spectrum as one page that opens offline.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
        WriteFailed: the page could not be written.
    """
    law = report.power_law
    rows = [["RankMe", f"{report.rankme:.2f}", _range(report.rankme_interval, 2)]]
    if law is not None:
        rows.append(["α", f"{law.alpha:.4f}", _range(report.alpha_interval, 4)])
        rows.append(["R² of the power law", f"{law.r2:.4f}", ""])
        rows.append(["ranks of the power law", f"{law.range[0]} to {law.range[1]}", ""])
    rows += [[f"variance in the first {k}", f"{100 * v:.1f} %", ""]
             for k, v in report.explained.items()]  # fmt: skip
    caption = "Each direction's share of the variance, largest first, and the fitted power law."
    words = {"title": "The spectrum", "caption": caption}
    made = {"title": "Versions and machine", "entries": sections.entries(environment())}
    page = {
        "title": "Geometry of features",
        "subtitle": f"{report.n:,} rows, {report.dim:,} columns",
        "notes": [f"Note: {text}." for text in report.warnings],
        "metrics": {"header": ["value", "95 % interval"], "rows": rows},
        "plots": [figure(draw_spectrum(report), "spectrum", **words)],
        "plots_title": "The spectrum",
        "configuration": [made],
    }
    write(path, page)


def save_png(drawn: Any, path: str | Path) -> None:
    """Write a figure as a PNG file on white ground; the same bytes again.

    Raises:
        WriteFailed: the file could not be written.
    """
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    store.write_bytes(path, buffer.getvalue())


def _range(interval: tuple[float, float], digits: int) -> str:
    low, high = interval
    return "" if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"
