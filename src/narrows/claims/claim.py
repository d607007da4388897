"""A claim is a number with a bound, and a rule that can say no.

A paper's claim is put as one quantity per seed and the side of a bound it must lie on. The
verdict uses the mean m over seeds and its standard error s:

    holds            m is on the claimed side of the bound by at least 2 s
    does not hold    m is on the other side by at least 2 s
    partly           anything between, and any claim measured with fewer than 3 seeds
    not testable here  nothing could be measured, with the reason
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from narrows.errors import wrong

HOLDS, PARTLY, FAILS, UNTESTED = "holds", "partly", "does not hold", "not testable here"
_ERRORS = 2.0  # standard errors the mean must keep from the bound
_SEEDS = 3  # fewer give no usable standard error


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of a paper.

    Attributes:
        key: short name, unique in its file.
        statement: what the paper says, in one sentence.
        metric: what is measured here, with its unit.
        paper: the paper's own figure and data.
        side: `at most` or `at least`.
        bound: of the metric.
        reason: why this bound.

    Example:
        >>> claim = Claim("gap", "Costs little.", "points", "2.4 on CUB", "at most", 2.4, "its own")
        >>> claim.verdict([1.0, 1.2, 1.1]), claim.verdict([5.0, 5.5, 5.2])
        ('holds', 'does not hold')
    """

    key: str
    statement: str
    metric: str
    paper: str
    side: str
    bound: float
    reason: str

    def __post_init__(self) -> None:
        if self.side not in ("at most", "at least"):
            raise wrong("side", repr(self.side), "'at most' or 'at least'")

    def verdict(self, values: Sequence[float]) -> str:
        """The verdict on one value a seed; the rule is this module's docstring."""
        if not values or any(not math.isfinite(v) for v in values):
            return UNTESTED
        mean, error = spread(values)
        if len(values) < _SEEDS:
            return PARTLY
        margin = mean - self.bound if self.side == "at least" else self.bound - mean
        if margin >= _ERRORS * error:
            return HOLDS
        return FAILS if -margin >= _ERRORS * error else PARTLY


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What one run of a claim file measured.

    Attributes:
        values: claim key to one value a seed; empty where it could not be measured.
        rows: a table for the reader, row to column to one value a seed; baselines included.
        data: what was trained on, in words.
        reasons: claim key to why nothing was measured.
    """

    values: Mapping[str, Sequence[float]]
    rows: Mapping[str, Mapping[str, Sequence[float]]]
    data: str
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A figure of a claim file: some columns of its table over rows that differ in one number.

    Attributes:
        key: its name in the file `SLUG-KEY.svg`.
        caption: what is seen, in one sentence.
        at: row to its place.
        columns: column to what it is called in the figure; all have one unit.
        x_label: of the places.
        y_label: of the columns.
        percent: whether the columns are shares.
    """

    key: str
    caption: str
    at: Mapping[str, float]
    columns: Mapping[str, str]
    x_label: str
    y_label: str
    percent: bool = True


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error; the error of one value is NaN."""
    if len(values) < 2:
        return float(values[0]), math.nan
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))


def summary(claim: Claim, evidence: Evidence) -> dict[str, Any]:
    """One claim's result as JSON values."""
    values = list(evidence.values.get(claim.key, ()))
    mean, error = spread(values) if values else (math.nan, math.nan)
    return {
        **dataclasses.asdict(claim),
        "values": values,
        "mean": None if math.isnan(mean) else mean,
        "standard_error": None if math.isnan(error) else error,
        "verdict": claim.verdict(values),
        "why_not": evidence.reasons.get(claim.key),
    }
