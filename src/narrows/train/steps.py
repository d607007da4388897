"""Small things stages of many methods do: score the validation rows, gather features."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from narrows.data.record import Examples
from narrows.functional.logistic import fit_softmax
from narrows.model import NarrowModel

_ROWS = 4096
_LEAST_EPOCHS, _LEAST_STEPS = 20, 3_000
# Decay per row of a solved linear head. The first is the published 5e-5, which belongs to SGD that
# stops early; at the optimum it can be far too strong (a sum of two one-hot digits needs weights
# near 100), so the validation rows choose.
_DECAYS = (5e-5, 1e-6)
_SOLVED = 1e-3  # share of the gradient left: validation scores do not move below it
_STEPS = 200


def enough_epochs(epochs: int | None, rows: int, batch_size: int) -> int:
    """The epochs asked for; None gives at least 20, and at least 3,000 steps on small data.

    Example:
        >>> enough_epochs(None, 10_000, 64), enough_epochs(None, 128, 64), enough_epochs(5, 128, 64)
        (20, 1500, 5)
    """
    if epochs is not None:
        return epochs
    return max(_LEAST_EPOCHS, math.ceil(_LEAST_STEPS / math.ceil(rows / batch_size)))


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


def written(model: NarrowModel, examples: Examples) -> Tensor:
    """The head's input for all rows `(n, inputs)`, on the CPU."""
    bottleneck = model.bottleneck
    return features_of(model, examples, lambda h: bottleneck.write(bottleneck.read(h)))


@torch.no_grad()
def solve_head(model: NarrowModel, z: Tensor, y: Tensor, val: Examples | None) -> None:
    """Set a linear head to the optimum of its cross-entropy on `z (n, inputs)`, `y (n,)`.

    The weight decay is the one with the lowest validation loss; without validation rows, the
    strongest.
    """
    head, classes = model.head, len(model.classes)
    held = None if val is None else (written(model, val), val.y)
    best = None
    for decay in _DECAYS if held is not None else _DECAYS[:1]:
        solved = fit_softmax(z, y, classes, decay * len(z), tol=_SOLVED, max_iter=_STEPS)
        loss = 0.0
        if held is not None:
            loss = float(cross_entropy(held[0] @ solved.weight.T + solved.bias, held[1]))
        if best is None or loss < best[0]:
            best = (loss, solved)
    if best is None:
        return
    head.weight.copy_(best[1].weight)  # type: ignore[operator]  # a LinearHead
    head.bias.copy_(best[1].bias)  # type: ignore[operator]  # its bias
