"""Newton steps for elastic-net problems: one matrix of weights, one convex loss.

    min_W  loss(X W^T)  +  lam (alpha |W|_1 + (1 - alpha) |W|^2 / 2)

The last column of X holds ones; its weights, the biases, are free of the penalty. At a point the
free weights are those that are not zero and those whose gradient exceeds lam alpha; the others
stay zero. For the free ones the loss is replaced by its second-order model and the penalty by the
line it is on this side of zero. Conjugate gradients solve that, a weight that would cross zero
stops there, and the others are solved again around it. Directions are found in float32, gradients
and objectives in float64, so the error left is that of float64. Where inputs nearly repeat one
another many weights would cross and this does not get far: where a handful of steps is not enough
and few weights can move, `exact_step` takes over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.functional.elastic_net_exact import exact_step
from narrows.functional.elastic_net_problem import Problem, proximal

_ROUNDS = 6  # times that crossing weights may be stopped within one step
_CONJUGATE = 500  # steps of conjugate gradients in a round
_FORCING = 0.1  # share of the residual a direction may leave, at first
_HALVINGS = 12
_ARMIJO = 1e-4
PATIENCE = 5  # steps before each is solved exactly,
_DENSE = 1000  # where at most so many weights are not zero, and so many may move
_NEAR = 0.8  # share of the slope that would move a weight from zero
_ROUNDING = 1e-14  # differences of objectives below this share are rounding


@dataclass(frozen=True)
class Found:
    """Weights `(L, P)`, the largest violation as a share of lam alpha, and the steps taken.

    `plain` is for the next penalty: where steps had to be exact, all of its own had better be.
    """

    w: Tensor
    residual: float
    steps: int
    plain: int


def solve(
    problem: Problem,
    start: Tensor,
    lam: float,
    tol: float,
    max_iter: int,
    patience: int = PATIENCE,
) -> Found:
    """Minimise from `start (L, P)` until no violation exceeds `tol` lam alpha.

    The first `patience` steps are plain ones, those after them exact if few weights can move.

    Memory: about eight arrays of `n` times the outputs, and ten of the weights' size.
    """
    w = problem.settle(start)
    eta = problem.x @ w.T
    value = problem.objective(w, eta, lam)
    unit = lam * problem.alpha
    plain = patience
    for step in range(max_iter + 1):
        gradient = problem.loss.slope(eta).T @ problem.x
        residual = float(problem.violation(w, gradient, lam).max()) / unit
        if residual <= tol or step == max_iter:
            break
        some = _near(problem, w, gradient, lam) if step >= patience else None
        if some is not None and int(some.sum()) <= _DENSE:
            plain = 0
            w, eta, value = exact_step(problem, w, eta, gradient, lam, value, some)
            continue
        forcing = min(_FORCING, math.sqrt(residual))
        move = _Move(problem, w, eta, gradient, lam, forcing)
        w, eta, value = move.take(value)
    return Found(w, residual, step, plain)


def _near(problem: Problem, w: Tensor, gradient: Tensor, lam: float) -> Tensor:
    """`(L, P)` bool: the biases, the weights that are not zero, and those most likely to leave it.

    Of the last at most as many as make `_DENSE` together.
    """
    line = lam * problem.alpha
    near = w != 0
    near[:, -1] = True
    pull = torch.where(near, 0.0, gradient.abs()).flatten()
    room = max(0, min(len(pull), _DENSE - int(near.sum())))
    some = pull.topk(room).indices
    near.view(-1)[some[pull[some] >= _NEAR * line]] = True
    return near


class _Move:
    """One step: the free weights, their side of zero, and where the model would have them."""

    def __init__(
        self, problem: Problem, w: Tensor, eta: Tensor, gradient: Tensor, lam: float, forcing: float
    ) -> None:
        self.problem, self.w, self.lam, self.gradient = problem, w, lam, gradient
        alpha, part = problem.alpha, problem.penalised
        line = lam * alpha * part
        self.side = torch.where(w == 0, -gradient.sign(), w.sign())
        free = (w != 0) | (gradient.abs() > line)
        free[:, -1] = True
        smooth = gradient + lam * (1 - alpha) * part * w
        self.downhill = torch.where(free, -(smooth + line * self.side), 0.0)
        self.direction, self.stopped = self._model(eta, free, forcing)

    def _model(self, eta: Tensor, free: Tensor, forcing: float) -> tuple[Tensor, Tensor]:
        """Where the second-order model has its minimum on this side of zero, as a step."""
        problem = self.problem
        times, bend = problem.loss.curvature(eta)
        diagonal = bend.T @ problem.squared
        ridge = (self.lam * (1 - problem.alpha) * problem.penalised).float()
        flat = diagonal.mean(0) * free.all(0) if problem.loss.shifts else 0 * ridge

        def apply(d: Tensor) -> Tensor:
            curved = times(problem.single @ d.T).T @ problem.single
            return curved + ridge * d + flat * d.sum(0)

        diagonal = diagonal + ridge + flat + torch.finfo(torch.float32).tiny
        scale = float(self.downhill.norm())
        wanted = (self.downhill / scale).float()
        here, side = (self.w / scale).float(), self.side.float()
        goal = forcing**2 * float((wanted.square() / diagonal).sum())
        stopped = torch.zeros_like(free)
        step = torch.zeros_like(wanted)
        for _ in range(_ROUNDS):
            step = _conjugate(apply, wanted, step, diagonal, free & ~stopped, goal)
            crossing = ((here + step) * side < 0) & free & ~stopped
            crossing[:, -1] = False
            if not crossing.any():
                break
            stopped |= crossing
            step = torch.where(crossing, -here, step)
        return step.double() * scale, stopped

    def take(self, value: float) -> tuple[Tensor, Tensor, float]:
        """The step, shortened until the objective falls: weights, outputs, objective."""
        slope = min(0.0, -float((self.downhill * self.direction).sum()))
        slack = _ROUNDING * (1 + abs(value))
        for halvings in range(_HALVINGS):
            length = 0.5**halvings
            w = self.w + length * self.direction
            crossed = (w * self.side <= 0) | (self.stopped if halvings == 0 else False)
            w[:, :-1] = torch.where(crossed, 0.0, w)[:, :-1]
            w, eta, reached = self._land(w)
            if reached <= value + _ARMIJO * length * slope + slack:
                return w, eta, reached
        return self._land(proximal(self.problem, self.w, self.gradient, self.lam))

    def _land(self, w: Tensor) -> tuple[Tensor, Tensor, float]:
        w = self.problem.settle(w)
        eta = self.problem.x @ w.T
        return w, eta, self.problem.objective(w, eta, self.lam)


def _conjugate(
    apply: Callable[[Tensor], Tensor],
    wanted: Tensor,
    start: Tensor,
    diagonal: Tensor,
    free: Tensor,
    goal: float,
) -> Tensor:
    """Conjugate gradients for `apply(d) = wanted` in the free weights, by the diagonal's metric."""
    d = start
    left = torch.where(free, wanted - apply(d), 0.0)
    raised = left / diagonal
    along, size = raised, float((left * raised).sum())
    for _ in range(_CONJUGATE):
        if size <= goal:
            break
        pushed = torch.where(free, apply(along), 0.0)
        bend = float((along * pushed).sum())
        if not bend > 0:  # rounding: nothing more to gain here
            break
        d = d + size / bend * along
        left = left - size / bend * pushed
        raised = left / diagonal
        size, before = float((left * raised).sum()), size
        along = raised + size / before * along
    return d
