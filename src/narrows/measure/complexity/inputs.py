"""Features and layers as measures of complexity want them, checked once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.measure.complexity.pooled import PooledLayers
from narrows.measure.complexity.probing import Batches

_ROWS = 4096  # of arrays, at a time


@dataclasses.dataclass(frozen=True)
class Targets:
    """Features that can be probed.

    Attributes:
        z: `(n, k)` float64, those that are kept.
        names: of the kept.
        kept: `(k,)` their columns in what was given.
        dropped: name to why it was left out.
    """

    z: Tensor
    names: tuple[str, ...]
    kept: Tensor
    dropped: Mapping[str, str]


def targets(Z: Any, names: Sequence[str] | None, least: int) -> Targets:
    """Features by name, without those that never vary or hardly ever do.

    A feature without variance has no complexity: with R² taken as 0 it would count as the most
    complex of all.

    Args:
        Z: `(n, k)` or `(n,)`.
        names: one a column; `0`, `1`, ... by default.
        least: how many rows must differ from a feature's most frequent value, so that each part
            of the rows can have one.

    Raises:
        InvalidType: no numbers.
        InvalidInput: another shape, NaN or infinite values, names that are not one a column, no
            feature left.
    """
    z = matrix("Z", Z)
    known = tuple(map(str, range(z.shape[1]))) if names is None else tuple(names)
    if len(known) != z.shape[1] or len(set(known)) < len(known):
        raise wrong("names", f"{len(known)}", f"{z.shape[1]} different ones, one a column of Z")
    dropped: dict[str, str] = {}
    kept = []
    for i, name in enumerate(known):
        # The most frequent value of a sparse feature is 0; of others it hardly occurs twice.
        usual = 0.0 if bool((z[:, i] == 0).any()) else float(z[0, i])
        different = int((z[:, i] != usual).sum())
        if bool((z[:, i] == z[0, i]).all()):
            dropped[name] = "without variance"
        elif different < least:
            dropped[name] = f"active in {different} rows, fewer than the {least} parts need"
        else:
            kept.append(i)
    if not kept:
        raise wrong("Z", f"{len(known)} features, {dropped[known[0]]}", "features that vary")
    place = torch.tensor(kept)
    return Targets(z[:, place], tuple(known[i] for i in kept), place, dropped)


def varying(found: Targets, parts: Tensor) -> Targets:
    """The features that vary in each part of the rows; rare ones can miss a part.

    Raises:
        InvalidInput: no feature left.
    """
    alike = torch.zeros(len(found.names), dtype=torch.bool)
    for part in parts.unique():
        rows = found.z[parts == part]
        alike |= (rows == rows[0]).all(0)
    if not bool(alike.any()):
        return found
    if bool(alike.all()):
        raise wrong("Z", "features without variance in a part of the rows", "more active rows")
    lost = {n: "without variance in a part of the rows"
            for n, gone in zip(found.names, alike.tolist(), strict=True) if gone}  # fmt: skip
    return Targets(
        found.z[:, ~alike],
        tuple(name for name in found.names if name not in lost),
        found.kept[~alike],
        {**found.dropped, **lost},
    )


def matrix(name: str, values: Any) -> Tensor:
    """`(n, k)` float64 on the CPU; `(n,)` becomes one column.

    Raises:
        InvalidType: no numbers.
        InvalidInput: another shape, no rows, NaN or infinite values.
    """
    found: Tensor
    if isinstance(values, Tensor):
        found = values.detach().cpu()
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise wrong_type(name, f"dtype {array.dtype}", "numbers")
        found = torch.from_numpy(np.array(array, dtype=np.float64))
    if found.is_complex():
        raise wrong_type(name, found.dtype, "real numbers")
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2 or 0 in found.shape:
        raise wrong(name, f"shape {tuple(found.shape)}", "shape (rows, columns), none empty")
    found = found.to(torch.float64)
    bad = (~found.isfinite()).nonzero()
    if len(bad):
        row, column = bad[0].tolist()
        raise wrong(name, f"{float(found[row, column])} at row {row}, column {column}", "finite")
    return found


def layer_batches(layers: Any) -> Batches:
    """Batches of layers that can be gone through twice.

    Args:
        layers: a `PooledLayers`, or a mapping from layer to `(n, d)` arrays or tensors (a memory
            map too: rows are read a few thousand at a time).

    Raises:
        InvalidType: something else.
        InvalidInput: no layer, layers of unequal lengths.
    """
    if isinstance(layers, PooledLayers):
        return layers
    if not isinstance(layers, Mapping):
        raise wrong_type("layers", type(layers).__name__, "a PooledLayers or a mapping of arrays")
    lengths = {name: len(rows) for name, rows in layers.items()}
    if not lengths or len(set(lengths.values())) > 1:
        raise wrong("layers", f"lengths {lengths}", "at least one layer, all of one length")
    return _Slices({str(name): rows for name, rows in layers.items()})


class _Slices:
    """Rows of arrays, a few thousand at a time."""

    def __init__(self, layers: Mapping[str, Any]) -> None:
        self.layers = layers

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, len(next(iter(self.layers.values()))), _ROWS):
            stop = start + _ROWS
            yield {name: _piece(name, rows[start:stop]) for name, rows in self.layers.items()}


def _piece(name: str, rows: Any) -> Tensor:
    found: Tensor
    if isinstance(rows, Tensor):
        found = rows.detach()
    else:
        array = np.array(rows)  # a copy: memory maps may be read-only
        if array.dtype.kind not in "fiub":
            raise wrong_type(f"layer {name!r}", f"dtype {array.dtype}", "numbers")
        found = torch.from_numpy(array)
    return found if found.is_floating_point() or found.is_complex() else found.double()
