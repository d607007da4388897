"""Samples: what a user hands to an estimator, checked once and for all estimators alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.errors import wrong, wrong_type

CONTINUOUS, DISCRETE = "continuous", "discrete"
_LARGEST = 1e150


def sample(
    name: str, values: Any, kind: str = CONTINUOUS, still: bool = False
) -> NDArray[np.float64]:
    """`(N, d)` float64 rows of a continuous variable, or `(N, 1)` codes of a discrete one.

    A discrete variable may hold anything that can be compared and sorted, in one column or in
    several; equal rows get equal codes.

    Args:
        name: of the argument, for errors.
        values: tensor, array or list, `(N,)` or `(N, ...)`; what follows N is flattened.
        kind: continuous or discrete.
        still: whether columns may hold one value in all rows, if not all do.

    Raises:
        InvalidType: values that are no numbers where numbers are needed.
        InvalidInput: an unknown kind, no rows, NaN, infinite or constant columns.

    Example:
        >>> sample("y", ["b", "a", "b"], "discrete").tolist()
        [[1.0], [0.0], [1.0]]
    """
    if kind not in (CONTINUOUS, DISCRETE):
        raise wrong(f"{name}_kind", repr(kind), "'continuous' or 'discrete'")
    rows = _rows(name, values)
    if kind == DISCRETE:
        _, codes = np.unique(rows, axis=0, return_inverse=True)
        if codes.max() == 0:
            raise wrong(name, "one value in all rows", "a variable that varies")
        return codes.reshape(-1, 1).astype(np.float64)
    if rows.dtype.kind not in "fiub":
        raise wrong_type(name, f"dtype {rows.dtype}", "numbers, or kind 'discrete'")
    found = rows.astype(np.float64)
    bad = ~np.isfinite(found)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise wrong(name, f"{found[row, column]} at row {row}, column {column}", "finite numbers")
    same = found.max(0) == found.min(0)
    if same.all() if still else same.any():
        column = int(np.flatnonzero(same)[0])
        raise wrong(name, f"column {column} with one value in all rows", "columns that vary")
    with np.errstate(over="ignore"):
        width = found.max(0) - found.min(0)
    far = (np.abs(found).max(0) > _LARGEST) | (~same & (width < 1 / _LARGEST))
    if far.any():
        column = int(np.flatnonzero(far)[0])
        raise wrong(
            name, f"column {column} with numbers too large or too small to square", "rescaled ones"
        )
    return found


def paired(x: NDArray[np.float64], y: NDArray[np.float64], least: int = 2) -> None:
    """Refuse samples of unequal length or with fewer than `least` rows."""
    if len(x) != len(y):
        raise wrong("y", f"{len(y)} rows", f"as many as x has, {len(x)}")
    if len(x) < least:
        raise wrong("x", f"{len(x)} rows", f"at least {least}")


def _rows(name: str, values: Any) -> NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    found = np.asarray(values)
    if found.dtype.kind in "cOmMV" and found.dtype != object:
        raise wrong_type(name, f"dtype {found.dtype}", "numbers or labels")
    if found.dtype == object:
        if any(value is None or value != value for value in found.ravel()):
            raise wrong(name, "a missing value", "a value in each row")
        found = found.astype(str)
    if found.ndim == 0 or len(found) == 0:
        raise wrong(name, f"shape {found.shape}", "shape (N,) or (N, d) with rows")
    flat = found.reshape(len(found), -1)
    if flat.shape[1] == 0:
        raise wrong(name, f"shape {found.shape}", "at least one column")
    return flat
