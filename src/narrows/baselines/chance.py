"""Chance: always the most frequent label of the training rows. What every model must beat."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from narrows.blueprint import Blueprint
from narrows.bottleneck import IdentityBottleneck
from narrows.data.record import Examples
from narrows.heads import LinearHead
from narrows.method import Method
from narrows.model import NarrowModel
from narrows.registry import MethodInfo
from narrows.train import Run


class NoFeatures(Blueprint):
    """An encoder that looks at nothing: one feature that is always 0.

    Example:
        >>> NoFeatures()(torch.ones(2, 3))
        tensor([[0.],
                [0.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, ...)` to `(batch, 1)`."""
        return x.new_zeros(len(x), 1)


class Chance(Method):
    """Predicts each label with its share of the training rows, whatever the input.

    Args:
        seed: not used, as nothing is random; every method has one.
        device: not used; every method has one.

    Example:
        >>> import numpy as np
        >>> chance = Chance().fit(np.zeros((4, 1)), ["a", "b", "b", "b"])
        >>> chance.predict(np.ones((2, 1))).tolist(), chance.predict_proba(np.ones((1, 1)))
        (['b', 'b'], array([[0.25, 0.75]]))
    """

    info = MethodInfo(
        name="chance",
        title="Chance",
        paper="none: the least a table can be compared with",
        summary="Always the most frequent label; looks at nothing.",
        bottleneck="none",
    )

    def __init__(self, seed: int = 0, device: str | None = None) -> None:
        self.seed = seed
        self.device = device

    def _train(self, train: Examples, val: Examples | None, run: Run) -> NarrowModel:
        head = LinearHead(1, len(train.classes))
        share = train.y.bincount(minlength=len(train.classes)).double() / len(train)
        with torch.no_grad():
            head.weight.zero_()
            # A label of the other splits only is given a probability that rounds to 0.
            head.bias.copy_(share.clamp(min=torch.finfo(torch.float32).tiny).log())
        return NarrowModel(
            NoFeatures(), IdentityBottleneck(1), head, train.classes, train.x.shape[1:]
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags
