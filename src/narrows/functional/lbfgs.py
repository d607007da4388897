"""Limited-memory BFGS directions for many problems at once.

The two-loop recursion (Nocedal and Wright, Numerical Optimization, algorithm 7.4) alternates dot
products and updates of one long vector. Here the dot products of remembered vectors with one
another are kept, so that the recursion runs on a few numbers per problem, and each long vector is
read three times as part of one batched product. The first metric is not a multiple of the
identity: the caller hands in the metric times the gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Memory:
    """The last `size` steps `s`, gradient changes `y`, and metric times change `h`, of `k` rows.

    Memory: `2 size k P` numbers; the changes themselves need not be kept.

    Args:
        like: `(k, P)` parameters.
        join: sums a `(k, any)` table of per-row products into one row per problem.
        size: steps remembered; 0 gives the metric's own direction.
    """

    def __init__(self, like: Tensor, join: Callable[[Tensor], Tensor], size: int) -> None:
        self.join = join
        k, p = like.shape
        self.steps, self.raised = like.new_zeros(2, k, size, p)
        problems = len(join(like[:, :1]))
        self.step_change, self.change_raised = like.new_zeros(2, problems, size, size)
        self.order: list[int] = []  # slots in use, oldest first

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows, where each is a problem of its own."""
        self.steps, self.raised = self.steps[rows], self.raised[rows]
        self.step_change = self.step_change[rows]
        self.change_raised = self.change_raised[rows]

    def add(self, step: Tensor, change: Tensor, raised: Tensor) -> None:
        """Remember `s`, `y` and `h`, each `(k, P)`, in place of the oldest when full."""
        size = self.steps.shape[1]
        slot = len(self.order) if len(self.order) < size else self.order.pop(0)
        self.order.append(slot)
        self.steps[:, slot], self.raised[:, slot] = step, raised
        self.step_change[:, :, slot] = self._dots(self.steps, change)
        dots = self._dots(self.raised, change)
        self.change_raised[:, :, slot], self.change_raised[:, slot] = dots, dots

    def direction(self, gradient: Tensor, lifted: Tensor) -> Tensor:
        """Minus the inverse Hessian's estimate times the gradient, `(k, P)`.

        Args:
            gradient: `(k, P)`.
            lifted: the metric times the gradient, `(k, P)`.
        """
        if not self.order:
            return -lifted
        sy, yh, newest = self.step_change, self.change_raised, self.order[-1]
        curvature = sy.diagonal(dim1=1, dim2=2)
        down = self._dots(self.steps, gradient)
        share = torch.zeros_like(down)  # what each pair takes from the gradient
        for i in reversed(self.order):
            rest = down[:, i] - (sy[:, i] * share).sum(1)
            share[:, i] = _ratio(rest, curvature[:, i])
        scale = _ratio(curvature[:, newest], yh[:, newest, newest])[:, None]
        scale = torch.where(scale > 0, scale, 1.0)
        up = self._dots(self.raised, gradient) - (yh @ share[:, :, None])[:, :, 0]
        added = torch.zeros_like(down)  # how much of each step the direction holds
        for i in self.order:
            rest = scale[:, 0] * up[:, i] + (sy[:, :, i] * added).sum(1)
            added[:, i] = share[:, i] - _ratio(rest, curvature[:, i])
        return -(scale * (lifted - _mix(share, self.raised)) + _mix(added, self.steps))

    def _dots(self, stack: Tensor, vector: Tensor) -> Tensor:
        return self.join((stack @ vector[:, :, None])[:, :, 0])


def _mix(factors: Tensor, stack: Tensor) -> Tensor:
    """Sum of the stacked vectors `(k, size, P)`, by factors of each problem `(problems, size)`."""
    return (factors.expand(len(stack), -1)[:, None] @ stack)[:, 0]


def _ratio(over: Tensor, under: Tensor) -> Tensor:
    """The ratio, and 0 where rounding has left a remembered step no curvature."""
    return torch.where(under > 0, over / under, 0.0)
