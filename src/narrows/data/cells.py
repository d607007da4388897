"""What the cells of a table mean: numbers, concept annotations, labels, names.

Rows are counted from 1 in messages, without the header, as a person counts them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from narrows.errors import wrong, wrong_type

Values = np.ndarray | Sequence[Any]

_MISSING = {"", "na", "n/a", "nan", "null"}
_TRUE = {"true", "yes", "present"}
_FALSE = {"false", "no", "absent"}
_CONCEPT_CELLS = (
    "0/1, true/false, yes/no, present/absent, a probability in [0, 1], or empty (not annotated)"
)


def is_missing(cell: Any) -> bool:
    """Whether a cell of names or labels is empty: None, NaN or no text at all.

    Texts like `NA` count as missing only among numbers and annotations: they may be labels.
    """
    return cell is None or (isinstance(cell, str) and not cell) or _is_nan(cell)


def _is_nan(cell: Any) -> bool:
    return isinstance(cell, float | np.floating) and math.isnan(cell)


def numbers(values: Values) -> np.ndarray | None:
    """Cells as float64 with NaN for missing ones, or None when some cell is not a number.

    Example:
        >>> numbers(["1.5", "NA", "true"]).tolist()
        [1.5, nan, 1.0]
        >>> numbers(["1.5", "red"]) is None
        True
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return values.astype(np.float64)
    try:
        # Digits with underscores are names to people, whatever Python reads in them.
        if "_" not in "".join(values):
            return np.fromiter(map(float, values), dtype=np.float64, count=len(values))
    except (TypeError, ValueError):
        pass
    parsed = [_number(cell) for cell in values]
    return None if None in parsed else np.array(parsed, dtype=np.float64)


def _number(cell: Any) -> float | None:
    """One cell as a number, NaN when missing, None when it is something else."""
    if cell is None:
        return math.nan
    if isinstance(cell, bool | int | float | np.number | np.bool_ | Decimal):
        return None if isinstance(cell, np.complexfloating) else float(cell)
    if not isinstance(cell, str):
        return None
    word = cell.strip().lower()
    if word in _MISSING:
        return math.nan
    if word in ("true", "false"):
        return float(word == "true")
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None


def read_concept(name: str, values: Values) -> np.ndarray:
    """The cells of one concept as float32 in [0, 1]; NaN where not annotated.

    Raises:
        InvalidInput: any other cell, by column, row and value.

    Example:
        >>> read_concept("tall", ["yes", "", "0.25", "absent"]).tolist()
        [1.0, nan, 0.25, 0.0]
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        out = np.flatnonzero((values < 0) | (values > 1))
        if len(out):
            _annotation(name, int(out[0]), values[out[0]].item())
        return values.astype(np.float32)
    known: dict[Any, float] = {}
    found = np.empty(len(values), dtype=np.float32)
    for row, cell in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
        if cell not in known:
            known[cell] = _annotation(name, row, cell)
        found[row] = known[cell]
    return found


def _annotation(name: str, row: int, cell: Any) -> float:
    word = cell.strip().lower() if isinstance(cell, str) else cell
    if word in _TRUE or word in _FALSE:
        return float(word in _TRUE)
    value = _number(word)
    if value is None or value < 0 or value > 1:
        raise wrong(f"column {name!r}, row {row + 1}", repr(cell), _CONCEPT_CELLS)
    return value


def labels(name: str, values: Values) -> list[Any]:
    """Target cells as Python values of their own type; None where missing.

    Raises:
        InvalidType: a label that is neither text, a whole or finite number nor a boolean.

    Example:
        >>> labels("y", ["cat", "", "dog"]), labels("y", np.array([3, -1]))
        (['cat', None, 'dog'], [3, -1])
    """
    cells = [None if is_missing(v) else v for v in _python(values)]
    for row, cell in enumerate(cells):
        if not isinstance(cell, str | bool | int | float | None) or cell in (math.inf, -math.inf):
            found = f"{cell!r} of type {type(cell).__name__}"
            raise wrong_type(
                f"column {name!r}, row {row + 1}", found, "text, a finite number or a boolean"
            )
    return cells


def typed(cells: Sequence[str | None]) -> list[Any]:
    """Labels of a file that has only text, as booleans or numbers where that is what they are.

    They are read so only where writing them gives the same text again in all rows: `01` stays
    a text, and so does `1` beside `1.5`.

    Example:
        >>> typed(["3", "-1", None]), typed(["3", "01"])
        ([3, -1, None], ['3', '01'])
    """
    present = [cell for cell in cells if cell is not None]
    reader = next((r for r in (_bool, int, float) if all(_returns(r, t) for t in present)), str)
    return [None if cell is None else reader(cell) for cell in cells]


def _python(values: Values) -> list[Any]:
    cells = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return [cell.item() if isinstance(cell, np.generic) else cell for cell in cells]


def _bool(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError(text)
    return text == "True"


def _returns(reader: Any, text: str) -> bool:
    """Whether reading a text and writing it gives the same text, and a finite value."""
    try:
        value = reader(text)
    except ValueError:
        return False
    return str(value) == text and math.isfinite(value)


def texts(name: str, values: Values) -> list[str]:
    """Cells as text: ids, paths, split names.

    Raises:
        InvalidInput: missing cells, by row.
    """
    cells = _python(values)
    refuse_missing(name, [is_missing(cell) for cell in cells])
    return [str(cell) for cell in cells]


def refuse_missing(name: str, missing: Sequence[bool]) -> None:
    """Refuse a column with missing cells, naming the first rows."""
    rows = [row + 1 for row, absent in enumerate(missing) if absent]
    if rows:
        raise wrong(f"column {name!r}", f"nothing in {rows_named(rows)}", "a value in each row")


def rows_named(rows: Sequence[int], most: int = 5) -> str:
    """A short list of row numbers.

    Example:
        >>> rows_named([4]), rows_named([1, 2, 3, 4, 5, 6, 7])
        ('row 4', 'rows 1, 2, 3, 4, 5 and 2 more')
    """
    shown = ", ".join(str(row) for row in rows[:most])
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"
