"""Many smooth convex problems over one design matrix, minimised together without a learning rate.

Each problem is `min_w sum_n loss(w . x_n) + sum_j ridge_j w_j^2 / 2`. A step costs two matrix
products for all problems at once: `d x^T`, the direction as the examples see it, and `r x`, the
gradient. Between them nothing touches `x`, so the line search is exact and nearly free.

The direction is L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.4). Its first
metric is not the identity but the inverse of `bound x^T x + ridge`, the second-order bound of
Böhning and Lindsay (Ann. Inst. Statist. Math. 40, 1988) that holds for every logistic problem
whatever its labels, so one factor serves all of them. Plain minorise-maximise steps with that
bound need thousands of steps where the classes separate; with ten remembered steps it is tens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

_MEMORY = 10  # twenty remembered steps save one step in ten and cost twice the vector work
_SINGLE = 1e-4  # the share of the gradient that float32 can remove safely; float64 does the rest


class Loss(Protocol):
    """A convex loss of the activations `(k, N)`, a sum over one or more separate problems."""

    def slope(self, eta: Tensor) -> Tensor:
        """Derivative by each activation, `(k, N)`."""

    def along(self, eta: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """First and second derivative along `step`, each `(problems, 1)`."""

    def total(self, products: Tensor) -> Tensor:
        """`(k, any)` summed within each problem, `(problems, 1)`."""

    def to(self, dtype: torch.dtype) -> Self:
        """The same loss in another precision."""

    def keep(self, rows: Tensor) -> Self:
        """The loss of some of the problems, chosen by a mask `(problems,)`."""


@dataclass(frozen=True)
class Minimum:
    """Where a descent ended: `w` `(k, P)`, its steps, and the gradient norms `(problems,)`."""

    w: Tensor
    steps: int
    norm: Tensor


def metric(x: Tensor, bound: float, ridge: Tensor) -> Tensor:
    """Inverse of `bound x^T x + diag(ridge)`, `(P, P)` float64, for `x` `(N, P)` float64."""
    curvature = bound * (x.T @ x)
    # A ridge far below the rounding of x^T x would leave the factor indefinite.
    curvature.diagonal().add_(ridge + 1e-12 * curvature.diagonal().mean())
    return torch.cholesky_inverse(torch.linalg.cholesky(curvature))


def minimise(
    x: Tensor,
    loss: Loss,
    start: Tensor,
    ridge: Tensor,
    inverse: Tensor,
    goal: Tensor,
    max_iter: int,
) -> Minimum:
    """Minimise from `start` until each problem's gradient norm is at most its `goal`.

    The first four digits are found in float32, the others in float64 from there. Problems that
    are done leave the matrix products.

    Memory: `x` again in float32, `(3 + 3 * 10) k P` and about `8 k N` numbers.

    Args:
        x: `(N, P)` float64 design.
        loss: of the activations `start @ x.T`.
        start: `(k, P)` float64.
        ridge: `(P,)` factors of the squared parameters.
        inverse: `(P, P)`, from `metric`.
        goal: `(problems, 1)` gradient norms.
        max_iter: steps in all.
    """
    w, steps = start, 0
    norm = _norm(loss, _gradient(x, loss, w, ridge))
    coarse = torch.maximum(goal, _SINGLE * norm)
    for dtype, target in ((torch.float32, coarse), (torch.float64, goal)):
        w, norm, used = _descend(
            x.to(dtype),
            loss.to(dtype),
            w.to(dtype),
            ridge.to(dtype),
            inverse.to(dtype),
            target.to(dtype),
            max_iter - steps,
        )
        steps += used
    return Minimum(w, steps, norm.flatten())


def _gradient(x: Tensor, loss: Loss, w: Tensor, ridge: Tensor) -> Tensor:
    return loss.slope(w @ x.T) @ x + ridge * w


def _norm(loss: Loss, gradient: Tensor) -> Tensor:
    return loss.total(gradient.square()).sqrt()


def _descend(
    x: Tensor,
    loss: Loss,
    start: Tensor,
    ridge: Tensor,
    inverse: Tensor,
    goal: Tensor,
    max_iter: int,
) -> tuple[Tensor, Tensor, int]:
    """One precision's share of `minimise`."""
    result = start.clone()
    w, eta = start, start @ x.T
    gradient = loss.slope(eta) @ x + ridge * w
    lifted = gradient @ inverse
    norm = _norm(loss, gradient)
    final = norm.clone()
    open_ = torch.arange(len(norm), device=x.device)
    past: list[tuple[Tensor, ...]] = []
    steps = 0
    while True:
        final[open_] = norm
        left = (norm > goal).flatten()
        if len(left) == 1:
            result = w
        else:
            result[open_] = w
        if steps == max_iter or not left.any():
            return result, final, steps
        if left.sum() <= 0.8 * len(left):
            loss, open_, goal = loss.keep(left), open_[left], goal[left]
            w, eta, gradient, lifted = w[left], eta[left], gradient[left], lifted[left]
            past = [tuple(part[left] for part in pair) for pair in past]
        steps += 1
        direction = _direction(gradient, lifted, past, loss)
        ahead = direction @ x.T
        length = _length(loss, eta, ahead, (ridge * w * direction), (ridge * direction.square()))
        step = length * direction
        w, eta = w + step, eta + length * ahead
        before = gradient, lifted
        gradient = loss.slope(eta) @ x + ridge * w
        lifted = gradient @ inverse
        norm = _norm(loss, gradient)
        change = gradient - before[0]
        past = [*past[1 - _MEMORY :], (step, change, lifted - before[1], loss.total(step * change))]
