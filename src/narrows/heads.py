"""Heads: from the narrow place to the decision."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from narrows.blueprint import Blueprint


class LinearHead(Blueprint):
    """One affine layer, `z @ weight.T + bias`; its contributions are exact.

    Example:
        >>> LinearHead(3, 2)(torch.zeros(1, 3)).shape
        torch.Size([1, 2])
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        layer = nn.Linear(inputs, outputs)
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, z: Tensor) -> Tensor:
        """`(*batch, inputs)` to `(*batch, outputs)`."""
        return nn.functional.linear(z, self.weight, self.bias)


class FixedHead(Blueprint):
    """An affine layer with nothing to learn: `scale` times the mean over the parts of `z`.

    With one part it is the identity: prototype networks decide by similarity alone. With many
    it is a vote, as in a key-value bottleneck whose codes hold class scores.

    Example:
        >>> FixedHead(2, parts=2)(torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
        tensor([[2., 1.]])
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, outputs: int, parts: int = 1) -> None:
        super().__init__()
        self.register_buffer(
            "weight", torch.eye(outputs).repeat(1, parts) / parts, persistent=False
        )
        self.register_buffer("bias", torch.zeros(outputs), persistent=False)
        self.parts = parts

    def forward(self, z: Tensor) -> Tensor:
        """`(*batch, parts * outputs)` to `(*batch, outputs)`."""
        return z.unflatten(-1, (self.parts, -1)).mean(-2)


class MLPHead(Blueprint):
    """Hidden ReLU layers, then one affine layer.

    Example:
        >>> MLPHead(3, 2, hidden=(8,))(torch.zeros(1, 3)).shape
        torch.Size([1, 2])
    """

    def __init__(self, inputs: int, outputs: int, hidden: tuple[int, ...] = (64,)) -> None:
        super().__init__()
        sizes = [inputs, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))

    def forward(self, z: Tensor) -> Tensor:
        """`(*batch, inputs)` to `(*batch, outputs)`."""
        return self.layers(z)
