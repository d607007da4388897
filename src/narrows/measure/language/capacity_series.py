"""The bias of a series of models, and what it predicts of a sibling.

Within a series the gain is close to linear in the logarithm of compute, so

    C - NLL = IC log2 N - b

by least squares gives the b with which all siblings have the same IC, and that IC as the slope.
A sibling of N operations a token is then expected at NLL = C + b - IC log2 N.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong, wrong_type
from narrows.measure.language.capacity_report import CapacityReport, same_footing

_SAME_TEXT = 1e-6  # relative difference of C within a series


@dataclasses.dataclass(frozen=True)
class CapacitySeries:
    """A series on one line.

    Attributes:
        slope: IC of the series.
        bias: b, in bits a token.
        text_bits_per_token: C, which siblings share.
        log2_flops: of each model, in order of size.
        gains: C - NLL of each.
    """

    slope: float
    bias: float
    text_bits_per_token: float
    log2_flops: tuple[float, ...]
    gains: tuple[float, ...]

    @property
    def r2(self) -> float:
        """Share of the gains' variance on the line; 1 for two models, which says nothing."""
        gains, left = np.array(self.gains), self.residuals
        total = float(((gains - gains.mean()) ** 2).sum())
        return 1 - float((left**2).sum()) / total if total else math.nan

    @property
    def residuals(self) -> NDArray[np.float64]:
        """Gains less the line, `(models,)`, in bits a token."""
        line = self.slope * np.array(self.log2_flops) - self.bias
        return np.array(self.gains) - line

    @property
    def values(self) -> NDArray[np.float64]:
        """IC of each model with this bias, `(models,)`."""
        return (np.array(self.gains) + self.bias) / np.array(self.log2_flops)

    @property
    def left_out(self) -> NDArray[np.float64]:
        """Gain of each model less that predicted from the others, `(models,)`; 3 or more."""
        if len(self.gains) < 3:
            raise wrong("reports", len(self.gains), "3 or more, to leave one out")
        x = np.array(self.log2_flops)
        off = x - x.mean()
        lever = 1 / len(x) + off**2 / (off**2).sum()
        return self.residuals / (1 - lever)

    def predict_nll(
        self, flops_per_token: float, text_bits_per_token: float | None = None
    ) -> float:
        """Bits of loss a token that a sibling of this compute is expected to have.

        Args:
            flops_per_token: N.
            text_bits_per_token: C, where the sibling's tokenizer is another.
        """
        if not 2 <= flops_per_token < math.inf:
            raise wrong("flops_per_token", flops_per_token, "a finite number of 2 or more")
        text = self.text_bits_per_token if text_bits_per_token is None else text_bits_per_token
        return text + self.bias - self.slope * math.log2(flops_per_token)

    def __repr__(self) -> str:
        return (
            f"{self.slope:.4f} information capacity of a series of {len(self.gains)} models "
            f"(bias {self.bias:.3f}, R² {self.r2:.4f}, "
            f"log2 N {self.log2_flops[0]:.2f} to {self.log2_flops[-1]:.2f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        r2 = self.r2
        return dataclasses.asdict(self) | {
            "r2": r2 if math.isfinite(r2) else None,
            "values": self.values.tolist(),
        }


def fit_capacity_bias(reports: Sequence[CapacityReport]) -> CapacitySeries:
    """Fit the bias with which models of one series have the same information capacity.

    Args:
        reports: of 2 models or more of one series: one tokenizer, the same texts and settings
            (the bias of the reports does not matter).

    Raises:
        InvalidType: no reports.
        InvalidInput: fewer than 2, other texts or settings, other tokenizers, equal computes.

    Example:
        >>> settings = {"max_tokens": 64, "bias": 0.0, "weighting": "tokens", "texts": "same"}
        >>> def report(log2_flops, loss):  # one document of 10 tokens, 80 bits
        ...     return CapacityReport(2.0**log2_flops, ((1, 10, 80, 10 * loss, 8, 0, 0),), True,
        ...                           settings)
        >>> series = fit_capacity_bias([report(20, 5.0), report(22, 4.5), report(24, 4.0)])
        >>> round(series.slope, 6), round(series.bias, 6), round(series.predict_nll(2**23), 6)
        (0.25, 2.0, 4.25)
    """
    found = sorted(_checked(reports), key=lambda report: report.flops_per_token)
    x = np.array([math.log2(report.flops_per_token) for report in found])
    y = np.array([report.gain for report in found])
    text = found[0].text_bits_per_token
    if any(abs(r.text_bits_per_token - text) > _SAME_TEXT * text for r in found):
        raise wrong("reports", "models with other tokenizers", "one series, with one tokenizer")
    off = x - x.mean()
    if not (off**2).sum() > 1e-18:
        raise wrong("reports", "models of one compute", "2 sizes or more")
    slope = float((off * (y - y.mean())).sum() / (off**2).sum())
    bias = slope * float(x.mean()) - float(y.mean())
    return CapacitySeries(slope, bias, text, tuple(x.tolist()), tuple(y.tolist()))


def _checked(reports: Sequence[CapacityReport]) -> Sequence[CapacityReport]:
    for report in reports:
        if not isinstance(report, CapacityReport):
            raise wrong_type("reports", type(report).__name__, "capacity reports")
    if len(reports) < 2:
        raise wrong("reports", len(reports), "2 models or more")
    same_footing(reports, but=("bias",))
    return reports
