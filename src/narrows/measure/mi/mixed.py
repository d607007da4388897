"""Nearest neighbours where a variable is discrete, or half of it.

Ross (PLoS ONE 2014), x continuous and y discrete: with m(i) the rows of x nearer to x_i than its
k-th neighbour within its own class (itself included), and N_y(i) the size of the class,
I = psi(N) + <psi(k)> - <psi(N_y)> - <psi(m)>.

Gao, Kannan, Oh and Viswanath (NeurIPS 2017), variables that mix atoms and densities: with rho(i)
the distance to the k-th neighbour and n_x the rows with |x_j - x_i| < rho, itself included,
I = mean[psi(k~) + log N - psi(n_x) - psi(n_y)], k~ = k; where rho = 0, all three count the rows
at distance 0. This is the authors' code. Their text takes log(n_x + 1) over |x_j - x_i| <= rho,
which agrees for large k and lies lower by about 1/k for small.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from narrows.measure.mi.counting import count_both, count_within, interval
from narrows.measure.mi.discrete import codes
from narrows.measure.mi.ksg import enough, summed
from narrows.measure.mi.neighbours import farthest, in_line, untied
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ross(
    x: Floats, y: Floats, *, k: int = 3, x_kind: str = "continuous", seed: int = 0
) -> Estimate:
    """Mutual information of a continuous and a discrete sample.

    Args:
        x: `(N, dx)`.
        y: `(N, 1)` codes; or the codes in x and the numbers in y, as `x_kind` says.
        k: neighbours within the class; in a smaller class as many as there are.
        x_kind: which of the two is the continuous one.
        seed: of the jitter that tied values get.

    Example:
        >>> y = np.arange(200.0)[:, None] % 2
        >>> x = np.random.default_rng(0).random((200, 1)) + 5 * y
        >>> 0.6 < ross(x, y).value < 0.75
        True
    """
    values, labels = (x, y) if x_kind == "continuous" else (y, x)
    enough(len(values), k)
    values, tied = untied(values, np.random.default_rng(seed))
    warnings: tuple[str, ...] = (f"{tied} tied values were moved by 1e-10 deviations",)
    warnings = warnings if tied else ()
    label = codes(labels)
    sizes = np.bincount(label)
    alone = sizes[label] == 1
    if alone.any():
        warnings += (f"{int(alone.sum())} classes of one row were left out",)
        values, label = values[~alone], codes(labels[~alone])
        sizes = np.bincount(label)
        enough(len(values), 1)
    most = np.minimum(k, sizes - 1)
    if values.shape[1] == 1:
        within, label = _on_a_line(values[:, 0], label, most)
    else:
        radius = np.empty(len(values))
        for one, count in enumerate(most):
            rows = label == one
            radius[rows] = farthest(values[rows], int(count))
        within = count_within(values, radius)  # strictly, the row itself included
    of_class = digamma(most) - digamma(sizes)
    local = digamma(len(values)) + of_class[label] - digamma(within)
    found = summed(local, (), {"k": k})
    ceiling = float(-(sizes / len(label) * np.log(sizes / len(label))).sum())
    return Estimate(found.value, found.stderr, ceiling, warnings, found.settings)


def _on_a_line(values: Floats, label: Ints, most: Ints) -> tuple[Ints, Ints]:
    """Rows nearer than the farthest of the `most (classes,)` nearest of the own class, and classes.

    Of `values (N,)` in rising order, each row itself included. One sort serves all: of a class in
    order, the j-th on either side is j places away.
    """
    order = np.argsort(values, kind="stable")
    values, label = values[order], label[order]
    small = label.astype(np.min_scalar_type(len(most)))  # is sorted by its digits
    together = np.argsort(small, kind="stable")
    runs, mine = label[together], most[label[together]]
    radius = np.empty(len(values))
    for k in np.unique(most).tolist():  # one, or a few of small classes
        here = mine == k
        radius[together[here]] = in_line(values[together[here]], k, runs[here])
    low, high = interval(values, values, radius)
    return high - low, label


def mixed(x: Floats, y: Floats, *, k: int = 5) -> Estimate:
    """Mutual information where either sample may repeat values, wholly or in part.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        k: neighbours.

    Example:
        >>> y = np.arange(200.0)[:, None] % 2
        >>> 0.6 < mixed(y, y).value < 0.75
        True
    """
    enough(len(x), k)
    both = np.concatenate([x, y], axis=1)
    radius = farthest(both, k)
    nothing = np.full(len(x), np.nextafter(0, 1))  # below any distance but 0
    used = np.where(radius == 0, count_within(both, nothing), k)
    reach = np.where(radius == 0, nothing, radius)
    n_x, n_y = count_both(x, reach, y, reach)
    local = digamma(used) + math.log(len(x)) - digamma(n_x) - digamma(n_y)
    return summed(local, (), {"k": k})
