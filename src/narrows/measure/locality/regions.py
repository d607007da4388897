"""Regions of pictures, one per concept, and tables of scores by concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type


def check_regions(regions: Tensor, shape: Sequence[int]) -> Tensor:
    """`(n, k, H, W)` or `(1, k, H, W)`."""
    if not isinstance(regions, Tensor) or regions.dtype != torch.bool:
        found = getattr(regions, "dtype", type(regions).__name__)
        raise wrong_type("regions", found, "a boolean mask")
    if regions.ndim == 3:
        regions = regions[None]
    if tuple(regions.shape) not in (tuple(shape), (1, *shape[1:])):
        wanted = f"shape {tuple(shape)} or {tuple(shape[1:])}"
        raise wrong("regions", f"shape {tuple(regions.shape)}", wanted)
    return regions


def listing(names: Sequence[str], columns: Mapping[str, Tensor], means: Mapping[str, float]) -> str:
    """A line per concept and a line of means."""
    wide = max(8, *map(len, names))
    lines = [f"{'concept':<{wide}} " + " ".join(f"{name:>8}" for name in columns)]
    for j, name in enumerate(names):
        values = " ".join(f"{float(column[j]):8.3f}" for column in columns.values())
        lines.append(f"{name:<{wide}} {values}")
    return "\n".join([*lines, f"{'mean':<{wide}} " + " ".join(f"{v:8.3f}" for v in means.values())])
