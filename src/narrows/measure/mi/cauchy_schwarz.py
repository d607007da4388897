"""Cauchy-Schwarz quadratic mutual information (Principe 2010; Yu et al., ICLR 2024, prop. 2).

The Cauchy-Schwarz divergence of the joint density from the product of its margins, with Gaussian
kernel matrices K of x and L of y:

I = log[tr(KL) / N^2] + log[(1'K1)(1'L1) / N^4] - 2 log[1'KL1 / N^3].

With a kernel of width s the limit belongs to the densities blurred by s / sqrt(2). For a normal
pair that is log[(4 - r^2) / (4 sqrt(1 - r^2))] with r = rho / (1 + s^2/2).

Normalised: I(x;y) / sqrt(I(x;x) I(y;y)), between 0 and 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong
from narrows.measure.mi.gram import kernel_of, sums
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]


def cauchy_schwarz(
    x: Floats,
    y: Floats,
    *,
    x_width: float | None = None,
    y_width: float | None = None,
    normalized: bool = False,
    x_kind: str = "continuous",
    y_kind: str = "continuous",
) -> Estimate:
    """Cauchy-Schwarz information; depends on the widths and, biased up, on N.

    O(N^2) time, O(N) memory beyond some 20 MB of pieces.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        x_width: of x's kernel; the median distance by default. A discrete x has equality instead.
        y_width: of y's.
        normalized: as a share of the geometric mean of what x and y tell of themselves.
        x_kind: continuous or discrete.
        y_kind: the same.

    Raises:
        InvalidInput: a width not above 0; normalized, one so large that nothing varies.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((200, 1))
        >>> round(cauchy_schwarz(rows, rows, normalized=True).value, 6)
        1.0
    """
    of_x, x_width = kernel_of(x, x_kind, x_width)
    of_y, y_width = kernel_of(y, y_kind, y_width)
    found = sums(of_x, of_y, len(x))
    value = _divergence(found.xy, found.x, found.y)
    ceiling = math.inf
    if normalized:
        own = _divergence(found.xx, found.x, found.x) * _divergence(found.yy, found.y, found.y)
        if own <= 0:
            raise wrong("x_width", "kernels alike for all rows", "smaller widths")
        value, ceiling = min(1.0, value / math.sqrt(own)), 1.0
    settings = {"x_width": x_width, "y_width": y_width, "normalized": normalized}
    return Estimate(value, ceiling=ceiling, settings=settings)


def _divergence(both: float, x: Floats, y: Floats) -> float:
    n = len(x)
    apart = math.log(x.mean() / n) + math.log(y.mean() / n)
    return math.log(both / n**2) + apart - 2 * math.log(float(x @ y) / n**3)
