"""One row of features an example from each layer of a model, batch by batch.

Layers are wide in different ways: early ones have few channels and many places. What is made of
the places is a choice that complexity depends on, and is reported with it:

`gap`      the mean over places (tokens, or height and width): one number a channel
`gap+std`  that, and the standard deviation over places
`grid`     means over a 2 x 2 grid of places (2 parts of a sequence): four numbers a channel

`max_dim` then projects wider rows at random, with Gaussian entries, so that layers differ less in
size.

Memory: one batch of the layers asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d

from narrows.errors import wrong, wrong_type
from narrows.measure.watching.feeding import call, in_evaluation
from narrows.measure.watching.layers import find_layers
from narrows.measure.watching.recorder import watch


class PooledLayers:
    """Layers of a model over batches, to be gone through as often as a measure needs.

    Args:
        model: any module; it runs in evaluation mode, without gradients.
        batches: inputs, gone through again each time and in the same order: tensors, mappings
            (handed over by name) or tuples whose first part is the input.
        layers: names or patterns as for `watch`.
        pool: `gap`, `gap+std` or `grid`.
        max_dim: wider rows are projected at random to so many columns; None for none.
        side: `output`, or `input` for what goes into the layers.
        seed: of the projections.

    Raises:
        UnknownName: a layer that does not exist.
        InvalidType: batches that can be gone through only once.
        InvalidInput: another pooling, `max_dim` below 1.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
        >>> pooled = PooledLayers(model, torch.zeros(5, 1, 4, 4).split(2), ["1", "3"])
        >>> {name: tuple(rows.shape) for name, rows in pooled.record().items()}
        {'1': (5, 3), '3': (5, 2)}
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[Any],
        layers: str | Sequence[str],
        *,
        pool: str = "gap",
        max_dim: int | None = None,
        side: str = "output",
        seed: int = 0,
    ) -> None:
        if isinstance(batches, Iterator):
            raise wrong_type("batches", type(batches).__name__, "ones to be gone through again")
        if pool not in POOLS:
            raise wrong("pool", repr(pool), f"one of {', '.join(map(repr, POOLS))}")
        if max_dim is not None and (isinstance(max_dim, bool) or max_dim < 1):
            raise wrong("max_dim", max_dim, "an integer >= 1 or None")
        self.model, self.batches, self.side = model, batches, side
        self.pool, self.max_dim, self.seed = pool, max_dim, seed
        self.layers = tuple(find_layers(model, layers))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Layer to `(rows, d)` for each batch."""
        return map(self.of_batch, self.batches)

    def of_batch(self, batch: Any) -> dict[str, Tensor]:
        """Layer to `(rows, d)` for one batch."""
        seeing = watch(self.model, self.layers, transform=self._rows, side=self.side)
        with in_evaluation(self.model), seeing as seen:
            call(self.model, batch)
        return {layer: seen[layer] for layer in self.layers}

    def record(self) -> dict[str, Tensor]:
        """Layer to `(all rows, d)`; memory for all of them."""
        parts: dict[str, list[Tensor]] = {layer: [] for layer in self.layers}
        for found in self:
            for layer, rows in found.items():
                parts[layer].append(rows)
        if not parts or not next(iter(parts.values())):
            raise wrong("batches", "none", "at least one")
        return {layer: torch.cat(rows) for layer, rows in parts.items()}

    def _rows(self, h: Tensor) -> Tensor:
        return project_rows(pool_places(h, self.pool), self.max_dim, self.seed)


def pool_places(h: Tensor, pool: str = "gap") -> Tensor:
    """`(rows, d)` from `(rows, d)`, `(rows, tokens, d)` or `(rows, d, height, width)`.

    Example:
        >>> pool_places(torch.arange(4.0).reshape(1, 1, 2, 2)).tolist()
        [[1.5]]
    """
    if h.ndim == 2:
        return h
    if h.ndim == 3:
        h = h.transpose(1, 2)
    if h.ndim not in (3, 4) or 0 in h.shape:
        wanted = "(rows, d), (rows, tokens, d) or (rows, d, height, width)"
        raise wrong("layer", f"output of shape {tuple(h.shape)}", wanted)
    return POOLS[pool](h if h.is_floating_point() else h.float())


def project_rows(rows: Tensor, most: int | None, seed: int) -> Tensor:
    """Rows `(n, d)` projected to at most so many columns; the same seed, the same directions."""
    if most is None or rows.shape[1] <= most:
        return rows
    source = torch.Generator().manual_seed(seed)
    directions = torch.randn(rows.shape[1], most, generator=source) / math.sqrt(most)
    return rows @ directions.to(rows)


def _grid(h: Tensor) -> Tensor:
    cells = adaptive_avg_pool1d(h, 2) if h.ndim == 3 else adaptive_avg_pool2d(h, 2)
    return cells.flatten(1)


def _with_deviation(h: Tensor) -> Tensor:
    flat = h.flatten(2)
    return torch.cat([flat.mean(2), flat.std(2, correction=0)], 1)


POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gap": lambda h: h.flatten(2).mean(2),
    "gap+std": _with_deviation,
    "grid": _grid,
}
