"""Differential entropy from distances to neighbours.

Kozachenko and Leonenko (1987), with r the Euclidean distance to the k-th of N - 1 other rows and
V_d the volume of the unit ball: h = -psi(k) + psi(N) + log V_d + (d/N) sum log r.

Weighted (Berrett, Samworth and Yuan, Annals of Statistics 2019): sum_j w_j h_j over neighbours
j = 1..k, with sum_j w_j = 1 and sum_j w_j Gamma(j + 2l/d) / Gamma(j) = 0 for l = 1..floor(d/4),
so that the leading terms of the bias cancel; the smallest such w, on j = floor(i k/d), i = 1..d.
Up to three columns there is nothing to cancel and w = (1, 0, ...). Here the terms use
psi(N) and not log(N - 1), which differ by 1/2N. The weights change sign, and from eight columns
on they are large: sum |w| is 3 for five columns, 33 for eight and 755 for twelve with k = 5. What
they take off the bias they then add to the noise, unless N is very large.

Rows are whitened first and the log determinant is added back: linear maps change nothing else.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong
from narrows.measure.mi.gram import pieces, squared
from narrows.measure.mi.kde import covariance_root, whitened
from narrows.measure.mi.ksg import enough
from narrows.measure.mi.neighbours import untied
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
_LARGE = 10  # sum of the weights' sizes that earns a warning
_TREE = 8  # columns up to which a tree beats all distances


def knn_entropy(x: Floats, *, k: int = 3, whiten: bool = True, seed: int = 0) -> Estimate:
    """Kozachenko-Leonenko entropy.

    O(N k) memory up to eight columns (a tree); beyond, O(N^2 d) time in pieces of 4 MB.

    Args:
        x: `(N, d)`.
        k: neighbours.
        whiten: take distances after whitening.
        seed: of the jitter that tied values get.

    Raises:
        InvalidInput: no more than k rows; columns that others determine.

    Example:
        >>> cube = np.random.default_rng(0).random((2000, 2))
        >>> abs(knn_entropy(cube).value) < 0.1
        True
    """
    weights = np.zeros(k)
    weights[-1:] = 1
    return _entropy(x, weights, whiten, seed, {"k": k, "whiten": whiten})


def weighted_entropy(x: Floats, *, k: int = 5, whiten: bool = True, seed: int = 0) -> Estimate:
    """Weighted Kozachenko-Leonenko entropy, for five to seven columns or very many rows.

    Memory and time as `knn_entropy`.

    Args:
        x: `(N, d)`.
        k: neighbours at most; 1 + floor(d/4) or more.
        whiten: take distances after whitening.
        seed: of the jitter that tied values get.

    Raises:
        InvalidInput: no more than k rows; columns that others determine; too few neighbours.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((2000, 6))
        >>> round(abs(weighted_entropy(rows).value - 8.5136), 1) <= 0.2
        True
    """
    enough(len(x), k)
    weights = berrett(k, x.shape[1])
    found = _entropy(x, weights, whiten, seed, {"k": k, "whiten": whiten})
    size = float(np.abs(weights).sum())
    if size < _LARGE:
        return found
    note = f"weights of size {size:.0f} in all amplify the noise of single distances; compare 'knn'"
    return dataclasses.replace(found, warnings=(*found.warnings, note))


def berrett(k: int, d: int) -> Floats:
    """`(k,)` weights of the neighbours in d dimensions.

    Example:
        >>> berrett(3, 2).tolist()
        [1.0, 0.0, 0.0]
    """
    from scipy.special import gammaln

    weights = np.zeros(k)
    if d < 4:
        weights[0] = 1
        return weights
    used = np.unique(np.arange(1, d + 1) * k // d)
    used = used[used > 0]
    orders = np.arange(d // 4 + 1)[:, None]
    if len(used) < len(orders):
        raise wrong("k", str(k), f"{len(orders)} neighbours or more for {d} columns")
    moments = np.exp(gammaln(used + 2 * orders / d) - gammaln(used))
    target = np.zeros(len(orders))
    target[0] = 1
    # lines of one size each: the moments grow with the order
    size = moments.max(1)
    weights[used - 1] = np.linalg.lstsq(moments / size[:, None], target / size, rcond=None)[0]
    return weights


def _entropy(
    x: Floats, weights: Floats, whiten: bool, seed: int, settings: dict[str, int | bool]
) -> Estimate:
    from scipy.special import digamma, gammaln

    n, d = x.shape
    enough(n, len(weights))
    x, tied = untied(x, np.random.default_rng(seed))
    warnings: tuple[str, ...] = ()
    if tied:
        warnings = (f"x: {tied} tied values were moved by 1e-10 deviations",)
    if tied > 0.2 * x.size:
        warnings += (
            f"x looks discrete ({tied} of {x.size} values tied), and a discrete variable has no "
            "density: say kind='discrete' and method='plugin'",
        )
    if d > min(15, n):
        warnings += (f"{d} columns for {n} rows: distances tell little there; use 'gaussian'",)
    root = covariance_root(x, "x") if whiten else np.eye(d)
    far = near_distances(whitened(x, root), len(weights))
    # for a weight of 0 the distance does not matter, even if it were 0
    used = np.flatnonzero(weights)
    if (far[:, used] == 0).any():
        raise wrong(
            "x",
            "rows that coincide to the last digit once whitened",
            "no outliers of 1e15 deviations, or whiten=False",
        )
    ball = d / 2 * math.log(math.pi) - gammaln(d / 2 + 1)
    each = digamma(n) - digamma(used + 1) + ball + d * np.log(far[:, used])
    local = each @ weights[used] + float(np.log(np.diag(root)).sum())
    stderr = float(local.std(ddof=1) / math.sqrt(n))
    return Estimate(float(local.mean()), stderr, warnings=warnings, settings=settings)


def near_distances(x: Floats, k: int) -> Floats:
    """`(N, k)` Euclidean distances to the nearest other rows, nearest first."""
    if x.shape[1] <= _TREE:
        from scipy.spatial import cKDTree

        return np.asarray(cKDTree(x).query(x, k=np.arange(2, k + 2), workers=-1)[0])
    out = np.empty((len(x), k))
    for of in pieces(len(x)):
        far = squared(x[of], x)
        far[np.arange(len(far)), np.arange(of.start, of.stop)] = np.inf
        out[of] = np.sqrt(np.sort(np.partition(far, k - 1, axis=1)[:, :k], axis=1))
    return out
