"""Pictures of two halves, and models that read them linearly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from narrows.concepts.layer import ConceptLayer
from narrows.data.record import Concepts, Examples
from narrows.heads import LinearHead
from narrows.model import NarrowModel


def _halves(weights: Tensor) -> NarrowModel:
    """Two concepts, each linear in the 4 x 6 pixels."""
    layer = ConceptLayer(24, ["left", "right"])
    with torch.no_grad():
        layer.linear.weight.copy_(weights.flatten(1))
        layer.linear.bias.zero_()
    model = NarrowModel(nn.Flatten(), layer, LinearHead(2, 2), ("no", "yes"))
    return model.eval().requires_grad_(False)


def _rows(n: int, seed: int = 0) -> Examples:
    x = torch.rand(n, 1, 4, 6, generator=torch.Generator().manual_seed(seed))
    y = torch.arange(n) % 2
    return Examples(x, y, None, ("no", "yes"), Concepts(("left", "right")))


@pytest.fixture
def halves() -> Callable[[Tensor], NarrowModel]:
    return _halves


@pytest.fixture
def rows() -> Callable[..., Examples]:
    return _rows


@pytest.fixture
def weights() -> Tensor:
    return torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))
