"""Clusters around medoids, for many numbers of clusters, and how pure they are.

Where the rows are single numbers, clusters are intervals and medoids are medians: sorting takes
the place of the distances between all pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_ROUNDS = 20  # most alternations; a handful is usual


def distances(z: Tensor) -> Tensor:
    """`(n, n)` float32 Euclidean distances of rows `(n, w)`; equal rows have exactly 0."""
    z = z.float()
    return torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")


def clusterings(z: Tensor, grid: list[int]) -> list[Tensor]:
    """Clusters of rows `(n, w)` for each number of clusters in the rising `grid`, `(n,)` each.

    Where fewer rows differ than clusters are wanted, there are as many clusters as such rows.

    Example:
        >>> rows = torch.tensor([[0.0], [0.1], [5.0], [5.2]])
        >>> [found.tolist() for found in clusterings(rows, [2, 4])]
        [[0, 0, 1, 1], [0, 1, 2, 3]]
    """
    if z.shape[1] == 1:
        values = z[:, 0]
        middle = int(values.argsort(stable=True)[(len(values) - 1) // 2])
        walk = farthest_first(lambda i: (values - values[i]).abs(), middle, grid[-1])
        return [intervals(values, walk[:r]) for r in grid]
    apart = distances(z)
    walk = farthest_first(lambda i: apart[i], int(apart.sum(1).argmin()), grid[-1])
    return [k_medoids(apart, walk[:r]) for r in grid]


def farthest_first(apart: Callable[[int], Tensor], first: int, most: int) -> Tensor:
    """Rows in the order in which each is farthest from those before (Gonzalez, 1985).

    Args:
        apart: from a row to its distances `(n,)`.
        first: the row to begin with.
        most: how many.

    Returns:
        At most `most` row numbers, fewer where fewer rows differ.

    Example:
        >>> values = torch.tensor([0.0, 1.0, 1.0, 5.0])
        >>> farthest_first(lambda i: (values - values[i]).abs(), first=1, most=4)
        tensor([1, 3, 0])
    """
    chosen, near = [first], apart(first)
    while len(chosen) < most:
        following = int(near.argmax())
        if float(near[following]) == 0:
            break
        chosen.append(following)
        near = torch.minimum(near, apart(following))
    return torch.tensor(chosen)


def intervals(values: Tensor, medoids: Tensor) -> Tensor:
    """`k_medoids` of numbers `(n,)`; clusters are numbered from left to right."""
    order = values.argsort(stable=True)
    line = values[order]
    at = order.argsort()[medoids].sort().values  # places of the medoids on the line
    number = torch.arange(len(at))
    for _ in range(_ROUNDS):
        here = line[at]
        label = torch.searchsorted((here[1:] + here[:-1]) / 2, line)
        start, end = (torch.searchsorted(label, number, right=side) for side in (False, True))
        # A cluster is empty only where two medoids are next to each other in float64.
        best = torch.where(end > start, (start + end - 1) // 2, at)
        if torch.equal(best, at):
            break
        at = best
    found = torch.empty_like(label)
    found[order] = label
    return found


def k_medoids(apart: Tensor, medoids: Tensor) -> Tensor:
    """Alternate between the nearest medoid of each row and the best medoid of each cluster.

    Memory: an array of `n` times the clusters, and at most two of `n^2`.

    Args:
        apart: `(n, n)` distances.
        medoids: `(r,)` row numbers to begin with.

    Returns:
        `(n,)` the cluster of each row.

    Example:
        >>> rows = torch.tensor([[0.0], [0.1], [5.0], [5.2]])
        >>> k_medoids(distances(rows), torch.tensor([0, 1])).tolist()
        [0, 0, 1, 1]
    """
    rows = torch.arange(len(apart))
    for _ in range(_ROUNDS):
        label = torch.empty_like(rows)
        label[medoids] = torch.arange(len(medoids))  # even where another medoid is as near
        others = _outside(medoids, len(rows))
        label[others] = apart[others][:, medoids].argmin(1)
        size = _within(apart, label, len(medoids))
        # The best row of each cluster: a stable sort by distance, then by cluster.
        order = size.argsort(stable=True)
        order = order[label[order].argsort(stable=True)]
        best = rows[order][_starts(label, len(medoids))]
        # Only a strictly better medoid takes over, so that ties do not go round in circles.
        best = torch.where(size[best] < size[medoids], best, medoids)
        if torch.equal(best, medoids):
            break
        medoids = best
    return label


def homogeneity(label: Tensor, truth: Tensor) -> float:
    """1 - H(truth | label) / H(truth), of integer codes `(n,)`; NaN where the truth is constant.

    Example:
        >>> homogeneity(torch.tensor([0, 0, 1]), torch.tensor([3, 3, 4]))
        1.0
    """
    values = int(truth.max()) + 1
    table = torch.bincount(label * values + truth, minlength=(int(label.max()) + 1) * values)
    counts = table.reshape(-1, values).double()
    whole = _entropy(counts.sum(0))
    if float(whole) == 0:
        return float("nan")
    share = counts.sum(1) / len(label)
    return 1 - float((share * _entropy(counts)).sum() / whole)


def _entropy(counts: Tensor) -> Tensor:
    """In nats, of the last axis."""
    total = counts.sum(-1, keepdim=True).clamp(min=1)
    entropy: Tensor = torch.special.entr(counts / total).sum(-1)
    return entropy


def _outside(some: Tensor, n: int) -> Tensor:
    rest = torch.ones(n, dtype=torch.bool)
    rest[some] = False
    return rest.nonzero()[:, 0]


def _starts(label: Tensor, clusters: int) -> Tensor:
    sizes = torch.bincount(label, minlength=clusters)
    return sizes.cumsum(0) - sizes


def _within(apart: Tensor, label: Tensor, clusters: int) -> Tensor:
    """`(n,)` sum of distances to the rows of the same cluster."""
    sizes = torch.bincount(label, minlength=clusters)
    n = len(label)
    if int(sizes.square().sum()) > n * n // 16:
        member = torch.nn.functional.one_hot(label, clusters).to(apart)
        total: Tensor = (apart @ member).gather(1, label[:, None])[:, 0]
        return total
    # Pairs within clusters only: few where clusters are many.
    order = label.argsort(stable=True)
    each = sizes[label[order]]  # how many partners the row has
    first = _starts(label, clusters)[label[order]]
    left = torch.arange(n).repeat_interleave(each)
    ahead = each.cumsum(0) - each
    right = torch.arange(len(left)) - ahead[left] + first[left]
    found = apart[order[left], order[right]]
    return apart.new_zeros(n).index_add_(0, order[left], found)
