"""pass@k: how often one of k drawn answers is right."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type


def pass_at_k(correct: Tensor, samples: int | Tensor, k: int) -> Tensor:
    """The unbiased share of problems solved by one of k answers (Chen et al. 2021).

        pass@k = mean over problems of 1 - C(N - c, k) / C(N, k)

    as a product of k factors, which neither over- nor underflows.

    Args:
        correct: `(problems,)` how many of a problem's answers were right.
        samples: N, how many answers each problem got; `(problems,)` where they differ.
        k: how many may be drawn, at most N.

    Returns:
        `()` float64 in [0, 1].

    Raises:
        InvalidType: counts that are no integers.
        InvalidInput: no problems, counts outside 0 to N, k outside 1 to N.

    Example:
        >>> pass_at_k(torch.tensor([1, 0]), 2, 1).item()
        0.25
    """
    counts = torch.as_tensor(correct)
    if counts.is_floating_point() or counts.is_complex():
        raise wrong_type("correct", counts.dtype, "integer counts")
    if counts.ndim != 1 or len(counts) == 0:
        raise wrong("correct", f"shape {tuple(counts.shape)}", "shape (problems,), at least one")
    total = torch.as_tensor(samples, device=counts.device).expand_as(counts)
    if bool((counts < 0).any() | (counts > total).any()):
        raise wrong("correct", "counts below 0 or above the samples", "0 to samples")
    if not 1 <= k <= int(total.min()):
        raise wrong("k", k, f"1 to {int(total.min())}, the fewest samples")
    # C(N - c, k) / C(N, k) = prod over i < k of (N - c - i) / (N - i), 0 once N - c - i is.
    i = torch.arange(k, device=counts.device)
    none = (total - counts)[:, None] - i
    shares = none.clamp(min=0).double() / (total[:, None] - i)
    return (1 - shares.prod(1)).mean()
