"""Information of jointly normal variables, from their canonical correlations.

I = -1/2 sum log(1 - rho_i^2), with rho_i the canonical correlations of x and y; the same number
as 1/2 log(det S_x det S_y / det S).

Sampled covariances overstate it by about dx dy / 2N. The correction subtracts the bias exactly:
for a Wishart matrix of n = N - 1 degrees of freedom, E log det exceeds the truth by
sum_{i=1..d} psi((n + 1 - i)/2) and terms that cancel here (Misra, Singh and Demchuk 2005).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
_SAME = 1e-12  # of 1 - rho^2: below it the sides share a direction


def gaussian(x: Floats, y: Floats, *, correct: bool = True) -> Estimate:
    """Mutual information under the assumption that x and y are jointly normal.

    Blind to any dependence that is not linear. O(N d^2) time, O(N d) memory. The standard error is
    sqrt(sum rho_i^2 / N + dx dy / 2N^2): the first-order term, and the one left where rho is 0.

    Args:
        x: `(N, dx)`; columns that others determine are allowed and named.
        y: `(N, dy)`.
        correct: subtract the small-sample bias.

    Raises:
        InvalidInput: no more rows than dx + dy + 1.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((5000, 2))
        >>> found = gaussian(rows[:, :1], 0.75 * rows[:, :1] + 0.4375**0.5 * rows[:, 1:])
        >>> abs(found.value - 0.4133) < 0.03
        True
    """
    n = len(x)
    left, right = directions(x), directions(y)
    wide = left.shape[1] + right.shape[1]
    if n <= wide + 1:
        raise wrong("x", f"{n} rows", f"more than dx + dy + 1 = {wide + 1} for covariances")
    warnings = tuple(
        f"{name}: {one.shape[1]} columns span {found.shape[1]} directions; the others follow"
        for name, one, found in (("x", x, left), ("y", y, right))
        if found.shape[1] < one.shape[1]
    )
    rho = np.linalg.svd(left.T @ right, compute_uv=False)
    loose = 1 - np.minimum(rho, 1) ** 2
    settings = {"correct": correct}
    if loose.min() < _SAME:
        note = "a linear function of x equals one of y: the information is infinite"
        return Estimate(math.inf, warnings=(*warnings, note), settings=settings)
    value = -0.5 * float(np.log(loose).sum())
    if correct:
        value -= bias(n, left.shape[1], right.shape[1])
    noise = float((rho**2).sum()) / n + left.shape[1] * right.shape[1] / (2 * n**2)
    return Estimate(value, math.sqrt(noise), warnings=warnings, settings=settings)


def bias(n: int, dx: int, dy: int) -> float:
    """What n rows add to the information of dx and dy normal columns, on average.

    Example:
        >>> round(bias(1001, 1, 1), 4)
        0.0005
    """
    drop = log_det_bias(n, dx) + log_det_bias(n, dy) - log_det_bias(n, dx + dy)
    return drop / 2


def directions(rows: Floats) -> Floats:
    """`(N, rank)` orthonormal columns that span the centred rows."""
    middle = (rows - rows.mean(0)) / rows.std(0)
    left, size, _ = np.linalg.svd(middle, full_matrices=False)
    kept = size > size[0] * max(rows.shape) * np.finfo(np.float64).eps
    return np.asarray(left[:, kept])


def log_det_bias(n: int, d: int) -> float:
    """E log det of d columns' covariance with n - 1 degrees, less the truth and d log(n - 1)."""
    from scipy.special import digamma

    return float(digamma((n - np.arange(1, d + 1)) / 2).sum())
