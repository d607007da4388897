"""What the scores of concept importance accept, and how their results become JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type


def table(
    argument: str,
    value: Any,
    shape: tuple[int | None, ...],
    *,
    unknown_allowed: bool = False,
) -> Tensor:
    """A finite float64 table on the CPU of this shape (None: any size above 0), or an error."""
    found = torch.as_tensor(value).detach().cpu()
    if found.is_complex():
        raise wrong_type(argument, found.dtype, "real numbers")
    fits = found.ndim == len(shape) and all(
        size > 0 and size == (wanted or size)
        for size, wanted in zip(found.shape, shape, strict=False)
    )
    if not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise wrong(argument, f"shape {tuple(found.shape)}", f"shape ({sizes}), not empty")
    found = found.double()
    bad = found.isinf() if unknown_allowed else ~found.isfinite()
    if bool(bad.any()):
        at = tuple(bad.nonzero()[0].tolist())
        raise wrong(f"{argument}{list(at)}", float(found[at]), "finite numbers")
    return found


def check_ids(argument: str, ids: Tensor, rows: int, classes: int) -> Tensor:
    """`(rows,)` class ids below `classes` on the CPU, or an error."""
    found = torch.as_tensor(ids).detach().cpu()
    if found.dtype != torch.int64:
        raise wrong_type(argument, found.dtype, "int64 class ids")
    if found.shape != (rows,):
        raise wrong(argument, f"shape {tuple(found.shape)}", f"shape ({rows},)")
    if rows and not (int(found.min()) >= 0 and int(found.max()) < classes):
        raise wrong(argument, f"{int(found.min())} to {int(found.max())}", f"ids in [0, {classes})")
    return found


def check_mask(argument: str, mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A boolean mask of this shape on the CPU, or an error."""
    if mask.dtype != torch.bool:
        raise wrong_type(argument, mask.dtype, "a boolean mask")
    if mask.shape != shape:
        raise wrong(argument, f"shape {tuple(mask.shape)}", f"shape {shape}")
    return mask.cpu()


def as_json(value: Any) -> Any:
    """A field as JSON; NaN becomes None."""
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {k: as_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value
