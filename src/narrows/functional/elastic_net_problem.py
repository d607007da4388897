"""An elastic-net problem: its objective, its optimality conditions, and one plain step.

    min_W  loss(X W^T)  +  lam (alpha |W|_1 + (1 - alpha) |W|^2 / 2)

The last column of X holds ones; its weights, the biases, are free of the penalty.

A softmax does not see a shift of all classes' weights for one feature, only the penalty does. In
that direction the model is all but flat, which ruins Newton steps. It is taken out: where all
classes are free the sum of a step is held back, and the best shift is then set exactly: the
derivative in it is piecewise linear, and its root is a median (see `best_shift`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from narrows.functional.elastic_net_losses import Loss


@dataclass(frozen=True)
class Problem:
    """All but the penalty's size.

    Attributes:
        x: `(n, P)` float64, the last column ones.
        loss: of `x @ w.T`.
        alpha: share of the absolute values in the penalty.
    """

    x: Tensor
    loss: Loss
    alpha: float

    @cached_property
    def single(self) -> Tensor:
        """`x` in float32."""
        return self.x.float()

    @cached_property
    def squared(self) -> Tensor:
        """`x^2` in float32."""
        return self.single.square()

    @cached_property
    def penalised(self) -> Tensor:
        """`(P,)` 1 for weights and 0 for the bias."""
        part = torch.ones_like(self.x[0])
        part[-1] = 0
        return part

    @cached_property
    def lipschitz(self) -> float:
        """A bound on the loss's second derivative by the weights."""
        gram = self.x.T @ self.x / len(self.x)
        return self.loss.bound * float(gram.abs().sum(0).max())

    def objective(self, w: Tensor, eta: Tensor, lam: float) -> float:
        """Loss and penalty."""
        inner = w[:, :-1]
        square, size = inner.square().sum(), inner.abs().sum()
        penalty = (1 - self.alpha) / 2 * square + self.alpha * size
        return self.loss.value(eta) + lam * float(penalty)

    def violation(self, w: Tensor, gradient: Tensor, lam: float) -> Tensor:
        """How far each weight `(L, P)` is from its optimality condition, in units of gradient."""
        line = lam * self.alpha * self.penalised
        smooth = gradient + lam * (1 - self.alpha) * self.penalised * w
        inside = (smooth.abs() - line).clamp(min=0)
        return torch.where(w == 0, inside, (smooth + line * w.sign()).abs())

    def settle(self, w: Tensor) -> Tensor:
        """The same function of the inputs with the least penalty."""
        if not self.loss.shifts:
            return w
        shift = best_shift(w[:, :-1], self.alpha)
        return torch.cat([w[:, :-1] + shift, w[:, -1:] - w[:, -1:].mean()], 1)


def proximal(problem: Problem, w: Tensor, gradient: Tensor, lam: float) -> Tensor:
    """One proximal gradient step: it never raises the objective, where a Newton step might."""
    length = 1 / problem.lipschitz
    line = length * lam * problem.alpha * problem.penalised
    moved = w - length * gradient
    shrunk = moved.sign() * (moved.abs() - line).clamp(min=0)
    return shrunk / (1 + length * lam * (1 - problem.alpha) * problem.penalised)


def best_shift(w: Tensor, alpha: float) -> Tensor:
    """The shift `(P,)` of the rows of `w (L, P)` that has the least penalty.

    The derivative by the shift c is `(1 - alpha)(L c + sum w) + alpha sum sign(w + c)`. Between
    two of the breaks `-w` it is a line; the root of the whole is the median of the L breaks and
    the L + 1 roots of these lines.
    """
    classes = len(w)
    above = torch.arange(classes + 1, dtype=w.dtype, device=w.device)[:, None]
    pull = alpha / max(1 - alpha, 1e-12) * (1 - 2 * above / classes)
    return torch.cat([-w, pull - w.mean(0)]).median(0).values
