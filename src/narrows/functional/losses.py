"""Losses that know what is not known."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from narrows import distributed


def concept_loss(logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy per concept, over the known labels only.

    Args:
        logits: `(batch, k)`.
        targets: `(batch, k)` in [0, 1]; NaN is unknown and gives neither loss nor gradient.
        weight: `(2, k)` factors of the negative and the positive term of each concept.

    Returns:
        `(k,)` nats, each the mean over the examples whose label is known; 0 where none is.

    Example:
        >>> logits = torch.zeros(2, 1)
        >>> concept_loss(logits, torch.tensor([[1.0], [float("nan")]]))
        tensor([0.6931])
    """
    known = ~targets.isnan()
    filled = torch.where(known, targets, 0.0).to(logits.dtype)
    each = binary_cross_entropy_with_logits(logits, filled, reduction="none")
    if weight is not None:
        each = each * torch.lerp(weight[0], weight[1], filled)
    count = distributed.total(known.sum(0)).to(logits.dtype) / distributed.size()
    return torch.where(known, each, 0.0).sum(0) / count.clamp(min=1e-12)


def concept_weights(targets: Tensor, kind: str | None) -> Tensor | None:
    """Class-imbalance factors for `concept_loss`, from the known training labels.

    Args:
        targets: `(n, k)` training labels, NaN unknown.
        kind: `pos_weight` multiplies the positive term by negatives / positives; `public`
            multiplies both terms by it, as the code released with the paper does; None is 1.

    Example:
        >>> concept_weights(torch.tensor([[1.0], [0.0], [0.0], [0.0]]), "pos_weight")
        tensor([[1.],
                [3.]])
    """
    if kind is None:
        return None
    known = ~targets.isnan()
    positive = torch.where(known, targets, 0.0).sum(0)
    negative = known.sum(0) - positive
    # A concept with one class only has no imbalance to correct.
    both = (positive > 0) & (negative > 0)
    ratio = torch.where(both, negative / positive.clamp(min=1e-12), 1.0)
    return torch.stack([ratio if kind == "public" else torch.ones_like(ratio), ratio])


def label_loss(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with the class ids, the mean over the joined batch, in nats.

    Example:
        >>> label_loss(torch.zeros(1, 4), torch.tensor([2])).item()
        1.38629...
    """
    return distributed.mean(cross_entropy(logits, y, reduction="none", label_smoothing=smoothing))
