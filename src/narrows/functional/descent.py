"""Many smooth convex problems over one design matrix, minimised together without a learning rate.

Each problem is `min_w sum_n loss(w . x_n) + sum_j ridge_j w_j^2 / 2`. A step costs two matrix
products for all problems at once: `d x^T`, the direction as the examples see it, and `r x`, the
gradient. Between them nothing touches `x`, so the line search is exact and nearly free.

The direction is L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.4). Its first
metric is not the identity but the inverse of `bound x^T x + ridge`, the second-order bound of
Böhning and Lindsay (Ann. Inst. Statist. Math. 40, 1988), which holds for every logistic problem
whatever its labels, so one factor serves all of them. Plain minorise-maximise steps with that
bound take thousands where the classes nearly separate; with ten remembered steps it is tens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

_MEMORY = 10  # twenty remembered steps save one step in ten and cost twice the vector work
_SINGLE = 1e-4  # the share of the gradient that float32 can reach safely; float64 does the rest
_SLACK = 0.1  # the line search ends where the slope along the line has fallen to this share


class Loss(Protocol):
    """A convex loss of the activations `(k, N)`: one problem, or one per row."""

    def slope(self, eta: Tensor) -> Tensor:
        """Derivative by each activation, `(k, N)`."""

    def along(self, eta: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor]:
        """First and second derivative along `ahead`, each `(problems, 1)`."""

    def total(self, products: Tensor) -> Tensor:
        """`(k, any)` summed within each problem, `(problems, 1)`."""

    def to(self, dtype: torch.dtype) -> Self:
        """The same loss in another precision."""

    def keep(self, rows: Tensor) -> Self:
        """The loss of some rows, a mask `(k,)`; only asked for where each row is a problem."""


@dataclass(frozen=True)
class Minimum:
    """Where a descent ended.

    Attributes:
        w: `(k, P)` float64 parameters.
        norm: `(problems,)` gradient norms, as shares of those at the start.
        met: `(problems,)` whether that is at most the tolerance, or all that float64 resolves.
        steps: how many were taken.
    """

    w: Tensor
    norm: Tensor
    met: Tensor
    steps: int


def minimise(
    x: Tensor, loss: Loss, start: Tensor, ridge: Tensor, inverse: Tensor, tol: float, limit: int
) -> Minimum:
    """Descend until each gradient norm is at most `tol` times that at the start.

    The first digits are found in float32, the others in float64 from there. Problems that are
    done leave the matrix products.

    Memory: `x` once more in float32, `33 k P` and about `8 k N` numbers.

    Args:
        x: `(N, P)` float64 design.
        loss: of the activations `w @ x.T`.
        start: `(k, P)` float64 parameters.
        ridge: `(P,)` factors of the squared parameters.
        inverse: `(P, P)` first metric, see `bound_inverse`.
        tol: wanted share of the gradient norm at the start.
        limit: steps allowed.
    """
    front = _Front(x, loss, start, ridge, inverse)
    first, steps = front.norm, 0
    w, norm, met = start, first, first <= front.rounding
    for dtype, share, allowed in (
        (torch.float32, _SINGLE, limit // 2),
        (torch.float64, tol, limit),
    ):
        front = _Front(x.to(dtype), loss.to(dtype), w.to(dtype), ridge.to(dtype), inverse.to(dtype))
        goal = torch.maximum(max(tol, share) * first, front.rounding)
        w, norm, used = _finish(front, goal, allowed - steps)
        met, steps = norm <= goal, steps + used
    share_left = torch.where(first > 0, norm / first, 0.0)
    return Minimum(w, share_left.flatten(), met.flatten(), steps)


def bound_inverse(x: Tensor, bound: float, ridge: Tensor) -> Tensor:
    """Inverse of `bound x^T x + diag(ridge)`, `(P, P)`.

    Args:
        x: `(N, P)`.
        bound: on the second derivative of the loss, or a guess of its size.
        ridge: `(P,)`.
    """
    curvature = bound * (x.T @ x)
    # A ridge far below the rounding of x^T x would leave the factor indefinite.
    curvature.diagonal().add_(ridge + 1e-12 * curvature.diagonal().mean())
    return torch.cholesky_inverse(torch.linalg.cholesky(curvature))


def _finish(front: _Front, goal: Tensor, limit: int) -> tuple[Tensor, Tensor, int]:
    """Step until every problem has met its goal; parameters, gradient norms, steps taken."""
    for steps in range(limit + 1):
        left = (front.norm > goal).flatten()
        if steps == limit or left.sum() <= 0.8 * len(left):
            break
        front.step()
    w, norm = front.w, front.norm
    if steps < limit and left.any():
        front.keep(left)
        w[left], norm[left], more = _finish(front, goal[left], limit - steps)
        steps += more
    return w, norm, steps


class _Front:
    """The problems still moving: parameters, activations, gradient and remembered steps."""

    def __init__(self, x: Tensor, loss: Loss, w: Tensor, ridge: Tensor, inverse: Tensor) -> None:
        self.x, self.loss, self.w, self.ridge, self.inverse = x, loss, w, ridge, inverse
        self.eta = w @ x.T
        self.past: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._look()
        # No gradient can be told from zero below this: Cauchy and Schwarz on the product `r x`.
        residual = loss.total(loss.slope(self.eta).square()).sqrt()
        self.rounding = 4 * torch.finfo(x.dtype).eps * x.norm() * residual

    def _look(self) -> None:
        self.gradient = self.loss.slope(self.eta) @ self.x + self.ridge * self.w
        # The metric times a change of gradient is needed later; a difference of these gives it.
        self.lifted = self.gradient @ self.inverse
        self.norm = self.loss.total(self.gradient.square()).sqrt()

    def keep(self, rows: Tensor) -> None:
        """Go on with the problems in the mask `rows`."""
        self.loss = self.loss.keep(rows)
        self.w, self.eta, self.norm = self.w[rows], self.eta[rows], self.norm[rows]
        self.gradient, self.lifted = self.gradient[rows], self.lifted[rows]
        self.past = [(s[rows], y[rows], h[rows], c[rows]) for s, y, h, c in self.past]

    def step(self) -> None:
        """One L-BFGS step with an exact line search."""
        direction = self._direction()
        ahead = direction @ self.x.T
        length = self._length(direction, ahead)
        step = length * direction
        self.w, self.eta = self.w + step, self.eta + length * ahead
        gradient, lifted = self.gradient, self.lifted
        self._look()
        change = self.gradient - gradient
        pair = (step, change, self.lifted - lifted, self.loss.total(step * change))
        self.past = [*self.past[1 - _MEMORY :], pair]

    def _direction(self) -> Tensor:
        total = self.loss.total
        shares: list[Tensor] = []
        rest, lifted = self.gradient, self.lifted
        for step, change, raised, product in reversed(self.past):
            share = _ratio(total(step * rest), product)
            rest, lifted = rest - share * change, lifted - share * raised
            shares.append(share)
        if self.past:
            _, change, raised, product = self.past[-1]
            scale = _ratio(product, total(change * raised))
            lifted = torch.where(scale > 0, scale, 1.0) * lifted
        for (step, change, _, product), share in zip(self.past, reversed(shares), strict=True):
            lifted = lifted + (share - _ratio(total(change * lifted), product)) * step
        # In float32 a bad first metric can lose its definiteness; the gradient never does.
        return torch.where(total(lifted * self.gradient) > 0, -lifted, -self.gradient)

    def _length(self, direction: Tensor, ahead: Tensor) -> Tensor:
        """Where the slope along the line is near zero, by Newton steps kept in a bracket."""
        total = self.loss.total
        weighed = self.ridge * direction
        start, bend = total(weighed * self.w), total(weighed * direction)
        goal = _SLACK * total(self.gradient * direction).abs()
        length, low = torch.ones_like(goal), torch.zeros_like(goal)
        high = torch.full_like(goal, torch.inf)
        for _ in range(30):
            first, second = self.loss.along(self.eta + length * ahead, ahead)
            first, second = first + start + length * bend, second + bend
            if (first.abs() <= goal).all():
                break
            low, high = torch.where(first < 0, length, low), torch.where(first > 0, length, high)
            guess = length - first / second
            middle = torch.where(high.isinf(), 2 * length, (low + high) / 2)
            length = torch.where((guess > low) & (guess < high), guess, middle)
        return length


def _ratio(over: Tensor, under: Tensor) -> Tensor:
    """The ratio, and 0 where rounding has left a remembered step no curvature."""
    return torch.where(under > 0, over / under, 0.0)
