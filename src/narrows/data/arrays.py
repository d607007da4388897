"""From arrays `(X, y)` or `(X, y, C)` to a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.data.assemble import assemble
from narrows.data.cells import labels, read_concept, refuse_missing
from narrows.data.columns import columns_of, is_table, series_values
from narrows.data.features import encode, feature_names, fit_columns
from narrows.data.record import Concepts, Dataset
from narrows.data.split import split_rows
from narrows.errors import wrong, wrong_type


def from_arrays(
    source: tuple[Any, ...],
    seed: int = 0,
    concepts: Concepts | Sequence[str] | str | None = None,
    split: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
) -> Dataset:
    """Read arrays into a data set.

    Args:
        source: `(X, y)` or `(X, y, C)`, numpy, torch or pandas. X is `(rows, *features)` of
            real numbers, or a data frame of features; y has one label a row; C is `(rows, k)`
            in [0, 1], NaN where not annotated.
        seed: of the random stratified 70/15/15 split.
        concepts: the schema of C: `Concepts`, names, or its text form. By default the columns
            of a data frame, else `concept 0`, `concept 1`, ...
        split: train, val or test for each row, instead of the random split.
        ids: a name for each row; rows that share one stay in one split.

    Raises:
        InvalidInput: shapes that do not fit, NaN or Inf in X, missing labels, C outside [0, 1].
        InvalidType: complex, sparse or object arrays.

    Example:
        >>> X, y = np.eye(40), np.arange(40) % 2
        >>> from_arrays((X, y, y[:, None]), concepts=["odd"])
        Dataset('arrays', 28 + 6 + 6 rows, x (40,), 2 classes, 1 concepts)
    """
    if len(source) not in (2, 3):
        raise wrong("source", f"{len(source)} arrays", "(X, y) or (X, y, C)")
    columns = columns_of(source[0], lambda _: False) if is_table(source[0]) else {}
    x = None if columns else features_of(source[0])
    length = len(next(iter(columns.values()))) if x is None else len(x)
    found = labels_of(source[1])
    c, schema = None, Concepts(())
    if len(source) == 3:
        c, names = concepts_of(source[2])
        schema = _schema(concepts, names)
    for name, given in {"y": found, "C": c, "split": split, "ids": ids}.items():
        if given is not None and len(given) != length:
            raise wrong(name, f"{len(given)} rows", f"{length}, one per row of X")
    rows = split_rows(found, seed, ids, split)
    if x is None:
        readings = fit_columns(columns, columns, rows["train"])
        x = encode(columns, readings)
        read: dict[str, Any] = {"columns": readings, "features": feature_names(readings)}
        read |= {"target": None, "prefix": "concept:"}
    else:
        read = {"shape": list(x.shape[1:]), "features": None}
    settings = {"source": "arrays", "seed": seed, "split": "random" if split is None else "given"}
    return assemble("arrays", x, found, c, schema, rows, ids, {**settings, **read})


def features_of(values: Any) -> Tensor:
    """An array as a new `(rows, *features)` float32 tensor on the CPU.

    Raises:
        InvalidInput: fewer than two axes, no rows, or numbers float32 cannot hold.
        InvalidType: complex, sparse, quantised or object arrays.
    """
    tensor = _tensor("X", values)
    if tensor.ndim < 2 or 0 in tensor.shape:
        raise wrong("X", f"shape {tuple(tensor.shape)}", "shape (rows, features, ...) without a 0")
    x = tensor.to(torch.float32, copy=True).contiguous()
    lost = x.isinf() & tensor.isfinite() if tensor.dtype == torch.float64 else None
    if lost is not None and bool(lost.any()):
        raise wrong("X", f"{tensor[lost][0].item():g}", "numbers that float32 can hold")
    return x


def _tensor(name: str, values: Any) -> Tensor:
    """A detached real CPU tensor of an array, which may share its memory."""
    if not isinstance(values, Tensor):
        if type(values).__module__.partition(".")[0] == "scipy":
            raise wrong_type(name, "a sparse matrix", "a dense array")
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise wrong_type(name, f"dtype {array.dtype}", "real numbers")
        # A copy: torch warns about read-only memory and refuses negative strides.
        return torch.from_numpy(np.array(array, dtype=_torch_dtype(array.dtype)))
    if values.layout != torch.strided or values.is_complex() or values.is_quantized:
        raise wrong_type(name, f"{values.dtype}, {values.layout}", "dense real numbers")
    return values.detach().cpu()


def _torch_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same dtype in native byte order; wide floats as float64."""
    if dtype.kind == "f" and dtype.itemsize > 8:
        return np.dtype(np.float64)
    return dtype.newbyteorder("=")


def labels_of(values: Any) -> list[Any]:
    """One label a row as Python values.

    Raises:
        InvalidInput: another shape, or missing labels by row.
    """
    if hasattr(values, "iloc"):
        values = series_values("y", values)
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) != 1:
        raise wrong("y", f"shape {tuple(shape)}", "shape (rows,), one label a row")
    found = labels("y", values if isinstance(values, np.ndarray) else list(values))
    refuse_missing("y", [label is None for label in found])
    return found


def concepts_of(values: Any) -> tuple[np.ndarray, list[str]]:
    """`(rows, k)` float32 annotations and the names of their columns, if they have any."""
    if is_table(values):
        columns = columns_of(values, lambda _: True)
        return np.stack([read_concept(n, v) for n, v in columns.items()], axis=1), list(columns)
    array = _tensor("C", values).to(torch.float64).numpy()
    if array.ndim != 2 or array.shape[1] == 0:
        raise wrong("C", f"shape {array.shape}", "shape (rows, concepts)")
    return array.astype(np.float32), [f"concept {i}" for i in range(array.shape[1])]


def _schema(given: Concepts | Sequence[str] | str | None, names: Sequence[str]) -> Concepts:
    if given is None:
        return Concepts(tuple(names))
    if isinstance(given, str):
        given = Concepts.parse(given)
    schema = given if isinstance(given, Concepts) else Concepts(tuple(given))
    if len(schema) != len(names):
        raise wrong("concepts", f"{len(schema)} names", f"{len(names)}, one per column of C")
    return schema
