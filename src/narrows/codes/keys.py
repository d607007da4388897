"""Keys without labels: vector quantisation of one head's inputs by moving averages."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.functional.codes import ema_update, nearest_code

INITS = ("kmeans++", "random")
_DEAD = 0.1  # share of an even division below which a key is moved


def first_keys(u: Tensor, pairs: int, init: str, source: torch.Generator) -> Tensor:
    """Starting keys among the rows of `u`.

    Args:
        u: `(n, key_dim)` rows.
        pairs: how many keys; where there are fewer rows, rows are taken again.
        init: `random` rows, or `kmeans++`, which draws each next row with probability
            proportional to the squared distance to the keys so far (Arthur, Vassilvitskii, 2007).
        source: of randomness.

    Returns:
        `(pairs, key_dim)`.

    Example:
        >>> u = torch.tensor([[0.0], [0.0], [9.0]])
        >>> first_keys(u, 2, "kmeans++", torch.Generator().manual_seed(0)).sort(0).values
        tensor([[0.],
                [9.]])
    """
    if init not in INITS:
        raise wrong("init", repr(init), "one of " + ", ".join(map(repr, INITS)))
    if init == "random":
        rounds = [torch.randperm(len(u), generator=source) for _ in range(-(-pairs // len(u)))]
        return u[torch.cat(rounds)[:pairs].to(u.device)]
    chosen = int(torch.randint(len(u), (1,), generator=source))
    keys = [u[chosen]]
    nearest = (u - u[chosen]).square().sum(1)
    for draw in torch.rand(pairs - 1, generator=source, dtype=torch.float64).tolist():
        # Inverse of the cumulative weights; where every row is a key already, any row will do.
        weights = nearest.double().cumsum(0)
        mark = torch.tensor([draw], dtype=torch.float64, device=u.device) * weights[-1]
        chosen = int(torch.searchsorted(weights, mark, right=True).clamp(max=len(u) - 1))
        keys.append(u[chosen])
        nearest = nearest.minimum((u - u[chosen]).square().sum(1))
    return torch.stack(keys)


def fit_codebook(
    u: Tensor,
    keys: Tensor,
    *,
    epochs: int,
    batch_size: int,
    decay: float,
    source: torch.Generator,
) -> Tensor:
    """Move keys to where the rows are: `n <- g n + (1 - g) count, m <- g m + (1 - g) sum`.

    A key is `m / n` (van den Oord, Vinyals, Kavukcuoglu, 2017, appendix). The averages start at
    `m = n k`, so the first steps refine the given keys and do not overwrite them. A key hit
    less than a tenth as often as in an even division is moved to a random row of the batch.

    Args:
        u: `(n, key_dim)` rows.
        keys: `(pairs, key_dim)` to start from.
        epochs: passes over the rows in a random order.
        batch_size: rows a step.
        decay: g.
        source: of randomness.

    Returns:
        `(pairs, key_dim)`.
    """
    even = min(batch_size, len(u)) / len(keys)
    counts = torch.full((len(keys),), even, dtype=u.dtype, device=u.device)
    sums = keys * even
    for _ in range(epochs):
        for rows in torch.randperm(len(u), generator=source).split(batch_size):
            batch = u[rows.to(u.device)]
            keys = ema_update(counts, sums, batch, nearest_code(batch, keys), decay)
            dead = (counts < _DEAD * even).nonzero().flatten()
            fresh = torch.randint(len(batch), (len(dead),), generator=source)
            keys[dead] = batch[fresh.to(u.device)]
            counts[dead], sums[dead] = even, keys[dead] * even
    return keys
