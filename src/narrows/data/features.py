"""From feature columns to a matrix, in a way that new rows can repeat.

How each column is read is plain data: `{"name": "age"}` is a number, and
`{"name": "colour", "values": ["blue", "red"]}` becomes one 0/1 feature per value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.data.cells import is_missing, numbers, rows_named
from narrows.errors import unknown, wrong, wrong_type

Readings = list[dict[str, Any]]

MAX_CATEGORIES = 20


def fit_columns(
    columns: Mapping[str, np.ndarray], names: Iterable[str], train: np.ndarray
) -> Readings:
    """Decide how each feature column is read.

    Text columns are one-hot encoded with the values seen in training rows only.

    Raises:
        InvalidInput: no feature column; a text column with more than 20 values.
        InvalidType: a column of something else.
    """
    readings = [_fit_column(name, columns[name], train) for name in names]
    if not readings:
        raise wrong("source", "no feature columns", "at least one beside label and concepts")
    return readings


def _fit_column(name: str, values: np.ndarray, train: np.ndarray) -> dict[str, Any]:
    if numbers(values) is not None:
        return {"name": name}
    _refuse_objects(name, values)
    seen = sorted({str(cell) for cell in values[train] if not is_missing(cell)})
    if not seen:
        raise wrong(f"column {name!r}", "nothing in any training row", "a value in each row")
    if len(seen) > MAX_CATEGORIES:
        raise wrong(
            f"column {name!r}",
            f"{len(seen)} different texts, like {seen[0]!r}",
            f"numbers, or at most {MAX_CATEGORIES} categories; leave it out with drop=[{name!r}]",
        )
    return {"name": name, "values": seen}


def _refuse_objects(name: str, values: np.ndarray) -> None:
    for row, cell in enumerate(values):
        if not is_missing(cell) and not isinstance(cell, str | bool | int | float):
            place = f"column {name!r}, row {row + 1}"
            raise wrong_type(place, type(cell).__name__, "numbers or text")


def feature_names(readings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each column of the matrix.

    Example:
        >>> feature_names([{"name": "age"}, {"name": "colour", "values": ["blue", "red"]}])
        ['age', 'colour=blue', 'colour=red']
    """
    return [
        name
        for reading in readings
        for name in (
            [f"{reading['name']}={value}" for value in reading["values"]]
            if "values" in reading
            else [reading["name"]]
        )
    ]


def encode(columns: Mapping[str, np.ndarray], readings: Sequence[Mapping[str, Any]]) -> Tensor:
    """The feature matrix, `(rows, features)` float32.

    A category that was not seen in training rows gives zeros in all its features. Memory: the
    matrix twice, and one column as float64.

    Raises:
        UnknownName: a column is not there, with the nearest names.
        InvalidInput: missing or infinite cells, counted for each column; text among numbers.

    Example:
        >>> columns = {"colour": np.array(["red", "green"], dtype=object)}
        >>> encode(columns, [{"name": "colour", "values": ["blue", "red"]}])
        tensor([[0., 1.],
                [0., 0.]])
    """
    parts = [_encode_column(columns, reading) for reading in readings]
    _refuse_unusable({reading["name"]: part for reading, part in zip(readings, parts, strict=True)})
    matrix = np.concatenate(parts, axis=1)
    return torch.from_numpy(matrix)


def _encode_column(columns: Mapping[str, np.ndarray], reading: Mapping[str, Any]) -> np.ndarray:
    """`(rows, 1)` numbers, or `(rows, values)` of 0 and 1; NaN where the cell is missing."""
    name = reading["name"]
    if name not in columns:
        raise unknown("feature column", name, columns)
    cells = columns[name]
    if "values" not in reading:
        found = numbers(cells)
        if found is None:
            raise _text_among_numbers(name, cells)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: refused below
            return found.astype(np.float32)[:, None]
    place = {value: n for n, value in enumerate(reading["values"])}
    hot = np.zeros((len(cells), len(place)), dtype=np.float32)
    where = np.array([place.get(str(cell), -1) for cell in cells])
    seen = np.flatnonzero(where >= 0)
    hot[seen, where[seen]] = 1
    hot[[is_missing(cell) for cell in cells]] = np.nan
    return hot


def _text_among_numbers(name: str, cells: np.ndarray) -> Exception:
    row = next(row for row, cell in enumerate(cells) if numbers([cell]) is None)
    return wrong(f"column {name!r}, row {row + 1}", repr(cells[row]), "a number")


def _refuse_unusable(parts: Mapping[str, np.ndarray], most: int = 8) -> None:
    """Refuse NaN and infinity, counted for each column."""
    found = []
    for name, part in parts.items():
        missing = np.isnan(part).any(axis=1)
        infinite = np.isinf(part).any(axis=1)
        if missing.any() or infinite.any():
            counts = [f"{int(missing.sum())} missing"] if missing.any() else []
            counts += [f"{int(infinite.sum())} infinite"] if infinite.any() else []
            rows = rows_named((np.flatnonzero(missing | infinite) + 1).tolist(), most=3)
            found.append(f"{name!r} {' and '.join(counts)} ({rows})")
    if found:
        more = f"; and {len(found) - most} more columns" if len(found) > most else ""
        raise wrong(
            "feature cells",
            "; ".join(found[:most]) + more,
            "a finite number in each cell: impute or drop the rows or columns",
        )
