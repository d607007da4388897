"""One elastic-net step solved exactly: for inputs that nearly repeat one another.

The loss is replaced by its second-order model, whose matrix is held as it is, and model plus
penalty are minimised over all weights, signs free (a proximal Newton step: Lee, Sun and Saunders,
SIAM J. Optim. 24, 2014). Each move within it goes downhill, so the step does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.functional.elastic_net_problem import Problem, proximal

_MOVES = 500  # most, within a step
_ROUNDS = 6  # times that weights which would go astray are left out of a move
_HALVINGS = 12
_ARMIJO = 1e-4
_ROUNDING = 1e-14  # differences of objectives below this share are rounding


def exact_step(
    problem: Problem,
    w: Tensor,
    eta: Tensor,
    gradient: Tensor,
    lam: float,
    value: float,
    some: Tensor,
) -> tuple[Tensor, Tensor, float]:
    """To where the second-order model plus the penalty is least, signs free: weights as `_Move`.

    Only weights in `some (L, P)` move; it holds all biases.

    Memory: a few arrays of the number of these weights squared.
    """
    ridge = lam * (1 - problem.alpha) * problem.penalised
    line = (lam * problem.alpha * problem.penalised).expand_as(w)
    slope = gradient + ridge * w
    matrix = problem.loss.hessian(eta, problem.x, some)
    matrix.diagonal().add_(ridge.expand_as(w)[some])
    if problem.loss.shifts:  # of all biases changes nothing: their sum is held
        last = (some.nonzero()[:, 1] == w.shape[1] - 1).nonzero()[:, 0]
        matrix[last[:, None], last] += matrix.diagonal()[last].mean()
    target = w.clone()
    target[some] = _least(matrix, slope[some], w[some], line[some])
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

    As feature-sign search does (Lee, Battle, Raina and Ng, NeurIPS 2006): the weights that are not
    zero, and those that would leave it, head for where the model is least for their signs. On the
    way the penalty bends where a weight crosses zero; they stop at the best of these places or at
    the end. So each move either settles all signs or takes a weight out; weights enter only where
    the signs are settled, lower each time. The search ends.
    """
    u = w.clone()
    tight = 1e-7 * float(line.max())
    for _ in range(_MOVES):
        q = slope + matrix @ (u - w)
        side = torch.where(u == 0, -q.sign(), u.sign())
        awake = (u != 0) | (line == 0)
        excess = torch.where(awake, 0.0, q.abs() - line * (1 + 1e-9)).clamp_(min=0)
        downhill = q + line * side
        if float(downhill[awake].abs().max()) > tight:
            excess.zero_()  # none enters before the others have settled: else they could go round
        elif float(excess.max()) <= tight:
            break
        d = _toward(matrix, downhill, side, awake, excess)
        u = _down(u, d, float(downhill @ d), float(d @ matrix @ d), line)
    return u


def _toward(
    matrix: Tensor, downhill: Tensor, side: Tensor, awake: Tensor, excess: Tensor
) -> Tensor:
    """To where the model is least for these signs, no weight leaving zero on the wrong side.

    Weights that would are left out and the others solved again; after a few rounds of that only
    the one that wants to leave zero most goes along.
    """
    entering = excess > 0
    for rounds in range(_ROUNDS + 2):
        if rounds == _ROUNDS:
            entering = torch.zeros_like(entering)
            entering[excess.argmax()] = excess.max() > 0
        some = (awake | entering).nonzero()[:, 0]
        factor, _ = torch.linalg.cholesky_ex(matrix[some][:, some])
        d = torch.zeros_like(downhill)
        d[some] = torch.cholesky_solve(-downhill[some, None], factor)[:, 0]
        astray = entering & (d * side < 0)
        if not astray.any():
            break
        entering &= ~astray
    return d


def _down(u: Tensor, d: Tensor, start: float, bend: float, line: Tensor) -> Tensor:
    """The best of the places on the way from `u` to `u + d` where a weight is zero, and the end.

    The model's slope is `start` at `u`; it rises by `bend` a length, and by `2 line |d|` where a
    weight crosses zero.
    """
    at = torch.where((u * d < 0) & (line > 0), -u / d, torch.inf)
    at = torch.where(at < 1, at, torch.inf)
    place, order = at.sort()
    rise = torch.where(place.isfinite(), (2 * line * d.abs())[order], 0.0)
    place, which = torch.cat([place, place.new_ones(1)]), int(place.isfinite().sum())
    place = place.where(place.isfinite(), 1.0)
    rise = torch.cat([rise, rise.new_zeros(1)])
    # Each crossing before a place adds its rise times the way since.
    bent = rise.cumsum(0) * place - (rise * place).cumsum(0)
    best = int((start * place + bend / 2 * place.square() + bent).argmin())
    moved = u + float(place[best]) * d
    if best < which:
        moved[order[best]] = 0.0
    return moved
