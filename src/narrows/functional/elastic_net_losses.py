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

    def hessian(self, eta: Tensor, x: Tensor, some: Tensor) -> Tensor:
        """The second derivative by some of the weights of inputs `(n, P)`.

        Args:
            eta: the outputs.
            x: the inputs.
            some: `(L, P)` bool, K of them true.

        Returns:
            `(K, K)` float64, in the order of `some.nonzero()`.
        """


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

    def hessian(self, eta: Tensor, x: Tensor, some: Tensor) -> Tensor:
        """Of inputs j, k to classes l, m: sum_i x_j x_k (p_l [l = m] - p_l p_m) / n."""
        p = torch.softmax(eta, 1)
        output, put = some.nonzero().unbind(1)
        total = x.new_zeros(len(put), len(put))
        for rows in torch.arange(len(x)).split(max(1, _HELD // max(1, len(put)))):
            parts = x[rows][:, put] * p[rows][:, output]
            total -= parts.T @ parts
        return total.add_(_by_output(x, some, p)).div_(len(x))


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

    def hessian(self, eta: Tensor, x: Tensor, some: Tensor) -> Tensor:
        """X^T X / n for each output."""
        return _by_output(x, some, torch.ones_like(eta)).div_(len(x))


def _by_output(x: Tensor, some: Tensor, heavy: Tensor) -> Tensor:
    """Blocks of the outputs: X^T diag(heavy_l) X of the inputs that `some (L, P)` names."""
    blocks = []
    for row, weight in zip(some, heavy.T, strict=True):
        own = x[:, row]
        blocks.append(own.T @ (weight[:, None] * own))
    found: Tensor = torch.block_diag(*blocks)
    return found
