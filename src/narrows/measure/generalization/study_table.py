"""Correlations with their intervals, as a table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import unknown


@dataclasses.dataclass(frozen=True)
class Interval:
    """A number and its 95 % interval.

    Attributes:
        value: of the nets as they are.
        low: 2.5 % of the drawn values lie below.
        high: 2.5 % of the drawn values lie above.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, drawn: NDArray[np.float64]) -> Interval:
        """From the value and the drawn ones behind it; NaN where the value is.

        Example:
            >>> Interval.of(np.array([0.5, 0.4, 0.4, math.nan]))
            0.50 (0.40 to 0.40)
        """
        rest = drawn[1:][~np.isnan(drawn[1:])]
        if math.isnan(drawn[0]) or not len(rest):
            return cls(float(drawn[0]), math.nan, math.nan)
        low, high = np.quantile(rest, (0.025, 0.975))
        return cls(float(drawn[0]), float(low), float(high))

    def __repr__(self) -> str:
        if math.isnan(self.value):
            return "-"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    def to_dict(self) -> dict[str, float | None]:
        """JSON values; None where a number is NaN."""
        found = dataclasses.asdict(self)
        return {k: None if math.isnan(v) else v for k, v in found.items()}


@dataclasses.dataclass(frozen=True)
class Correlation:
    """One measure's correlations with the target.

    Attributes:
        measure: its name.
        spearman: of the ranks.
        pearson: of the values.
        kendall: tau-b.
        partial: of the ranks within the levels of the factors; NaN without factors.
    """

    measure: str
    spearman: Interval
    pearson: Interval
    kendall: Interval
    partial: Interval


@dataclasses.dataclass(frozen=True, repr=False)
class GapTable:
    """What `GapStudy.correlate` found.

    Attributes:
        rows: one a measure.
        nets: how many.
        target: what was correlated with.
        given: the factors of the partial correlation.
        draws: of the bootstrap.
        seed: of the draws.
        notes: which nets were left out, and which measures were put together with which weight.
    """

    rows: tuple[Correlation, ...]
    nets: int
    target: str
    given: tuple[str, ...]
    draws: int
    seed: int
    notes: tuple[str, ...] = ()

    def __getitem__(self, measure: str) -> Correlation:
        for row in self.rows:
            if row.measure == measure:
                return row
        raise unknown("measure", measure, (row.measure for row in self.rows))

    def __iter__(self) -> Iterator[Correlation]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        told = {"nets": self.nets, "target": self.target, "given": list(self.given)}
        told |= {"draws": self.draws, "seed": self.seed, "notes": list(self.notes)}
        names = [f.name for f in dataclasses.fields(Correlation) if f.name != "measure"]
        rows = [
            {"measure": row.measure, **{k: getattr(row, k).to_dict() for k in names}}
            for row in self.rows
        ]
        return {**told, "rows": rows}

    def __repr__(self) -> str:
        last = f"partial given {', '.join(self.given)}" if self.given else "partial"
        columns = ("measure", "spearman", "pearson", "kendall", last)
        rows = [
            (row.measure, *map(repr, (row.spearman, row.pearson, row.kendall, row.partial)))
            for row in self.rows
        ]
        wide = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        lines = [
            "  ".join(f"{v:<{w}}" for v, w in zip(line, wide, strict=True)).rstrip()
            for line in (columns, *rows)
        ]
        head = f"{self.nets} nets, correlation with {self.target}, 95 % of {self.draws:,} draws"
        return "\n".join([head, *lines, *(f"note: {note}" for note in self.notes)])
