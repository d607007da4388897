"""Which rows train a probe and which hold it to account, so that rare features are in both."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from narrows.errors import wrong

HELD = -1  # the part of held-out rows; parts from 0 on are folds


def split_parts(z: Tensor, holdout: float, folds: int, seed: int) -> Tensor:
    """`(n,)` the part of each row: folds 0 to `folds - 1`, or -1 for held out.

    Rows are dealt out so that each feature's active rows spread evenly (iterative stratification,
    Sechidis, Tsoumakas and Vlahavas 2011): the rarest feature first, each of its rows to the part
    that lacks most of it. Features that are active in half of the rows or more need no care.

    Args:
        z: `(n, k)` features; active where not 0.
        holdout: share of rows that is held out, in (0, 1).
        folds: how many parts the others make.
        seed: of the draws among parts that lack the same.

    Raises:
        InvalidInput: a share outside (0, 1), fewer than 1 fold, fewer rows than parts.

    Example:
        >>> z = torch.tensor([[1.0], [1.0], [1.0], [0.0], [0.0], [0.0], [0.0]])
        >>> parts = split_parts(z, holdout=1 / 3, folds=2, seed=0)
        >>> sorted(parts[:3].tolist())
        [-1, 0, 1]
    """
    if not 0 < holdout < 1:
        raise wrong("holdout", holdout, "a share between 0 and 1")
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 1:
        raise wrong("folds", repr(folds), "an integer >= 1")
    n = len(z)
    if n < 2 * (folds + 1):
        raise wrong("z", f"{n} rows", f"at least {2 * (folds + 1)}, 2 in each part")
    rng = np.random.default_rng(seed)
    active = (z != 0).cpu().numpy()
    shares = np.array([holdout, *[(1 - holdout) / folds] * folds])
    part = np.full(n, folds + 1)  # not dealt yet
    room = shares * n
    counts = active.sum(0)
    wanted = shares[:, None] * counts
    for feature in np.argsort(counts, kind="stable"):
        if counts[feature] >= n / 2:
            break
        for row in rng.permutation(np.flatnonzero(active[:, feature] & (part > folds))):
            lacking = wanted[:, feature]
            best = np.flatnonzero(lacking > lacking.max() - 1e-9)
            if len(best) > 1:
                best = best[room[best] > room[best].max() - 1e-9]
            chosen = best[0] if len(best) == 1 else rng.choice(best)
            part[row] = chosen
            room[chosen] -= 1
            wanted[chosen, active[row]] -= 1
    left = rng.permutation(np.flatnonzero(part > folds))
    # The rest fills each part up to its share of rows.
    need = np.maximum(room, 0) / max(np.maximum(room, 0).sum(), 1e-300) * len(left)
    ends = np.round(np.cumsum(need)).astype(int)
    for chosen, rows in enumerate(np.split(left, ends[:-1])):
        part[rows] = chosen
    return torch.from_numpy(part - 1).to(torch.int64)
