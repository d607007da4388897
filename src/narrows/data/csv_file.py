"""Reading CSV with the standard library: delimiter found, damage named by line."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np

from narrows.data.cells import numbers
from narrows.errors import FileRefused

_DELIMITERS = ",;\t"
_CHUNK = 4096
_SAMPLE = 20


def read_csv(path: Path, as_text: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """Read a CSV file into columns.

    Comma, semicolon or tab; UTF-8 with or without a byte-order mark; quoted cells may hold line
    breaks; blank lines are skipped.

    Args:
        path: the file.
        as_text: says for a column name whether its cells must stay text. Other columns are
            float64 where all their cells are numbers, so they cost 8 bytes a cell in memory.

    Returns:
        Columns by name, of dtype float64, or object holding texts.

    Raises:
        FileRefused: no such file, nothing in it, no rows, not UTF-8, a column without a name or
            with another's name, a line with too few or too many cells.
    """
    delimiter = _delimiter(path)
    header = _header(path, delimiter)
    text = {name for name in header if as_text(name)}
    # A column may turn out to be text only after many numbers; then its texts are read again.
    columns, failed = _read(path, delimiter, header, text)
    if failed:
        again, _ = _read(path, delimiter, header, set(header))
        columns |= {name: again[name] for name in failed}
    return {name: columns[name] for name in header}


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells of the rows that are not blank."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise FileRefused(
            f"{path}: found bytes that are not UTF-8 ({error}), wanted UTF-8"
        ) from error
    except csv.Error as error:
        raise FileRefused(f"{path}, line {reader.line_num}: {error}") from error
    except OSError as error:
        raise FileRefused(f"{path}: cannot be read: {error.strerror or error}") from error


def _delimiter(path: Path) -> str:
    """The delimiter whose first rows agree on their length, then the one with most columns."""

    def fitness(delimiter: str) -> tuple[bool, int]:
        widths: list[int] = []
        with suppress(FileRefused):  # it is raised again when the file is read
            widths.extend(len(row) for _, row in islice(_records(path, delimiter), _SAMPLE))
        return len(set(widths)) == 1 and widths[0] > 1, max(widths, default=0)

    return max(_DELIMITERS, key=fitness)


def _header(path: Path, delimiter: str) -> list[str]:
    rows = list(islice(_records(path, delimiter), 2))
    if not rows:
        raise FileRefused(f"{path}: found an empty file, wanted a header and rows")
    header = rows[0][1]
    check_columns(header, str(path))
    if len(rows) == 1:
        raise FileRefused(f"{path}: found a header and no rows, wanted at least one row")
    return header


def check_columns(header: Sequence[str], where: str) -> None:
    """Refuse columns without a name and names that stand twice."""
    nameless = [str(place) for place, name in enumerate(header, 1) if not name.strip()]
    if nameless:
        raise FileRefused(
            f"{where}: found no name for column {', '.join(nameless)}, wanted a name for each "
            "(an index written by pandas? write with index=False)"
        )
    twice = [repr(name) for name, count in Counter(header).items() if count > 1]
    if twice:
        raise FileRefused(f"{where}: found more than one column {', '.join(twice)}, wanted one")


def _read(
    path: Path, delimiter: str, header: list[str], text: set[str]
) -> tuple[dict[str, np.ndarray], set[str]]:
    """Columns, and the names of those that are neither in `text` nor numbers."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in header}
    failed: set[str] = set()
    records = _records(path, delimiter)
    next(records)
    while chunk := list(islice(records, _CHUNK)):
        _check_widths(path, header, chunk)
        for name, cells in zip(header, zip(*(row for _, row in chunk), strict=True), strict=True):
            found = None if name in text or name in failed else numbers(cells)
            if found is None and name not in text:
                failed.add(name)
            parts[name].append(np.array(cells, dtype=object) if found is None else found)
    return {name: np.concatenate(part) for name, part in parts.items()}, failed


def _check_widths(path: Path, header: list[str], chunk: list[tuple[int, list[str]]]) -> None:
    for line, row in chunk:
        if len(row) != len(header):
            raise FileRefused(
                f"{path}, line {line}: found {len(row)} cells, wanted {len(header)} like the header"
            )
