"""What would each correction do next? The odds of the true class, one more turn corrected."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from narrows.measure.affine import Affine, affine
from narrows.measure.corrections import Corrections

_HELD = 2**19  # odds in one piece: 4 MiB of float64
_WIDE = 300.0  # nats: beyond, exponentials of float64 could overflow


class Trial:
    """Some rows, corrected turn by turn.

    Attributes:
        rows: `(r,)`.
        done: `(r, turns)` bool, what is corrected.
        taken: the turns so far, each `(r,)`.
    """

    def __init__(self, corrections: Corrections, rows: Tensor) -> None:
        self.corrections, self.rows = corrections, rows
        self.y = corrections.y[rows]
        self.done = torch.zeros(
            len(rows), len(corrections.turns), dtype=torch.bool, device=rows.device
        )
        self.taken: list[Tensor] = []

    def against(self) -> Tensor:
        """`(r, turns)`: the odds against the true class, were each turn corrected too.

        They rise with `(1 - p) / p`, within a row; infinite for turns already taken.
        """
        turns = self.done.shape[1]
        more = self.done[:, None] | torch.eye(turns, dtype=torch.bool, device=self.done.device)
        logits = self.corrections.logits(self.rows.repeat_interleave(turns), more.flatten(0, 1))
        y = self.y.repeat_interleave(turns)
        odds = _odds(logits, y).logsumexp(1).unflatten(0, (len(self.rows), turns))
        return odds.masked_fill(self.done, torch.inf)

    def take(self, turn: Tensor) -> None:
        """Correct one turn `(r,)` of each row."""
        self.done[torch.arange(len(turn), device=turn.device), turn] = True
        self.taken.append(turn)


class AffineTrial(Trial):
    """The same for an affine head: each turn multiplies each pair of odds by a constant."""

    def __init__(self, form: Affine, rows: Tensor) -> None:
        super().__init__(form.corrections, rows)
        z, change = form.parts(rows)
        shifts = form.shifts(change).double()
        own = shifts.gather(2, self.y[:, None, None].expand(-1, shifts.shape[1], 1))
        self.shifts = shifts - own
        self.wide = float(self.shifts.abs().amax()) > _WIDE
        self.factors = self.shifts.exp()
        self.now = _odds(form.logits(z).double(), self.y)

    def against(self) -> Tensor:
        """See `Trial.against`."""
        if self.wide:
            return super().against()
        # With one class only there are no others, and their largest odds are minus infinity.
        most = self.now.amax(1, keepdim=True).clamp(min=torch.finfo(self.now.dtype).min)
        others = (self.now - most).exp()
        odds = torch.bmm(self.factors, others[:, :, None]).squeeze(2)
        return odds.masked_fill(self.done, torch.inf)

    def take(self, turn: Tensor) -> None:
        """See `Trial.take`."""
        super().take(turn)
        self.now += self.shifts[torch.arange(len(turn), device=turn.device), turn]


def trials(corrections: Corrections) -> Iterator[Trial]:
    """All rows, in pieces that bound the memory."""
    form = affine(corrections)
    if form is None:
        for rows in corrections.pieces(len(corrections.turns)):
            yield Trial(corrections, rows)
    else:
        for rows in form.pieces(len(form.bias) * len(form.spans), _HELD):
            yield AffineTrial(form, rows)


def _odds(logits: Tensor, y: Tensor) -> Tensor:
    """`(r, classes)` log odds of every other class against the true one; -inf for itself."""
    against = logits - logits.gather(1, y[:, None])
    return against.scatter(1, y[:, None], -torch.inf)
