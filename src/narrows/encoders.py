"""Encoders: from the input to features. Small ones of our own, and the user's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from narrows.blueprint import Blueprint
from narrows.errors import wrong


class Rows(Protocol):
    """Training inputs: a tensor, or a lazy column that reads rows on access."""

    @property
    def shape(self) -> Sequence[int]:
        """`(n, ...)`."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor: ...


class Standardize(Blueprint):
    """Shift and scale each feature by the training mean and deviation; flattens the input.

    A constant feature is only shifted, so that it stays finite.

    Example:
        >>> layer = Standardize(2).fit(torch.tensor([[0.0, 5.0], [2.0, 5.0]]))
        >>> layer(torch.tensor([[2.0, 5.0]]))
        tensor([[1., 0.]])
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def fit(self, x: Tensor) -> Standardize:
        """Learn mean and deviation from `(n, ...)` training rows, in double precision."""
        flat = x.flatten(1).double()
        deviation = flat.std(0, unbiased=False)
        # A spread that is only rounding noise must not be blown up to one.
        constant = deviation <= 1e-9 * (1 + flat.abs().amax(0))
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(torch.where(constant, torch.ones_like(deviation), deviation))
        return self

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, ...)` to `(batch, features)`."""
        return (x.flatten(1) - self.mean) / self.scale


class MLPEncoder(Blueprint):
    """Standardised features through ReLU layers; `hidden=()` keeps them linear.

    Example:
        >>> MLPEncoder(4, (8,))(torch.zeros(2, 4)).shape
        torch.Size([2, 8])
    """

    def __init__(self, features: int, hidden: Sequence[int] = (64,)) -> None:
        super().__init__()
        self.standardize = Standardize(features)
        sizes = [features, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.outputs = sizes[-1]

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, ...)` to `(batch, outputs)`."""
        return self.layers(self.standardize(x))


class ConvEncoder(Blueprint):
    """Two or more 3x3 convolutions with ReLU and 2x2 pooling, flattened, one dense layer.

    Example:
        >>> ConvEncoder((1, 8, 16))(torch.zeros(2, 1, 8, 16)).shape
        torch.Size([2, 64])
    """

    def __init__(
        self, shape: Sequence[int], channels: Sequence[int] = (32, 64), outputs: int = 64
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise wrong("shape", tuple(shape), "(channels, height, width)")
        depth, height, width = shape
        layers: list[nn.Module] = []
        for wide in channels:
            layers += [nn.Conv2d(depth, wide, 3, padding=1), nn.ReLU()]
            depth = wide
            if min(height, width) >= 2:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        layers += [nn.Flatten(), nn.Linear(depth * height * width, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, height, width)` to `(batch, outputs)`."""
        return self.layers(x)


def make_encoder(kind: str | nn.Module, x: Rows) -> tuple[nn.Module, int]:
    """The encoder a method asks for, and how many features it gives.

    Args:
        kind: `auto` (convolutions for images, one hidden layer for features), `identity`
            (standardised features, for cached embeddings), `mlp`, `conv`, or a module of the
            user's from `(batch, ...)` to `(batch, features)`.
        x: training inputs `(n, ...)`; standardising layers are fitted on them.

    Raises:
        InvalidInput: an unknown kind, or inputs the kind cannot take.

    Example:
        >>> encoder, features = make_encoder("auto", torch.zeros(5, 1, 8, 16))
        >>> type(encoder).__name__, features
        ('ConvEncoder', 64)
    """
    if isinstance(kind, nn.Module):
        with torch.no_grad():
            features = kind.eval()(x[torch.arange(min(2, len(x)))])
        if features.ndim != 2:
            raise wrong("encoder", f"output shape {tuple(features.shape)}", "(batch, features)")
        return kind, features.shape[-1]
    if kind == "auto":
        kind = "conv" if len(x.shape) == 4 else "mlp"
    if kind == "conv":
        if len(x.shape) != 4:
            raise wrong("x", f"shape {tuple(x.shape)}", "(n, channels, height, width) for 'conv'")
        encoder: ConvEncoder | MLPEncoder = ConvEncoder(x.shape[1:])
    elif kind in ("mlp", "identity"):
        encoder = MLPEncoder(math.prod(x.shape[1:]), (64,) if kind == "mlp" else ())
        encoder.standardize.fit(x[torch.arange(len(x))])
    else:
        raise wrong("encoder", repr(kind), "'auto', 'identity', 'mlp', 'conv' or a module")
    return encoder, encoder.outputs
