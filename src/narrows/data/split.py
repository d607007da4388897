"""Which rows are for training, for choosing and for judging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from narrows.data.cells import rows_named
from narrows.data.validate import sort_labels
from narrows.errors import wrong

Rows = dict[str, np.ndarray]

SPLITS = ("train", "val", "test")
HELD_OUT = 0.15  # the share of validation rows, and of test rows
_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


def split_rows(
    labels: Sequence[Any],
    seed: int,
    ids: Sequence[str] | None = None,
    column: Sequence[str] | None = None,
) -> Rows:
    """Row numbers of train, val and test, each in the order of the table.

    Without a column: a random 70/15/15 cut, stratified by class. Rows that share an id (two
    photographs of one patient) stay in one split. A class always has a row in train, and each
    split has at least one row.

    Args:
        labels: the class of each row.
        seed: of the random cut.
        ids: a name for each row.
        column: the split of each row, `train`, `val` or `test`. Where it has no `val` or no
            `test` rows, 15 % of its train rows are drawn for them as above.

    Raises:
        InvalidInput: a negative seed, another word in the column, no train rows, or too few
            rows to fill the splits.

    Example:
        >>> rows = split_rows(["a", "b"] * 50, seed=0)
        >>> {name: len(which) for name, which in rows.items()}
        {'train': 70, 'val': 15, 'test': 15}
    """
    check_seed(seed)
    given = _given(column) if column is not None else {"train": np.arange(len(labels))}
    wanted = [name for name in ("val", "test") if name not in given]
    if not wanted:
        return {name: given[name] for name in SPLITS}
    rows = given["train"]
    kept = hold_out(
        [labels[i] for i in rows.tolist()],
        len(wanted),
        np.random.default_rng(seed),
        ids=None if ids is None else [ids[i] for i in rows.tolist()],
    )
    drawn = {name: rows[kept == place] for place, name in enumerate(wanted, 1)}
    both = {**given, **drawn, "train": rows[kept == 0]}
    return {name: both[name] for name in SPLITS}


def check_seed(seed: int) -> None:
    """Refuse what no random generator can start from."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise wrong("seed", repr(seed), "a whole number of at least 0")


def hold_out(
    labels: Sequence[Any],
    parts: int,
    rng: np.random.Generator,
    ids: Sequence[str] | None = None,
) -> np.ndarray:
    """Hold out `parts` random parts of 15 % each, stratified by class.

    The first row of each class stays; the others, class by class in random order, are
    sampled at even distances, so that each class gives its share to within one row.

    Returns:
        `(rows,)`: 0 for the rows that stay, 1, 2, ... for the parts.
    """
    names = ids if ids is not None else [str(row) for row in range(len(labels))]
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        first.setdefault(name, row)
    place = {name: unit for unit, name in enumerate(first)}
    classes = {label: n for n, label in enumerate(sort_labels(labels))}
    of_unit = np.array([classes[labels[row]] for row in first.values()])

    order = rng.permutation(len(of_unit))
    order = order[np.argsort(of_unit[order], kind="stable")]
    starts = np.flatnonzero(np.diff(of_unit[order], prepend=-1))
    free = np.delete(order, starts)
    wanted = parts * max(1, round(HELD_OUT * len(of_unit)))
    wanted = min(wanted, len(free) // parts * parts)
    if wanted < parts:
        raise wrong(
            "source",
            f"{len(of_unit)} rows of {len(classes)} classes to split",
            f"at least {parts} rows more than classes, or a 'split' column",
        )
    spots = ((np.arange(wanted) + 0.5) * len(free) / wanted).astype(int)
    unit_part = np.zeros(len(of_unit), dtype=int)
    unit_part[free[spots]] = np.arange(wanted) % parts + 1
    return unit_part[[place[name] for name in names]]


def _given(column: Sequence[str]) -> Rows:
    """The splits a column names; only those that have rows."""
    words = {word: name for name, spelled in _WORDS.items() for word in spelled}
    found = np.array([words.get(cell.strip().lower(), "") for cell in column])
    if "" in found:
        rows = np.flatnonzero(found == "") + 1
        text = f"{column[rows[0] - 1]!r} in {rows_named(rows.tolist())}"
        raise wrong("column 'split'", text, "train, val or test")
    if "train" not in found:
        raise wrong("column 'split'", "no train rows", "rows to learn from")
    return {name: np.flatnonzero(found == name) for name in SPLITS if name in found}
