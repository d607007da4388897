"""Rows for post-hoc concept bottlenecks: features, concepts and labels."""

from __future__ import annotations

import numpy as np
import torch

from narrows.data import Concepts, Examples


def made(n: int = 300, width: int = 6, seed: int = 0) -> Examples:
    """Features, three concepts that are noisy half spaces, a noisy label of 3 classes."""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, width)) * np.linspace(0.5, 2, width)
    c = h[:, :3] + 0.3 * rng.normal(size=(n, 3)) > 0.2
    y = (h @ rng.normal(size=(width, 3)) + 2 * rng.normal(size=(n, 3))).argmax(1)
    return Examples(
        torch.as_tensor(h).float(),
        torch.as_tensor(y),
        torch.as_tensor(c).float(),
        ("a", "b", "c"),
        Concepts(("one", "two", "three")),
    )
