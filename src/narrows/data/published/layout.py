"""Published data sets as people have them on disk: find the files, read them, say what is missing.

Nothing is ever downloaded. Whatever is not there is named with the place it was looked for, where
people get the data set, and on which terms.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows.data.csv_file import read_csv
from narrows.data.images import ImageColumn, image_paths
from narrows.data.split import check_seed
from narrows.errors import FileRefused, unknown, wrong
from narrows.store import FileMissing

Size = int | tuple[int, int]
_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")


@dataclass(frozen=True)
class Published:
    """A data set that others publish.

    Attributes:
        title: what it is called.
        home: where people get it.
        terms: its licence, in plain words.
    """

    title: str
    home: str
    terms: str

    def missing(self, found: str) -> FileMissing:
        """The error for a file or folder that is not there."""
        return FileMissing(
            f"{found}. Narrows does not download {self.title}: get it from {self.home}. "
            f"Its terms: {self.terms}."
        )

    def folder(self, given: str | Path | None, inner: str, marker: str | None) -> Path:
        """The folder that holds the data: the given one, or the one of published name inside it.

        Args:
            given: what the user passed as `folder`.
            inner: the name the archive gives its top folder.
            marker: a file by which the given folder is the right one, whatever it is called.

        Raises:
            FileMissing: no folder given, or none there.
        """
        if given is None:
            raise self.missing(f"folder: found none, wanted folder= the place of {inner}")
        base = Path(given)
        if not base.is_dir():
            raise self.missing(f"{base}: there is no such folder")
        inside = base / inner
        right = marker is not None and (base / marker).exists()
        return inside if inside.is_dir() and not right else base

    def file(self, *places: Path) -> Path:
        """The first of the places where a file is.

        Raises:
            FileMissing: it is in none of them.
        """
        for path in places:
            if path.is_file():
                return path
        looked = " or ".join(str(path) for path in places[1:])
        also = f" (also looked for {looked})" if looked else ""
        raise self.missing(f"{places[0]}: there is no such file{also}")

    def pictures(self, root: Path, names: Sequence[str], size: Size, channels: int) -> ImageColumn:
        """A lazy column of images inside a folder.

        Raises:
            FileMissing: an image is not there.
            FileRefused: a name leads out of the folder.
        """
        try:
            paths = image_paths(root, names)
        except FileRefused as error:
            lost = [name for name in names if not (root / name).is_file()]
            if not lost:
                raise
            more = f" ({len(lost)} images are missing in all)" if len(lost) > 1 else ""
            raise self.missing(f"{root / lost[0]}: there is no such image{more}") from error
        return ImageColumn(paths, size, channels)

    def table(self, needed: Sequence[str], *places: Path) -> dict[str, np.ndarray]:
        """The needed columns of a CSV file, as texts; the first of the places counts.

        Raises:
            FileMissing: there is no such file.
            FileRefused: it is damaged, or lacks a column.
        """
        path = self.file(*places)
        columns = read_csv(path, lambda _: True)
        absent = [name for name in needed if name not in columns]
        if absent:
            raise FileRefused(f"{path}: found no column {absent[0]!r}, wanted {', '.join(needed)}")
        return {name: columns[name] for name in needed}


def rows(
    path: Path, width: int, more: bool = False, skip: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields of the lines of a text file, split at blanks; blank lines skipped.

    Args:
        path: the file.
        width: fields in a line.
        more: whether further fields are dropped; else they are refused.
        skip: lines on top that hold something else.

    Raises:
        FileRefused: not UTF-8, no line, or a line with another number of fields.
    """
    blank = True
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, 1):
                fields = text.split() if line > skip else []
                blank = blank and not fields
                if len(fields) == width or (more and len(fields) > width):
                    yield line, fields[:width]
                elif fields:
                    raise FileRefused(
                        f"{path}, line {line}: found {text.strip()[:80]!r}, wanted {width} fields"
                    )
    except UnicodeDecodeError as error:
        raise FileRefused(f"{path}: found bytes that are not UTF-8, wanted UTF-8") from error
    if blank:
        raise FileRefused(f"{path}: found an empty file, wanted lines of {width} fields")


