"""The losses an elastic net knows: values, slopes and curvature of outputs `(n, L)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_HELD = 2**21  # numbers of one piece of rows: 16 MiB


class Loss(Protocol):
    """A convex loss of the outputs `(n, L)`."""

    bound: float  # on its second derivative, times n
    shifts: bool  # whether it is blind to a shift of all outputs

    def value(self, eta: Tensor) -> float:
        """The loss."""

    def slope(self, eta: Tensor) -> Tensor:
        """Its derivative, `(n, L)`."""

    def curvature(self, eta: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """The second derivative as a map of `(n, L)` float32, and its diagonal `(n, L)`."""

    def hessian(self, eta: Tensor, x: Tensor) -> Tensor:
        """The second derivative by weights `(L, P)` of inputs `(n, P)`: `(L P, L P)` float64."""


@dataclass(frozen=True)
class Softmax:
    """Mean cross-entropy with class ids `(n,)`."""

    y: Tensor
    bound = 0.5
    shifts = True

    def value(self, eta: Tensor) -> float:
        """The loss."""
        return float(torch.nn.functional.cross_entropy(eta, self.y))

    def slope(self, eta: Tensor) -> Tensor:
        """Probabilities minus the truth, over n."""
        p = torch.softmax(eta, 1)
        p[torch.arange(len(p), device=p.device), self.y] -= 1
        return p.div_(len(p))

    def curvature(self, eta: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """Row by row (diag p - p p^T) / n."""
        p = torch.softmax(eta, 1).float()

        def times(v: Tensor) -> Tensor:
            moved = p * v
            return torch.addcmul(moved, p, moved.sum(1, keepdim=True), value=-1).div_(len(p))

        return times, p * (1 - p) / len(p)

    def hessian(self, eta: Tensor, x: Tensor) -> Tensor:
        """Blocks of classes: X^T diag(p_l [l = m] - p_l p_m) X / n; rows piece by piece."""
        p = torch.softmax(eta, 1)
        classes, inputs = p.shape[1], x.shape[1]
        total = x.new_zeros(classes * inputs, classes * inputs)
        own = x.new_zeros(classes, inputs, inputs)
        for rows in torch.arange(len(x)).split(max(1, _HELD // (classes * inputs))):
            parts = p[rows, :, None] * x[rows, None, :]
            own += torch.einsum("nlp,nq->lpq", parts, x[rows])
            flat = parts.flatten(1)
            total -= flat.T @ flat
        found: Tensor = (total + torch.block_diag(*own)) / len(x)
        return found


@dataclass(frozen=True)
class Squares:
    """Half the mean squared distance from targets `(n, L)`, summed over the outputs."""

    y: Tensor
    bound = 1.0
    shifts = False

    def value(self, eta: Tensor) -> float:
        """The loss."""
        return float((eta - self.y).square().sum() / (2 * len(eta)))

    def slope(self, eta: Tensor) -> Tensor:
        """Distances from the targets, over n."""
        return (eta - self.y) / len(eta)

    def curvature(self, eta: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """The same everywhere."""
        n = len(eta)
        return (lambda v: v / n), eta.new_full(eta.shape, 1 / n, dtype=torch.float32)

    def hessian(self, eta: Tensor, x: Tensor) -> Tensor:
        """X^T X / n for each output."""
        found: Tensor = torch.block_diag(*[x.T @ x / len(x)] * eta.shape[1])
        return found
