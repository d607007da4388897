"""One report of a spectrum: both numbers, how sure they are, and what to be wary of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from narrows.errors import InvalidInput, wrong, wrong_type
from narrows.measure.geometry.covariance import CovarianceStream
from narrows.measure.geometry.spectrum import PowerLaw, Source, power_law, rank_of, spectrum_of

_NORMAL = 1.959963984540054  # 97.5 % of a standard normal lie below
_TOP = (1, 10, 50)
_FEW = 5  # rows for each column, below which the rank is clearly too low
_MASSIVE = 0.5  # share of the variance of one column that deserves a word


@dataclasses.dataclass(frozen=True)
class SpectrumReport:
    """The geometry of features.

    Attributes:
        rankme: the effective rank.
        power_law: exponent, fit and range; None where too few eigenvalues are above 0.
        n: rows; 0 where only eigenvalues were given.
        dim: columns.
        explained: share of the variance in the first 1, 10 and 50 directions.
        eigenvalues: `(dim,)`, largest first.
        rankme_interval: 95 %; NaN without bootstrap.
        alpha_interval: the same of the exponent.
        warnings: what a reader must know before trusting the numbers.
    """

    rankme: float
    power_law: PowerLaw | None
    n: int
    dim: int
    explained: dict[int, float]
    eigenvalues: tuple[float, ...]
    rankme_interval: tuple[float, float] = (math.nan, math.nan)
    alpha_interval: tuple[float, float] = (math.nan, math.nan)
    warnings: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        """Rows for each column; compare reports of equal n only."""
        return self.n / self.dim

    @property
    def alpha(self) -> float:
        """The exponent; NaN where none could be fitted."""
        return math.nan if self.power_law is None else self.power_law.alpha

    def __str__(self) -> str:
        law = "no power law" if self.power_law is None else repr(self.power_law)
        shares = ", ".join(f"top {k}: {100 * v:.1f} %" for k, v in self.explained.items())
        lines = [
            f"RankMe {self.rankme:.2f} of {self.dim}{_spread(self.rankme_interval, 2)}",
            f"{law}{_spread(self.alpha_interval, 4)}",
            f"variance in {shares}",
            f"{self.n:,} rows, {self.ratio:.1f} for each column",
        ]
        return "\n".join(lines + [f"note: {text}" for text in self.warnings])

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is NaN."""
        law = None if self.power_law is None else dataclasses.asdict(self.power_law)
        found = dataclasses.asdict(self) | {"power_law": law, "ratio": self.ratio}
        for key in ("rankme_interval", "alpha_interval"):
            found[key] = [None if math.isnan(v) else v for v in found[key]]
        return found | {"eigenvalues": list(self.eigenvalues), "warnings": list(self.warnings)}

    def save(self, path: str | Path) -> None:
        """Write the spectrum and its numbers as one page that opens offline."""
        from narrows.report.spectrum_page import write_spectrum

        write_spectrum(self, path)

    def to_png(self, path: str | Path) -> None:
        """Draw the spectrum into a PNG file."""
        from narrows.report.spectrum_page import draw_spectrum, save_png

        save_png(draw_spectrum(self), path)


