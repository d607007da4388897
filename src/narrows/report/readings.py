"""Tables of rows and readings in files: Parquet, or CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from narrows import store
from narrows.data.record import Examples
from narrows.errors import require
from narrows.method import Method

Columns = Mapping[str, Sequence[Any]]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def readings_of(method: Method, examples: Examples) -> dict[str, list[Any]]:
    """One column each for id, label and prediction, and `unit:<name>` for every unit's score.

    Args:
        method: fitted.
        examples: the rows; without ids they are numbered from 0.
    """
    units = method.transform(examples).T
    names = [str(name) for name in method.get_feature_names_out()]
    return {
        "id": list(examples.ids or map(str, range(len(examples)))),
        "label": examples.labels,
        "prediction": method.predict(examples).tolist(),
        **{f"unit:{name}": unit.tolist() for name, unit in zip(names, units, strict=True)},
    }


def write_parquet(path: str | Path, columns: Columns) -> None:
    """Write columns to a Parquet file, as a whole or not at all.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    arrow, parquet = require("pyarrow", "data"), require("pyarrow.parquet", "data")
    buffer = io.BytesIO()
    parquet.write_table(arrow.table(dict(columns)), buffer)
    store.write_bytes(path, buffer.getvalue())


def write_csv(path: str | Path, columns: Columns) -> None:
    """Write columns to a CSV file, as a whole or not at all; unknown values are empty.

    Texts that a spreadsheet would take for a formula get an apostrophe in front.
    """
    buffer = io.StringIO()
    # With this line end, cells that hold a return or a new line are quoted and stay one cell.
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    store.write_text(path, buffer.getvalue())


def _cell(value: Any) -> Any:
    """A cell that is data only.

    Example:
        >>> _cell("=1+1"), _cell("left is 3"), _cell(-0.5), _cell(None)
        ("'=1+1", 'left is 3', -0.5, '')
    """
    if value is None:
        return ""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value
