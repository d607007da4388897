"""Affine heads: what each correction adds to each logit, without running the head again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from narrows.measure.corrections import Corrections
from narrows.measure.rows import pieces
from narrows.reading import Reading

_PROBE = 64  # rows on which a head is checked to be affine


@dataclasses.dataclass(frozen=True)
class Affine:
    """A head `z @ weight.T + bias` whose input `z` holds a block of numbers per unit.

    Attributes:
        corrections: what can be corrected.
        weight: `(classes, units * width)`.
        bias: `(classes,)`.
        columns: for each turn, the columns of `z` that its units write.
    """

    corrections: Corrections
    weight: Tensor
    bias: Tensor
    columns: tuple[Tensor, ...]

    def parts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """`z` of rows `(r, units * width)` as read, and what all corrections add to it."""
        read, written = self.corrections.reading[rows], self.corrections.written
        z = _write(self.corrections, read)
        return z, _write(self.corrections, read.replace(units=written.units[rows])) - z

    def logits(self, z: Tensor) -> Tensor:
        """`(r, classes)`."""
        return torch.addmm(self.bias, z, self.weight.T)

    def shifts(self, change: Tensor) -> Tensor:
        """`(r, turns, classes)`: what each turn adds to each logit."""
        each = [change[:, block] @ self.weight[:, block].T for block in self.columns]
        return torch.stack(each, 1)

    def trial(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """See `Corrections.trial`."""
        z, change = self.parts(rows)
        start, shifts = self.logits(z), self.shifts(change)

        def tried(done: Tensor) -> Tensor:
            now = start + torch.einsum("rt,rtc->rc", done.to(shifts.dtype), shifts)
            return now[:, None] + shifts

        return tried

    def pieces(self, numbers: int, most: int = 2**21) -> tuple[Tensor, ...]:
        """Row numbers in pieces of at most `most` numbers; 8 MiB of float32."""
        device = self.bias.device
        return tuple(rows.to(device) for rows in pieces(len(self.corrections), numbers, most))

    def slack(self, z: Tensor, change: Tensor) -> Tensor:
        """`(r,)` how far rounding may move the difference of two logits, at any step.

        A sum of m terms is off by at most m roundings of the sum of their magnitudes; the sums
        here, and the head's own, have at most `units * width + 2 * turns` terms.
        """
        size = (z.abs() + change.abs()) @ self.weight.abs().T + self.bias.abs()
        terms = self.weight.shape[1] + 2 * len(self.columns) + 2
        return 4 * terms * torch.finfo(size.dtype).eps * size.amax(1)


def affine(corrections: Corrections) -> Affine | None:
    """The affine form of a model's head; None where it has none, or where units mix in `z`.

    A head counts as affine when it has `weight` and `bias` tensors and, on the first rows,
    answers as they say.
    """
    head = corrections.model.head
    weight, bias = getattr(head, "weight", None), getattr(head, "bias", None)
    units = corrections.known.shape[1]
    if (
        not corrections.alone
        or not isinstance(weight, Tensor)
        or not isinstance(bias, Tensor)
        or weight.ndim != 2
        or weight.shape[1] % units
    ):
        return None
    width = weight.shape[1] // units
    every = torch.arange(units * width, device=weight.device).unflatten(0, (units, width))
    columns = tuple(every[list(turn)].flatten() for turn in corrections.turns)
    form = Affine(corrections, weight.detach(), bias.detach(), columns)
    return form if _holds(form) else None


def _write(corrections: Corrections, reading: Reading) -> Tensor:
    return corrections.model.bottleneck.write(reading).flatten(1)


def _holds(form: Affine) -> bool:
    """Whether the form predicts the head's answer with every second turn corrected."""
    ready = form.corrections
    rows = torch.arange(min(len(ready), _PROBE), device=ready.y.device)
    done = torch.arange(len(ready.turns), device=ready.y.device) % 2 == 0
    mixed = ready.at(rows, done.expand(len(rows), -1))
    z, change = form.parts(rows)
    if z.shape[1] != form.weight.shape[1]:
        return False
    for turn in done.nonzero().flatten().tolist():
        z[:, form.columns[turn]] += change[:, form.columns[turn]]
    said = ready.model.decide(mixed).prediction
    slack = form.slack(z, change)[:, None]
    return said.shape == (len(rows), len(form.bias)) and bool(
        ((said - form.logits(z)).abs() <= slack).all()
    )
