"""Sliced information: the mean of what random projections tell (Goldfeld and Greenewald 2021).

SI(X;Y) = mean of I(A'X; B'Y) over random A and B with k orthonormal columns each (k-sliced:
Goldfeld, Greenewald, Nuradha and Reeves 2022; k = 1 is a direction drawn evenly from the sphere).
Each term is taken by nearest neighbours (`ksg`, variant 1; `ross` where y is discrete). It is 0
only for independent variables, and its error does not grow with the number of columns; but it is
not mutual information, and may be far smaller.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from narrows.errors import wrong
from narrows.measure.mi.counting import count_within
from narrows.measure.mi.ksg import enough, prepared
from narrows.measure.mi.mixed import ross
from narrows.measure.mi.neighbours import nearest
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]


def sliced(
    x: Floats,
    y: Floats,
    *,
    directions: int = 100,
    k: int = 3,
    seed: int = 0,
    x_kind: str = "continuous",
    y_kind: str = "continuous",
) -> Estimate:
    """Mean information of one random direction of x and one of y.

    The standard error joins the spread over directions and that over rows.
    O(directions N log N) time, O(N (dx + dy + k)) memory.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        directions: how many pairs; a variable of one column has only one.
        k: neighbours.
        seed: of the directions.
        x_kind: continuous or discrete; one of the two may be discrete.
        y_kind: the same.

    Raises:
        InvalidInput: no more than k rows, or fewer than two directions.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((300, 5))
        >>> sliced(x, x[:, :2] + 0.1 * x[:, 2:4], directions=20).value > 0.05
        True
    """
    return k_sliced(
        x, y, columns=1, directions=directions, k=k, seed=seed, x_kind=x_kind, y_kind=y_kind
    )


def k_sliced(
    x: Floats,
    y: Floats,
    *,
    columns: int = 2,
    directions: int = 100,
    k: int = 3,
    seed: int = 0,
    x_kind: str = "continuous",
    y_kind: str = "continuous",
) -> Estimate:
    """`sliced` over subspaces of several columns; nearer to I(X;Y), and harder to estimate.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        columns: of each subspace; a variable with fewer keeps what it has.
        directions: pairs of subspaces.
        k: neighbours.
        seed: of the subspaces.
        x_kind: continuous or discrete; one of the two may be discrete.
        y_kind: the same.

    Raises:
        InvalidInput: no more than k rows, fewer than two directions, no columns.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((300, 3))
        >>> y = x + 0.5
        >>> k_sliced(x, y, directions=5).value > sliced(x, y, directions=5).value
        True
    """
    if directions < 2:
        raise wrong("directions", str(directions), "2 or more")
    if columns < 1:
        raise wrong("columns", str(columns), "1 or more")
    enough(len(x), k)
    wide = [one.shape[1] for one, kind in ((x, x_kind), (y, y_kind)) if kind == "continuous"]
    if max(wide) <= columns:
        directions = 1  # turns within whole variables tell nothing new
    settings = {"columns": columns, "directions": directions, "k": k, "seed": seed}
    generator = np.random.default_rng(seed)
    if "discrete" in (x_kind, y_kind):
        return _with_codes(x, y, columns, directions, k, generator, x_kind, settings)
    (x, y), warnings = prepared(x, y, seed)
    notes = tuple(note for note in warnings if "distances tell little" not in note)
    total, values = np.zeros(len(x)), np.empty(directions)
    for at in range(directions):
        a = x @ subspace(x.shape[1], columns, generator)
        b = y @ subspace(y.shape[1], columns, generator)
        local = ksg_terms(a, b, k)
        values[at] = local.mean()
        total += local
    over_rows = (total / directions).std(ddof=1) / math.sqrt(len(x))
    return _mean(values, over_rows, math.log(len(x)), notes, settings)


def ksg_terms(x: Floats, y: Floats, k: int) -> Floats:
    """`(N,)` local terms of `ksg`, variant 1, of samples without ties."""
    radius = nearest(np.concatenate([x, y], axis=1), k, last=True)[0][:, 0]
    n_x, n_y = count_within(x, radius), count_within(y, radius)
    return np.asarray(digamma(k) + digamma(len(x)) - digamma(n_x) - digamma(n_y))


def subspace(d: int, columns: int, generator: np.random.Generator) -> Floats:
    """`(d, min(columns, d))` orthonormal columns, drawn evenly.

    Example:
        >>> found = subspace(5, 2, np.random.default_rng(0))
        >>> bool(np.allclose(found.T @ found, np.eye(2)))
        True
    """
    drawn = generator.standard_normal((d, min(columns, d)))
    basis, triangle = np.linalg.qr(drawn)
    return np.asarray(basis * np.sign(np.diag(triangle)))  # without it, not even on the sphere


def _with_codes(
    x: Floats,
    y: Floats,
    columns: int,
    directions: int,
    k: int,
    generator: np.random.Generator,
    x_kind: str,
    settings: dict[str, int],
) -> Estimate:
    values, labels = (x, y) if x_kind == "continuous" else (y, x)
    found = [
        ross(values @ subspace(values.shape[1], columns, generator), labels, k=k)
        for _ in range(directions)
    ]
    # terms of the same rows move together: their common error is that of one slice, at most
    over_rows = float(np.mean([one.stderr for one in found]))
    told = np.array([one.value for one in found])
    notes = tuple(dict.fromkeys(note for one in found for note in one.warnings))
    return _mean(told, over_rows, found[0].ceiling, notes, settings)


def _mean(
    values: Floats,
    over_rows: float,
    ceiling: float,
    warnings: tuple[str, ...],
    settings: dict[str, int],
) -> Estimate:
    over_directions = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    stderr = float(np.hypot(over_directions, over_rows))
    return Estimate(float(values.mean()), stderr, ceiling, warnings, settings)
