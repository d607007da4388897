"""What a calibration found, as records, as text and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One estimator on one task, over all seeds; in nats and seconds.

    Attributes:
        task: its name.
        truth: the known information.
        method: the estimator.
        kind: estimate, lower, upper or surrogate.
        runs: how many samples it answered.
        mean: of its values.
        bias: mean minus truth; NaN for a surrogate, which measures something else.
        bias_stderr: standard error of the bias over the runs.
        spread: standard deviation of the values over the runs.
        stderr: mean standard error that it reported; where it is right it equals the spread.
        rmse: root of the mean squared error.
        coverage: share of 95 % intervals that held the truth; for a bound, that were on its
            right side. NaN where there are no intervals.
        ceiling: share of runs that the method's ceiling decided: the interval reached it, or
            the truth lay above it.
        seconds: median of one call, its checks included.
        warnings: all that it said, each once.
    """

    task: str
    truth: float
    method: str
    kind: str
    runs: int
    mean: float
    bias: float
    bias_stderr: float
    spread: float
    stderr: float
    rmse: float
    coverage: float
    ceiling: float
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An estimator that did not answer.

    Attributes:
        task: its name.
        method: the estimator.
        reason: what it said.
        runs: samples it refused.
        of: samples it was given.
    """

    task: str
    method: str
    reason: str
    runs: int
    of: int


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Estimators against known truths.

    Attributes:
        n: samples of each run.
        seeds: runs of each task.
        rows: what was measured, task by task.
        refusals: what was not, and why.
    """

    n: int
    seeds: int
    rows: tuple[Row, ...]
    refusals: tuple[Refusal, ...] = ()

    @property
    def title(self) -> str:
        """What all rows share."""
        return f"{self.n:,} samples, {self.seeds} seeds; nats"

    @property
    def header(self) -> tuple[str, ...]:
        """Names of the columns of `cells`."""
        numbers = ("mean", "bias", "spread", "stderr", "rmse", "covers", "ceiling", "ms")
        return ("method", *numbers)

    def cells(self) -> dict[str, list[tuple[str, ...]]]:
        """For each task, named with its truth, one line of texts a method."""
        found: dict[str, list[tuple[str, ...]]] = {}
        for row in self.rows:
            found.setdefault(f"{row.task}: {row.truth:.3f} nats", []).append(_cells(row))
        return found

    def lines(self) -> list[str]:
        """The rows as text, under their tasks."""
        groups = self.cells()
        head, *body = _aligned(
            [self.header, *(line for group in groups.values() for line in group)]
        )
        found = [f"  {head}"]
        for task, group in groups.items():
            found += [task, *(f"  {line}" for line in body[: len(group)])]
            body = body[len(group) :]
        return found

    def notes(self) -> list[str]:
        """Who refused what and why, then the warnings."""
        return [*self._refused(), *self._said()]

    def table(self) -> str:
        """All rows and refusals as text."""
        parts = [self.title, "\n".join(self.lines()), "\n".join(self.notes())]
        return "\n\n".join(part for part in parts if part)

    __str__ = table

    def save(self, path: str | Path) -> None:
        """Write a panel a task and all numbers as one page that opens offline."""
        from narrows.report.calibration_page import write_calibration

        write_calibration(self, path)

    def to_png(self, path: str | Path) -> None:
        """Draw every estimator's answers beside the truth, a panel a task, into a PNG file."""
        from narrows.report.calibration_page import draw_calibration
        from narrows.report.spectrum_page import save_png

        save_png(draw_calibration(self), path)

    def _refused(self) -> Iterator[str]:
        """Refusals, tasks of one reason together."""
        groups: dict[tuple[str, str], list[str]] = {}
        for no in self.refusals:
            some = "" if no.runs == no.of else f" ({no.runs} of {no.of})"
            groups.setdefault((no.method, no.reason), []).append(f"{no.task}{some}")
        for (method, reason), names in groups.items():
            yield f"{method} refused {', '.join(names)}: {reason}"

    def _said(self) -> Iterator[str]:
        """One line for each row that came with warnings, with the first of them."""
        for row in self.rows:
            if row.warnings:
                more = f" (and {len(row.warnings) - 1} more)" if len(row.warnings) > 1 else ""
                yield f"{row.method} on {row.task}: {row.warnings[0]}{more}"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is NaN."""
        return {
            "n": self.n,
            "seeds": self.seeds,
            "units": "nats",
            "rows": [{**_plain(row), "warnings": list(row.warnings)} for row in self.rows],
            "refusals": [dataclasses.asdict(no) for no in self.refusals],
        }

    def to_json(self) -> str:
        """`to_dict` as one JSON document."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)


def _cells(row: Row) -> tuple[str, ...]:
    method = row.method if row.kind == "estimate" else f"{row.method} ({row.kind})"
    bias = "-" if math.isnan(row.bias) else f"{row.bias:+.3f}"
    numbers = (row.spread, row.stderr, row.rmse)
    cells = ("-" if math.isnan(value) else f"{value:.3f}" for value in numbers)
    covers = "-" if math.isnan(row.coverage) else f"{100 * row.coverage:.0f} %"
    ceiling = f"{100 * row.ceiling:.0f} %" if row.ceiling else ""
    time = f"{1000 * row.seconds:.1f}"
    return (method, f"{row.mean:.3f}", bias, *cells, covers, ceiling, time)


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    """Names left, numbers right."""
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            f"{cell:>{w}}" if i else f"{cell:<{w}}"
            for i, (cell, w) in enumerate(zip(line, wide, strict=True))
        ).rstrip()
        for line in lines
    ]


def _plain(row: Row) -> dict[str, Any]:
    """A row with None for what is no number."""
    values = dataclasses.asdict(row).items()
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values
    }
