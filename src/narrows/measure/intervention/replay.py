"""Replay corrections in given orders and count right decisions after each of them.

With an affine head, correcting a turn moves each logit by a known amount, so a whole order
costs one small product and one maximum per step. Decisions that lie within rounding of a tie
are asked of the head itself, so the counts are those of running the head at each step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.affine import Affine, affine
from narrows.measure.corrections import Corrections
from narrows.measure.rows import evaluating, pieces

_CACHED = (
    2**18
)  # logits in one piece, 1 MiB: they stay in the cache and outweigh the call of an operator
_HELD = 2**21  # shifts in one piece, where rows have orders of their own: 8 MiB of float32
_THREADS = 8  # at most: each holds its pieces
_FEW = 8  # columns added one by one: a product so thin is not worth waking threads for


def replay(corrections: Corrections, orders: Iterable[Tensor]) -> Tensor:
    """Accuracy after each correction.

    Memory beside the readings and the orders: pieces of at most 16 MiB; never the logits of all
    rows at all steps.

    Args:
        corrections: see `prepare`.
        orders: each `(n, turns)` int64, a permutation of the turns per row. An order that all
            rows share should be one row, expanded: it is replayed faster. Drawn one by one,
            without gradients and in evaluation mode.

    Returns:
        `(orders, turns + 1)` float64.
    """
    with evaluating(corrections.model):
        kept = [_checked(order, len(corrections), len(corrections.turns)) for order in orders]
        form = affine(corrections)
        count = _run(corrections, kept) if form is None else _follow(form, kept)
    return count.double().cpu() / len(corrections)


def _run(corrections: Corrections, orders: list[Tensor]) -> Tensor:
    """`(orders, turns + 1)` how many rows are right, by running the head at each step."""
    count = _zeros(corrections, orders)
    for rows in corrections.pieces():
        for i, order in enumerate(orders):
            position = _own(order, rows).argsort(1)
            for step in range(count.shape[1]):
                done = (position < step).expand(len(rows), -1)
                count[i, step] += _right(corrections, rows, done).sum()
    return count


def _follow(form: Affine, orders: list[Tensor]) -> Tensor:
    """The same by following each logit."""
    corrections, classes = form.corrections, len(form.bias)
    if all(len(order) == 1 for order in orders):
        parts = form.pieces(classes, _CACHED)
    else:
        parts = form.pieces(classes * len(form.spans), _HELD)

    def count(rows: Tensor) -> Tensor:
        with torch.no_grad():  # each thread has its own
            start = _start(form, rows)
            return torch.stack([_count(form, start, _own(order, rows)) for order in orders])

    # Many small operators in turn: threads gain more by sharing the pieces than each operator.
    with ThreadPoolExecutor(min(torch.get_num_threads(), _THREADS)) as pool:
        return sum(pool.map(count, parts), _zeros(corrections, orders))


@dataclasses.dataclass(frozen=True)
class _Start:
    """Some rows before any correction.

    Attributes:
        rows: `(r,)`.
        own: `(r, 1)` the logit of the true class.
        own_shifts: `(r, turns)` what each turn adds to it.
        others: `(r, classes)` all logits, the true class's at minus infinity.
        change: what corrections add to the head's input.
        slack: `(r,)` how far rounding may move `own - others`.
    """

    rows: Tensor
    own: Tensor
    own_shifts: Tensor
    others: Tensor
    change: Tensor
    slack: Tensor


def _start(form: Affine, rows: Tensor) -> _Start:
    y = form.corrections.y[rows]
    z, change = form.parts(rows)
    logits = form.logits(z)
    others = logits.scatter(1, y[:, None], -torch.inf)
    own = logits.gather(1, y[:, None])
    return _Start(rows, own, form.shifts_of(y, change), others, change, form.slack(z, change))


def _count(form: Affine, start: _Start, order: Tensor) -> Tensor:
    """`(turns + 1,)` how many of the rows are right after each turn."""
    shifts = start.own_shifts.gather(1, order.expand(len(start.rows), -1))
    own = start.own + torch.nn.functional.pad(shifts.cumsum(1), (1, 0))
    rivals = _shared_rivals if len(order) == 1 else _rivals
    margin = own.T - rivals(form, start, order)
    right = margin > 0
    unsure = (margin.abs() <= start.slack).nonzero()
    position = order.argsort(1)
    for some in pieces(len(unsure), form.corrections.numbers):
        step, row = unsure[some].unbind(1)
        done = _own(position, row) < step[:, None]
        right[step, row] = _right(form.corrections, start.rows[row], done)
    return right.sum(1)


def _shared_rivals(form: Affine, start: _Start, order: Tensor) -> Tensor:
    """`(turns + 1, r)` the largest of the other logits after each turn, in one order."""
    # A maximum over rows of memory is the faster one; the copy is changed in place.
    others = start.others.T.clone(memory_format=torch.contiguous_format)
    moved = start.change.T.contiguous()
    weights, moves = form.moving.unbind(0), moved.unbind(0)
    most = others.new_empty(order.shape[1] + 1, others.shape[1])
    torch.amax(others, 0, out=most[0])
    for step, turn in enumerate(order[0].tolist(), start=1):
        span = form.spans[turn]
        if span.stop - span.start > _FEW:
            others.addmm_(form.moving[span].T, moved[span])
        else:
            for column in range(span.start, span.stop):
                others.addr_(weights[column], moves[column])
        torch.amax(others, 0, out=most[step])
    return most


def _rivals(form: Affine, start: _Start, order: Tensor) -> Tensor:
    """The same with an order per row."""
    others = start.others.clone()
    shifts = form.shifts(start.change).flatten(0, 1)
    first = torch.arange(len(others), device=order.device) * order.shape[1]
    most = others.new_empty(order.shape[1] + 1, len(others))
    torch.amax(others, 1, out=most[0])
    for step, place in enumerate((first[:, None] + order).T.contiguous(), start=1):
        others += shifts.index_select(0, place)
        torch.amax(others, 1, out=most[step])
    return most


def _right(corrections: Corrections, rows: Tensor, done: Tensor) -> Tensor:
    return corrections.logits(rows, done).argmax(1) == corrections.y[rows]


def _own(order: Tensor, rows: Tensor) -> Tensor:
    """The orders of some rows; one row where all share it."""
    return order if len(order) == 1 else order[rows]


def _zeros(corrections: Corrections, orders: list[Tensor]) -> Tensor:
    shape = (len(orders), len(corrections.turns) + 1)
    return torch.zeros(shape, dtype=torch.int64, device=corrections.y.device)


def _checked(order: Tensor, rows: int, turns: int) -> Tensor:
    """The order, as one row where all rows share it."""
    if order.dtype != torch.int64 or order.shape != (rows, turns):
        found = f"{order.dtype} of shape {tuple(order.shape)}"
        raise wrong("order", found, f"int64 of shape ({rows}, {turns})")
    if order.stride(0) == 0:
        order = order[:1]
    if not torch.equal(order.sort(1).values, torch.arange(turns).to(order).expand_as(order)):
        raise wrong("order", "a turn missing or twice", "each turn once per row")
    return order
