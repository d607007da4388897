"""What the layers of a model put out for chosen rows, one flat vector a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from narrows.data.record import Column, Examples
from narrows.errors import wrong, wrong_type
from narrows.measure.watching.feeding import call, in_evaluation
from narrows.measure.watching.recorder import watch


def features_of(
    model: nn.Module,
    x: Tensor | Column,
    layers: str | Sequence[str],
    rows: Tensor,
    batch: int = 512,
) -> dict[str, Tensor]:
    """Layer to `(len(rows), d)` float32 outputs in evaluation mode, in the order of the layers.

    Memory: the features of all rows, and the whole outputs of one batch.

    Raises:
        UnknownName: no such layer.
        InvalidInput: outputs that are not one a row, or not finite.

    Example:
        >>> found = features_of(nn.Sequential(nn.Identity()), torch.eye(3), "0", torch.tensor([2]))
        >>> found["0"].tolist()
        [[0.0, 0.0, 1.0]]
    """
    found: dict[str, list[Tensor]] = {}
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with in_evaluation(model):
        for some in rows.split(batch):
            with watch(model, layers) as seen:
                call(model, x[some].to(device))
            for layer in seen.layers:
                found.setdefault(layer, []).append(_flat(layer, seen[layer], len(some)))
    return {layer: torch.cat(parts) for layer, parts in found.items()}


def rows_and_labels(train: Any) -> tuple[Tensor | Column, Tensor | None]:
    """Inputs and, where there are any, labels of `Examples`, of a pair, or of inputs alone."""
    if isinstance(train, Examples):
        return train.x, train.y
    if isinstance(train, Tensor):
        return train, None
    if isinstance(train, (tuple, list)) and len(train) == 2 and isinstance(train[0], Tensor):
        return train[0], train[1]
    found = type(train).__name__
    raise wrong_type("train", found, "Examples, a tensor of inputs, or a pair (inputs, labels)")


def each(parts: Sequence[Tensor], most: int, generator: torch.Generator) -> Iterator[Tensor]:
    """At most `most` rows of each part, drawn at random and sorted."""
    for rows in parts:
        yield rows[torch.randperm(len(rows), generator=generator)[:most]].sort().values


def _flat(layer: str, t: Tensor, rows: int) -> Tensor:
    if t.ndim == 0 or len(t) != rows:
        shape = tuple(t.shape)
        raise wrong(f"layer {layer!r}", f"output of shape {shape}", f"one row for each of {rows}")
    t = t.reshape(rows, -1).float()
    if not t.isfinite().all():
        raise wrong(f"layer {layer!r}", "NaN or infinite activations", "finite ones")
    return t
