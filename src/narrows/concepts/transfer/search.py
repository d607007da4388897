"""Which set of masks mends most support rows? By trying, not by a score.

Part of the reconstruction in `tf_tti_fit` (`rank_by="swap"`). The best unit and the best pair are
found by trying all; larger sets grow from the pair by one unit at a time, each the best one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.errors import wrong

SIZES = (0, 1, 2, 4, 8)  # how many units an operation may take
_BLOCK = 2**21  # logits of sets of masks held at once


def best_masks(
    logits: Tensor, change: Tensor, weight: Tensor, y: Tensor, most: int
) -> list[Tensor]:
    """The units whose masking leaves most rows right, for every size in `SIZES` up to `most`.

    Equal counts are settled by the mean margin. Memory: 2^21 logits of sets at a time.

    Args:
        logits: `(n, K)` of the rows as they are.
        change: `(n, C)` what masking adds to each unit.
        weight: `(K, C)` of the head.
        y: `(n,)` class ids.
        most: units.

    Example:
        >>> weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> units = torch.tensor([[0.0, 2.0]])
        >>> best_masks(units @ weight.T, -units, weight, torch.tensor([0]), 1)[1]
        tensor([1])
    """
    units = change.shape[1]
    if not units:
        raise wrong("units", "no unit", "at least one")
    effect = change[..., None] * weight.T  # (n, C, K)
    chosen = torch.zeros(0, dtype=torch.long)
    sets = [chosen]
    for size in SIZES[1:]:
        if size > min(most, units):
            break
        if size <= 2:
            chosen = _best(logits, effect, y, torch.combinations(torch.arange(units), size))
        while len(chosen) < size:
            free = torch.ones(units, dtype=torch.bool)
            free[chosen] = False
            added = free.nonzero()
            more = torch.cat([chosen.expand(len(added), -1), added], 1)
            chosen = _best(logits, effect, y, more)
        sets.append(chosen)
    return sets


def margins_of(logits: Tensor, y: Tensor) -> Tensor:
    """By how much the true class `y (*batch,)` leads in `logits (*batch, K)`; above 0 is right."""
    index = y[..., None]
    true = logits.gather(-1, index).squeeze(-1)
    return true - logits.scatter(-1, index, -torch.inf).amax(-1)


def _best(base: Tensor, effect: Tensor, y: Tensor, sets: Tensor) -> Tensor:
    """The set of masks of `(count, size)` with most rows right, then the largest margin."""
    found: list[tuple[int, float, Tensor]] = []
    for part in sets.split(max(1, _BLOCK // base.numel())):
        logits = base[:, None] + effect[:, part].sum(2)
        margins = margins_of(logits, y[:, None].expand(-1, len(part)))
        hits, mean = (margins > 0).sum(0), margins.mean(0)
        first = int(torch.where(hits == hits.max(), mean, -torch.inf).argmax())
        found.append((int(hits[first]), float(mean[first]), part[first]))
    return max(found, key=lambda one: one[:2])[2]
