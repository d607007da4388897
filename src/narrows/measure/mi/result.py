"""What an estimate of information says: never one bare number.

A value without its spread, its kind and its ceiling misleads: a lower bound of 4.8 nats from
batches of 128 is the bound's own limit (log 128), not a finding.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong

KINDS = {
    "estimate": "an estimate, which may err either way",
    "lower": "a lower bound, in expectation",
    "upper": "an upper bound, in expectation",
    "surrogate": "another dependence measure, not mutual information",
}
NO_UNIT = "no unit"
_PER_UNIT = {"nats": 1.0, "bits": 1 / math.log(2)}
_NORMAL = 1.959963984540054  # 97.5 % of a standard normal lie below


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What an estimator returns; `mutual_information` adds the rest.

    Attributes:
        value: in nats.
        stderr: its standard error in nats; NaN where the method has none.
        ceiling: the largest value this method could have reported, in nats.
        warnings: what a reader must know before trusting the value.
        settings: what was used, defaults included.
    """

    value: float
    stderr: float = math.nan
    ceiling: float = math.inf
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class MIResult:
    """A measured information, with all that is needed to read it.

    Attributes:
        value: in `units`.
        stderr: standard error in `units`; NaN where the method has none.
        kind: estimate, lower, upper or surrogate (see `KINDS`).
        method: how it was measured.
        samples: how many pairs it saw.
        units: nats or bits, or `NO_UNIT`.
        ceiling: the largest value the method could have reported, in `units`.
        warnings: what a reader must know before trusting the value.
        settings: of the method, defaults included.

    Example:
        >>> MIResult(0.5, 0.02, "estimate", "ksg", 1000)
        0.500 ± 0.020 nats (ksg, estimate, 1,000 samples)
        >>> MIResult(0.5, 0.02, "estimate", "ksg", 1000).to("bits").value
        0.7213475204444817
    """

    value: float
    stderr: float
    kind: str
    method: str
    samples: int
    units: str = "nats"
    ceiling: float = math.inf
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the normal approximation; NaN where there is no standard error."""
        return self.value - _NORMAL * self.stderr, self.value + _NORMAL * self.stderr

    def to(self, units: str) -> MIResult:
        """The same result in nats or bits; as it is where the measure has no unit."""
        rate = _rate(units)
        if self.units == NO_UNIT:
            return self
        by = rate / _rate(self.units)
        return dataclasses.replace(
            self,
            value=self.value * by,
            stderr=self.stderr * by,
            ceiling=self.ceiling * by,
            units=units,
        )

    def __repr__(self) -> str:
        spread = "" if math.isnan(self.stderr) else f" ± {self.stderr:.3f}"
        notes = "".join(f"\n  note: {text}" for text in self.warnings)
        unit = "" if self.units == NO_UNIT else f" {self.units}"
        return (
            f"{self.value:.3f}{spread}{unit} "
            f"({self.method}, {self.kind}, {self.samples:,} samples){notes}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is NaN or infinite."""
        known = {k: v for k, v in dataclasses.asdict(self).items() if k != "settings"}
        finite = {k: _json(v) for k, v in known.items()}
        low, high = self.interval
        # settings hold plain values; the round trip turns tuples into lists
        settings = json.loads(json.dumps(dict(self.settings), default=str))
        return {**finite, "interval": [_json(low), _json(high)], "settings": settings}


@dataclasses.dataclass(frozen=True)
class MIResults:
    """One result a column, from `mutual_information(..., each=True)`.

    Attributes:
        results: in the order of the columns.
    """

    results: tuple[MIResult, ...]

    @property
    def value(self) -> NDArray[np.float64]:
        """`(columns,)` the values."""
        return np.array([result.value for result in self.results])

    @property
    def stderr(self) -> NDArray[np.float64]:
        """`(columns,)` the standard errors."""
        return np.array([result.stderr for result in self.results])

    @property
    def interval(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Low and high ends, `(columns,)` each."""
        low, high = np.array([result.interval for result in self.results]).T
        return low, high

    def to(self, units: str) -> MIResults:
        """The same results in nats or bits."""
        return MIResults(tuple(result.to(units) for result in self.results))

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, column: int) -> MIResult:
        return self.results[column]

    def __iter__(self) -> Iterator[MIResult]:
        return iter(self.results)

    def __repr__(self) -> str:
        return "\n".join(f"{i}: {result!r}" for i, result in enumerate(self.results))

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"columns": [result.to_dict() for result in self.results]}


def _rate(units: str) -> float:
    if units not in _PER_UNIT:
        raise wrong("units", repr(units), "'nats' or 'bits'")
    return _PER_UNIT[units]


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
