"""A small concept embedding layer, features for it and labels."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.concepts import ConceptEmbeddingLayer


def layer_of(k: int = 5, features: int = 7, width: int = 3, **options) -> ConceptEmbeddingLayer:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return ConceptEmbeddingLayer(
            features, [f"c{i}" for i in range(k)], width=width, **options
        ).double()


def inputs(rows: int = 11, features: int = 7) -> Tensor:
    source = torch.Generator().manual_seed(1)
    return torch.randn(rows, features, generator=source, dtype=torch.float64)


def labels(rows: int = 11, k: int = 5, seed: int = 2) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randint(2, (rows, k), generator=source).double()
