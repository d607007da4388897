"""Two numbers of a spectrum: how many directions are in use, and how fast it falls off.

From features F `(M, d)`, columns centred, covariance F^T F / M with eigenvalues s_1 >= s_2 ...:

    RankMe      exp(-sum_i p_i log p_i),  p_i = s_i / sum s       between 1 and d
    alpha-ReQ   s_i ~ i^-alpha, by least squares of log s_i on log i with weights 1/i

as in Li et al. (2025, arXiv 2509.23024). RankMe as first proposed by Garrido et al. (2023) takes
singular values of features that are not centred, p_i = s_i / sum s + 1e-7: preset `"garrido"`.
The reptrix library centres and takes eigenvalues, with the same 1e-7: preset `"reptrix"`. The
1e-7 goes to as many values as a singular value decomposition has, min(M, d).

Eigenvalues below what rounding leaves (d times machine precision of the largest) count as 0.
Both numbers are biased for few rows: compare them at equal M only, with M well above d.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TypeAlias

import torch
from torch import Tensor

from narrows.errors import unknown, wrong, wrong_type
from narrows.measure.geometry.covariance import CovarianceStream

Source: TypeAlias = CovarianceStream | Tensor


@dataclasses.dataclass(frozen=True)
class Preset:
    """What a spectrum is made of.

    Attributes:
        center: columns about their mean.
        singular: singular values instead of eigenvalues (their squares).
        padding: added to each share of the sum.
    """

    center: bool = True
    singular: bool = False
    padding: float = 0.0


PRESETS = {
    "li": Preset(),
    "garrido": Preset(center=False, singular=True, padding=1e-7),
    "reptrix": Preset(padding=1e-7),
}


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """A fitted power law.

    Attributes:
        alpha: the exponent; small where the spectrum is flat.
        r2: share of the weighted variance of log eigenvalues that the line explains.
        range: first and last rank of the fit, counted from 1.
    """

    alpha: float
    r2: float
    range: tuple[int, int]

    def __float__(self) -> float:
        return self.alpha

    def __repr__(self) -> str:
        low, high = self.range
        return f"alpha {self.alpha:.4f} (R² {self.r2:.4f}, ranks {low} to {high})"


def spectrum_of(source: Source, *, center: bool = True, singular: bool = False) -> Tensor:
    """The eigenvalues of features, largest first.

    Args:
        source: features `(M, d)`; a `CovarianceStream`; or eigenvalues `(d,)`, kept as they are.
        center: about the mean.
        singular: singular values of the features, the root of M times the eigenvalues.

    Returns:
        `(d,)` float64, at least 0.

    Raises:
        InvalidType: no tensor and no stream.
        InvalidInput: fewer than 2 rows, rows all equal, NaN or infinite values, negative
            eigenvalues.

    Example:
        >>> spectrum_of(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).tolist()
        [1.0, 0.0]
    """
    if isinstance(source, Tensor) and source.ndim == 1:
        return _given(source)
    stream = _stream(source)
    stream.require()
    if center:
        values = torch.linalg.eigvalsh(stream.scatter) / stream.weight
    else:
        values = torch.linalg.eigvalsh(stream.second_moment())
    values = values.flip(0).clamp(min=0)
    values = torch.where(values > stream.dim * _EPS * values[0], values, 0.0)
    return (values * stream.weight).sqrt() if singular else values


_EPS = torch.finfo(torch.float64).eps


def rankme(
    source: Source,
    preset: str = "li",
    *,
    center: bool | None = None,
    singular: bool | None = None,
) -> float:
    """The effective rank: how many equally strong directions would have this entropy.

    Args:
        source: features `(M, d)`, a `CovarianceStream`, or eigenvalues `(d,)`.
        preset: `"li"` (centred, eigenvalues), `"garrido"` (not centred, singular values, 1e-7
            added to each share) or `"reptrix"` (as li, 1e-7 added).
        center: instead of the preset's.
        singular: instead of the preset's.

    Raises:
        UnknownName: no such preset.
        InvalidInput: as `spectrum_of`.

    Example:
        >>> round(rankme(torch.tensor([1.0, 1.0, 0.0])), 6)
        2.0
    """
    chosen = _preset(preset, center, singular)
    if isinstance(source, Tensor) and source.ndim == 1:
        values = _given(source)
        return rank_of(values.sqrt() if chosen.singular else values, chosen.padding)
    stream = _stream(source)
    values = spectrum_of(stream, center=chosen.center, singular=chosen.singular)
    return rank_of(values[: stream.n], chosen.padding)


def rank_of(values: Tensor, padding: float = 0.0) -> float:
    """`exp` of the entropy of eigenvalues' shares; each share is raised by the padding."""
    shares = values / values.sum() + padding
    return math.exp(-float(torch.special.xlogy(shares, shares).sum()))


