"""Nearest neighbours in max-norm, and the care that tied values need."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_JITTER = 1e-10  # of a standard deviation


def nearest(
    points: Floats, k: int, among: Floats | None = None, last: bool = False
) -> tuple[Floats, NDArray[np.intp]]:
    """Distances and row numbers `(N, k)` of each row's k nearest other rows, nearest first.

    Args:
        points: `(N, d)`.
        k: below the number of rows.
        among: other rows to search; by default the points themselves, each without itself.
        last: only the k-th, `(N, 1)`.
    """
    from scipy.spatial import cKDTree

    # Rows in the order of a coarse curve share the tree's nodes in cache.
    order = _curve(points)
    home = order if among is None else _curve(among)
    tree = cKDTree(
        (points if among is None else among)[home], balanced_tree=False, compact_nodes=False
    )
    own = int(among is None)
    ranks = [k + own] if last else np.arange(1 + own, k + 1 + own)
    distance, place = tree.query(points[order], k=ranks, p=np.inf, workers=-1)
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return distance[back], home[place[back]]


def farthest(points: Floats, k: int) -> Floats:
    """Distance `(N,)` of each row's k-th nearest other row.

    In one column the k nearest stand beside a row in the order of values, some of them below: the
    k-th distance is the least over how many of the larger of both ends.
    """
    if points.shape[1] > 1:
        return nearest(points, k, last=True)[0][:, 0]
    order = np.argsort(points[:, 0], kind="stable")
    distance = np.empty(len(points))
    distance[order] = in_line(points[order, 0], k)
    return distance


def in_line(values: Floats, k: int, runs: NDArray[Any] | None = None) -> Floats:
    """Distance `(N,)` of each value's k-th nearest other one, of values that rise.

    Args:
        values: `(N,)`.
        k: which.
        runs: `(N,)` the group of each value. Groups stand one after the other, rise each by
            itself, and know nothing of one another: inf where a group has no more than k values.
    """
    beyond = np.full(k, np.inf)
    padded = np.concatenate([-beyond, values, beyond])
    if runs is not None:
        ends = np.full(k, -1)
        group = np.concatenate([ends, runs, ends])
    nearest = np.full(len(values), np.inf)
    for below in range(k + 1):
        first = slice(k - below, k - below + len(values))
        last = slice(2 * k - below, 2 * k - below + len(values))
        span = np.maximum(values - padded[first], padded[last] - values)
        if runs is not None:
            span[(group[first] != runs) | (group[last] != runs)] = np.inf
        np.minimum(nearest, span, out=nearest)
    return nearest


def untied(values: Floats, generator: np.random.Generator) -> tuple[Floats, int]:
    """The values with a jitter of 1e-10 deviations where a column repeats one, and how many did.

    Columns without ties pass unchanged.
    """
    out, tied = values, 0
    for j in range(values.shape[1]):
        ordered = np.sort(values[:, j])
        if not (ordered[1:] == ordered[:-1]).any():
            continue
        _, place, times = np.unique(values[:, j], return_inverse=True, return_counts=True)
        many = times[place] > 1
        if many.any():
            out = out.copy() if out is values else out
            tied += int(many.sum())
            scale = _JITTER * values[:, j].std()
            out[many, j] += scale * generator.standard_normal(int(many.sum()))
    return out, tied


def _curve(points: Floats) -> NDArray[np.intp]:
    """An order in which near rows come near each other: cells of a grid, line by line."""
    cells = max(1, round(len(points) ** 0.5 / 4))
    rank = np.empty(len(points), dtype=np.int64)
    rank[np.argsort(points[:, 0], kind="stable")] = np.arange(len(points))
    return np.lexsort((points[:, -1], rank * cells // len(points)))
