"""Rows, weights and labels for the scores of concept importance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

NAN = float("nan")


@pytest.fixture
def case() -> dict[str, torch.Tensor]:
    """20 rows, 7 concepts, 4 classes; a tenth of the labels unknown, scores of both signs."""
    rng = np.random.default_rng(0)
    labels = (rng.random((20, 7)) < 0.4).astype(float)
    labels[rng.random((20, 7)) < 0.1] = NAN
    parts = {
        "weight": rng.normal(size=(4, 7)),
        "scores": rng.normal(size=(20, 7)),
        "labels": labels,
        "y": rng.integers(0, 4, 20),
        "predicted": rng.integers(0, 4, 20),
    }
    parts["y"][:4] = parts["predicted"][:4] = range(4)  # each class has a right prediction
    return {k: torch.tensor(v) for k, v in parts.items()}


@pytest.fixture
def frequency(case: dict[str, torch.Tensor]) -> torch.Tensor:
    """`(4, 7)` how often each class has each concept, by a loop."""
    labels, y = case["labels"].numpy(), case["y"].numpy()
    return torch.tensor(np.stack([np.nanmean(labels[y == k], axis=0) for k in range(4)]))
