"""Checks of the data records: each says which argument, row and column is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type

UNLABELLED = -1


def sort_labels(labels: Iterable[Any]) -> tuple[Any, ...]:
    """Unique labels in order; labels that cannot be compared are ordered by type, then text.

    Example:
        >>> sort_labels(["b", "a", "b"]), sort_labels([3, "a", 1])
        (('a', 'b'), (1, 3, 'a'))
    """
    unique = list(dict.fromkeys(labels))
    try:
        return tuple(sorted(unique))
    except TypeError:
        return tuple(sorted(unique, key=lambda label: (type(label).__name__, str(label))))


def check_classes(classes: Sequence[Any]) -> None:
    """Refuse no classes, a missing value among them, duplicates, and another order."""
    if not classes:
        raise wrong("classes", "no class", "at least one label")
    if any(label is None or label != label for label in classes):
        raise wrong("classes", "a missing value", "labels only")
    ordered = sort_labels(classes)
    if len(ordered) != len(classes):
        raise wrong("classes", f"{classes} with duplicates", "each label once")
    if ordered != tuple(classes):
        raise wrong("classes", f"{classes}", f"sorted labels {ordered}")


def check_features(x: Any) -> None:
    """Refuse what is not a real, dense, finite `(N, *features)` tensor or a column."""
    if not isinstance(x, Tensor):
        lazy = hasattr(x, "shape") and hasattr(x, "__len__") and hasattr(x, "__getitem__")
        if not lazy or isinstance(x, np.ndarray) or hasattr(x, "iloc"):
            raise wrong_type("x", type(x).__name__, "a torch tensor or a column")
        if len(x) != x.shape[0]:
            raise wrong("x", f"{len(x)} rows with shape {tuple(x.shape)}", "one length")
        return
    if x.is_complex() or x.is_quantized or x.layout != torch.strided:
        raise wrong_type("x", f"{x.dtype}, {x.layout}", "a dense real tensor")
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise wrong("x", f"shape {tuple(x.shape)}", "shape (rows, features, ...)")
    check_finite(x)


def check_finite(x: Tensor) -> None:
    """Refuse NaN and Inf, naming the first row and column. Memory: none unless refused."""
    # A sum keeps every NaN and Inf, so a finite sum proves all entries finite without a mask.
    if not x.is_floating_point() or bool(x.detach().sum().isfinite()):
        return
    bad = ~x.detach().isfinite()
    if not bool(bad.any()):
        return
    row, *column = bad.nonzero()[0].tolist()
    value = x[(row, *column)].item()
    place = column[0] if len(column) == 1 else tuple(column)
    raise wrong(
        "x",
        f"{value} in row {row}, column {place} ({int(bad.sum())} such values in all)",
        "finite values: impute or drop them",
    )


def check_targets(y: Any, rows: int, classes: int) -> None:
    """Refuse what is not `(rows,)` int64 class ids, -1 for unknown."""
    if not isinstance(y, Tensor) or y.dtype != torch.int64:
        raise wrong_type("y", getattr(y, "dtype", type(y).__name__), "an int64 tensor of class ids")
    if tuple(y.shape) != (rows,):
        raise wrong("y", f"shape {tuple(y.shape)}", f"shape ({rows},), one class id per row of x")
    bad = (y < UNLABELLED) | (y >= classes)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise wrong("y", f"{int(y[row])} in row {row}", f"class ids 0..{classes - 1}")


def check_concepts(c: Any, rows: int, names: Sequence[str]) -> None:
    """Refuse what is not `(rows, k)` float32 in [0, 1] or NaN."""
    if not isinstance(c, Tensor) or c.dtype != torch.float32:
        raise wrong_type(
            "c", getattr(c, "dtype", type(c).__name__), "a float32 tensor, NaN unknown"
        )
    if tuple(c.shape) != (rows, len(names)):
        raise wrong("c", f"shape {tuple(c.shape)}", f"shape ({rows}, {len(names)}): rows, concepts")
    bad = (c < 0) | (c > 1)
    if bool(bad.any()):
        row, column = bad.nonzero()[0].tolist()
        raise wrong(
            "c",
            f"{c[row, column].item():g} in row {row}, concept {names[column]!r}",
            "values in [0, 1], NaN where not annotated",
        )


def check_ids(ids: Sequence[Any] | None, rows: int) -> None:
    """Refuse ids that are not text or not one per row."""
    if ids is None:
        return
    if len(ids) != rows:
        raise wrong("ids", f"{len(ids)} ids", f"{rows}, one per row of x")
    for row, name in enumerate(ids):
        if not isinstance(name, str):
            raise wrong_type("ids", f"{name!r} in row {row}", "text")


def check_disjoint_ids(ids: Mapping[str, Sequence[str] | None]) -> None:
    """Refuse an id that stands in two splits: the same thing would be learned and judged."""
    seen: dict[str, str] = {}
    for split, names in ids.items():
        for name in names or ():
            if seen.setdefault(name, split) != split:
                raise wrong("ids", f"{name!r} in {seen[name]} and {split}", "each id in one split")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that cannot be written as JSON."""
    try:
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise wrong_type("settings", f"{error}", "JSON values") from error