def alpha_req(
    source: Source,
    range: tuple[int, int] | None = None,  # the name of the published interface
    preset: str = "li",
    *,
    center: bool | None = None,
) -> PowerLaw:
    """The exponent of the power law that eigenvalues follow over a range of ranks.

    Args:
        source: features `(M, d)`, a `CovarianceStream`, or eigenvalues `(d,)`.
        range: first and last rank, counted from 1, both in the fit. By default 11 to 100; where
            fewer than 100 eigenvalues are above 0, from 10 % to 70 % of their number.
        preset: as for `rankme`; eigenvalues are fitted in any case.
        center: instead of the preset's.

    Raises:
        UnknownName: no such preset.
        InvalidInput: a range of fewer than 3 ranks or beyond the eigenvalues above 0; else as
            `spectrum_of`.

    Example:
        >>> alpha_req(torch.arange(1.0, 201.0) ** -1.5)
        alpha 1.5000 (R² 1.0000, ranks 11 to 100)
    """
    chosen = _preset(preset, center, None)
    return power_law(spectrum_of(source, center=chosen.center), range)


def power_law(values: Tensor, span: tuple[int, int] | None = None) -> PowerLaw:
    """`alpha_req` of eigenvalues `(d,)`, largest first."""
    rank = int((values > 0).sum())
    low, high = span or default_range(rank)
    if not 1 <= low <= high - 2 or high > rank:
        raise wrong(
            "range",
            f"({low}, {high}) of {rank} eigenvalues above 0",
            "3 ranks or more, all above 0",
        )
    ranks = torch.arange(low, high + 1, dtype=torch.float64, device=values.device)
    x, y, w = ranks.log(), values[low - 1 : high].log(), 1 / ranks
    w = w / w.sum()
    dx, dy = x - w @ x, y - w @ y
    slope = float(w @ (dx * dy) / (w @ dx.square()))
    spread = float(w @ dy.square())
    # A flat spectrum is a perfect power law of exponent 0.
    left = float(w @ (dy - slope * dx).square())
    flat = spread <= 1e-24 * (1 + float(y.abs().max()) ** 2)
    return PowerLaw(-slope, 1.0 if flat else 1 - left / spread, (low, high))


def default_range(rank: int) -> tuple[int, int]:
    """Ranks 11 to 100 of 100 or more; of fewer, from 10 % to 70 %."""
    if rank >= 100:
        return 11, 100
    return max(1, round(0.1 * rank)), round(0.7 * rank)


def _preset(name: str, center: bool | None, singular: bool | None) -> Preset:
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    given = {"center": center, "singular": singular}
    return dataclasses.replace(PRESETS[name], **{k: v for k, v in given.items() if v is not None})


def _stream(source: Source) -> CovarianceStream:
    if isinstance(source, CovarianceStream):
        return source
    if not isinstance(source, Tensor):
        raise wrong_type("features", type(source).__name__, "a tensor or a CovarianceStream")
    if source.ndim != 2:
        raise wrong("features", f"shape {tuple(source.shape)}", "shape (M, d)")
    return CovarianceStream(source.shape[1], source.device).update(source)


def _given(values: Tensor) -> Tensor:
    wide = values.detach().double()
    if len(wide) < 1 or not wide.isfinite().all() or (wide < 0).any() or wide.sum() == 0:
        raise wrong("eigenvalues", f"{wide[:4].tolist()}", "finite values, at least 0, not all 0")
    return wide.sort(descending=True).values
