"""Do two tables of numbers agree, and better than when their classes are shuffled?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_HELD = 2**20  # numbers of shuffled tables in one piece: 8 MiB
_FLAT = 1e-12  # share of a vector's length that may be left of a constant one by rounding


def agreement(a: Tensor, b: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Cosine and Pearson correlation over `dims` of the entries known in both (NaN: unknown).

    Example:
        >>> a = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
        >>> [float(v) for v in agreement(a, 4 - a, (-1,))]
        [0.714..., -1.0]
    """
    known = ~(a.isnan() | b.isnan())
    count = known.sum(dims, keepdim=True)
    pair = [_scaled(torch.where(known, t, 0.0), dims) for t in (a, b)]
    centred = [torch.where(known, t - t.sum(dims, keepdim=True) / count, 0.0) for t in pair]
    lengths = [t.square().sum(dims).sqrt() for t in pair]
    spreads = [t.square().sum(dims).sqrt() for t in centred]
    constant = [s <= _FLAT * n for s, n in zip(spreads, lengths, strict=True)]
    pearson = (centred[0] * centred[1]).sum(dims) / (spreads[0] * spreads[1])
    pearson = pearson.masked_fill(constant[0] | constant[1], torch.nan)
    # A zero vector divides zero by zero: NaN, which is what is wanted.
    cosine = (pair[0] * pair[1]).sum(dims) / (lengths[0] * lengths[1])
    found = [t.clamp(-1, 1) for t in (cosine, pearson)]
    return (found[0], found[1]) if len(dims) == 1 else (found[0][..., None], found[1][..., None])


def _scaled(t: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Each vector divided by its largest number, so that no square over- or underflows."""
    return t / t.abs().amax(dims, keepdim=True).clamp(min=torch.finfo(t.dtype).tiny)


def shuffled(
    a: Tensor, b: Tensor, dims: tuple[int, ...], found: Tensor, permutations: int, seed: int
) -> tuple[Tensor, float]:
    """How often a shuffle of the classes agrees as well: for each row, and for their mean."""
    if not permutations:
        return torch.full_like(found, torch.nan), math.nan
    source = torch.Generator().manual_seed(seed)
    orders = torch.rand(permutations, len(b), generator=source).argsort(1)
    higher, mean_higher = torch.ones_like(found), 1.0
    for part in orders.split(max(1, _HELD // b.numel())):
        cosine, _ = agreement(a, b[part], dims)
        # A shuffle that gives the same vector may differ by rounding.
        higher += (cosine >= found - _FLAT).sum(0)
        mean_higher += float((cosine.nanmean(-1) >= found.nanmean() - _FLAT).sum())
    share = higher.masked_fill(found.isnan(), torch.nan) / (permutations + 1)
    return share, mean_higher / (permutations + 1) if found.isfinite().any() else math.nan
