"""The estimators of mutual information by name.

An estimator is one function of two checked samples (`(N, d)` float64, codes `(N, 1)` where
discrete) and its settings that gives an `Estimate`. It is listed here by one row.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import unknown
from narrows.measure.mi.result import Estimate

_CC, _DD = ("continuous", "continuous"), ("discrete", "discrete")
_CD, _DC = ("continuous", "discrete"), ("discrete", "continuous")
_ALL = (_CC, _DD, _CD, _DC)


@dataclasses.dataclass(frozen=True)
class Estimator:
    """One row of the table.

    Attributes:
        name: what `method=` says.
        module: the file under `narrows.measure.mi`, loaded when first used.
        function: its name there.
        kind: estimate, lower, upper or surrogate.
        takes: pairs of variable kinds it accepts, x first.
        summary: in one sentence, where it fits.
        together: a function `(columns, y, ...) -> list of Estimate` that measures every column
            of `(N, columns)` against y at once; without one they go one by one.
        unitless: whether the value is no number of nats, so that bits mean nothing.
        trained: whether networks are trained for it: seconds where others take milliseconds.
        of_function: whether it measures x with y + noise, where y is a function of x: another
            quantity than that of the two samples.
    """

    name: str
    module: str
    function: str
    kind: str
    takes: tuple[tuple[str, str], ...]
    summary: str
    together: str = ""
    unitless: bool = False
    trained: bool = False
    of_function: bool = False

    def load(self, each: bool = False) -> Callable[..., Any]:
        """The function, its file imported now; with `each`, the one for many columns."""
        module = importlib.import_module(f"narrows.measure.mi.{self.module}")
        one: Callable[..., Estimate] = getattr(module, self.function)
        if not each:
            return one
        if self.together:
            return getattr(module, self.together)

        @functools.wraps(one)
        def one_by_one(x: NDArray[np.float64], y: Any, **settings: Any) -> list[Estimate]:
            return [one(column[:, None], y, **settings) for column in x.T]

        return one_by_one


_ROWS = (
    Estimator("discrete", "discrete", "discrete", "estimate", (_DD,), "Counts, bias-corrected."),
    Estimator(
        "ksg", "ksg", "ksg", "estimate", (_CC,), "Nearest neighbours; up to three columns or so."
    ),
    Estimator(
        "ross", "mixed", "ross", "estimate", (_CD, _DC), "Neighbours within the classes of one."
    ),
    Estimator(
        "mixed", "mixed", "mixed", "estimate", _ALL, "Neighbours where values repeat in part."
    ),
    Estimator("binning", "binning", "binning", "estimate", _ALL, "Counts of binned values."),
    Estimator(
        "kde", "kde", "kde", "estimate", (_CC, _CD, _DC), "Kernel densities; up to four columns."
    ),
    Estimator("gaussian", "gaussian", "gaussian", "estimate", (_CC,), "Jointly normal variables."),
    Estimator("gcmi", "gcmi", "gcmi", "lower", (_CC,), "Normal after ranking each column."),
    Estimator("lnc", "lnc", "lnc", "estimate", (_CC,), "Neighbours, for strong dependence."),
    Estimator(
        "mixture-upper",
        "mixture",
        "mixture_upper",
        "upper",
        (_CC, _DC),
        "Of x with y + noise, y a function of x.",
        of_function=True,
    ),
    Estimator(
        "mixture-lower",
        "mixture",
        "mixture_lower",
        "lower",
        (_CC, _DC),
        "Of x with y + noise, y a function of x.",
        of_function=True,
    ),
    Estimator("sliced", "sliced", "sliced", "surrogate", (_CC, _CD, _DC), "Mean over directions."),
    Estimator(
        "k_sliced", "sliced", "k_sliced", "surrogate", (_CC, _CD, _DC), "Mean over subspaces."
    ),
    Estimator("renyi", "renyi", "renyi", "surrogate", _ALL, "Eigenvalues of kernel matrices."),
    Estimator(
        "cauchy_schwarz",
        "cauchy_schwarz",
        "cauchy_schwarz",
        "surrogate",
        _ALL,
        "Angle between the joint density and its margins'.",
    ),
    Estimator(
        "hsic",
        "kernels",
        "hsic",
        "surrogate",
        _ALL,
        "Covariance of kernel features.",
        unitless=True,
    ),
    Estimator(
        "nhsic", "kernels", "nhsic", "surrogate", _ALL, "HSIC between 0 and 1 (CKA).", unitless=True
    ),
    Estimator(
        "distance_correlation",
        "kernels",
        "distance_correlation",
        "surrogate",
        _ALL,
        "Correlation of distances.",
        unitless=True,
    ),
    *(
        Estimator(name, f"neural.{module}", name, kind, (_CC,), summary, trained=True)
        for name, module, kind, summary in (
            ("mine", "lower", "lower", "A trained critic, DV bound."),
            ("nwj", "lower", "lower", "A trained critic, NWJ bound."),
            ("infonce", "lower", "lower", "A trained critic, steady; many columns."),
            ("smile", "lower", "estimate", "A trained critic, clipped."),
            ("club", "upper", "upper", "A fitted normal conditional."),
            ("flow", "flow", "estimate", "Normal after a trained map of each side."),
        )
    ),
    Estimator(
        "auto", "auto", "auto", "estimate", _ALL, "Chooses by rows, columns and kinds; checks."
    ),
)

ESTIMATORS: dict[str, Estimator] = {row.name: row for row in _ROWS}


def estimator(name: str) -> Estimator:
    """The row of a name; an unknown one gets the nearest."""
    if name not in ESTIMATORS:
        raise unknown("method", name, ESTIMATORS)
    return ESTIMATORS[name]
