"""One elastic-net step solved exactly: for few weights of inputs that nearly repeat one another.

The loss is replaced by its second-order model, whose matrix is held as it is, and model plus
penalty are minimised over all weights, signs free (a proximal Newton step: Lee, Sun and Saunders,
SIAM J. Optim. 24, 2014). Each move within it goes downhill, so the step does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from narrows.functional.elastic_net_problem import Problem, proximal

_MOVES = 100  # most, within a step
_ROUNDS = 6  # times that weights which would go astray are left out of a move
_HALVINGS = 12
_ARMIJO = 1e-4
_ROUNDING = 1e-14  # differences of objectives below this share are rounding


def exact_step(
    problem: Problem, w: Tensor, eta: Tensor, gradient: Tensor, lam: float, value: float
) -> tuple[Tensor, Tensor, float]:
    """To where the second-order model plus the penalty is least, signs free: weights as `_Move`.

    Memory: a few arrays of the number of weights squared.
    """
    ridge = lam * (1 - problem.alpha) * problem.penalised
    line = (lam * problem.alpha * problem.penalised).expand_as(w)
    slope = gradient + ridge * w
    matrix = problem.loss.hessian(eta, problem.x)
    matrix.diagonal().add_(ridge.repeat(len(w)))
    if problem.loss.shifts:  # of all biases changes nothing: their sum is held
        last = torch.arange(len(w), device=w.device) * w.shape[1] + w.shape[1] - 1
        matrix[last[:, None], last] += matrix.diagonal()[last].mean()
    target = _least(matrix, slope.flatten(), w.flatten(), line.flatten()).view_as(w)
    d = target - w
    fall = float((slope * d + line * (target.abs() - w.abs())).sum())
    slack = _ROUNDING * (1 + abs(value))
    for halvings in range(_HALVINGS if fall < 0 else 0):
        length = 0.5**halvings
        moved = problem.settle(target if halvings == 0 else w + length * d)
        eta = problem.x @ moved.T
        reached = problem.objective(moved, eta, lam)
        if reached <= value + _ARMIJO * length * fall + slack:
            return moved, eta, reached
    w = problem.settle(proximal(problem, w, gradient, lam))
    eta = problem.x @ w.T
    return w, eta, problem.objective(w, eta, lam)


def _least(matrix: Tensor, slope: Tensor, w: Tensor, line: Tensor) -> Tensor:
    """`argmin_u slope (u - w) + (u - w) matrix (u - w) / 2 + line |u|`, found going downhill only.

    Weights that are not zero, and those that would leave it, move to where the model is least
    for their signs, as far as it pays to go: the penalty bends where a weight crosses zero.
    """
    u = w.clone()
    for _ in range(_MOVES):
        q = slope + matrix @ (u - w)
        side = torch.where(u == 0, -q.sign(), u.sign())
        free = (u != 0) | (q.abs() > line * (1 + 1e-9)) | (line == 0)
        downhill = q + line * side
        if float(downhill[free].abs().max()) <= 1e-7 * float(line.max()):
            break
        d = torch.zeros_like(u)
        for _ in range(_ROUNDS):
            some = free.nonzero()[:, 0]
            factor, _ = torch.linalg.cholesky_ex(matrix[some][:, some])
            d = torch.zeros_like(u)
            d[some] = torch.cholesky_solve(-downhill[some, None], factor)[:, 0]
            astray = (u == 0) & (d * side < 0) & (line > 0)
            if not astray.any():
                break
            free &= ~astray
        d = torch.where((u == 0) & (d * side < 0) & (line > 0), 0.0, d)
        u = _down(u, d, float(downhill @ d), float(d @ matrix @ d), line)
    return u


def _down(u: Tensor, d: Tensor, start: float, bend: float, line: Tensor) -> Tensor:
    """The least point of the model from `u` along `d`; its slope there is `start`.

    The slope rises by `bend` a length, and by `2 line |d|` where a weight crosses zero.
    """
    at = torch.where((u * d < 0) & (line > 0), -u / d, torch.inf)
    place, order = at.sort()
    rise = (2 * line * d.abs())[order]
    ahead = rise.cumsum(0) - rise  # of the crossings before each
    over = (start + bend * place + ahead + rise >= 0) & place.isfinite()
    if not over.any():
        total = float(rise[place.isfinite()].sum())
        return u + max(0.0, -(start + total) / bend) * d if bend > 0 else u
    first = int(over.nonzero()[0])
    length = -(start + float(ahead[first])) / bend if bend > 0 else math.inf
    moved = u + min(max(length, 0.0), float(place[first])) * d
    if length >= float(place[first]):  # at the crossing itself
        moved[order[first]] = 0.0
    return moved
