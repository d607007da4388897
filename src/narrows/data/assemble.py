"""The last step of every loader: labels to class ids, rows to splits, a record out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.data.record import UNLABELLED, Column, Concepts, Dataset, Examples
from narrows.data.split import Rows
from narrows.data.validate import sort_labels
from narrows.errors import wrong


def assemble(
    name: str,
    x: Tensor | Column,
    labels: Sequence[Any],
    c: np.ndarray | None,
    concepts: Concepts,
    rows: Rows,
    ids: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Dataset:
    """Build a data set from all rows and the row numbers of its splits.

    Args:
        name: of the data set.
        x: features of all rows.
        labels: of all rows, none missing.
        c: `(rows, k)` annotations, NaN unknown; None without concepts.
        concepts: the schema of `c`.
        rows: row numbers of train, val and test.
        ids: a name for each row.
        settings: what to remember; classes, concepts and split sizes are added.

    Raises:
        InvalidInput: fewer than two classes, or whatever the records refuse.
    """
    classes = sort_labels(labels)
    if len(classes) < 2:
        raise wrong("labels", f"one class only ({classes[0]!r})", "at least two classes")
    every = Examples(
        x,
        class_ids(labels, classes),
        None if c is None else torch.from_numpy(np.ascontiguousarray(c, dtype=np.float32)),
        classes,
        concepts,
        None if ids is None else tuple(ids),
    )
    parts = {split: every.take(torch.from_numpy(which)) for split, which in rows.items()}
    sizes = {split: len(which) for split, which in rows.items()}
    known = {"sizes": sizes, **schema_settings(classes, concepts)}
    return Dataset(name, **parts, settings={**(settings or {}), **known})


def schema_settings(classes: Sequence[Any], concepts: Concepts) -> dict[str, Any]:
    """Classes and concepts as JSON values, for `prepare`."""
    groups = [list(group) for group in concepts.groups]
    return {
        "classes": list(classes),
        "concepts": {"names": list(concepts.names), "groups": groups},
    }


def class_ids(labels: Sequence[Any], classes: Sequence[Any]) -> Tensor:
    """`(rows,)` int64 places of the labels among the classes; -1 for a missing label (None).

    A label that differs from a class only in type (the text `3`, the number 3) is that class.

    Raises:
        InvalidInput: a label that is no class, by row.

    Example:
        >>> class_ids(["3", None, 4], (3, 4)).tolist()
        [0, -1, 1]
    """
    places: dict[Any, int] = {str(label): n for n, label in enumerate(classes)}
    places |= {label: n for n, label in enumerate(classes)}
    ids = []
    for row, label in enumerate(labels):
        place = UNLABELLED if label is None else places.get(label, places.get(str(label)))
        if place is None:
            raise wrong(
                f"label in row {row + 1}", repr(label), f"one of the classes {_short(classes)}"
            )
        ids.append(place)
    return torch.tensor(ids, dtype=torch.int64)


def _short(classes: Sequence[Any], most: int = 10) -> str:
    more = f", ... ({len(classes)} in all)" if len(classes) > most else ""
    return ", ".join(repr(label) for label in classes[:most]) + more
