"""Affine heads: what each correction adds to each logit, without running the head again."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from itertools import accumulate
from typing import Self

import torch
from torch import Tensor, nn

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
        z = _write(self.corrections, self.corrections.reading[rows])
        return z, self.change(rows, self.corrections.written[rows], z)

    def change(self, rows: Tensor, units: Tensor, z: Tensor) -> Tensor:
        """`(r, columns)` what other `units` `(r, units)` add to the `columns` of `z` as read."""
        reading = self.corrections.reading[rows].replace(units=units)
        return (_write(self.corrections, reading) - z)[:, self.columns]

    def double(self) -> Self:
        """The same in double precision; the rows' own numbers stay as they were read."""
        return dataclasses.replace(
            self,
            weight=self.weight.double(),
            bias=self.bias.double(),
            moving=self.moving.double(),
        )

    def logits(self, z: Tensor) -> Tensor:
        """`(r, classes)`."""
        return torch.addmm(self.bias, z, self.weight.T)

    def shifts(self, change: Tensor, turns: Tensor | None = None) -> Tensor:
        """`(r, turns, classes)`: what each turn, or each of some, adds to each logit."""
        every = torch.arange(len(self.spans)) if turns is None else turns
        columns, padded = self.padded
        columns, padded = columns[every.to(columns.device)], padded[every.to(columns.device)]
        if columns.shape[1] == 1:  # one number a turn: no product is worth its call
            return change[:, columns[:, 0], None] * self.moving[columns[:, 0]]
        moving = self.moving[columns].masked_fill(padded[:, :, None], 0)
        return torch.einsum("rtm,tml->rtl", change[:, columns], moving)

    def moved(self, change: Tensor, turn: Tensor) -> Tensor:
        """`(r, classes)`: what one turn `(r,)` of each row adds to each logit."""
        columns, padded = (part[turn] for part in self.padded)
        some = change.gather(1, columns).masked_fill(padded, 0)
        if columns.shape[1] == 1:
            return some * self.moving[columns[:, 0]]
        return torch.einsum("rm,rml->rl", some, self.moving[columns])

    @cached_property
    def padded(self) -> tuple[Tensor, Tensor]:
        """`(turns, most)`: which of the columns are each turn's, and which of these are filler."""
        most = max(span.stop - span.start for span in self.spans)
        first = torch.tensor([span.start for span in self.spans])[:, None]
        past = torch.tensor([span.stop for span in self.spans])[:, None]
        columns = first + torch.arange(most)
        device = self.columns.device
        return columns.clamp(max=past - 1).to(device), (columns >= past).to(device)

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
    form = _form(corrections, corrections.model.head)
    rows, done = alternate(corrections)
    if form is None or not _holds(form, corrections.logits(rows, done)):
        return None
    return form


def first_layer(corrections: Corrections) -> tuple[Affine, nn.Module] | None:
    """The affine form of the first of several layers of a head, and the layers after it.

    None where the head has no layers, or where its first one is not affine.
    """
    layers = getattr(corrections.model.head, "layers", None)
    if not isinstance(layers, nn.Sequential) or len(layers) < 2:
        return None
    form, rest = _form(corrections, layers[0]), layers[1:]
    rows, done = alternate(corrections)
    z = _write(corrections, corrections.at(rows, done))
    if form is None or not torch.equal(layers(z), corrections.logits(rows, done)):
        return None
    return (form, rest) if _holds(form, layers[0](z)) else None


def _form(corrections: Corrections, layer: nn.Module) -> Affine | None:
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
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
    return Affine(
        corrections,
        weight.detach(),
        bias.detach(),
        columns,
        weight.detach()[:, columns].T.contiguous(),
        tuple(map(slice, ends, ends[1:])),
    )


def _write(corrections: Corrections, reading: Reading) -> Tensor:
    return corrections.model.bottleneck.write(reading).flatten(1)


def _holds(form: Affine, said: Tensor) -> bool:
    rows, done = alternate(form.corrections)
    z, change = form.parts(rows)
    if z.shape[1] != form.weight.shape[1] or said.shape != (len(rows), len(form.bias)):
        return False
    slack = form.slack(z, change)[:, None]
    moved = change * done[0, form.turn]
    expected = form.logits(z.index_add(1, form.columns, moved))
    return bool(((said - expected).abs() <= slack).all())
