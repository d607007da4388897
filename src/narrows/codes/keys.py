"""Keys without labels: vector quantisation of what the heads see, by moving averages.

    n_j <- g n_j + (1 - g) count_j,   m_j <- g m_j + (1 - g) sum,   key_j = m_j / n_j

(van den Oord, Vinyals, Kavukcuoglu, 2017, appendix A.1; Träuble et al., 2023). The averages start
at `m = n k`, so that the first steps refine the given keys and do not overwrite them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.functional.codes import code_sums, ema_start, ema_update, nearest_code, replace_dead

INITS = ("random", "kmeans++")
_DEAD = 0.1  # share of an even division below which a key is moved to a random row


def first_keys(u: Tensor, pairs: int, init: str, source: torch.Generator) -> Tensor:
    """Starting keys among the rows of each head; where rows run out, rows are taken again.

    Args:
        u: `(heads, n, key_dim)`.
        pairs: how many keys a head has.
        init: `random` rows, the same for all heads; or `kmeans++`, which draws each next row of
            a head with probability proportional to the squared distance to its keys so far
            (Arthur, Vassilvitskii, 2007).
        source: of randomness, on the device of u.

    Returns:
        `(heads, pairs, key_dim)`.

    Example:
        >>> u = torch.tensor([[[0.0], [0.0], [9.0]]])
        >>> first_keys(u, 2, "kmeans++", torch.Generator().manual_seed(0)).sort(1).values
        tensor([[[0.],
                 [9.]]])
    """
    if init not in INITS:
        raise wrong("init", repr(init), "one of " + ", ".join(map(repr, INITS)))
    heads, n, _ = u.shape
    if init == "random":
        rounds = -(-pairs // n)
        order = torch.rand(rounds, n, generator=source, device=u.device).argsort(1).flatten()
        return u[:, order[:pairs]]
    draws = torch.rand(pairs, heads, 1, generator=source, device=u.device, dtype=torch.float64)
    every = torch.arange(heads, device=u.device)
    weights = torch.ones(heads, n, device=u.device, dtype=torch.float64)
    keys: list[Tensor] = []
    for draw in draws:
        # Inverse of the cumulative weights; where every row is a key already, the last will do.
        cumulated = weights.cumsum(1)
        chosen = torch.searchsorted(cumulated, draw * cumulated[:, -1:], right=True)
        key = u[every, chosen[:, 0].clamp(max=n - 1)].unsqueeze(1)
        gaps = (u - key).square().sum(2).double()
        weights = gaps if not keys else weights.minimum(gaps)
        keys.append(key)
    return torch.cat(keys, 1)


def fit_codebooks(
    views: Callable[[Tensor], Tensor],
    rows: int,
    keys: Tensor,
    *,
    epochs: int,
    batch_size: int,
    decay: float,
    source: torch.Generator,
) -> Tensor:
    """Move the keys of all heads to where the rows are.

    A key hit less than a tenth as often as in an even division moves to a random row of the
    batch.

    Args:
        views: from row numbers `(b,)` to what the heads see of them, `(heads, b, key_dim)`.
        rows: how many there are.
        keys: `(heads, pairs, key_dim)` to start from.
        epochs: passes over the rows in a random order.
        batch_size: rows a step.
        decay: g; 0 takes the means of each batch.
        source: of randomness, on the device of the keys.

    Returns:
        `(heads, pairs, key_dim)`.
    """
    pairs = keys.shape[1]
    even = min(batch_size, rows) / pairs
    counts, sums = ema_start(keys, even)
    for _ in range(epochs):
        for part in torch.randperm(rows, generator=source, device=keys.device).split(batch_size):
            u = views(part)
            found = code_sums(u, nearest_code(u, keys), pairs)
            keys, counts, sums = ema_update(keys, counts, sums, found, decay)
            keys, counts, sums, _ = replace_dead(keys, counts, sums, u, _DEAD * even, source)
    return keys
