"""Matrix-based Renyi information (Sanchez Giraldo, Rao and Principe 2015; Yu et al. 2019).

With A = K / tr K of a kernel matrix with ones on its diagonal and its eigenvalues l_i:

S_a(A) = log(sum l_i^a) / (1 - a), S_1(A) = -sum l_i log l_i,
I = S_a(A) + S_a(B) - S_a(A * B / tr(A * B)), entry by entry.

a = 1.01 comes near Shannon's entropy in form. The value depends on the kernel's width: a small
one makes every row its own state and the value log N, a large one makes all rows one state.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong
from narrows.measure.mi.gram import Kernel, kernel_of, pieces
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
MOST = 5000  # rows; the eigenvalues of three matrices of that size take minutes


def renyi(
    x: Floats,
    y: Floats,
    *,
    alpha: float = 1.01,
    x_width: float | None = None,
    y_width: float | None = None,
    x_kind: str = "continuous",
    y_kind: str = "continuous",
) -> Estimate:
    """Matrix-based Renyi information of order alpha.

    O(N^3) time and three N x N matrices of memory: 600 MB at the most rows it takes.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        alpha: order, above 0; 1 is von Neumann's entropy.
        x_width: of x's Gaussian kernel; the median distance by default. A discrete x has
            equality as its kernel instead, for which the entropy is that of its shares.
        y_width: of y's.
        x_kind: continuous or discrete.
        y_kind: the same.

    Raises:
        InvalidInput: more than 5,000 rows, or an order not above 0.

    Example:
        >>> codes = np.arange(60.0)[:, None] % 3
        >>> round(renyi(codes, codes, x_kind="discrete", y_kind="discrete").value, 6)
        1.098612
    """
    if not 0 < alpha < math.inf:
        raise wrong("alpha", repr(alpha), "a number above 0")
    if len(x) > MOST:
        raise wrong(
            "x",
            f"N = {len(x):,} rows",
            f"at most {MOST:,} for 'renyi', which takes eigenvalues of N x N matrices; "
            "use a random part of the rows, or 'cauchy_schwarz' or 'hsic'",
        )
    of_x, x_width = kernel_of(x, x_kind, x_width)
    of_y, y_width = kernel_of(y, y_kind, y_width)
    k, l = _matrix(of_x, len(x)), _matrix(of_y, len(x))  # noqa: E741  # the letters of the papers
    value = matrix_entropy(k, alpha) + matrix_entropy(l, alpha) - matrix_entropy(k * l, alpha)
    settings = {"alpha": alpha, "x_width": x_width, "y_width": y_width}
    return Estimate(value, ceiling=math.log(len(x)), settings=settings)


def matrix_entropy(k: Floats, alpha: float = 1.01) -> float:
    """S_alpha of a symmetric positive matrix `(N, N)`, scaled to trace 1, in nats.

    Example:
        >>> round(matrix_entropy(np.eye(4)), 6)
        1.386294
    """
    from scipy.linalg import eigvalsh

    share = eigvalsh(k / np.trace(k), check_finite=False)
    # what rounding leaves of zeros would count under small orders
    share = share[share > len(share) * np.finfo(np.float64).eps * share[-1]]
    if alpha == 1:
        return float(-(share * np.log(share)).sum())
    return float(np.log((share**alpha).sum()) / (1 - alpha))


def _matrix(rows: Kernel, n: int) -> Floats:
    return np.concatenate([rows(of) for of in pieces(n)])
