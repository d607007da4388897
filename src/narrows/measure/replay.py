"""Replay corrections in given orders and count right decisions after each of them.

With an affine head, correcting a turn moves each logit by a known amount, so a whole order
costs one small product and one maximum per step. Decisions that lie within rounding of a tie
are asked of the head itself, so the counts are those of running the head at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.affine import Affine, affine
from narrows.measure.corrections import Corrections
from narrows.measure.rows import evaluating

_CACHED = 2**15  # logits in one piece: 128 KiB stay in the cache, and too few to wake threads
_HELD = 2**21  # shifts in one piece where each row has its own order


def replay(corrections: Corrections, orders: Iterable[Tensor]) -> Tensor:
    """Accuracy after each correction.

    Memory: one order, `(turns,)` or `(n, turns)`, at a time, and pieces of at most 16 MiB; never
    the logits of all rows at all steps.

    Args:
        corrections: see `prepare`.
        orders: each `(n, turns)` int64, a permutation of the turns per row. An order that all
            rows share should be expanded from one row: it is replayed faster.

    Returns:
        `(orders, turns + 1)` float64.
    """
    with evaluating(corrections.model):
        form = affine(corrections)
        counts = [_count(corrections, form, order) for order in orders]
    return torch.stack(counts).double().cpu() / len(corrections)


def replay_each_step(corrections: Corrections, orders: Iterable[Tensor]) -> Tensor:
    """The same by running the head at each step, whatever its form."""
    with evaluating(corrections.model):
        counts = [_count(corrections, None, order) for order in orders]
    return torch.stack(counts).double().cpu() / len(corrections)


def _count(corrections: Corrections, form: Affine | None, order: Tensor) -> Tensor:
    position = _positions(order, len(corrections), len(corrections.turns))
    count = torch.zeros(position.shape[1] + 1, dtype=torch.int64, device=position.device)
    if form is None:
        for rows in corrections.pieces():
            for step in range(len(count)):
                count[step] += _right(corrections, rows, position[rows] < step).sum()
        return count
    shared = position.stride(0) == 0 or len(position) == 1
    numbers = len(form.bias) * (1 if shared else len(form.columns))
    follow = _follow_shared if shared else _follow_each
    for rows in form.pieces(numbers, _CACHED if shared else _HELD):
        count += _settled(form, rows, order[rows], position[rows], follow).sum(1)
    return count