def spectrum_report(
    source: Source,
    *,
    range: tuple[int, int] | None = None,  # as `alpha_req` says it
    draws: int = 0,
    generator: torch.Generator | None = None,
) -> SpectrumReport:
    """RankMe, alpha-ReQ and what surrounds them, from one eigendecomposition.

    Args:
        source: features `(M, d)`, a `CovarianceStream`, or eigenvalues `(d,)`.
        range: ranks of the power law, as for `alpha_req`.
        draws: of the bootstrap over rows; 0 for none. Features only. Each costs a covariance
            and an eigendecomposition.
        generator: of the bootstrap; needed with draws.

    Raises:
        InvalidInput: as `spectrum_of`, an impossible range, draws without features.

    Example:
        >>> x = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
        >>> print(spectrum_report(x))
        RankMe 7.92 of 8
        alpha 0.1744 (R² 0.9876, ranks 1 to 6)
        variance in top 1: 15.9 %
        500 rows, 62.5 for each column
    """
    values = spectrum_of(source)
    law: PowerLaw | None = None
    notes = _notes(source, values)
    try:
        law = power_law(values, range)
    except InvalidInput:
        if range is not None:
            raise
        notes += ("too few eigenvalues are above 0 for a power law",)
    spreads = {}
    if draws:
        spreads["rankme_interval"] = bootstrap(source, lambda v: rank_of(v), draws, generator)
        if law is not None:
            span = law.range
            fit = lambda v: power_law(v, span).alpha  # noqa: E731  # one expression
            spreads["alpha_interval"] = bootstrap(source, fit, draws, generator)
    shares = values.cumsum(0) / values.sum()
    return SpectrumReport(
        rankme=rank_of(values),
        power_law=law,
        n=_rows_of(source),
        dim=len(values),
        explained={k: float(shares[k - 1]) for k in _TOP if k < len(values)},
        eigenvalues=tuple(values.tolist()),
        warnings=notes,
        **spreads,
    )


def bootstrap(
    features: Source,
    measure: Callable[[Tensor], float],
    draws: int = 100,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """A 95 % interval of a number of the spectrum, over which rows were drawn.

    Rows are drawn again with replacement; the interval is the value and 1.96 standard deviations
    of the drawn ones on either side. Drawn rows repeat, which lowers a rank, so their own
    quantiles would lie beside the value. The interval says nothing of the bias of few rows.

    Args:
        features: `(M, d)`.
        measure: from eigenvalues `(d,)`, largest first, to a number.
        draws: how often, at least 2.
        generator: of the draws.

    Raises:
        InvalidType: no features but a stream or eigenvalues.
        InvalidInput: fewer than 2 draws, no generator.
    """
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise wrong_type("features", "no rows", "features (M, d), which can be drawn again")
    if draws < 2:
        raise wrong("draws", draws, "at least 2")
    if generator is None:
        raise wrong("generator", None, "a torch.Generator, so that the interval can be repeated")
    value, rows, drawn = measure(spectrum_of(features)), len(features), []
    for _ in range(draws):
        chosen = torch.randint(rows, (rows,), generator=generator)
        counts = torch.bincount(chosen, minlength=rows)
        stream = CovarianceStream(features.shape[1], features.device)
        drawn.append(measure(spectrum_of(stream.update(features, counts))))
    wide = _NORMAL * float(torch.tensor(drawn, dtype=torch.float64).std())
    return value - wide, value + wide


def _rows_of(source: Source) -> int:
    if isinstance(source, CovarianceStream):
        return source.n
    return len(source) if source.ndim == 2 else 0


def _notes(source: Source, values: Tensor) -> tuple[str, ...]:
    rows, dim = _rows_of(source), len(values)
    notes = []
    if 0 < rows <= dim:
        notes.append(f"{rows:,} rows for {dim:,} columns: the rank cannot pass {rows - 1:,}")
    elif 0 < rows < _FEW * dim:
        notes.append(f"{rows / dim:.1f} rows for each column: the rank is clearly too low")
    if isinstance(source, CovarianceStream):
        shares = source.scatter.diagonal() / source.scatter.diagonal().sum()
    elif source.ndim == 2:
        spread = source.double().var(0)
        shares = spread / spread.sum()
    else:
        return tuple(notes)
    if dim > 2 and float(shares.max()) > _MASSIVE:
        share, column = 100 * float(shares.max()), int(shares.argmax())
        told = f"column {column} holds {share:.0f} % of the variance"
        notes.append(f"{told}: see CovarianceStream.standardized")
    return tuple(notes)


def _spread(interval: tuple[float, float], digits: int) -> str:
    low, high = interval
    return "" if math.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})"
