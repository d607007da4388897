"""Samples from files: .npy arrays and .csv tables, never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.errors import FileRefused, unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAGIC = b"\x93NUMPY"


def read_sample(text: str) -> tuple[NDArray[Any], str]:
    """The rows of a file, and what they are in words.

    Args:
        text: a path that ends in .npy or .csv; `table.csv:age,weight` takes those columns.

    Raises:
        FileRefused: no such file, another kind of file, damage, or an array of Python objects,
            which could only be read by running what it says.
        UnknownName: no such column.
    """
    path, columns = _parted(text)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise FileRefused(f"{path}: found {found}, wanted a .npy or .csv file")
    if path.suffix.lower() == ".csv":
        return _csv(path, columns)
    if path.suffix.lower() == ".npy":
        values = _npy(path)
        return values, f"{path}, shape {values.shape}"
    raise FileRefused(f"{path}: found {path.suffix or 'no ending'!r}, wanted .npy or .csv")


def _parted(text: str) -> tuple[Path, list[str] | None]:
    """Path and column names of `table.csv:age,weight`; only a .csv can be followed by names."""
    head, mark, names = text.rpartition(":")
    if mark and head.lower().endswith(".csv") and not Path(text).exists():
        return Path(head), [name.strip() for name in names.split(",")]
    return Path(text), None


def _npy(path: Path) -> NDArray[Any]:
    import numpy as np

    _check_kind(path)
    try:
        # Mapped, a file that claims more rows than it holds is refused before memory is taken.
        array: np.ndarray[Any, np.dtype[Any]] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError) as error:
        if "ython object" in str(error) or "ickle" in str(error):
            raise FileRefused(
                f"{path}: found Python objects, which only a pickle can hold and which could run "
                "code; wanted numbers or texts (save array.astype(float) or array.astype(str))"
            ) from error
        raise FileRefused(f"{path}: found a damaged array ({error}), wanted a whole one") from error
    return array


def _check_kind(path: Path) -> None:
    """Refuse what does not start as an array does, before numpy looks at it."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise FileRefused(f"{path}: cannot be read: {error.strerror or error}") from error
    if start != _MAGIC:
        kind = "an archive of arrays" if start.startswith(b"PK") else "no array"
        raise FileRefused(f"{path}: found {kind}, wanted one array saved by numpy.save")


def _csv(path: Path, columns: list[str] | None) -> tuple[NDArray[Any], str]:
    import numpy as np

    from narrows.data.cells import numbers
    from narrows.data.csv_file import read_csv

    table = read_csv(path, lambda name: False)
    if all(numbers([name]) is not None for name in table):
        raise FileRefused(
            f"{path}: found numbers in the first line, wanted the names of the columns there"
        )
    for name in columns or ():
        if name not in table:
            raise unknown(f"column of {path}", name, table)
    taken = columns or list(table)
    sides = [table[name] for name in taken]
    if any(side.dtype == object for side in sides):  # texts beside numbers: all as texts
        sides = [side.astype(str) for side in sides]
    values = np.stack(sides, axis=1)
    return values, f"{path}, {len(values):,} rows of {', '.join(taken)}"
