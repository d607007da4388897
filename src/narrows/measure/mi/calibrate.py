"""How far each estimator is off, at your number of samples and columns, where the truth is known.

Run it before trusting a value: an estimator that misses the known truths of your size misses
yours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from narrows.errors import NarrowsError, unknown, wrong
from narrows.measure.mi.calibrate_result import Calibration, Refusal, Row
from narrows.measure.mi.dispatch import mutual_information
from narrows.measure.mi.known import STANDARD, Task
from narrows.measure.mi.known import tasks as known_tasks
from narrows.measure.mi.known.task import whole
from narrows.measure.mi.registry import ESTIMATORS, estimator
from narrows.measure.mi.result import MIResult

Methods = Sequence[str] | Mapping[str, Mapping[str, Any]]
_LEAST = 10  # samples: below, no estimator says anything


def calibrate(
    n: int,
    dims: int | tuple[int, int] | None = None,
    tasks: Iterable[str | Task] | None = None,
    methods: Methods | None = None,
    seeds: int = 5,
) -> Calibration:
    """Bias, spread, error, coverage, time and ceilings of estimators where the truth is known.

    Memory: the samples of one task and what one estimator needs. Pictures ("blobs-2") have 1,024
    columns a side, on which estimators by neighbours take minutes.

    Args:
        n: samples, as many as you have.
        dims: columns of x and y, as you have them, or one number for both: tasks made for
            that size. By default a short list of all kinds, `known.STANDARD`.
        tasks: names of `known.tasks()` (or of `known.tasks(dims)`), or tasks of your own.
        methods: names of estimators, or what to call them with `{"method": ..., setting: ...}`;
            by default all that train no network and take any two samples. Those that refuse a
            task are listed with their reason.
        seeds: samples of each task, drawn with seeds 0, 1, ...

    Raises:
        UnknownName: no such task or estimator.
        InvalidInput: fewer than 10 samples, no seed, no task.

    Example:
        >>> found = calibrate(200, tasks=["normal-0.9"], methods=["ksg", "ross"], seeds=3)
        >>> [row.method for row in found.rows], [no.method for no in found.refusals]
        (['ksg'], ['ross'])
        >>> abs(found.rows[0].bias) < 0.2
        True
    """
    whole("n", n, _LEAST)
    whole("seeds", seeds, 1)
    chosen, called = _tasks(dims, tasks), _methods(methods)
    rows: list[Row] = []
    refusals: list[Refusal] = []
    for task in chosen:
        samples = [task.sample(n, seed) for seed in range(seeds)]
        for name, settings in called.items():
            found, refused = _runs(task, name, settings, samples)
            refusals += refused
            if found:
                rows.append(summarised(task, name, found))
    return Calibration(n, seeds, tuple(rows), tuple(refusals))


def summarised(task: Task, name: str, runs: Sequence[tuple[MIResult, float]]) -> Row:
    """One row from the results of one estimator on one task, with their seconds."""
    results = [result for result, _ in runs]
    values = np.array([result.value for result in results])
    kind = results[0].kind
    off = values - task.truth
    measured = kind != "surrogate"  # a surrogate has another truth
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return Row(
        task=task.name,
        truth=task.truth,
        method=name,
        kind=kind,
        runs=len(results),
        mean=float(values.mean()),
        bias=float(off.mean()) if measured else math.nan,
        bias_stderr=spread / math.sqrt(len(values)) if measured else math.nan,
        spread=spread,
        stderr=float(np.mean([result.stderr for result in results])),
        rmse=float(np.sqrt((off**2).mean())) if measured else math.nan,
        coverage=_coverage(results, task.truth) if measured else math.nan,
        ceiling=float(np.mean([_capped(result, task.truth) for result in results])),
        seconds=float(np.median([seconds for _, seconds in runs])),
        warnings=tuple(dict.fromkeys(text for result in results for text in result.warnings)),
    )


def _runs(
    task: Task, name: str, settings: Mapping[str, Any], samples: Sequence[tuple[Any, Any]]
) -> tuple[list[tuple[MIResult, float]], list[Refusal]]:
    """Results with their seconds, and why there are none for some samples."""
    found, reasons = [], []
    given = {"x_kind": task.x_kind, "y_kind": task.y_kind, **settings}
    for x, y in samples:
        start = time.perf_counter()
        try:
            result = mutual_information(x, y, **given)
        except NarrowsError as error:
            reasons.append(str(error))
            continue
        found.append((result, time.perf_counter() - start))
    counts = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    return found, [
        Refusal(task.name, name, reason, count, len(samples)) for reason, count in counts.items()
    ]


def _coverage(results: Sequence[MIResult], truth: float) -> float:
    """Share of intervals on the right side of the truth; NaN where a result has none."""
    if any(math.isnan(result.stderr) for result in results):
        return math.nan
    kind = results[0].kind
    hits = []
    for result in results:
        low, high = result.interval
        hits.append((kind == "upper" or low <= truth) and (kind == "lower" or truth <= high))
    return float(np.mean(hits))


def _capped(result: MIResult, truth: float) -> bool:
    """Whether the ceiling decides: the interval reaches it, or the truth lies above it."""
    high = result.value if math.isnan(result.stderr) else result.interval[1]
    return truth > result.ceiling + 1e-9 or high >= result.ceiling


def _tasks(
    dims: int | tuple[int, int] | None, wanted: Iterable[str | Task] | None
) -> tuple[Task, ...]:
    own = known_tasks(dims) if dims is not None else {}
    if wanted is None:
        return tuple(own.values()) if own else tuple(known_tasks()[name] for name in STANDARD)
    if isinstance(wanted, str):
        wanted = (wanted,)
    known = {**known_tasks(), **own}
    found = []
    for one in wanted:
        if not isinstance(one, Task) and one not in known:
            raise unknown("task", one, known)
        found.append(one if isinstance(one, Task) else known[one])
    if not found:
        raise wrong("tasks", "none", "at least one")
    return tuple(found)


def _methods(methods: Methods | None) -> dict[str, dict[str, Any]]:
    if methods is None:
        rows = (row for row in ESTIMATORS.values() if not (row.trained or row.of_function))
        methods = tuple(row.name for row in rows)
    if isinstance(methods, str):
        methods = (methods,)
    if not isinstance(methods, Mapping):
        methods = {name: {"method": name} for name in methods}
    found = {}
    for label, given in methods.items():
        if "units" in given:  # rows are in nats
            raise wrong("methods", f"units for {label!r}", "none: everything here is in nats")
        found[label] = {"method": label, **given}
        estimator(found[label]["method"])
    if not found:
        raise wrong("methods", "none", "at least one")
    return found
