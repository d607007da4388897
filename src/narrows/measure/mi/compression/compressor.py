"""What a compressor is: rows to a few coordinates, and back as well as can be."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.errors import wrong, wrong_type

Floats = NDArray[np.float64]
_PIECE = 2**22  # values decoded at a time: 32 MB


@runtime_checkable
class FittedCompressor(Protocol):
    """A compressor that has seen its rows."""

    @property
    def k(self) -> int:
        """How many coordinates it gives."""

    def encode(self, x: Any) -> Floats:
        """`(N, k)` coordinates of `(N, ...)` rows."""

    def decode(self, codes: Floats) -> Floats:
        """`(N, d)` rows again, flat."""


@runtime_checkable
class Compressor(Protocol):
    """What learns a few coordinates from rows."""

    @property
    def in_sample(self) -> bool:
        """Whether the rows it learns from may be the ones it is then used on."""

    def fit(self, x: Any) -> FittedCompressor:
        """Learn from `(N, ...)` rows."""


def flat_rows(name: str, values: Any) -> Floats:
    """`(N, d)` float64 rows; columns that never vary are allowed, as at the border of pictures.

    Raises:
        InvalidType: what holds no numbers.
        InvalidInput: no rows or columns, NaN or infinite values.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    found = np.asarray(values)
    if found.dtype.kind not in "fiub":
        raise wrong_type(name, f"dtype {found.dtype}", "numbers")
    if found.ndim == 0 or found.size == 0:
        raise wrong(name, f"shape {found.shape}", "shape (N, ...) with rows and columns")
    rows = found.reshape(len(found), -1).astype(np.float64)
    bad = ~np.isfinite(rows)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise wrong(name, f"{rows[row, column]} at row {row}, column {column}", "finite numbers")
    return rows


def rows_to_learn(x: Any, k: int) -> Floats:
    """`(N, d)` rows from which k coordinates can be learnt.

    Raises:
        InvalidInput: fewer than k columns, no more than k rows, rows that are all alike; and as
            `flat_rows`.
    """
    rows = flat_rows("x", x)
    if k > rows.shape[1]:
        raise wrong("k", k, f"at most the {rows.shape[1]} columns there are")
    if len(rows) <= k:
        raise wrong("x", f"{len(rows)} rows", f"more than k = {k}")
    if not (rows != rows[0]).any():
        raise wrong("x", "rows that are all alike", "rows that vary")
    return rows


def relative_error(fitted: FittedCompressor, x: Any) -> float:
    """The share of the rows' variance that is lost on the way there and back.

    0 for a lossless compressor, 1 for one that keeps the mean alone. Memory: 32 MB of rows at a
    time beside the rows themselves.

    Args:
        fitted: the compressor.
        x: `(N, ...)`, not all alike.

    Example:
        >>> from narrows.measure.mi.compression.pca import PCACompressor
        >>> rows = np.random.default_rng(0).standard_normal((50, 3))
        >>> round(relative_error(PCACompressor(3).fit(rows), rows), 9)
        0.0
    """
    rows = flat_rows("x", x)
    mean, lost, whole = rows.mean(0), 0.0, 0.0
    step = max(1, _PIECE // rows.shape[1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        lost += float(((part - fitted.decode(fitted.encode(part))) ** 2).sum())
        whole += float(((part - mean) ** 2).sum())
    if whole == 0:
        raise wrong("x", "rows that are all alike", "rows that vary")
    return lost / whole
