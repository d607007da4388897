"""Small things stages of many methods do: score the validation rows, gather features."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.model import NarrowModel

_ROWS = 4096


def batches(examples: Examples, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and class ids of consecutive pieces, on a device."""
    for rows in torch.arange(len(examples)).split(_ROWS):
        yield examples.x[rows].to(device), examples.y[rows].to(device)


def accuracy_on(model: NarrowModel, examples: Examples | None) -> Callable[[], float] | None:
    """A validation score: the model's accuracy on these rows; None without rows."""
    if examples is None:
        return None

    @torch.no_grad()
    def accuracy() -> float:
        device = next(model.parameters()).device
        hits = sum(
            int((model(x).prediction.argmax(-1) == y).sum()) for x, y in batches(examples, device)
        )
        return hits / len(examples)

    return accuracy


@torch.no_grad()
def features_of(
    model: NarrowModel, examples: Examples, then: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """The encoder's features of all rows `(n, features)`, or what `then` makes of them, on CPU."""
    model.eval()
    device = next(model.parameters()).device
    pieces = []
    for x, _ in batches(examples, device):
        h = model.encoder(x)
        pieces.append((h if then is None else then(h)).cpu())
    return torch.cat(pieces)
