"""Linear support vector machines of many concepts: all together, or libsvm's one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.functional.descent import bound_inverse, minimise
from narrows.functional.design import Design

_BLOCK = 2**24  # activations of one block of concepts: 128 MB an array
_TOLERANCE, _STEPS = 1e-6, 1000


def squared_hinge(h: Tensor, targets: Tensor, cost: float) -> tuple[Tensor, Tensor]:
    """Minimise `sum max(0, 1 - s (v . h + b))^2 + |v|^2 / (2 C)` for all concepts together.

    Args:
        h: `(N, D)` float64 features.
        targets: `(N, k)` float64 labels in [0, 1], NaN where unknown.
        cost: C.

    Returns:
        Vectors `(k, D)` and biases `(k,)`.

    Example:
        >>> h = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        >>> vectors, _ = squared_hinge(h, torch.tensor([[0.0], [1.0]]).double(), cost=0.25)
        >>> vectors.round(decimals=4)
        tensor([[0.5000]], dtype=torch.float64)
    """
    design = Design(h, fit_intercept=True, l2=1 / cost)
    inverse = bound_inverse(design.x, 2.0, design.ridge)
    known = ~targets.isnan()
    positive = targets.nan_to_num(0.0).T
    negative = torch.where(known, 1 - targets, 0.0).T
    parts = []
    for block in torch.arange(len(positive)).split(max(1, _BLOCK // len(h))):
        loss = _SquaredHinge(positive[block], negative[block])
        start = h.new_zeros(len(block), design.x.shape[1])
        parts.append(minimise(design.x, loss, start, design.ridge, inverse, _TOLERANCE, _STEPS).w)
    return design.unpack(torch.cat(parts), h.dtype)


@dataclass(frozen=True)
class _SquaredHinge:
    """`t max(0, 1 - eta)^2 + (1 - t) max(0, 1 + eta)^2`, one problem a row, `(k, N)`."""

    positive: Tensor
    negative: Tensor

    def slope(self, eta: Tensor) -> Tensor:
        return 2 * (self.negative * (1 + eta).clamp(min=0) - self.positive * (1 - eta).clamp(min=0))

    def along(self, eta: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        slope = self.slope(eta)
        bend = 2 * (self.positive * (eta < 1) + self.negative * (eta > -1))
        first, second = slope * ahead, bend * ahead.square()
        return slope, first.sum(1, keepdim=True), second.sum(1, keepdim=True)

    def join(self, products: Tensor) -> Tensor:
        return products

    def to(self, dtype: torch.dtype) -> Self:
        return type(self)(self.positive.to(dtype), self.negative.to(dtype))

    def keep(self, rows: Tensor) -> Self:
        return type(self)(self.positive[rows], self.negative[rows])


def libsvm(h: Tensor, targets: Tensor, cost: float) -> tuple[Tensor, Tensor]:
    """Minimise `sum max(0, 1 - s (v . h + b)) + |v|^2 / (2 C)`, one concept after the other.

    Args:
        h: `(N, D)` features; scikit-learn gets them on the CPU.
        targets: `(N, k)` labels 0, 1 or NaN where unknown.
        cost: C.

    Returns:
        Vectors `(k, D)` and biases `(k,)`, zero for a concept whose known labels are all alike.

    Raises:
        InvalidInput: labels between 0 and 1.

    Example:
        >>> h = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        >>> libsvm(h, torch.tensor([[0.0], [1.0]]).double(), cost=10.0)[0].round(decimals=4)
        tensor([[1.]], dtype=torch.float64)
    """
    from sklearn.svm import SVC

    known = ~targets.isnan()
    if ((targets != 0) & (targets != 1) & known).any():
        raise wrong("targets", "labels between 0 and 1", "0, 1 or NaN for kind 'svm'")
    vectors, biases = h.new_zeros(targets.shape[1], h.shape[1]), h.new_zeros(targets.shape[1])
    for j, rows in enumerate(known.T):
        t = targets[rows, j]
        if len(t.unique()) == 2:
            fitted = SVC(kernel="linear", C=cost).fit(h[rows].cpu().numpy(), t.cpu().numpy())
            vectors[j] = torch.as_tensor(fitted.coef_[0].copy())
            biases[j] = float(fitted.intercept_[0])
    return vectors, biases
