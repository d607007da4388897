"""Correlations of two columns under many weightings of the rows at once, for the bootstrap.

A bootstrap sample is how often each row was drawn, W `(B, N)`. With S_ij = sign(x_i - x_j) the
average rank of row i in such a sample is ((W S^T)_i + sum of W + 1) / 2, and Kendall's tau-b is a
ratio of W^T (S_x S_y) W to the same of S_x S_x and S_y S_y: ties within the sample, repeated rows
among them, are counted as tau-b counts them. So no sample is built or sorted: O(B N^2) products,
and memory of a few N x N and B x N matrices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NOTHING = 1e-9  # share of a column's variance left, below which it is constant


def signs(x: Floats) -> Floats:
    """`(N, N)` signs of the differences.

    Example:
        >>> signs(np.array([1.0, 3.0])).tolist()
        [[0.0, -1.0], [1.0, 0.0]]
    """
    return np.sign(x[:, None] - x)


def ranks(weights: Floats, sign: Floats) -> Floats:
    """`(B, N)` average ranks of the rows in each sample; from 1 for the least.

    Example:
        >>> ranks(np.ones((1, 3)), signs(np.array([5.0, 1.0, 5.0]))).tolist()
        [[2.5, 1.0, 2.5]]
    """
    return (weights @ sign.T + weights.sum(1, keepdims=True) + 1) / 2


def pearson(weights: Floats, x: Floats, y: Floats) -> Floats:
    """`(B,)` correlations of columns `(N,)` or `(B, N)`; NaN where one does not vary.

    Example:
        >>> column = np.array([1.0, 2.0, 4.0])
        >>> pearson(np.ones((1, 3)), column, -column).round(9).tolist()
        [-1.0]
    """
    share = weights / weights.sum(1, keepdims=True)
    x, y = (np.broadcast_to(v / (np.abs(v).max() or 1.0), weights.shape) for v in (x, y))
    dx, dy = (v - (share * v).sum(1, keepdims=True) for v in (x, y))
    vx, vy = (share * dx * dx).sum(1), (share * dy * dy).sum(1)
    # a column far from 0 leaves rounding where it does not vary
    still = (vx <= 1e-20 * (share * x * x).sum(1)) | (vy <= 1e-20 * (share * y * y).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (share * dx * dy).sum(1) / np.sqrt(vx * vy)
    return np.where(still, np.nan, np.clip(found, -1, 1))


def kendall(weights: Floats, sign_x: Floats, sign_y: Floats) -> Floats:
    """`(B,)` tau-b; NaN where a column does not vary.

    Example:
        >>> rising, falling = signs(np.arange(3.0)), signs(-np.arange(3.0))
        >>> kendall(np.ones((1, 3)), rising, falling).tolist()
        [-1.0]
    """
    both, own_x, own_y = (
        ((weights @ product) * weights).sum(1)
        for product in (sign_x * sign_y, sign_x * sign_x, sign_y * sign_y)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(own_x * own_y > 0, both / np.sqrt(own_x * own_y), np.nan)


def partial(weights: Floats, x: Floats, y: Floats, design: Floats) -> Floats:
    """`(B,)` correlations of what is left of `x` and `y` after a linear fit on a design.

    Args:
        weights: `(B, N)`.
        x: `(N,)` or `(B, N)`.
        y: the same.
        design: `(N, p)`, a column of ones within its span; columns may depend on one another.

    NaN where the design explains a column.

    Example:
        >>> level = np.array([0.0, 0.0, 1.0, 1.0])
        >>> design = np.stack([1 - level, level], 1)
        >>> x, y = np.array([1.0, 2.0, 11.0, 12.0]), np.array([4.0, 3.0, 9.0, 8.0])
        >>> partial(np.ones((1, 4)), x, y, design).round(9).tolist()
        [-1.0]
    """
    normal = np.einsum("np,bn,nq->bpq", design, weights, design, optimize=True)
    inverse = np.linalg.pinv(normal, rcond=1e-10, hermitian=True)
    left = []
    for column in (x, y):
        wide = np.broadcast_to(column, weights.shape)
        wide = wide - wide.mean(1, keepdims=True)
        fit = np.einsum("bpq,bq->bp", inverse, (weights * wide) @ design)
        rest = wide - fit @ design.T
        whole = (weights * wide * wide).sum(1)
        gone = (weights * rest * rest).sum(1) <= _NOTHING * whole
        left.append(np.where(gone[:, None], 0.0, rest))
    return pearson(weights, *left)


def levels(*columns: NDArray[np.object_]) -> Floats:
    """`(N, p)` indicator of each level of each column, the design of a partial correlation.

    Example:
        >>> levels(np.array(["a", "b", "a"], dtype=object)).tolist()
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    parts = []
    for column in columns:
        kinds = sorted(set(column.tolist()), key=str)
        parts.append(np.array([[value == kind for kind in kinds] for value in column], float))
    return np.concatenate(parts, axis=1)
