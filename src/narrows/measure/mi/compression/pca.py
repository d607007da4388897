"""Principal components as a compressor."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from narrows.errors import wrong
from narrows.measure.mi.compression.compressor import Floats, flat_rows, rows_to_learn

_STILL = 1e-12  # of the largest variance: directions below it are rounding


@dataclasses.dataclass(frozen=True, eq=False)
class FittedPCA:
    """Principal components that were found.

    Attributes:
        mean: `(d,)` of the rows.
        directions: `(d, k)` orthonormal, of largest variance first.
        variances: `(k,)` along them.
        warnings: what was left out.
    """

    mean: Floats
    directions: Floats
    variances: Floats
    warnings: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        """Components in use; fewer than asked for where the rows span fewer."""
        return int(self.directions.shape[1])

    def encode(self, x: Any) -> Floats:
        """`(N, k)` coordinates along the components."""
        rows = flat_rows("x", x)
        if rows.shape[1] != len(self.mean):
            raise wrong("x", f"{rows.shape[1]} columns", f"the {len(self.mean)} it was fitted on")
        return np.asarray((rows - self.mean) @ self.directions)

    def decode(self, codes: Floats) -> Floats:
        """`(N, d)` rows nearest to the codes."""
        return np.asarray(codes @ self.directions.T + self.mean)

    def __repr__(self) -> str:
        return f"FittedPCA({len(self.mean)} columns to {self.k})"


@dataclasses.dataclass(frozen=True)
class PCACompressor:
    """The k directions of largest variance.

    Of all linear maps to k numbers it loses the least of the variance, and what it loses is
    known: the variance of the other directions. Few numbers are fitted, so the rows that are
    measured may be the ones it is fitted on.

    O(N d min(N, d)) time, O(min(N, d)^2) memory beside the rows.

    Args:
        k: components.

    Raises:
        InvalidInput: k below 1 or above the number of columns (in `fit`); no more than k rows;
            rows that are all alike.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((100, 3)) * [5, 1, 0.1]
        >>> PCACompressor(2).fit(rows).encode(rows).shape
        (100, 2)
    """

    k: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise wrong("k", repr(self.k), "a whole number, 1 or more")

    @property
    def in_sample(self) -> bool:
        """Yes: few numbers are fitted."""
        return True

    def fit(self, x: Any) -> FittedPCA:
        """Find the components of `(N, ...)` rows."""
        rows = rows_to_learn(x, self.k)
        mean = rows.mean(0)
        # Against a largest value of 1, no square overflows.
        size = float(np.abs(rows - mean).max())
        variances, directions = _largest((rows - mean) / size, self.k)
        moving = variances > _STILL * variances[0]
        warnings: tuple[str, ...] = ()
        if not moving.all():
            warnings = (f"the rows span {int(moving.sum())} directions, fewer than k = {self.k}",)
        kept = directions[:, moving]
        # Signs are free: the largest entry is positive.
        top = np.abs(kept).argmax(0)
        kept = kept * np.sign(kept[top, np.arange(kept.shape[1])])
        return FittedPCA(mean, kept, variances[moving] * size**2, warnings)


def _largest(centred: Floats, k: int) -> tuple[Floats, Floats]:
    """The k largest variances and their directions `(d, k)`, from the smaller of both Grams."""
    from scipy.linalg import eigh

    n, d = centred.shape
    wide = d > n
    gram = centred @ centred.T if wide else centred.T @ centred
    values, vectors = eigh(gram, subset_by_index=[len(gram) - k, len(gram) - 1])
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    if wide:
        vectors = centred.T @ vectors
        size = np.sqrt((vectors**2).sum(0))
        vectors = vectors / np.where(size > math.sqrt(_STILL) * size.max(), size, 1)
    return values / (n - 1), np.ascontiguousarray(vectors)
