"""Kraskov, Stoegbauer and Grassberger, Estimating mutual information (Phys. Rev. E 69, 2004).

With eps(i) the distance from (x_i, y_i) to its k-th neighbour, max-norm over both:

variant 1: I = psi(k) + psi(N) - mean[psi(n_x + 1) + psi(n_y + 1)], where n_x counts the other
rows with |x_j - x_i| < eps(i), max-norm within x.

variant 2: I = psi(k) - 1/k + psi(N) - mean[psi(n_x) + psi(n_y)], where n_x counts the other
rows with |x_j - x_i| <= eps_x(i), the largest distance in x among the k neighbours.

Good up to three columns or so; needs about e^I rows, so strong dependence is underestimated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from narrows.errors import wrong
from narrows.measure.mi.counting import count_both
from narrows.measure.mi.neighbours import nearest, untied
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
_WIDE = 15  # columns beyond which distances tell little
_REPEATED = 0.2  # share of tied values from which a variable looks discrete


def ksg(x: Floats, y: Floats, *, k: int = 3, variant: int = 1, seed: int = 0) -> Estimate:
    """Mutual information of two continuous samples by nearest neighbours.

    Memory: O(N k), and up to 32 MB a column where x or y has several (see `counting`).

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        k: neighbours; few for little bias, many for little variance.
        variant: 1 or 2.
        seed: of the jitter that tied values get.

    Raises:
        InvalidInput: no more than k rows, or another variant.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((500, 2))
        >>> abs(ksg(rows[:, :1], rows[:, 1:]).value) < 0.1
        True
    """
    if variant not in (1, 2):
        raise wrong("variant", repr(variant), "1 or 2")
    enough(len(x), k)
    (x, y), warnings = prepared(x, y, seed)
    distance, neighbour = nearest(np.concatenate([x, y], axis=1), k, last=variant == 1)
    n = len(x)
    if variant == 1:
        radius = distance[:, -1]
        n_x, n_y = count_both(x, radius, y, radius)  # the row itself is the + 1
        constant = digamma(k) + digamma(n)
    else:
        sides = [np.abs(one[neighbour] - one[:, None]).max((1, 2)) for one in (x, y)]
        # d <= side is d < the next number up; the row itself is taken off
        up = [np.nextafter(side, np.inf) for side in sides]
        n_x, n_y = (count - 1 for count in count_both(x, up[0], y, up[1]))
        constant = digamma(k) - 1 / k + digamma(n)
    local = constant - digamma(n_x) - digamma(n_y)
    return summed(local, warnings, {"k": k, "variant": variant})


def summed(local: Floats, warnings: tuple[str, ...], settings: dict[str, Any]) -> Estimate:
    """The mean of local terms, with its standard error, ceiling and the warning it earns."""
    n = len(local)
    value, ceiling = float(local.mean()), math.log(n)
    if value > ceiling - 2:
        warnings += (
            f"{value:.2f} nats is within 2 of log N = {ceiling:.2f}: neighbours underestimate so "
            "strong a dependence; if y is a function of x the truth is infinite",
        )
    return Estimate(value, float(local.std(ddof=1) / math.sqrt(n)), ceiling, warnings, settings)


def enough(n: int, k: int) -> None:
    """Refuse k below 1 or not below the number of rows."""
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise wrong("k", repr(k), "a whole number, 1 or more")
    if n < k + 1:
        raise wrong("x", f"{n} rows", f"at least k + 1 = {k + 1}")


def prepared(x: Floats, y: Floats, seed: int) -> tuple[tuple[Floats, Floats], tuple[str, ...]]:
    """Both samples without ties, and what to say about them."""
    generator = np.random.default_rng(seed)
    warnings: tuple[str, ...] = ()
    out = []
    for name, values in (("x", x), ("y", y)):
        free, tied = untied(values, generator)
        out.append(free)
        if tied:
            warnings += (f"{name}: {tied} tied values were moved by 1e-10 deviations",)
        if tied > _REPEATED * values.size:
            warnings += (
                f"{name} looks discrete ({tied} of {values.size} values tied): "
                f"say {name}_kind='discrete', or use method 'mixed'",
            )
    wide = x.shape[1] + y.shape[1]
    if wide > min(_WIDE, len(x)):
        warnings += (
            f"{wide} columns for {len(x)} rows: distances tell little there; "
            "use 'sliced', 'gaussian' or a neural bound",
        )
    return (out[0], out[1]), warnings
