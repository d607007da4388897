"""A rank correlation over features, beside what chance gives.

Features share a dictionary and rows, so they are not independent draws, and no formula for the
standard error applies. Permuting one side keeps each side as it is and says how far a correlation
strays when there is none.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.complexity.inputs import matrix


@dataclasses.dataclass(frozen=True)
class RankCorrelation:
    """Spearman's correlation and its permutation interval.

    Attributes:
        rho: the correlation.
        chance: the middle 95 % of correlations after permutation.
        p: share of permutations at least as far from 0, the observed order counted as one.
        n: how many features.
    """

    rho: float
    chance: tuple[float, float]
    p: float
    n: int

    def __repr__(self) -> str:
        low, high = self.chance
        return f"rho {self.rho:.3f} (by chance {low:.3f} to {high:.3f}, p {self.p:.4f}, {self.n:,})"


def rank_correlation(
    a: Any, b: Any, *, generator: torch.Generator, draws: int = 2000
) -> RankCorrelation:
    """Spearman's correlation of two numbers a feature has, with a permutation interval.

    Args:
        a: `(k,)`.
        b: `(k,)`.
        generator: of the permutations, on the CPU.
        draws: permutations.

    Raises:
        InvalidInput: unequal lengths, fewer than 3 features, one side constant, NaN or infinite
            values, fewer than 20 permutations.

    Example:
        >>> rank_correlation([1, 2, 3, 4], [1, 4, 9, 16], generator=torch.Generator()).rho
        1.0
    """
    x, y = (matrix(name, v)[:, 0] for name, v in (("a", a), ("b", b)))
    if len(x) != len(y) or len(x) < 3:
        raise wrong("b", f"{len(y)} numbers", f"{len(x)}, as a has, at least 3")
    if draws < 20:
        raise wrong("draws", draws, "at least 20")
    for name, v in (("a", x), ("b", y)):
        if bool((v == v[0]).all()):
            raise wrong(name, "one value in all rows", "numbers that vary")
    first, second = _ranks(x), _ranks(y)
    rho = float(first @ second)
    orders = torch.rand(draws, len(x), generator=generator, dtype=torch.float64).argsort(1)
    drawn = second[orders] @ first
    low, high = torch.quantile(drawn, torch.tensor([0.025, 0.975], dtype=drawn.dtype)).tolist()
    far = int((drawn.abs() >= abs(rho) - 1e-12).sum())
    return RankCorrelation(min(max(rho, -1.0), 1.0), (low, high), (far + 1) / (draws + 1), len(x))


def _ranks(v: Tensor) -> Tensor:
    """Ranks, ties at their mean, centred and of length 1."""
    _, place, counts = torch.unique(v, return_inverse=True, return_counts=True)
    rank = (counts.cumsum(0) - (counts - 1) / 2)[place].double()
    centred = rank - rank.mean()
    unit: Tensor = centred / centred.norm()
    return unit
