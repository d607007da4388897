"""k-means, free and with the sizes of the clusters given."""

from __future__ import annotations

from typing import Any

import numpy as np

from narrows.errors import wrong
from narrows.measure.partition.checks import Floats, Ints
from narrows.measure.partition.information import means_of, spread_of

_STEPS = 300  # of one start, as in scikit-learn


def free_kmeans(e: Floats, k: int, n_init: int, seed: int) -> tuple[Ints, float]:
    """Labels `(n,)` and D of the best of `n_init` starts, by scikit-learn's Lloyd iterations."""
    from sklearn.cluster import KMeans

    found = KMeans(k, n_init=n_init, random_state=seed).fit(e)
    return found.labels_.astype(np.int64), float(found.inertia_) / len(e)


def distinct(e: Floats) -> int:
    """How many different vectors there are, up to rounding: the most clusters k-means can make."""
    return len(np.unique(np.round(e / np.abs(e).max(), 12), axis=0))


def sized_kmeans(
    e: Floats, sizes: Ints, n_init: int, seed: int, starts: tuple[Ints, ...] = ()
) -> tuple[Ints, float]:
    """k-means whose clusters have given sizes: labels `(n,)` and D of the best start.

    Lloyd's iteration with the assignment solved exactly under the sizes (Bradley, Bennett and
    Demiriz 2000), as a linear assignment of items to as many places as each cluster has; D never
    grows from one step to the next. Random starts are k-means++ means; the cluster with the
    nearest items most often gets the largest size, and so on down.

    Time: one assignment of n to n a step, O(n^3) at worst. Memory: `8 n^2` bytes.

    Args:
        e: `(n, d)`.
        sizes: `(k,)`, summing to n, each at least 1.
        n_init: random starts.
        seed: of the starts.
        starts: labelings `(n,)` of 0 to k - 1 to start from as well. Those with exactly these
            sizes bound the answer: it is never worse.
    """
    rng = np.random.RandomState(seed)  # what k-means++ of scikit-learn takes
    best: tuple[Ints, float] | None = None
    for labels in (*starts, *(_plus_plus(e, len(sizes), rng) for _ in range(n_init))):
        exact = np.array_equal(np.bincount(labels, minlength=len(sizes)), sizes)
        found = _descend(e, means_of(e, labels), sizes if exact else _ranked(labels, sizes))
        best = found if best is None or found[1] < best[1] else best
    if best is None:
        raise wrong("n_init", n_init, "at least 1 start")
    return best


def _descend(e: Floats, centres: Floats, sizes: Ints) -> tuple[Ints, float]:
    from scipy.optimize import linear_sum_assignment

    places = np.repeat(np.arange(len(sizes)), sizes)
    last = np.inf
    for _ in range(_STEPS):
        # |e - m|^2 without |e|^2, which is the same wherever the item goes
        cost = np.square(centres).sum(1) - 2 * (e @ centres.T)
        rows, chosen = linear_sum_assignment(cost[:, places])
        labels = places[chosen[np.argsort(rows)]]
        now = spread_of(e, labels)
        if now >= last * (1 - 1e-12):
            break
        last, kept, centres = now, labels, means_of(e, labels)
    return kept, last


def _ranked(labels: Ints, sizes: Ints) -> Ints:
    """Sizes handed to clusters by rank: the largest cluster gets the largest."""
    handed = np.empty_like(sizes)
    handed[np.argsort(np.bincount(labels, minlength=len(sizes)), kind="stable")] = np.sort(sizes)
    return handed


def _plus_plus(e: Floats, k: int, rng: Any) -> Ints:
    """Nearest of k items drawn by k-means++; an item drawn is in the cluster it stands for."""
    from sklearn.cluster import kmeans_plusplus

    centres, chosen = kmeans_plusplus(e, k, random_state=rng)
    nearest: Ints = (np.square(centres).sum(1) - 2 * (e @ centres.T)).argmin(1).astype(np.int64)
    nearest[chosen] = np.arange(k)
    return nearest
