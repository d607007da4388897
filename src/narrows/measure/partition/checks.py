"""Vectors, labels and ratings of items, checked once for all measures of partitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.errors import wrong, wrong_type

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NORMALIZATIONS = ("total_variance", "unit", None)
Z95 = 1.959963984540054  # 97.5 % of a standard normal lie below


def vectors(name: str, values: Any, rows: int | None = None) -> Floats:
    """`(n, d)` float64, one vector an item.

    Raises:
        InvalidType: no numbers.
        InvalidInput: another shape, NaN or infinite values, or a row of zeros: that is how tables
            of vectors say that they do not know a word.
    """
    found = as_array(values)
    if found.dtype.kind not in "fiu":
        raise wrong_type(name, f"dtype {found.dtype}", "numbers")
    if found.ndim != 2 or 0 in found.shape:
        raise wrong(name, f"shape {found.shape}", "shape (items, dimensions), none empty")
    if rows is not None and len(found) != rows:
        raise wrong(name, f"{len(found)} rows", f"{rows}")
    found = found.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(found).all(1))
    if len(bad):
        raise wrong(name, f"NaN or infinite values in row {bad[0]}", "finite vectors")
    empty = np.flatnonzero(~found.any(1))
    if len(empty):
        raise wrong(
            name, f"{len(empty)} all-zero rows, first {empty[0]}", "vectors of items that are known"
        )
    return found


def codes(name: str, labels: Any, rows: int | None = None) -> tuple[Ints, tuple[Any, ...]]:
    """`(n,)` codes from 0 on, and the label of each code, sorted.

    Raises:
        InvalidType: labels that are neither numbers nor texts.
        InvalidInput: another length or shape, or a missing label.
    """
    found = as_array(labels)
    if found.dtype == object:
        if any(label is None or label != label for label in found.ravel()):
            raise wrong(name, "a missing label", "a label for each item")
        found = found.astype(str)
    if found.dtype.kind not in "biufUS":
        raise wrong_type(name, f"dtype {found.dtype}", "numbers or texts")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise wrong(name, "a label that is NaN or infinite", "a label for each item")
    if found.ndim != 1 or len(found) == 0 or (rows is not None and len(found) != rows):
        wanted = "shape (items,), at least one" if rows is None else f"one label for each of {rows}"
        raise wrong(name, f"shape {found.shape}", wanted)
    known, place = np.unique(found, return_inverse=True)
    return place.reshape(-1).astype(np.int64), tuple(known.tolist())


def ratings(name: str, values: Any, rows: int) -> Floats:
    """`(n,)` float64.

    Raises:
        InvalidType: no numbers.
        InvalidInput: another length, or NaN or infinite values.
    """
    found = as_array(values)
    if found.dtype.kind not in "fiu":
        raise wrong_type(name, f"dtype {found.dtype}", "numbers")
    if found.shape != (rows,):
        raise wrong(name, f"shape {found.shape}", f"one number for each of {rows} items")
    bad = np.flatnonzero(~np.isfinite(found.astype(np.float64)))
    if len(bad):
        raise wrong(name, f"NaN or infinity at {bad[0]}", "finite ratings")
    return found.astype(np.float64)


def scaled(name: str, e: Floats, normalize: str | None) -> Floats:
    """Vectors about their mean, on a scale that makes distortions comparable.

    `total_variance` makes the distortion of one single cluster 1; `unit` gives each vector length
    1 first; None keeps the scale of the vectors.

    Raises:
        InvalidInput: another normalisation; vectors that are all equal.
    """
    if normalize not in NORMALIZATIONS:
        raise wrong("normalize", repr(normalize), "'total_variance', 'unit' or None")
    if normalize == "unit":
        e = e / np.linalg.norm(e, axis=1, keepdims=True)
    size = float(np.square(e).sum(1).mean())
    centred: Floats = e - e.mean(0)
    total = float(np.square(centred).sum(1).mean())
    # Equal rows leave the rounding of their mean behind.
    if total <= 1e-28 * size:
        raise wrong(name, "vectors that are all equal", "vectors that differ")
    return np.asarray(centred / np.sqrt(total)) if normalize == "total_variance" else centred


def whole(name: str, value: Any, least: int) -> int:
    """An integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise wrong(name, repr(value), f"an integer >= {least}")
    return int(value)


def as_array(values: Any) -> NDArray[Any]:
    """Tensors (of any precision), arrays, lists and columns of tables as an array."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)
