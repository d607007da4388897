"""Codebooks: the nearest code of each vector, and codes that follow the mean of theirs.

The nearest code maximises `x . e - |e|^2 / 2`: neither `|x|^2` nor a square root changes which
one it is, so a search is one matrix product and one pass over its scores. Scores are made in
pieces that stay in the cache; no array of all vectors by all codes is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.errors import wrong

_SCORES = 2**18  # of one piece: 1 MB of float32, so that the pass over them finds them in the cache


def nearest_code(x: Tensor, codebook: Tensor) -> Tensor:
    """Which code is nearest to each vector, by Euclidean distance; the lowest index of equals.

    Memory: beside the result, one piece of 2^18 scores (or one row of them, if that is more).

    Args:
        x: `(N, D)`; half precision is searched in float32.
        codebook: `(C, D)`, at least one code.

    Returns:
        `(N,)` int64 indices.

    Raises:
        InvalidInput: shapes that do not fit, or no code.

    Example:
        >>> codes = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> nearest_code(torch.tensor([[0.9, 0.8], [0.1, 0.0], [0.5, 0.5]]), codes)
        tensor([1, 0, 0])
    """
    if codebook.ndim != 2 or not len(codebook):
        raise wrong("codebook", f"shape {tuple(codebook.shape)}", "(codes, dim), at least one code")
    if x.ndim != 2 or x.shape[1] != codebook.shape[1]:
        raise wrong("x", f"shape {tuple(x.shape)}", f"shape (n, {codebook.shape[1]})")
    wide = torch.promote_types(torch.promote_types(x.dtype, codebook.dtype), torch.float32)
    codes = codebook.to(wide)
    half = codes.square().sum(1).mul_(-0.5)
    rows = max(_SCORES // len(codes), 1)
    found = torch.empty(len(x), dtype=torch.int64, device=x.device)
    scores = torch.empty(min(rows, len(x)), len(codes), dtype=wide, device=x.device)
    for start in range(0, len(x), rows):
        piece = x[start : start + rows].to(wide)
        out = scores[: len(piece)]
        torch.addmm(half, piece, codes.T, out=out)
        torch.argmax(out, dim=1, out=found[start : start + rows])
    return found


def ema_update(counts: Tensor, sums: Tensor, x: Tensor, index: Tensor, decay: float) -> Tensor:
    """Move codes towards the vectors they were nearest to, by exponential moving averages.

        counts <- decay counts + (1 - decay) (how many chose each code)
        sums   <- decay sums + (1 - decay) (their sum)
        code    = sums / smoothed counts

    as in van den Oord et al. (2017, arXiv 1711.00937, appendix A.1), with the Laplace smoothing
    `(counts + eps) total / (total + C eps)`. Start with `sums = counts * codes`, or the first
    step overwrites the codes by noise. The sums are a scatter of N D numbers: no one-hot matrix.

    Args:
        counts: `(C,)`, changed in place.
        sums: `(C, D)`, changed in place.
        x: `(N, D)`.
        index: `(N,)` the nearest code of each vector.
        decay: in [0, 1); 0 gives the batch means.

    Returns:
        The new codebook `(C, D)`.

    Raises:
        InvalidInput: a decay outside [0, 1), or shapes that do not fit.

    Example:
        >>> counts, sums = torch.ones(2), torch.zeros(2, 1)
        >>> x, index = torch.tensor([[2.0], [4.0], [9.0]]), torch.tensor([0, 0, 1])
        >>> ema_update(counts, sums, x, index, decay=0.0)
        tensor([[3.0000],
                [9.0000]])
    """
    if not 0 <= decay < 1:
        raise wrong("decay", decay, "a number in [0, 1)")
    if sums.shape != (len(counts), x.shape[-1]) or index.shape != x.shape[:1]:
        found = f"shapes {tuple(counts.shape)}, {tuple(sums.shape)}, {tuple(index.shape)}"
        raise wrong("counts, sums, index", found, f"(C,), (C, {x.shape[-1]}), ({len(x)},)")
    chosen = torch.bincount(index, minlength=len(counts)).to(counts.dtype)
    total = torch.zeros_like(sums).index_add_(0, index, x.to(sums.dtype))
    counts.lerp_(chosen, 1 - decay)
    sums.lerp_(total, 1 - decay)
    return sums / smoothed(counts)[:, None]


def smoothed(counts: Tensor, eps: float = 1e-5) -> Tensor:
    """Counts with a little for codes that nobody chose; their total stays.

    Example:
        >>> smoothed(torch.tensor([0.0, 4.0]), eps=1.0)
        tensor([0.6667, 3.3333])
    """
    total = counts.sum()
    return (counts + eps) / (total + len(counts) * eps) * total
