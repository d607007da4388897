"""Many smooth convex problems over one design matrix, minimised together without a learning rate.

Each problem is `min_w sum_n loss(w . x_n) + sum_j ridge_j w_j^2 / 2`. A step costs two matrix
products for all problems at once: `d x^T`, the direction as the examples see it, and `r x`, the
gradient. Between them nothing touches `x`, so the line search is exact and nearly free.

The direction is L-BFGS whose first metric is the inverse of `bound x^T x + ridge`: the
second-order bound of Böhning and Lindsay (Ann. Inst. Statist. Math. 40, 1988) holds for every
logistic problem whatever its labels, so one factor serves all of them. Plain minorise-maximise
steps with that bound take thousands where the classes nearly separate; with ten remembered
steps it is tens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from narrows.functional.lbfgs import Memory

_MEMORY = 20
_SINGLE = 1e-5  # the share of the gradient left by float32, which float64 then takes on
_TRIALS = 30  # points a line search may look at; it takes one or two
_SLACK = 0.1  # the line search ends where the slope along the line has fallen to this share


class Loss(Protocol):
    """A convex loss of the activations `(k, N)`: one problem, or one per row."""

    def slope(self, eta: Tensor) -> Tensor:
        """Derivative by each activation, `(k, N)`."""

    def along(self, eta: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`slope(eta)`, and first and second derivative along `ahead`, `(problems, 1)`."""

    def join(self, products: Tensor) -> Tensor:
        """`(k, any)` summed over the rows of each problem, `(problems, any)`."""

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


def minimise(
    x: Tensor, loss: Loss, start: Tensor, ridge: Tensor, inverse: Tensor, tol: float, limit: int
) -> Minimum:
    """Descend until each gradient norm is at most `tol` times that at the start.

    The first digits are found in float32, the others in float64 from there. Problems that are
    done leave the matrix products.

    Memory: `x` once more in float32, `46 k P` and about `8 k N` numbers.

    Args:
        x: `(N, P)` float64 design.
        loss: of the activations `w @ x.T`.
        start: `(k, P)` float64 parameters.
        ridge: `(P,)` factors of the squared parameters.
        inverse: `(P, P)` first metric, see `bound_inverse`.
        tol: wanted share of the gradient norm at the start.
        limit: steps allowed.
    """

    def front(dtype: torch.dtype, w: Tensor) -> _Front:
        parts = (t.to(dtype) for t in (w, ridge, inverse))
        return _Front(x.to(dtype), loss.to(dtype), *parts)

    rough = front(torch.float32, start)
    first = rough.norm.double()
    goal = torch.maximum(max(_SINGLE, tol) * rough.norm, rough.rounding)
    w, _, begun = _finish(rough, goal, limit // 2)
    fine = front(torch.float64, w)
    goal = torch.maximum(tol * first, fine.rounding)
    w, norm, more = _finish(fine, goal, limit - begun)
    left = torch.where(first > 0, norm / first, 0.0)
    return Minimum(w, left.flatten(), (norm <= goal).flatten(), begun + more)


def _finish(front: _Front, goal: Tensor, limit: int) -> tuple[Tensor, Tensor, int]:
    """Step until every problem has met its goal; parameters, gradient norms, steps taken."""
    steps = 0
    while True:
        left = (front.norm > goal).flatten()
        if steps == limit or left.sum() <= 0.8 * len(left):
            break
        front.step()
        steps += 1
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
        slope = loss.slope(self.eta)
        self._look(slope)
        self.past = Memory(w, loss.join, _MEMORY)
        # No gradient can be told from zero below this: Cauchy and Schwarz on the product `r x`.
        self.rounding = 4 * torch.finfo(x.dtype).eps * x.norm() * self._norm(slope)

    def _norm(self, rows: Tensor) -> Tensor:
        return self.loss.join(rows.square().sum(1, keepdim=True)).sqrt()

    def _dot(self, a: Tensor, b: Tensor) -> Tensor:
        return self.loss.join((a * b).sum(1, keepdim=True))

    def _look(self, slope: Tensor) -> None:
        self.gradient = slope @ self.x + self.ridge * self.w
        # The metric times a change of gradient is needed later; a difference of these gives it.
        self.lifted = self.gradient @ self.inverse
        self.norm = self._norm(self.gradient)

    def keep(self, rows: Tensor) -> None:
        """Go on with the problems in the mask `rows`."""
        self.loss = self.loss.keep(rows)
        self.past.join = self.loss.join
        self.past.keep(rows)
        self.w, self.eta, self.norm = self.w[rows], self.eta[rows], self.norm[rows]
        self.gradient, self.lifted = self.gradient[rows], self.lifted[rows]

    def step(self) -> None:
        """One L-BFGS step with an exact line search."""
        direction = self.past.direction(self.gradient, self.lifted)
        # In float32 a bad first metric can lose its definiteness; the gradient never does.
        descent = self._dot(direction, self.gradient) < 0
        direction = torch.where(descent, direction, -self.gradient)
        length, slope, self.eta = self._search(direction, direction @ self.x.T)
        step = length * direction
        self.w = self.w + step
        gradient, lifted = self.gradient, self.lifted
        self._look(slope)
        self.past.add(step, self.gradient - gradient, self.lifted - lifted)

    def _search(self, direction: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where the slope along the line is near zero, by Newton steps kept in a bracket.

        Returns:
            How far to go `(problems, 1)`, and slope and activations there, `(k, N)`.
        """
        weighed = self.ridge * direction
        start, bend = self._dot(weighed, self.w), self._dot(weighed, direction)
        goal = _SLACK * self._dot(self.gradient, direction).abs()
        length, low = torch.ones_like(goal), torch.zeros_like(goal)
        high = torch.full_like(goal, torch.inf)
        for trial in range(_TRIALS):
            eta = torch.addcmul(self.eta, ahead, length)
            slope, first, second = self.loss.along(eta, ahead)
            first, second = first + start + length * bend, second + bend
            if trial == _TRIALS - 1 or (first.abs() <= goal).all():
                break
            low, high = torch.where(first < 0, length, low), torch.where(first > 0, length, high)
            guess = length - first / second
            middle = torch.where(high.isinf(), 2 * length, (low + high) / 2)
            length = torch.where((guess > low) & (guess < high), guess, middle)
        return length, slope, eta
