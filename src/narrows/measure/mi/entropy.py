"""Entropy by any of its estimators, checked and reported as mutual information is.

A continuous variable's entropy depends on its units and may be negative; a discrete one's is that
of its shares.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidInput, unknown, wrong
from narrows.measure.mi.discrete import CORRECTIONS, codes
from narrows.measure.mi.gaussian import log_det_bias
from narrows.measure.mi.kde import covariance_root, log_density, scale, whitened
from narrows.measure.mi.result import Estimate, MIResult
from narrows.measure.mi.samples import sample

Floats = NDArray[np.float64]
# kind of variable, file and function; a file is loaded when first used, as scipy is slow to import
METHODS = {
    "knn": ("continuous", "knn_entropy", "knn_entropy"),
    "weighted-knn": ("continuous", "knn_entropy", "weighted_entropy"),
    "kde": ("continuous", "entropy", "kde_entropy"),
    "gaussian": ("continuous", "entropy", "gaussian_entropy"),
    "plugin": ("discrete", "entropy", "plugin_entropy"),
}


def entropy(
    x: Any, method: str = "knn", *, kind: str = "continuous", units: str = "nats", **settings: Any
) -> MIResult:
    """Entropy of a sample, with spread, kind and ceiling.

    Args:
        x: `(N,)` or `(N, ...)`; what follows N is one vector a row.
        method: knn, weighted-knn, kde or gaussian for a continuous variable, plugin for a
            discrete one.
        kind: continuous or discrete; never guessed from the dtype.
        units: nats or bits.
        settings: of the method: `k`, `whiten`, `seed` (knn, weighted-knn), `bandwidth` (kde),
            `correct` (gaussian), `correction` (plugin).

    Raises:
        UnknownName: no such method or setting.
        InvalidInput: a sample that cannot be used; a method for the other kind of variable.

    Example:
        >>> entropy(["a", "b", "a", "b"], "plugin", kind="discrete", units="bits",
        ...         correction="none").value
        1.0
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    values = sample("x", x, kind)
    takes, module, name = METHODS[method]
    if takes != kind:
        fitting = [other for other, row in METHODS.items() if row[0] == kind]
        raise InvalidInput(
            f"method: found {method!r} for a {kind} x, wanted one of {', '.join(fitting)}"
        )
    if len(values) < 2:
        raise wrong("x", "1 row", "at least 2")
    function = getattr(importlib.import_module(f"narrows.measure.mi.{module}"), name)
    known = list(inspect.signature(function).parameters)[1:]
    for setting in settings:
        if setting not in known:
            raise unknown(f"setting of {method}", setting, known)
    found = function(values, **settings)
    whole = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return MIResult(kind="estimate", method=method, samples=len(values), **whole).to(units)


def gaussian_entropy(x: Floats, *, correct: bool = True) -> Estimate:
    """1/2 log((2 pi e)^d det S): exact for a normal variable, above the truth for any other.

    Args:
        x: `(N, d)`.
        correct: subtract the small-sample bias of log det S.

    Raises:
        InvalidInput: columns that others determine, or no more rows than columns.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((5000, 1))
        >>> abs(gaussian_entropy(rows).value - 1.4189) < 0.05
        True
    """
    n, d = x.shape
    log_det = 2 * float(np.log(np.diag(covariance_root(x, "x"))).sum())
    if correct:
        log_det -= log_det_bias(n, d) - d * math.log((n - 1) / 2)
    value = 0.5 * (d * math.log(2 * math.pi * math.e) + log_det)
    return Estimate(value, math.sqrt(d / (2 * n)), settings={"correct": correct})


def kde_entropy(x: Floats, *, bandwidth: str | float = "scott") -> Estimate:
    """Minus the mean log density of each row under the kernels of the others.

    Above the truth on average: smoothing spreads a density. O(N^2 d) time, pieces of 4 MB.

    Args:
        x: `(N, d)`.
        bandwidth: scott, silverman, likelihood, or the factor itself.

    Raises:
        InvalidInput: columns that others determine, or a factor not above 0.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((1000, 1))
        >>> abs(kde_entropy(rows).value - 1.4189) < 0.1
        True
    """
    root = covariance_root(x, "x")
    white = whitened(x, root)
    factor = scale(white, bandwidth)
    local = float(np.log(np.diag(root)).sum()) - log_density(white, factor)
    stderr = float(local.std(ddof=1) / math.sqrt(len(x)))
    return Estimate(float(local.mean()), stderr, settings={"bandwidth": factor})


def plugin_entropy(x: Floats, *, correction: str = "miller-madow") -> Estimate:
    """Entropy of the shares of codes, with its bias corrected.

    Args:
        x: `(N, 1)` codes, or `(N, d)` rows whose equality is what counts.
        correction: none, miller-madow, grassberger, chao-shen or shrinkage.

    Example:
        >>> round(plugin_entropy(np.array([[0.0], [1.0]]), correction="none").value, 6)
        0.693147
    """
    if correction not in CORRECTIONS:
        raise unknown("correction", correction, CORRECTIONS)
    code = codes(x)
    counts, n = np.bincount(code), len(code)
    local = -np.log(counts[code] / n)
    alone = float((counts[code] == 1).mean())
    warnings: tuple[str, ...] = ()
    if alone > 0.5:
        warnings = (f"{100 * alone:.0f} % of the samples are of a value seen once: too few rows",)
    stderr = float(local.std(ddof=1) / math.sqrt(n))
    settings = {"correction": correction, "values": len(counts)}
    value = CORRECTIONS[correction](counts)
    ceiling = math.inf if correction != "none" else math.log(len(counts))
    return Estimate(value, stderr, ceiling, warnings, settings)
