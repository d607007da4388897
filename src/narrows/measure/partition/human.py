"""Human categories with typicality: the classic studies as Shani et al. released them.

The file has the columns item, category, typicality and subdataset (the study). Scales differ:
Rosch 1973 and 1975 rate 1 for the best example of a category, McCloskey and Glucksberg 1978 rate
10 for the most typical item and 1 for what is no member at all ("Car" under Animal).
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from narrows.errors import FileRefused, unknown, wrong
from narrows.measure.partition.checks import Floats, Ints

HIGHER_IS_TYPICAL = {"Rosch1973": False, "Rosch1975": False, "McCloskey1978": True}
_COLUMNS = ("item", "category", "typicality", "subdataset")
_LIMIT = 64 * 2**20  # bytes; the released file has 38 kB


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class HumanStudy:
    """The items of one study.

    Attributes:
        name: of the study.
        items: `(n,)` words and phrases as written.
        categories: `(n,)` what people say they are.
        typicality: `(n,)` ratings on the study's own scale.
        higher_is_typical: the direction of that scale.
        rows: `(n,)` place of each item in the file, from 0: rows of vectors that belong to it.
        left_out: how many rows `min_membership` took away.
    """

    name: str
    items: tuple[str, ...]
    categories: tuple[str, ...]
    typicality: Floats
    higher_is_typical: bool
    rows: Ints
    left_out: int = 0

    def take(self, keep: Any) -> HumanStudy:
        """The items where a mask `(n,)` holds; the others count as left out.

        Raises:
            InvalidInput: a mask of another shape, or that keeps none.
        """
        mask = np.asarray(keep)
        if mask.shape != (len(self),) or mask.dtype != bool or not mask.any():
            raise wrong(
                "keep", f"{mask.dtype} of shape {mask.shape}", f"({len(self)},) truth values"
            )
        places = np.flatnonzero(mask)
        return dataclasses.replace(
            self,
            items=tuple(self.items[i] for i in places),
            categories=tuple(self.categories[i] for i in places),
            typicality=self.typicality[mask],
            rows=self.rows[mask],
            left_out=self.left_out + len(self) - len(places),
        )

    def once(self) -> HumanStudy:
        """Each item once, in the category where it is most typical, the first of equals.

        For clusters: an item in two categories cannot be right in both. The studies then have
        48, 552 and 449 items, together the 1,049 of the paper, whose own rule is not told.
        """
        sign = 1 if self.higher_is_typical else -1
        best: dict[str, int] = {}
        for i, item in enumerate(self.items):
            if item not in best or sign * (self.typicality[i] - self.typicality[best[item]]) > 0:
                best[item] = i
        mask = np.zeros(len(self), dtype=bool)
        mask[list(best.values())] = True
        return self.take(mask)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        best = "high" if self.higher_is_typical else "low"
        gone = f", {self.left_out} left out" if self.left_out else ""
        kinds = len(set(self.categories))
        return f"{self.name}: {len(self)} items, {kinds} categories, {best} is typical{gone}"


def read_human_concepts(
    path: str | Path,
    *,
    min_membership: float | None = None,
    scales: Mapping[str, bool] = HIGHER_IS_TYPICAL,
) -> dict[str, HumanStudy]:
    """The studies of a file, in its order; each is to be measured by itself.

    Args:
        path: the CSV file.
        min_membership: the least rating that counts as a member, on scales where high is typical
            (only those go down to non-members); None keeps all rows. Leave non-members out for
            clusters, keep them for typicality.
        scales: study to whether high ratings mean typical; for studies that are not known here.

    Raises:
        FileRefused: no such file, no CSV, missing columns or cells, ratings that are no numbers,
            the same item twice in one category of a study.
        UnknownName: a study of unknown scale.
        InvalidInput: a least rating that leaves a study without items.
    """
    if min_membership is not None and not math.isfinite(min_membership):
        raise wrong("min_membership", min_membership, "a finite rating or None")
    found: dict[str, list[tuple[int, str, str, float]]] = {}
    seen = set()
    for i, row in enumerate(_rows(Path(path))):
        study, key = row["subdataset"], (row["subdataset"], row["category"], row["item"])
        if study not in scales:
            raise unknown("study", study, scales)
        if key in seen:
            raise FileRefused(f"{path}: row {i} repeats {key[2]!r} in {key[1]!r} of {study}")
        seen.add(key)
        found.setdefault(study, []).append(
            (i, row["item"], row["category"], _rating(row["typicality"], f"{path}: row {i}"))
        )
    return {name: _study(name, rows, scales[name], min_membership) for name, rows in found.items()}


def _study(
    name: str, rows: list[tuple[int, str, str, float]], higher: bool, least: float | None
) -> HumanStudy:
    places, items, categories, typicality = zip(*rows, strict=True)
    rated = np.array(typicality, dtype=np.float64)
    study = HumanStudy(name, items, categories, rated, higher, np.array(places, dtype=np.int64))
    if least is None or not higher:
        return study
    if rated.max() < least:
        raise wrong("min_membership", least, f"a rating that some items of {name} reach")
    return study.take(rated >= least)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        if path.stat().st_size > _LIMIT:
            raise FileRefused(f"{path}: found {path.stat().st_size:,} bytes, wanted a small CSV")
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [dict(row) for row in reader]
            columns = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileRefused(f"{path}: cannot be read as CSV: {error}") from error
    missing = [name for name in _COLUMNS if name not in columns]
    if missing or not rows:
        what = f"without column {missing[0]!r}" if missing else "without rows"
        raise FileRefused(f"{path}: found a CSV {what}, wanted {', '.join(_COLUMNS)}")
    for i, row in enumerate(rows):
        if not all(isinstance(row[name], str) and row[name].strip() for name in _COLUMNS):
            raise FileRefused(f"{path}: row {i} lacks a cell, wanted {', '.join(_COLUMNS)}")
    return rows


def _rating(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FileRefused(f"{where}: found typicality {text!r}, wanted a number")
    return value
