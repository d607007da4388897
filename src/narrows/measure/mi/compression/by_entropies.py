"""Mutual information from entropies of nearest neighbours, each side on its own.

y continuous:  I = h(x) + h(y) - h(x, y), each whitened by its own covariance
y discrete:    I = h(x) - sum_y p(y) h(x | y), all whitened by the covariance within classes: by
               that of classes far apart, each class would be a needle

The standard error is the sum of those of the parts, which is on the safe side. Unlike KSG the
radii of the three differ, so their biases do not cancel: three entropies err more as I nears
log N, and at hard edges. Values are not clipped.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import unknown, wrong
from narrows.measure.mi.gaussian import directions
from narrows.measure.mi.kde import covariance_root, whitened
from narrows.measure.mi.knn_entropy import knn_entropy, weighted_entropy
from narrows.measure.mi.result import Estimate, MIResult
from narrows.measure.mi.samples import DISCRETE

Floats = NDArray[np.float64]
ENTROPIES: dict[str, Callable[..., Estimate]] = {
    "weighted-knn": weighted_entropy,
    "knn": knn_entropy,
}
_LINE = 1e-10  # of 1 - rho^2, below which y is called a linear function of x
_K = 5


def by_entropies(
    x: Floats, y: Floats, estimator: str, y_kind: str, settings: Mapping[str, Any]
) -> MIResult:
    """Mutual information of checked samples, in nats.

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`, or codes `(N, 1)`.
        estimator: a name in `ENTROPIES`.
        y_kind: continuous or discrete.
        settings: of the entropy; 5 neighbours by default.

    Raises:
        UnknownName: no such setting.
        InvalidInput: no more than k rows (in a class), columns tied by a line.

    Example:
        >>> x, y = np.random.default_rng(0).standard_normal((2, 1000, 1))
        >>> abs(by_entropies(x, x + y, "knn", "continuous", {}).value - 0.3466) < 0.1
        True
    """
    entropy = ENTROPIES[estimator]
    known = list(inspect.signature(entropy).parameters)[1:]
    for name in settings:
        if name not in known:
            raise unknown(f"setting of {estimator}", name, known)
    used = {"k": _K, **settings}
    if y_kind == DISCRETE:
        value, stderr, warnings, ceiling = _within_classes(x, y, entropy, used)
    else:
        value, stderr, warnings, ceiling = _of_three(x, y, entropy, used)
    return MIResult(
        value, stderr, "estimate", estimator, len(x), ceiling=ceiling, warnings=warnings,
        settings=used,
    )  # fmt: skip


_Found = tuple[float, float, tuple[str, ...], float]


def _of_three(
    x: Floats, y: Floats, entropy: Callable[..., Estimate], used: dict[str, Any]
) -> _Found:
    parts = [entropy(one, **used) for one in (x, y)]
    if tied_by_a_line(x, y):
        raise wrong("y", "a linear function of x in some direction", "a relation with noise: the "
                    "information is infinite")  # fmt: skip
    both = entropy(np.concatenate([x, y], axis=1), **used)
    value = parts[0].value + parts[1].value - both.value
    warnings = _merged([*parts, both])
    if value > math.log(len(x)) - 2:
        warnings += (
            f"{value:.2f} nats is within 2 of log N = {math.log(len(x)):.2f}: three entropies err "
            "by much there; compare estimator='ksg'",
        )
    return value, sum(one.stderr for one in (*parts, both)), warnings, math.inf


def _within_classes(
    x: Floats, y: Floats, entropy: Callable[..., Estimate], used: dict[str, Any]
) -> _Found:
    label = y[:, 0].astype(np.int64)
    sizes = np.bincount(label)
    if sizes.min() <= used["k"]:
        wanted = f"more than k = {used['k']} rows in each class"
        raise wrong("y", f"a class of {int(sizes.min())} rows", wanted)
    share = sizes / len(x)
    if used.get("whiten", True):
        # One linear map of all rows adds the same to both terms and so cancels.
        means = np.stack([x[label == one].mean(0) for one in range(len(sizes))])
        x = whitened(x, covariance_root(x - means[label], "x within the classes"))
    used = {**used, "whiten": False}
    whole = entropy(x, **used)
    classes = [_class(x[label == one], one, entropy, used) for one in range(len(sizes))]
    value = whole.value - float(share @ [one.value for one in classes])
    spread = math.sqrt(sum((p * one.stderr) ** 2 for p, one in zip(share, classes, strict=True)))
    ceiling = float(-(share * np.log(share)).sum())
    warnings = _merged([whole, *classes])
    if not 0 <= value <= ceiling:
        warnings += (
            f"{value:.3f} nats lies outside [0, H(Y) = {ceiling:.3f}] by the estimator's error",
        )
    return value, whole.stderr + spread, warnings, ceiling


def _class(
    rows: Floats, one: int, entropy: Callable[..., Estimate], used: dict[str, Any]
) -> Estimate:
    still = bool((rows == rows[0]).all(0).any())
    if still or directions(rows).shape[1] < rows.shape[1]:
        raise wrong(
            "x",
            f"class {one} (of the sorted labels) on fewer directions than {rows.shape[1]}",
            "a density within each class: fewer coordinates, or noise",
        )
    return entropy(rows, **used)


def _merged(parts: list[Estimate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(note for one in parts for note in one.warnings))


def tied_by_a_line(x: Floats, y: Floats) -> bool:
    """Whether some linear function of x equals one of y: their information is infinite.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((50, 3))
        >>> tied_by_a_line(rows[:, :2], rows @ [[1.0], [2.0], [0.0]])
        True
    """
    rho = np.linalg.svd(directions(x).T @ directions(y), compute_uv=False)
    return bool(1 - rho.max() ** 2 < _LINE)
