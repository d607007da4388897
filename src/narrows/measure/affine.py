"""Affine heads: what each correction adds to each logit, without running the head again."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from narrows.measure.corrections import Corrections, alternate
from narrows.measure.rows import pieces
from narrows.reading import Reading


@dataclasses.dataclass(frozen=True)
class Affine:
    """A head `z @ weight.T + bias` whose input `z` holds a block of numbers per unit.

    Attributes:
        corrections: what can be corrected.
        weight: `(classes, units * width)`.
        bias: `(classes,)`.
        columns: the columns of `z` that corrections change, turn by turn.
        moving: `(columns, classes)` their weights.
        spans: for each turn, which of the columns are its own.
    """

    corrections: Corrections
    weight: Tensor
    bias: Tensor
    columns: Tensor
    moving: Tensor
    spans: tuple[slice, ...]

    def parts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """`z` `(r, units * width)` as read, and what corrections add to its `columns`."""
        reading = self.corrections.reading[rows]
        z = _write(self.corrections, reading)
        new = _write(self.corrections, reading.replace(units=self.corrections.written[rows]))
        return z, (new - z)[:, self.columns]

    def logits(self, z: Tensor) -> Tensor:
        """`(r, classes)`."""
        return torch.addmm(self.bias, z, self.weight.T)

    def shifts(self, change: Tensor) -> Tensor:
        """`(r, turns, classes)`: what each turn adds to each logit."""
        return torch.stack([change[:, span] @ self.moving[span] for span in self.spans], 1)

    def shifts_of(self, y: Tensor, change: Tensor) -> Tensor:
        """`(r, turns)`: what each turn adds to the logit of class `y` `(r,)`."""
        moved = change * self.moving.T[y]
        return moved.new_zeros(len(y), len(self.spans)).index_add_(1, self.turn, moved)

    @cached_property
    def turn(self) -> Tensor:
        """`(columns,)` whose turn each column is."""
        sizes = [span.stop - span.start for span in self.spans]
        turns = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        return turns.to(self.columns.device)

    def slack(self, z: Tensor, change: Tensor) -> Tensor:
        """`(r,)` how far rounding may move the difference of two logits, at any step.

        A sum of m terms is off by at most m roundings of the sum of their magnitudes. The sums
        here, and the head's own, have at most `units * width + 2 * turns` terms and a bias.
        """
        size = z.abs() @ self.weight.abs().T + self.bias.abs()
        size += 2 * change.abs() @ self.moving.abs()
        terms = self.weight.shape[1] + 2 * len(self.spans) + 2
        return 2 * terms * torch.finfo(size.dtype).eps * size.amax(1)

    def pieces(self, numbers: int, most: int) -> tuple[Tensor, ...]:
        """Row numbers in pieces of at most `most` numbers, `numbers` a row."""
        parts = pieces(len(self.corrections), numbers, most)
        return tuple(rows.to(self.bias.device) for rows in parts)


def affine(corrections: Corrections) -> Affine | None:
    """The affine form of a model's head; None where it has none, or where units mix in `z`.

    A head counts as affine when it has `weight` and `bias` tensors and, with every second turn
    corrected on the first rows, answers as they say.
    """
    head = corrections.model.head
    weight, bias = getattr(head, "weight", None), getattr(head, "bias", None)
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
        return None
    units = corrections.known.shape[1]
    if not corrections.alone or weight.ndim != 2 or weight.shape[1] % units:
        return None
    width = weight.shape[1] // units
    every = torch.arange(weight.shape[1], device=weight.device).unflatten(0, (units, width))
    turns = [every[list(turn)].flatten() for turn in corrections.turns]
    columns = torch.cat(turns)
    ends = list(accumulate(map(len, turns), initial=0))
    form = Affine(
        corrections,
        weight.detach(),
        bias.detach(),
        columns,
        weight.detach()[:, columns].T.contiguous(),
        tuple(map(slice, ends, ends[1:])),
    )
    return form if _holds(form) else None


def _write(corrections: Corrections, reading: Reading) -> Tensor:
    return corrections.model.bottleneck.write(reading).flatten(1)


def _holds(form: Affine) -> bool:
    rows, done = alternate(form.corrections)
    said = form.corrections.logits(rows, done)
    z, change = form.parts(rows)
    if z.shape[1] != form.weight.shape[1] or said.shape != (len(rows), len(form.bias)):
        return False
    slack = form.slack(z, change)[:, None]
    moved = change * done[0, form.turn]
    expected = form.logits(z.index_add(1, form.columns, moved))
    return bool(((said - expected).abs() <= slack).all())
