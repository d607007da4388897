"""Mutual information by any of the estimators, checked and reported in one way."""

from __future__ import annotations

import inspect
import math
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InvalidInput, unknown, wrong
from narrows.measure.mi.registry import ESTIMATORS, Estimator, estimator
from narrows.measure.mi.result import NO_UNIT, MIResult, MIResults
from narrows.measure.mi.samples import paired, sample

_SLACK = 0.1  # nats below 0 that small samples may show


@overload
def mutual_information(
    x: Any, y: Any, method: str = ..., *, each: Literal[False] = False, **settings: Any
) -> MIResult: ...


@overload
def mutual_information(
    x: Any, y: Any, method: str = ..., *, each: Literal[True], **settings: Any
) -> MIResults: ...


def mutual_information(
    x: Any,
    y: Any,
    method: str = "ksg",
    *,
    each: bool = False,
    x_kind: str = "continuous",
    y_kind: str = "continuous",
    units: str = "nats",
    standardize: bool = False,
    **settings: Any,
) -> MIResult | MIResults:
    """How much two samples tell of each other, with spread, kind and ceiling.

    Args:
        x: `(N,)` or `(N, ...)`; what follows N is one vector a row.
        y: the same, row by row the partner of x.
        method: an estimator's name; `narrows.measure.mi.ESTIMATORS` lists them.
        each: one result a column of x, against the whole of y.
        x_kind: continuous or discrete; never guessed from the dtype.
        y_kind: the same for y.
        units: nats or bits.
        standardize: continuous columns to mean 0 and standard deviation 1 first.
        settings: of the estimator.

    Raises:
        UnknownName: no such method or setting.
        InvalidInput: samples that cannot be used, by argument; or kinds of variables the
            method does not take, with the methods that do.
    """
    chosen = estimator(method)
    still = chosen.of_function  # border pixels and dead units are no obstacle there
    ys = sample("y", y, y_kind, still)
    xs = _columns(x, x_kind) if each else sample("x", x, x_kind, still)
    _takes(chosen, x_kind, y_kind)
    paired(xs, ys)
    if standardize:
        xs = _standard(xs) if x_kind == "continuous" else xs
        ys = _standard(ys) if y_kind == "continuous" else ys
    function = chosen.load(each)
    known = inspect.signature(function).parameters
    for name in settings:
        if name not in known:
            raise unknown(f"setting of {method}", name, list(known)[2:])
    kinds = {k: v for k, v in (("x_kind", x_kind), ("y_kind", y_kind)) if k in known}
    if not each:
        return _result(chosen, function(xs, ys, **kinds, **settings), len(ys)).to(units)
    found = function(xs, ys, **kinds, **settings)
    return MIResults(tuple(_result(chosen, one, len(ys)).to(units) for one in found))


def _columns(x: Any, kind: str) -> NDArray[np.float64]:
    """`(N, columns)`, each column a variable of its own."""
    if kind == "continuous":
        return sample("x", x, kind)
    found = np.asarray(x)
    if found.ndim != 2:
        raise wrong("x", f"shape {found.shape}", "shape (N, columns) with each=True")
    return np.concatenate([sample("x", column, kind) for column in found.T], axis=1)


def _takes(chosen: Estimator, x_kind: str, y_kind: str) -> None:
    if (x_kind, y_kind) in chosen.takes:
        return
    fitting = [row.name for row in ESTIMATORS.values() if (x_kind, y_kind) in row.takes]
    raise InvalidInput(
        f"method: found {chosen.name!r} for x {x_kind} and y {y_kind}, "
        f"wanted one of {', '.join(fitting)}"
    )


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean(0)) / values.std(0))


def _impossible(chosen: Estimator, found: Any) -> tuple[str, ...]:
    """Information is never below 0: an estimate far below says that the method does not fit."""
    spread = 0.0 if math.isnan(found.stderr) else 3 * found.stderr
    if chosen.kind in ("estimate", "upper") and found.value < -spread - _SLACK:
        return (
            f"{found.value:.2f} nats is below 0, where no information can be: the method fails on "
            "these samples; try another, and calibrate() at your size",
        )
    return ()


def _result(chosen: Estimator, found: Any, samples: int) -> MIResult:
    return MIResult(
        value=float(found.value),
        stderr=float(found.stderr),
        kind=chosen.kind,
        method=chosen.name,
        samples=samples,
        units=NO_UNIT if chosen.unitless else "nats",
        ceiling=float(found.ceiling),
        warnings=(*found.warnings, *_impossible(chosen, found)),
        settings=dict(found.settings),
    )
