"""Information between discrete variables: plug-in counts and their corrected relatives.

With n_k of N samples in cell k and K cells seen, in nats:

- plug-in: H = -sum (n_k/N) log(n_k/N); biased down by about (K - 1)/2N, so I is biased up by
  about (K_x - 1)(K_y - 1)/2N.
- Miller-Madow: H + (K - 1)/2N (Miller 1955).
- Grassberger (2003): H = log N - (1/N) sum n_k G(n_k), with G(1) = -gamma - log 2,
  G(2) = 2 - gamma - log 2, G(2m+1) = G(2m), G(2m+2) = G(2m) + 2/(2m+1).
- Chao-Shen (2003): coverage C = 1 - f_1/N (f_1 cells seen once), p_k = C n_k/N,
  H = -sum p_k log p_k / (1 - (1 - p_k)^N).
- shrinkage (Hausser and Strimmer 2009): p_k = l/K + (1 - l) n_k/N,
  l = (1 - sum (n_k/N)^2) / ((N - 1) sum (1/K - n_k/N)^2), K the number of cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import unknown
from narrows.measure.mi.result import Estimate

Counts = NDArray[np.int64]
_GAMMA = 0.5772156649015329


def plugin(counts: Counts) -> float:
    """Entropy of the shares themselves.

    Example:
        >>> round(plugin(np.array([2, 2])), 6)
        0.693147
    """
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())


def miller_madow(counts: Counts) -> float:
    """The plug-in with its first-order bias added back."""
    return plugin(counts) + float((len(counts) - 1) / (2 * counts.sum()))


def grassberger(counts: Counts) -> float:
    """Grassberger's 2003 estimator."""
    total = counts.sum()
    table = _grassberger(int(counts.max()))
    return float(np.log(total) - (counts * table[counts]).sum() / total)


def chao_shen(counts: Counts) -> float:
    """The plug-in of coverage-adjusted shares, weighted by the chance that a cell is seen."""
    total = counts.sum()
    once = int((counts == 1).sum())
    coverage = 1 - min(once, total - 1) / total  # all cells seen once would leave nothing
    share = coverage * counts / total
    # log1p keeps the power exact where a share is small
    return float(-(share * np.log(share) / -np.expm1(total * np.log1p(-share))).sum())


def shrinkage(counts: Counts) -> float:
    """The plug-in of shares drawn towards equal ones."""
    total, cells = counts.sum(), len(counts)
    share = counts / total
    apart = ((1 / cells - share) ** 2).sum()
    pull = 1.0 if apart == 0 or total < 2 else (1 - (share**2).sum()) / ((total - 1) * apart)
    drawn = min(1.0, pull) / cells + (1 - min(1.0, pull)) * share
    return float(-(drawn * np.log(drawn)).sum())


CORRECTIONS = {
    "none": plugin,
    "miller-madow": miller_madow,
    "grassberger": grassberger,
    "chao-shen": chao_shen,
    "shrinkage": shrinkage,
}


def discrete(
    x: NDArray[np.float64], y: NDArray[np.float64], *, correction: str = "miller-madow"
) -> Estimate:
    """I(X;Y) = H(X) + H(Y) - H(X,Y) of codes, with the standard error of its mean local term.

    Args:
        x: `(N, 1)` codes, or `(N, d)` rows whose equality is what counts.
        y: the same.
        correction: of each entropy: none, miller-madow, grassberger, chao-shen or shrinkage.

    Example:
        >>> codes = np.array([[0.0], [0.0], [1.0], [1.0]])
        >>> round(discrete(codes, codes, correction="none").value, 6)
        0.693147
    """
    if correction not in CORRECTIONS:
        raise unknown("correction", correction, CORRECTIONS)
    a, b = codes(x), codes(y)
    wide = int(b.max()) + 1
    cells, joint, counts = np.unique(a * wide + b, return_inverse=True, return_counts=True)
    left, right = np.bincount(a), np.bincount(b)
    entropy = CORRECTIONS[correction]
    value = entropy(left) + entropy(right) - entropy(counts)
    settings: dict[str, Any] = {"correction": correction, "cells": len(cells)}
    alone = float((counts[joint] == 1).mean())
    warnings: tuple[str, ...] = ()
    if alone > 0.5:
        warnings = (
            f"{100 * alone:.0f} % of the samples are alone in their cell: "
            "the value is near its ceiling whatever the truth; use fewer cells or more samples",
        )
    n = len(a)
    local = np.log(n * counts[joint] / (left[a] * right[b]))
    stderr = float(local.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    ceiling = float(np.log(min(len(left), len(right))))
    return Estimate(float(value), stderr, ceiling, warnings, settings)


def codes(rows: NDArray[np.float64]) -> Counts:
    """`(N,)` codes from 0 on, equal where whole rows are equal."""
    if rows.shape[1] == 1 and len(rows) and rows.min() >= 0 and rows.max() < len(rows):
        whole = rows[:, 0].astype(np.int64)
        if (whole == rows[:, 0]).all():  # counted, where others must be sorted
            seen = np.bincount(whole) > 0
            return (np.cumsum(seen) - 1)[whole]
    _, found = np.unique(rows, axis=0, return_inverse=True)
    return found.reshape(-1).astype(np.int64)


def _grassberger(most: int) -> NDArray[np.float64]:
    """G(0) to G(most); G(0) is never used."""
    table = np.zeros(most + 2)
    table[1] = -_GAMMA - np.log(2)
    even = 2 - _GAMMA - np.log(2)
    for n in range(2, most + 1, 2):
        table[n : n + 2] = even
        even += 2 / (n + 1)
    return table[: most + 1]
