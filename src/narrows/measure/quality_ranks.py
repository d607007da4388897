"""Scores judged by their order alone, all columns at once, unknown labels left out exactly."""

from __future__ import annotations

import torch
from torch import Tensor


def auc(scores: Tensor, positive: Tensor, known: Tensor) -> Tensor:
    """Area under the ROC curve, P(positive above negative) + P(equal) / 2, by mean ranks.

    Args:
        scores: `(n, k)` finite.
        positive: `(n, k)` bool; False where unknown.
        known: `(n, k)` bool.

    Returns:
        `(k,)` float64, NaN for columns without both values.

    Example:
        >>> positive = torch.tensor([[True], [False], [False]])
        >>> auc(torch.tensor([[0.5], [0.5], [0.1]]), positive, torch.ones_like(positive))
        tensor([0.7500], dtype=torch.float64)
    """
    values, order = torch.where(known, scores, torch.inf).sort(0)
    first, last = _ties(values)
    ranks = torch.where(positive.gather(0, order), (first + last) / 2 + 1, 0.0).sum(0)
    ones = positive.sum(0).double()
    return (ranks - ones * (ones + 1) / 2) / (ones * (known.sum(0) - ones))


def average_precision(scores: Tensor, positive: Tensor, known: Tensor) -> Tensor:
    """Mean precision over the positives, each at its own score, ties taken together.

    Args:
        scores: `(n, k)` finite.
        positive: `(n, k)` bool; False where unknown.
        known: `(n, k)` bool.

    Returns:
        `(k,)` float64, NaN for columns without a positive.

    Example:
        >>> positive = torch.tensor([[True], [False], [True]])
        >>> average_precision(torch.tensor([[3.0], [2.0], [1.0]]), positive, positive | True)
        tensor([0.8333], dtype=torch.float64)
    """
    values, order = torch.where(known, -scores.double(), torch.inf).sort(0)
    _, last = _ties(values)
    hits = positive.gather(0, order).double()
    precision = hits.cumsum(0).gather(0, last.long()) / (last + 1)
    return (hits * precision).sum(0) / hits.sum(0)


def _ties(values: Tensor) -> tuple[Tensor, Tensor]:
    """First and last place of the values equal to each, `(n, k)`; `values` sorted."""
    place = torch.arange(len(values), dtype=torch.float64)[:, None].expand_as(values)
    new = torch.ones_like(values, dtype=torch.bool)
    new[1:] = values[1:] != values[:-1]
    last = torch.ones_like(new)
    last[:-1] = new[1:]
    highest = torch.where(last, place, torch.inf).flip(0).cummin(0).values.flip(0)
    return torch.where(new, place, 0.0).cummax(0).values, highest
