"""Information between cells: continuous columns are cut into bins, and the bins are counted.

Three rules for a column's B bins:

- width: equal parts of its range;
- quantile: equal shares of its rows;
- levels: equal shares of its *unique* values, so that the zeros of a ReLU fill one bin and not
  most of them (entropy-based adaptive binning, Chelombiev, Houghton and O'Donnell, ICLR 2019).

The last two depend on order alone. Edges lie midway between neighbouring values, which the papers
leave open. The bins decide the value: few lose information, many saturate at log N.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import unknown, wrong
from narrows.measure.mi.discrete import discrete
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
RULES = ("width", "quantile", "levels")
SCOPES = ("column", "all")
_FULL = 0.95  # share of the ceiling that earns a warning


def binning(
    x: Floats,
    y: Floats,
    *,
    bins: int | None = None,
    rule: str = "quantile",
    scope: str = "column",
    correction: str = "miller-madow",
    x_kind: str = "continuous",
    y_kind: str = "continuous",
) -> Estimate:
    """Mutual information of the cells that x and y fall into; discrete variables stay as they are.

    O(N d log N) time, O(N d) memory whatever the number of cells.

    Args:
        x: `(N, dx)`; a cell is the bins of all columns.
        y: `(N, dy)`.
        bins: per column, 2 or more; by default about (N / 5)^(1 / c) for c continuous columns in
            all, counted as two at least: a cell of two columns holds five rows on average.
        rule: width, quantile or levels.
        scope: edges for each column, or the same for all columns of a variable.
        correction: of the entropies; see `narrows.measure.mi.discrete`.
        x_kind: continuous or discrete.
        y_kind: the same.

    Raises:
        InvalidInput: fewer than two bins, or an unknown rule, scope or correction.

    Example:
        >>> rows = np.arange(64.0)[:, None]
        >>> found = binning(rows, rows**3, bins=8, correction="none")
        >>> round(float(found.value / np.log(2)), 6)
        3.0
    """
    kinds = {"x": (x, x_kind), "y": (y, y_kind)}
    columns = sum(one.shape[1] for one, kind in kinds.values() if kind == "continuous")
    if bins is None:
        bins = max(2, round((len(x) / 5) ** (1 / max(columns, 2))))
    cells: list[Floats] = []
    warnings: tuple[str, ...] = ()
    for name, (values, kind) in kinds.items():
        if kind == "continuous":
            ids = digitize(values, bins, rule, scope)
            warnings += _levels(name, values, bins, scope)
            cells.append(cell_codes(ids)[:, None].astype(np.float64))
        else:
            cells.append(values)
    found = discrete(cells[0], cells[1], correction=correction)
    settings: dict[str, Any] = {"bins": bins, "rule": rule, "scope": scope}
    value = min(found.value, found.ceiling)  # a correction adds to what cells could tell
    if value > _FULL * found.ceiling and "continuous" in (x_kind, y_kind):
        warnings += (
            f"{value:.2f} nats is near log of the fewer cells, {found.ceiling:.2f}: finer "
            "bins would find more; if y is a function of x the truth is infinite",
        )
    return dataclasses.replace(
        found,
        value=value,
        warnings=warnings + found.warnings,
        settings=settings | dict(found.settings),
    )


def digitize(values: Floats, bins: int, rule: str = "levels", scope: str = "column") -> Ints:
    """`(N, d)` the bin of each value, from 0.

    Args:
        values: `(N, d)`.
        bins: per column.
        rule: width, quantile or levels.
        scope: "column", or "all" for the same edges in all columns.

    Example:
        >>> digitize(np.array([[0.0], [0.0], [0.0], [1.0], [7.0]]), 3).ravel().tolist()
        [0, 0, 0, 1, 2]
    """
    if scope not in SCOPES:
        raise unknown("scope", scope, SCOPES)
    if scope == "all":
        return np.searchsorted(edges(values, bins, rule), values, side="left")
    cut = [np.searchsorted(edges(one, bins, rule), one, side="left") for one in values.T]
    return np.stack(cut, axis=1)


def edges(values: Floats, bins: int, rule: str = "levels") -> Floats:
    """The inner edges, at most `bins - 1`; a value's bin is the number of edges below it.

    Equal values always share a bin, so there may be fewer bins than asked for.

    Args:
        values: of any shape; what they hold is pooled.
        bins: 2 or more.
        rule: width, quantile or levels.

    Example:
        >>> edges(np.array([0.0, 0.0, 0.0, 1.0, 7.0]), 3).tolist()
        [0.5, 4.0]
        >>> edges(np.array([0.0, 0.0, 0.0, 1.0, 6.0]), 3, "width").tolist()
        [2.0, 4.0]
    """
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    if not isinstance(bins, int | np.integer) or bins < 2:
        raise wrong("bins", repr(bins), "a whole number, 2 or more")
    if rule == "width":
        return np.linspace(values.min(), values.max(), int(bins) + 1)[1:-1]
    order = np.unique(values) if rule == "levels" else np.sort(values, axis=None)
    parts = min(int(bins), len(order))
    cut = np.arange(1, parts) * len(order) // parts
    low, high = order[cut - 1], order[cut]
    middle = low + (high - low) / 2
    # between two neighbouring numbers of the machine the middle is one of them
    return np.unique(np.where(middle < high, middle, low))


def cell_codes(ids: Ints) -> Ints:
    """`(N,)` codes, equal exactly where whole rows of `(N, d)` bins are.

    Columns are packed into one integer for as long as it holds them, then numbered anew: exact,
    and one sort for about a dozen columns.
    """
    code = np.zeros(len(ids), dtype=np.int64)
    states = 1
    for column in ids.T:
        wide = int(column.max()) + 1
        if math.log2(states) + math.log2(wide) > 62:
            code, states = _renumbered(code)
        code = code * wide + column
        states *= wide
    return _renumbered(code)[0]


def _renumbered(code: Ints) -> tuple[Ints, int]:
    found, place = np.unique(code, return_inverse=True)
    return place.astype(np.int64), len(found)


def _levels(name: str, values: Floats, bins: int, scope: str) -> tuple[str, ...]:
    pools = [values] if scope == "all" else list(values.T)
    fewest = min(len(np.unique(pool)) for pool in pools)
    if fewest >= bins:
        return ()
    return (f"{name}: {fewest} different values for {bins} bins: one bin for each",)
