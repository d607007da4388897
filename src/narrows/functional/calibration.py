"""How far stated confidence is from being right that often."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.errors import wrong


def expected_calibration_error(probabilities: Tensor, y: Tensor, bins: int = 15) -> float:
    """The gap between confidence and accuracy, averaged over equal-width bins of confidence.

    Guo, Pleiss, Sun and Weinberger (ICML 2017): sum over bins of (rows in the bin / all rows)
    times |accuracy - mean confidence| of the bin.

    Args:
        probabilities: `(n, classes)`.
        y: `(n,)` class ids.
        bins: how many.

    Returns:
        Between 0 and 1.

    Raises:
        InvalidInput: shapes that differ, or no rows.

    Example:
        >>> round(expected_calibration_error(torch.tensor([[0.8, 0.2]]), torch.tensor([0])), 4)
        0.2
    """
    if probabilities.ndim != 2 or y.shape != probabilities.shape[:1] or not len(y):
        found = f"shapes {tuple(probabilities.shape)} and {tuple(y.shape)}"
        raise wrong("probabilities, y", found, "(n, classes) and (n,), n >= 1")
    confidence, said = probabilities.double().max(1)
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = (said == y).double() - confidence
    return float(
        torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_of, gap).abs().sum() / len(y)
    )
