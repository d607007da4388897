"""Conditional mutual information I(X; Y | Z), the way the variables and the method allow.

- All discrete: H(X,Z) + H(Y,Z) - H(X,Y,Z) - H(Z) from counts.
- Z discrete: sum_z p(z) I(X; Y | Z = z), each term by the method.
- All continuous, method "ksg": nearest neighbours in all three (`frenzel_pompe`).
- Otherwise the chain rule, I(X; Y, Z) - I(X; Z), each by the method; their errors add, and a
  difference of bounds is none.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidInput, UnknownName, unknown, wrong
from narrows.measure.mi.discrete import CORRECTIONS, codes
from narrows.measure.mi.dispatch import mutual_information
from narrows.measure.mi.registry import estimator
from narrows.measure.mi.result import Estimate, MIResult
from narrows.measure.mi.samples import DISCRETE, paired, sample

Floats = NDArray[np.float64]


def conditional_mi(
    x: Any,
    y: Any,
    z: Any,
    method: str = "ksg",
    *,
    x_kind: str = "continuous",
    y_kind: str = "continuous",
    z_kind: str = "continuous",
    units: str = "nats",
    standardize: bool = False,
    **settings: Any,
) -> MIResult:
    """What x and y tell of each other beyond what z tells already.

    Args:
        x: `(N,)` or `(N, ...)`; what follows N is one vector a row.
        y: the same.
        z: the same.
        method: an estimator of `mutual_information` for these kinds of variables.
        x_kind: continuous or discrete; never guessed from the dtype.
        y_kind: the same for y.
        z_kind: the same for z.
        units: nats or bits.
        standardize: continuous columns to mean 0 and standard deviation 1 first.
        settings: of the estimator.

    Raises:
        UnknownName: no such method or setting.
        InvalidInput: samples that cannot be used; a surrogate; kinds that the method does not take.

    Example:
        >>> a, b = np.array([0, 0, 1, 1] * 25), np.array([0, 1, 0, 1] * 25)
        >>> kinds = {"x_kind": "discrete", "y_kind": "discrete", "z_kind": "discrete"}
        >>> found = conditional_mi(a, a ^ b, b, "discrete", units="bits", correction="none",
        ...                        **kinds)
        >>> round(found.value, 6)
        1.0
    """
    chosen = estimator(method)
    if chosen.kind == "surrogate":
        raise InvalidInput(
            f"method: found {method!r}, a surrogate, wanted an estimate of mutual information"
        )
    xs, ys, zs = sample("x", x, x_kind), sample("y", y, y_kind), sample("z", z, z_kind)
    paired(xs, ys)
    if len(zs) != len(xs):
        raise wrong("z", f"{len(zs)} rows", f"as many as x has, {len(xs)}")
    if "each" in settings:
        raise wrong("each", repr(settings["each"]), "one variable against one; call once a column")
    kinds = (x_kind, y_kind, z_kind)
    if standardize:
        xs, ys, zs = (
            (one - one.mean(0)) / one.std(0) if kind != DISCRETE else one
            for one, kind in zip((xs, ys, zs), kinds, strict=True)
        )
    if method == "discrete" and kinds == (DISCRETE,) * 3:
        found = _checked(by_counting, settings)(xs, ys, zs, **settings)
    elif z_kind == DISCRETE:
        found = _by_value(xs, ys, zs, method, kinds, settings)
    elif method == "ksg" and DISCRETE not in kinds:
        from narrows.measure.mi.frenzel_pompe import frenzel_pompe  # scipy is slow to import

        found = _checked(frenzel_pompe, settings)(xs, ys, zs, **settings)
    else:
        found = _by_chain(xs, ys, zs, method, kinds, settings)
    whole = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    # a mean of bounds bounds the mean; a difference of bounds bounds nothing
    kind = chosen.kind if z_kind == DISCRETE else "estimate"
    return MIResult(kind=kind, method=method, samples=len(xs), **whole).to(units)


def by_counting(x: Floats, y: Floats, z: Floats, *, correction: str = "miller-madow") -> Estimate:
    """Conditional information of codes `(N, 1)`.

    Args:
        x: codes.
        y: codes.
        z: codes.
        correction: of each entropy: none, miller-madow, grassberger, chao-shen or shrinkage.

    Example:
        >>> a = np.array([[0.0], [0.0], [1.0], [1.0]])
        >>> round(by_counting(a, a, a, correction="none").value, 6)
        0.0
    """
    if correction not in CORRECTIONS:
        raise unknown("correction", correction, CORRECTIONS)
    entropy, n = CORRECTIONS[correction], len(x)
    parts = {
        "xz": codes(np.concatenate([x, z], axis=1)),
        "yz": codes(np.concatenate([y, z], axis=1)),
        "xyz": codes(np.concatenate([x, y, z], axis=1)),
        "z": codes(z),
    }
    counts = {name: np.bincount(code) for name, code in parts.items()}
    told = {name: entropy(count) for name, count in counts.items()}
    seen = {name: counts[name][code] for name, code in parts.items()}
    local = np.log(seen["xyz"] * seen["z"] / (seen["xz"] * seen["yz"]))
    alone = float((seen["xyz"] == 1).mean())
    warnings: tuple[str, ...] = ()
    if alone > 0.5:
        warnings = (
            f"{100 * alone:.0f} % of the samples are alone in their cell: "
            "use fewer cells or more samples",
        )
    return Estimate(
        told["xz"] + told["yz"] - told["xyz"] - told["z"],
        float(local.std(ddof=1) / math.sqrt(n)),
        math.log(min(len(np.unique(x)), len(np.unique(y)))),
        warnings,
        {"correction": correction},
    )


def _by_value(
    x: Floats, y: Floats, z: Floats, method: str, kinds: tuple[str, str, str], settings: Any
) -> Estimate:
    n, parts, weights = len(x), [], []
    for code in np.unique(z):
        rows = z[:, 0] == code
        try:
            one = mutual_information(
                x[rows], y[rows], method, x_kind=kinds[0], y_kind=kinds[1], **settings
            )
        except UnknownName:
            raise
        except InvalidInput as error:
            raise InvalidInput(
                f"z: found a value with {int(rows.sum())} rows on which {method!r} fails "
                f"({error}), wanted enough rows that vary for each value of z"
            ) from error
        parts.append(one)
        weights.append(rows.sum() / n)
    return _joined(parts, np.array(weights))


def _by_chain(
    x: Floats, y: Floats, z: Floats, method: str, kinds: tuple[str, str, str], settings: Any
) -> Estimate:
    # A discrete side beside a continuous one is a mixed variable: codes as numbers, for "mixed".
    if DISCRETE in kinds[1:] and method != "mixed":
        raise InvalidInput(
            f"method: found {method!r} for y {kinds[1]} and z {kinds[2]}, wanted 'mixed', "
            "or a discrete z"
        )
    both = np.concatenate([y, z], axis=1)
    more = mutual_information(x, both, method, x_kind=kinds[0], **settings)
    less = mutual_information(x, z, method, x_kind=kinds[0], **settings)
    found = _joined([more, less], np.array([1.0, -1.0]))
    return dataclasses.replace(found, ceiling=more.ceiling)


def _joined(parts: list[MIResult], weights: Floats) -> Estimate:
    values = np.array([one.value for one in parts])
    spread = np.array([one.stderr for one in parts])
    return Estimate(
        float(weights @ values),
        float(np.sqrt((weights**2) @ (spread**2))),
        float(np.abs(weights) @ np.array([one.ceiling for one in parts])),
        tuple(dict.fromkeys(note for one in parts for note in one.warnings)),
        dict(parts[0].settings),
    )


def _checked(function: Any, settings: dict[str, Any]) -> Any:
    """The function, once its settings are known ones."""
    known = list(function.__kwdefaults__)
    for name in settings:
        if name not in known:
            raise unknown("setting of conditional_mi", name, known)
    return function
