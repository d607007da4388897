"""Bounds on the information a noisy output keeps of its input (Kolchinsky and Tracey 2017).

T = f(X) + normal noise of variance s^2 in each column. Over N inputs T is a mixture of N normal
densities, and with D_ij = |f(x_i) - f(x_j)|^2

upper: -mean_i log mean_j exp(-D_ij / 2 s^2)   (from Kullback-Leibler divergences)
lower: -mean_i log mean_j exp(-D_ij / 8 s^2)   (from Bhattacharyya distances)

Both are exact bounds for X uniform over the N inputs themselves. They lie in [0, log N], so inputs
drawn from a wider population need many rows: information near log N is cut off there.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong
from narrows.measure.mi.discrete import codes
from narrows.measure.mi.gram import pieces, shrunk, squared
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
_NEAR = 0.05  # nats below log N that count as at the ceiling


@dataclasses.dataclass(frozen=True)
class BothSides:
    """Information of an output plus noise with its input, from both sides.

    Attributes:
        lower: in nats.
        upper: in nats.
        lower_stderr: standard error of the mean over rows, for rows drawn from a population; where
            the rows are all inputs there are, the bounds have none.
        upper_stderr: the same for the upper.
    """

    lower: float
    upper: float
    lower_stderr: float = math.nan
    upper_stderr: float = math.nan


def mixture_bounds(t: Floats, noise: float) -> BothSides:
    """Both bounds on I(X; f(X) + noise) in one pass.

    O(N^2 d) time; pieces of 4 MB.

    Args:
        t: `(N, d)` outputs f(x) before noise.
        noise: variance of the noise in each column, above 0.

    Raises:
        InvalidInput: a variance not above 0, or values not finite.

    Example:
        >>> far = np.arange(4.0)[:, None] * 100
        >>> bounds = mixture_bounds(far, 1.0)
        >>> round(bounds.lower, 6), round(bounds.upper, 6), round(math.log(4), 6)
        (1.386294, 1.386294, 1.386294)
    """
    t = np.asarray(t, dtype=np.float64)
    t = t.reshape(len(t), -1)
    if not 0 < noise < math.inf:
        raise wrong("noise", repr(noise), "a variance above 0")
    if not np.isfinite(t).all():
        raise wrong("t", "a value that is not finite", "finite outputs")
    scaled = (t - t.mean(0)) / math.sqrt(8 * noise)
    near = np.empty((2, len(t)))
    for of in pieces(len(t)):
        close = shrunk(squared(scaled[of], scaled), most=175)
        near[0, of] = close.mean(1)
        close **= 4  # a quarter of the exponent's denominator
        near[1, of] = close.mean(1)
    local = -np.log(near)  # a row meets itself, so no mean is 0
    stderr = local.std(1) / math.sqrt(len(t))
    low, high = np.clip(local.mean(1), 0, math.log(len(t)))
    return BothSides(float(low), float(high), float(stderr[0]), float(stderr[1]))


def mixture_upper(x: Floats, y: Floats, *, noise: float = 1e-3) -> Estimate:
    """Upper bound on I(x; y + noise) for y a function of x.

    Args:
        x: `(N, dx)` inputs; used only to see that equal ones have equal outputs.
        y: `(N, dy)` outputs before noise.
        noise: variance of the noise; by default that of Saxe et al. (2018), for activations in
            [-1, 1].

    Raises:
        InvalidInput: a variance not above 0; two outputs for one input.

    Example:
        >>> rows = np.arange(4.0)[:, None]
        >>> 0 < mixture_lower(rows, rows, noise=1.0).value < mixture_upper(rows, rows).value
        True
    """
    found = _bounds(x, y, noise)
    return _estimate(found.upper, found.upper_stderr, len(y), noise)


def mixture_lower(x: Floats, y: Floats, *, noise: float = 1e-3) -> Estimate:
    """Lower bound on I(x; y + noise) for y a function of x.

    Args:
        x: `(N, dx)` inputs; used only to see that equal ones have equal outputs.
        y: `(N, dy)` outputs before noise.
        noise: variance of the noise; by default that of Saxe et al. (2018), for activations in
            [-1, 1].

    Raises:
        InvalidInput: a variance not above 0; two outputs for one input.

    Example:
        >>> rows = np.arange(4.0)[:, None]
        >>> round(mixture_lower(rows, rows).value, 6)
        1.386294
    """
    found = _bounds(x, y, noise)
    return _estimate(found.lower, found.lower_stderr, len(y), noise)


def _bounds(x: Floats, y: Floats, noise: float) -> BothSides:
    inputs = codes(x)
    if len(np.unique(inputs)) < len(inputs):
        _, first = np.unique(inputs, return_index=True)
        unlike = (y != y[first][inputs]).any(1)
        if unlike.any():
            raise wrong(
                "y",
                f"another output at row {int(np.flatnonzero(unlike)[0])} for the same x",
                "a function of x, before noise",
            )
    return mixture_bounds(y, noise)


def _estimate(value: float, stderr: float, n: int, noise: float) -> Estimate:
    ceiling = math.log(n)
    warnings: tuple[str, ...] = ()
    if value > ceiling - _NEAR:
        warnings = (
            f"{value:.2f} nats is the ceiling log N = {ceiling:.2f}: the noise is below the "
            "distances between rows; use more noise or more rows",
        )
    return Estimate(value, stderr, ceiling, warnings, {"noise": noise})
