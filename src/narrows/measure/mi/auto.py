"""Method "auto": an estimator that fits the samples, and an unlike one beside it as a check.

Two estimators that fail for different reasons seldom fail alike, so where they differ by more
than their intervals allow, one of them is wrong and the result says so.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import NarrowsError, wrong
from narrows.measure.mi.registry import ESTIMATORS
from narrows.measure.mi.result import Estimate, MIResult
from narrows.measure.mi.samples import CONTINUOUS, DISCRETE

Floats = NDArray[np.float64]
Call = tuple[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Choice:
    """One row of the table of choices; the first row that fits is taken.

    Attributes:
        kinds: of the two variables, in either order.
        columns: of both continuous sides together, at most.
        rows: at most.
        first: methods whose value is reported, the first that answers.
        beside: methods that check it, the first that answers and is not the same call.
        because: why these.
        apart: what it may mean where the two disagree.
    """

    kinds: tuple[str, str]
    columns: float
    rows: float
    first: tuple[Call, ...]
    beside: tuple[Call, ...]
    because: str
    apart: str


_CC, _CD, _DD = (CONTINUOUS, CONTINUOUS), (CONTINUOUS, DISCRETE), (DISCRETE, DISCRETE)
_MANY = 60  # columns beyond which neighbours take minutes and tell nothing
_COMPARABLE = ("estimate", "lower", "upper")  # a surrogate measures something else
_NONE: Mapping[str, Any] = {}
_KSG, _ROSS, _MIXED = ("ksg", _NONE), ("ross", _NONE), ("mixed", _NONE)
_GCMI, _GAUSSIAN, _KDE = ("gcmi", _NONE), ("gaussian", _NONE), ("kde", _NONE)

CHOICES = (
    Choice(
        _DD,
        math.inf,
        math.inf,
        (("discrete", _NONE),),
        (("discrete", {"correction": "chao-shen"}), _MIXED),
        "both are discrete: counts need no assumption; another correction of their bias checks "
        "for cells too many to be seen",
        "many cells are seen once or never: use fewer cells or more samples",
    ),
    Choice(
        _CD,
        4,
        math.inf,
        (_ROSS, _MIXED),
        (_KDE, _MIXED),
        "one is discrete and the other has few columns: neighbours within the classes follow any "
        "shape",
        "kernels blur sharp edges, neighbours do not; both err where a class has few rows",
    ),
    Choice(
        _CD,
        _MANY,
        math.inf,
        (_ROSS, _MIXED),
        (_MIXED,),
        "one is discrete and the other has several columns: neighbours within the classes",
        "neighbours are far in so many columns",
    ),
    Choice(
        _CD,
        math.inf,
        math.inf,
        (),
        (),
        "one is discrete and the other has very many columns: no estimate is worth its time",
        "-",
    ),
    Choice(
        _CC,
        2,
        math.inf,
        (_KSG,),
        (_GCMI, _GAUSSIAN, _MIXED),
        "single columns: nearest neighbours follow any shape at any number of rows",
        "the normal part is a lower bound here, so neighbours below it have too few rows",
    ),
    Choice(
        _CC,
        6,
        300_000,
        (_KSG,),
        (_GCMI, _GAUSSIAN, _MIXED),
        "few columns: nearest neighbours follow any shape",
        "neighbours underestimate strong dependence in several columns",
    ),
    Choice(
        _CC,
        _MANY,
        300_000,
        (_GAUSSIAN, _KSG),
        (_KSG, _MIXED),
        "many columns: neighbours are far, so the linear part",
        "neighbours far below are usual in many columns; above, they see what no line shows",
    ),
    Choice(
        _CC,
        math.inf,
        math.inf,
        (_GAUSSIAN,),
        (_GCMI,),
        "very many columns or rows: neighbours are far and slow, so the linear part, beside that "
        "of ranks; neither sees what no line shows",
        "columns are far from normal; the one of ranks is the safer",
    ),
)


def auto(
    x: Floats, y: Floats, *, x_kind: str = CONTINUOUS, y_kind: str = CONTINUOUS, seed: int = 0
) -> Estimate:
    """Mutual information by an estimator chosen by rows, columns and kinds, checked by another.

    The settings of the result say which were run and why, what both found in nats, and who
    refused. Costs both, in time and memory.

    Args:
        x: `(N, dx)`, or codes `(N, 1)`.
        y: `(N, dy)`, or codes `(N, 1)`.
        x_kind: continuous or discrete.
        y_kind: the same for y.
        seed: for methods that take one.

    Raises:
        InvalidInput: no method that fits answers; with what each said.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((500, 2))
        >>> auto(rows[:, :1], rows[:, 1:]).settings["method"]
        'ksg'
    """
    sides = [a.shape[1] for a, kind in ((x, x_kind), (y, y_kind)) if kind == CONTINUOUS]
    choice = chosen((x_kind, y_kind), sum(sides), len(x))
    refused: dict[str, str] = {}
    given = {"x_kind": x_kind, "y_kind": y_kind, "seed": seed}
    answers = list(_answers(choice, x, y, given, refused))
    if not answers:
        told = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise wrong(
            "x, y",
            f"no method that answers ({told or choice.because})",
            "more rows, fewer columns (a compression of them gives a lower bound), or a method "
            "by name, as 'sliced'",
        )
    first, *others = answers
    found = first.result
    settings: dict[str, Any] = {
        "method": first.name,
        "because": choice.because,
        "nats": {one.label: [one.result.value, one.result.stderr] for one in answers},
        "of the method": dict(found.settings),
    }
    if refused:
        settings["refused"] = refused
    warnings = tuple(found.warnings)
    if others:
        settings["beside"] = others[0].label
        warnings += _disagreement(first, others[0], choice.apart)
    else:
        warnings += (f"{first.name} stands alone: no unlike method answered beside it",)
    return Estimate(found.value, found.stderr, found.ceiling, warnings, settings)


def chosen(kinds: tuple[str, str], columns: int, rows: int) -> Choice:
    """The first row of the table that fits.

    Example:
        >>> chosen(("continuous", "continuous"), 40, 1000).first[0][0]
        'gaussian'
    """
    for choice in CHOICES:
        fits = sorted(kinds) == sorted(choice.kinds)
        if fits and columns <= choice.columns and rows <= choice.rows:
            return choice
    raise wrong("x_kind, y_kind", repr(kinds), "continuous or discrete")


@dataclasses.dataclass(frozen=True)
class _Answer:
    name: str
    label: str
    result: MIResult


def _answers(
    choice: Choice, x: Floats, y: Floats, given: dict[str, Any], refused: dict[str, str]
) -> Iterator[_Answer]:
    """The first method that answers, then the first other one."""
    kinds = given["x_kind"], given["y_kind"]
    tried: list[Call] = []
    for calls, allowed in ((choice.first, ("estimate",)), (choice.beside, _COMPARABLE)):
        for call in calls:
            row = ESTIMATORS.get(call[0])
            if call in tried or row is None or kinds not in row.takes or row.kind not in allowed:
                continue
            tried.append(call)
            name, settings = call
            label = " ".join([name, *map(str, settings.values())])
            function = row.load()
            known = inspect.signature(function).parameters
            taken = {key: value for key, value in given.items() if key in known}
            try:
                found = function(x, y, **taken, **settings)
            except NarrowsError as error:
                refused[label] = str(error)
                continue
            told = MIResult(
                found.value,
                found.stderr,
                row.kind,
                name,
                len(x),
                ceiling=found.ceiling,
                warnings=tuple(found.warnings),
                settings=found.settings,
            )
            yield _Answer(name, label, told)
            break


def _disagreement(first: _Answer, other: _Answer, apart: str) -> tuple[str, ...]:
    """A warning where the intervals part; a bound on its own side is no disagreement."""
    (low, high), (least, most) = _interval(first.result), _interval(other.result)
    kind = other.result.kind
    below = most < low and kind != "lower"
    above = least > high and kind != "upper"
    if not (below or above):
        return ()
    values = (
        f"{one.label} {one.result.value:.3f} nats ({a:.3f} to {b:.3f})"
        for one, a, b in ((first, low, high), (other, least, most))
    )
    return (
        f"{' and '.join(values)} disagree beyond both intervals: {apart}; calibrate() at your "
        "number of rows and columns tells how far each is off",
    )


def _interval(result: MIResult) -> tuple[float, float]:
    """The 95 % interval, or the value alone where there is none."""
    if math.isnan(result.stderr):
        return result.value, result.value
    return result.interval
