"""Local non-uniformity correction of nearest neighbours (Gao, Ver Steeg and Galstyan 2015).

KSG takes the density as even in the box around a row's k neighbours. Under strong dependence they
lie along a line, and the box is mostly empty: the information is underestimated. With V the volume
of the box and V' that of the box turned along the neighbours' principal axes,

I = I_KSG - (1/N) sum log(V'/V), over the rows where V'/V < alpha.

I_KSG of m columns is psi(k) - (m-1)/k + (m-1) psi(N) - mean sum_j psi(n_j), n_j the other rows
within the neighbours' largest distance in column j. That is the total correlation of the columns;
for several columns a side, I = TC(x, y) - TC(x) - TC(y), which asks for more neighbours: a dozen.

alpha is the ratio that k rows spread evenly in a box fall below once in 200 times, found by
simulation as in the paper.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from narrows.errors import wrong
from narrows.measure.mi.counting import count_within
from narrows.measure.mi.ksg import enough, prepared
from narrows.measure.mi.neighbours import nearest
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
_RARE = 0.005
_TRIALS = 50_000
_LINE = 25  # nats: a box thinner than 1e-10 of its length is one of rounding


def lnc(x: Floats, y: Floats, *, k: int = 5, alpha: float | None = None, seed: int = 0) -> Estimate:
    """Mutual information by neighbours, corrected where they lie along a line.

    O(N k d + N d^3) memory and time beside the neighbour search.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        k: neighbours; more than the columns in all, so that they can span a turned box.
        alpha: ratio of volumes from which on a row is corrected; by default from simulation.
        seed: of the jitter that tied values get.

    Raises:
        InvalidInput: no more than k rows; no more neighbours than columns; alpha outside [0, 1].

    Example:
        >>> x = np.random.default_rng(0).random((500, 1))
        >>> y = x + 1e-4 * np.random.default_rng(1).random((500, 1))
        >>> found = lnc(x, y).value
        >>> bool(abs(found + np.log(1e-4)) < 0.5)
        True
    """
    wide = x.shape[1] + y.shape[1]
    enough(len(x), k)
    if k <= wide:
        raise wrong("k", str(k), f"more than the {wide} columns of x and y together")
    if alpha is not None and not 0 <= alpha <= 1:
        raise wrong("alpha", repr(alpha), "a ratio between 0 and 1")
    (x, y), warnings = prepared(x, y, seed)
    found = total_correlation(np.concatenate([x, y], axis=1), k, alpha)
    for one in (x, y):
        if one.shape[1] > 1:
            found = found - total_correlation(one, k, alpha)
    value = float(found.mean())
    if value > _LINE:
        value = math.inf
        warnings += (
            "neighbours lie on a line to the last digits: y is a function of x, and the "
            "information infinite",
        )
    stderr = float(found.std(ddof=1) / math.sqrt(len(x)))
    settings = {"k": k, "alpha": threshold(k, wide) if alpha is None else alpha}
    return Estimate(value, stderr, warnings=warnings, settings=settings)


def total_correlation(rows: Floats, k: int, alpha: float | None) -> Floats:
    """`(N,)` corrected local terms of the columns' total correlation."""
    n, m = rows.shape
    _, neighbour = nearest(rows, k)
    apart = rows[neighbour] - rows[:, None]
    side = np.abs(apart).max(1)
    local = np.full(n, digamma(k) - (m - 1) / k + (m - 1) * digamma(n))
    for j in range(m):
        # distance <= side is below the next number up; the row itself is taken off
        reach = np.nextafter(side[:, j], np.inf)
        local -= digamma(count_within(rows[:, j : j + 1], reach) - 1)
    ratio = log_ratio(apart)
    limit = threshold(k, m) if alpha is None else alpha
    with np.errstate(divide="ignore"):
        thin = ratio < np.log(limit)
    return np.where(thin, local - ratio, local)


def log_ratio(apart: Floats) -> Floats:
    """`(N,)` log volume of the turned box less that of the straight one.

    Args:
        apart: `(N, k, m)` neighbours as seen from their row.
    """
    _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", apart, apart))
    turned = np.abs(apart @ axes).max(1)
    least = np.finfo(np.float64).tiny  # rows exactly on a line have no volume
    straight = np.abs(apart).max(1)
    return np.asarray(np.log(np.maximum(turned, least) / np.maximum(straight, least)).sum(1))


@functools.lru_cache(maxsize=64)
def threshold(k: int, m: int) -> float:
    """The ratio that k even rows in a box of m columns fall below once in 200 times.

    Example:
        >>> 0 < threshold(5, 2) < 1
        True
    """
    generator = np.random.default_rng(0)
    drawn = generator.uniform(-1, 1, (_TRIALS, k, m))
    return float(np.exp(np.quantile(log_ratio(drawn), _RARE)))
