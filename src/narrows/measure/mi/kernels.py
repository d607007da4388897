"""Dependence by kernels and distances: zero in the limit only for independent variables.

HSIC (Gretton, Bousquet, Smola and Schoelkopf 2005): tr(KHLH)/(N - 1)^2, with H = I - 1/N.

nHSIC: tr(KHLH) / sqrt(tr(KHKH) tr(LHLH)), between 0 and 1: the centred kernel alignment of
Cortes et al. (2012), known as CKA. The HSIC bottleneck's normalised form, with the inverse of
K + eps N I, is another and needs O(N^3).

Distance correlation (Szekely, Rizzo and Bakirov 2007): the square root of the same ratio, with
Euclidean distances in place of kernels.

All three are V-statistics: positive on finite samples without dependence, so compare with
`permutation_null`. None is in nats. Each takes O(N^2) time, and O(N) memory beyond some 20 MB of
pieces.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong
from narrows.measure.mi.gram import Sums, distances, equality, kernel_of, sums
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
_FLAT = 1e-13  # share of what centring leaves that is rounding


def hsic(
    x: Floats,
    y: Floats,
    *,
    x_width: float | None = None,
    y_width: float | None = None,
    x_kind: str = "continuous",
    y_kind: str = "continuous",
) -> Estimate:
    """Hilbert-Schmidt independence criterion, Gaussian kernels; equality for discrete ones.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        x_width: of x's kernel; the median distance by default.
        y_width: of y's.
        x_kind: continuous or discrete.
        y_kind: the same.

    Example:
        >>> pair = np.array([[0.0], [1.0]])
        >>> round(hsic(pair, pair, x_width=1.0, y_width=1.0).value, 6)
        0.154818
    """
    found, settings = _sums(x, y, (x_width, y_width), (x_kind, y_kind))
    return Estimate(found.centred()[0] / (len(x) - 1) ** 2, settings=settings)


def nhsic(
    x: Floats,
    y: Floats,
    *,
    x_width: float | None = None,
    y_width: float | None = None,
    x_kind: str = "continuous",
    y_kind: str = "continuous",
) -> Estimate:
    """`hsic` between 0 and 1: 1 for kernels that agree up to scale.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        x_width: of x's kernel; the median distance by default.
        y_width: of y's.
        x_kind: continuous or discrete.
        y_kind: the same.

    Raises:
        InvalidInput: a width so large that a kernel is the same for all rows.

    Example:
        >>> rows = np.array([[0.0], [1.0], [3.0]])
        >>> round(nhsic(rows, 2 * rows).value, 6)
        1.0
    """
    found, settings = _sums(x, y, (x_width, y_width), (x_kind, y_kind))
    return Estimate(_ratio(found), ceiling=1.0, settings=settings)


def distance_correlation(
    x: Floats, y: Floats, *, x_kind: str = "continuous", y_kind: str = "continuous"
) -> Estimate:
    """Between 0 and 1; 1 for orthogonal maps with shifts and scale. Discrete: 0 or 1 apart.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        x_kind: continuous or discrete.
        y_kind: the same.

    Example:
        >>> rows = np.array([[0.0], [1.0], [3.0]])
        >>> round(distance_correlation(rows, 5 - 2 * rows).value, 6)
        1.0
    """
    of_x, of_y = (
        distances(one) if kind == "continuous" else equality(one)
        for one, kind in ((x, x_kind), (y, y_kind))
    )
    # centred, 1 - equality is equality but for the sign
    swap = -1.0 if (x_kind == "discrete") != (y_kind == "discrete") else 1.0
    found = sums(of_x, of_y, len(x))
    return Estimate(math.sqrt(max(swap * _ratio(found), 0.0)), ceiling=1.0)


def _sums(
    x: Floats, y: Floats, widths: tuple[float | None, float | None], kinds: tuple[str, str]
) -> tuple[Sums, dict[str, Any]]:
    of_x, x_width = kernel_of(x, kinds[0], widths[0])
    of_y, y_width = kernel_of(y, kinds[1], widths[1])
    return sums(of_x, of_y, len(x)), {"x_width": x_width, "y_width": y_width}


def _ratio(found: Sums) -> float:
    both, x, y = found.centred()
    for name, own, whole in (("x", x, found.xx), ("y", y, found.yy)):
        if own <= _FLAT * whole:
            raise wrong(f"{name}_width", "a kernel alike for all rows", "a smaller width")
    return min(1.0, both / math.sqrt(x * y))