def pairs(path: Path, keys: Sequence[str] | None = None) -> dict[str, str]:
    """A file of lines `key value`.

    Args:
        path: the file.
        keys: what must be there, each once and nothing else; the result has their order.

    Raises:
        FileRefused: a malformed line, a key that stands twice, is missing or not known.
    """
    found: dict[str, str] = {}
    for line, (key, value) in rows(path, 2):
        if key in found:
            raise FileRefused(f"{path}, line {line}: found {key!r} a second time, wanted it once")
        found[key] = value
    if keys is None:
        return found
    known = set(keys)
    for key in found:
        if key not in known:
            raise FileRefused(f"{path}: found {key!r}, which the other files do not list")
    for key in keys:
        if key not in found:
            raise FileRefused(f"{path}: found no line for {key!r}, wanted one")
    return {key: found[key] for key in keys}


def integers(path: Path, columns: range, skip: int = 0) -> np.ndarray:
    """`(lines, columns)` int32 from some columns of a large file of numbers.

    Args:
        path: the file.
        columns: which fields of a line to read; further ones are left out.
        skip: lines on top that hold something else.

    Raises:
        FileRefused: no line, one with too few fields, a field that is no whole number.
    """
    next(rows(path, columns.stop, more=True, skip=skip))  # refuses a file without a line
    try:
        found = np.loadtxt(
            path, np.int32, None, skiprows=skip, usecols=columns, encoding="utf-8-sig", ndmin=2
        )
    except (ValueError, OverflowError) as error:
        # The fast reader counts rows, not lines: the line is looked for here.
        for line, fields in rows(path, columns.stop, more=True, skip=skip):
            wrong_fields = [f for f in fields[columns.start :] if not _WHOLE.fullmatch(f)]
            if wrong_fields:
                raise FileRefused(
                    f"{path}, line {line}: found {wrong_fields[0]!r}, wanted a whole number"
                ) from error
        raise FileRefused(f"{path}: {error}") from error
    return found


def numbered(path: Path) -> dict[str, str]:
    """`pairs` of which each key is a whole number.

    Raises:
        FileRefused: as `pairs`, and another key.
    """
    found = pairs(path)
    odd = next((key for key in found if not key.isdecimal()), None)
    if odd is not None:
        raise FileRefused(f"{path}: found {odd!r} where a line starts, wanted a whole number")
    return found


def coded(where: str, cells: Sequence[str], codes: Mapping[str, float]) -> np.ndarray:
    """`(rows,)` float32 numbers that words stand for.

    Raises:
        FileRefused: a word without a number, by row (counted from 1).

    Example:
        >>> coded("meta.csv, column 'veil'", ["present", "absent"], {"absent": 0, "present": 1})
        array([1., 0.], dtype=float32)
    """
    for row, cell in enumerate(cells, 1):
        if cell not in codes:
            wanted = ", ".join(repr(known) for known in codes)
            raise FileRefused(f"{where}, row {row}: found {cell!r}, wanted one of {wanted}")
    return np.fromiter((codes[cell] for cell in cells), np.float32, len(cells))


def refuse_repeats(where: str, names: Sequence[str]) -> None:
    """Refuse names that stand twice.

    Raises:
        FileRefused: with the first such name.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FileRefused(f"{where}: found {twice[0]!r} more than once, wanted each once")


def choose(argument: str, value: str, names: Sequence[str]) -> str:
    """An option that is one of some words.

    Raises:
        UnknownName: another word, with the nearest.
    """
    if value not in names:
        raise unknown(argument, value, names)
    return value


def drawn(count: int, share: float, seed: int) -> np.ndarray:
    """`(count,)` bool: a random share of things, rounded down but at least one.

    Raises:
        InvalidInput: a share outside (0, 1), a seed that is none, or nothing left over.

    Example:
        >>> drawn(10, 0.2, seed=0).sum()
        np.int64(2)
    """
    check_seed(seed)
    if not 0 < share < 1:
        raise wrong("validation", share, "a share between 0 and 1")
    if count < 2:
        raise wrong("folder", f"{count} to draw validation rows from", "at least 2")
    mask = np.zeros(count, dtype=bool)
    mask[np.random.default_rng(seed).permutation(count)[: max(1, int(share * count))]] = True
    return mask


def picture_settings(source: str, x: ImageColumn, **more: Any) -> dict[str, Any]:
    """Settings of a set of pictures; with them `prepare` reads a table of new pictures alike."""
    look = {"size": list(x.shape[2:]), "channels": x.shape[1]}
    return {"source": source, "target": "label", "prefix": "concept:", "image": look, **more}
