"""Gaussian copula information (Ince et al., Human Brain Mapping 2017).

Each column is replaced by its normal scores, Phi^-1(rank / (N + 1)), which leaves the information
unchanged, and the information of jointly normal variables is taken of those. For one column a side
that is a lower bound: among densities with these margins the normal has the largest joint entropy.
With more columns a side the bound holds where x's own copula and y's are normal.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from narrows.measure.mi.gaussian import gaussian
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]


def gcmi(x: Floats, y: Floats, *, correct: bool = True) -> Estimate:
    """Mutual information of the Gaussian copula; exact under strictly monotone maps of columns.

    O(N d log N + N d^2) time, O(N d) memory.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        correct: subtract the small-sample bias.

    Raises:
        InvalidInput: no more rows than dx + dy + 1.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((500, 2)).cumsum(1)
        >>> here = gcmi(rows[:, :1], rows[:, 1:]).value
        >>> here == gcmi(np.exp(rows[:, :1]), rows[:, 1:] ** 3).value
        True
    """
    found = gaussian(normal_scores(x), normal_scores(y), correct=correct)
    warnings = found.warnings
    for name, values in (("x", x), ("y", y)):
        levels = min(len(np.unique(column)) for column in values.T)
        if levels < 0.8 * len(values):
            warnings += (
                f"{name} looks discrete ({levels} levels in {len(values)} rows): tied rows share "
                "a score; use method 'mixed', or 'ross' with its kind",
            )
        if values.shape[1] > 1:
            warnings += (f"{name} has several columns: a lower bound if their copula is normal",)
    return dataclasses.replace(found, warnings=warnings)


def normal_scores(rows: Floats) -> Floats:
    """`(N, d)` normal quantiles of each column's ranks; tied values share their mean rank.

    Example:
        >>> normal_scores(np.array([[1.0], [5.0], [2.0]])).round(3).ravel().tolist()
        [-0.674, 0.674, 0.0]
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri(rankdata(rows, axis=0) / (len(rows) + 1)))
