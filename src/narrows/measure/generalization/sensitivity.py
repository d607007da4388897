"""How far the log density of a code moves when one coordinate is drawn again.

One ingredient of the bound of Kawaguchi et al. (ICML 2023), c_l, estimated as they do: each row
takes one coordinate of another row, and the largest change of log p(z) over the rows is kept, the
largest of the classes where the label is given.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.generalization.chance import own_source
from narrows.measure.generalization.densities import checked_code, log_densities

_PIECE = 2**21  # of log densities: 16 MB


def sensitivity(
    parts: Sequence[Tensor], deviation: float, *, ref: int = 400, seed: int = 0
) -> float:
    """The largest change of log p(z), in nats, that one coordinate of another row makes.

    The largest of the rows that were looked at: a lower estimate of the theorem's constant.

    Args:
        parts: `(N, d)` features of each class, or of all rows in one.
        deviation: of the noise.
        ref: reference rows of each part.
        seed: of references, rows and coordinates.

    Raises:
        InvalidInput: no part, and as `sandwich_mi`.

    Example:
        >>> sensitivity([torch.zeros(4, 2)], 1.0)
        0.0
    """
    if not parts:
        raise wrong("parts", "none", "at least one")
    generator = own_source(seed)
    most = 0.0
    for part in parts:
        rows, std = checked_code(part, deviation)
        count, columns = rows.shape
        chosen = torch.randperm(count, generator=generator)[:ref]
        donor = torch.randint(count, (count,), generator=generator)
        column = torch.randint(columns, (count,), generator=generator)
        swapped = rows.clone()
        swapped[torch.arange(count), column] = rows[donor, column]
        among = rows[chosen], std[chosen]
        change = _log_marginal(rows, *among) - _log_marginal(swapped, *among)
        most = max(most, float(change.abs().max()))
    return most


def _log_marginal(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log of the mean density, but for a constant."""
    step = max(1, _PIECE // len(mean))
    return torch.cat([torch.logsumexp(log_densities(some, mean, std), 1) for some in z.split(step)])
