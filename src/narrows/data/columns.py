"""From a file, a data frame or a mapping to plain columns by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from narrows.data.csv_file import check_columns, read_csv
from narrows.errors import FileRefused, require, wrong, wrong_type

Columns = dict[str, np.ndarray]

_TABLES = ("table.csv", "table.parquet")
_TEXT_FILES = (".csv", ".tsv", ".txt")
_PARQUET_FILES = (".parquet", ".pq")


def is_table(source: Any) -> bool:
    """Whether a source is a data frame, a Hugging Face data set or a mapping of columns."""
    return isinstance(source, Mapping) or _is_frame(source) or hasattr(source, "column_names")


def columns_of(source: Any, as_text: Callable[[str], bool]) -> Columns:
    """Columns of equal length, by name.

    Args:
        source: a CSV or Parquet path, a folder with `table.csv` or `table.parquet`, a pandas
            data frame, an object with `column_names` and `[column]` (a Hugging Face data set),
            a mapping from names to values, or one of split names to such tables.
        as_text: for CSV, which columns must stay text.

    Raises:
        FileRefused: a file that is missing, damaged or of another kind.
        InvalidInput: no rows or columns of different lengths.
        InvalidType: another kind of source, or a column of things that are not single values.

    Example:
        >>> columns_of({"a": [1, 2], "b": ["x", None]}, str.isupper)
        {'a': array([1, 2]), 'b': array(['x', None], dtype=object)}
    """
    if isinstance(source, str | Path):
        return _from_file(table_path(source), as_text)
    if _is_frame(source):
        return _from_frame(source)
    if isinstance(source, Mapping) and source and all(map(is_table, source.values())):
        return _stacked({str(name): columns_of(part, as_text) for name, part in source.items()})
    if isinstance(source, Mapping):
        return _checked((str(name), _tidy(str(name), values)) for name, values in source.items())
    if hasattr(source, "column_names"):
        names = [str(name) for name in source.column_names]
        return _checked((name, _tidy(name, source[name])) for name in names)
    raise wrong_type("source", type(source).__name__, "a path, a data frame or columns by name")


def table_path(source: str | Path) -> Path:
    """The table a path means: the file itself, or the one table in a folder."""
    path = Path(source)
    if path.is_dir():
        found = [path / name for name in _TABLES if (path / name).is_file()]
        if len(found) != 1:
            there = " and ".join(p.name for p in found) or "no table"
            raise FileRefused(f"{path}: found {there}, wanted one of {' or '.join(_TABLES)}")
        return found[0]
    if not path.is_file():
        raise FileRefused(f"{path}: found no such file or folder, wanted a table")
    if path.suffix.lower() not in _TEXT_FILES + _PARQUET_FILES:
        raise FileRefused(f"{path}: found {path.suffix or 'no ending'}, wanted .csv or .parquet")
    return path


def is_text_file(source: Any) -> bool:
    """Whether a source is a file whose cells have no types but text."""
    return isinstance(source, str | Path) and table_path(source).suffix.lower() in _TEXT_FILES


def _from_file(path: Path, as_text: Callable[[str], bool]) -> Columns:
    if is_text_file(path):
        return read_csv(path, as_text)
    arrow, parquet = require("pyarrow", "data"), require("pyarrow.parquet", "data")
    try:
        table = parquet.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        raise FileRefused(f"{path}: not a readable Parquet file: {error}") from error
    check_columns(table.column_names, str(path))
    return _checked(
        (name, _tidy(name, table.column(name).to_numpy())) for name in table.column_names
    )


def _is_frame(source: Any) -> bool:
    return hasattr(source, "iloc") and hasattr(source, "columns")


def _from_frame(frame: Any) -> Columns:
    names = [str(name) for name in frame.columns]
    check_columns(names, "the data frame")
    return _checked((name, series_values(name, frame.iloc[:, i])) for i, name in enumerate(names))


def series_values(name: str, series: Any) -> np.ndarray:
    """The values of a pandas series, with None for whatever pandas calls missing."""
    if getattr(series.dtype, "kind", "O") in "fiub" and isinstance(series.dtype, np.dtype):
        return np.asarray(series)
    return _tidy(name, series.astype(object).where(series.notna(), None).to_numpy())


def _stacked(parts: Mapping[str, Columns]) -> Columns:
    """Tables below one another, with a `split` column that says where each row came from."""
    first = next(iter(parts.values()))
    for split, columns in parts.items():
        if set(columns) != set(first):
            raise wrong(f"columns of {split!r}", f"{sorted(columns)}", f"{sorted(first)}")
    stacked = {name: np.concatenate([part[name] for part in parts.values()]) for name in first}
    lengths = [len(next(iter(part.values()))) for part in parts.values()]
    return stacked | {"split": np.repeat(np.array(list(parts), dtype=object), lengths)}


def _tidy(name: str, values: Any) -> np.ndarray:
    """One column as a numeric or object array of single values."""
    if hasattr(values, "iloc"):
        return series_values(name, values)
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray):
        array = values
    else:
        array = np.fromiter(values, dtype=object, count=len(values))
    kinds = {type(v) for v in array} if array.dtype == object else set()
    for kind in kinds if kinds in ({int}, {float}, {bool}) else ():
        with suppress(OverflowError):  # whole numbers beyond 64 bits stay Python's
            array = array.astype(kind)
    if array.ndim != 1 or any(issubclass(kind, list | dict | np.ndarray) for kind in kinds):
        raise wrong_type(f"column {name!r}", "lists", "a single value in each cell")
    if array.dtype.kind in "Mmc":
        raise wrong_type(f"column {name!r}", str(array.dtype), "numbers or text")
    return array if array.dtype.kind in "fiub" else array.astype(object)


def _checked(items: Iterable[tuple[str, np.ndarray]]) -> Columns:
    columns = dict(items)
    lengths = {name: len(values) for name, values in columns.items()}
    if not lengths or 0 in lengths.values():
        raise wrong("source", "no rows" if lengths else "no columns", "a table with rows")
    if len(set(lengths.values())) > 1:
        raise wrong("source", f"columns of lengths {lengths}", "columns of one length")
    return columns
