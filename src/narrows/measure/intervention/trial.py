"""What would each move do next? The odds of a class, with one more thing said.

Nothing here runs the encoder. An affine head is followed exactly: each move adds a known amount to
each logit, so it multiplies the odds by constants, and all moves on all rows are one batched
product. Of a head with hidden layers the first is followed the same way. Any other model is asked
through `correct`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial

import torch
from torch import Tensor

from narrows.measure.affine import Affine, affine, first_layer
from narrows.measure.corrections import Corrections
from narrows.measure.intervention.moves import Moves
from narrows.measure.rows import pieces

_HELD = 2**21  # numbers of all moves of one piece: 16 MiB of float64, 8 of float32
_ASKED = 2**19  # logits at once, where moves are tried one by one: they stay in the cache
_NARROW = 32.0  # nats: sums of exponentials up to here keep their precision in float32,
_WIDE = 300.0  # and up to here in float64
_LEAST = -700.0  # nats below the largest: the least that float64 holds as a normal number
# Nats below the largest: fainter terms vanish in a sum, and exponentials of single precision
# that are no longer normal numbers take a hundred times as long.
FAINT = -80.0


class Trial:
    """Some rows, corrected turn by turn.

    Attributes:
        moves: what could be said.
        rows: `(r,)`; with lanes each row stands there several times, side by side.
        y: `(r,)` their classes.
        done: `(r, turns)` bool, what is corrected.
        taken: the turns so far, each `(r,)`.
        numbers: how many one row holds while a move is tried.
    """

    def __init__(self, moves: Moves, rows: Tensor, lanes: int = 1) -> None:
        self.moves, self.lanes = moves, lanes
        self.corrections: Corrections = moves.corrections
        self.rows = rows.repeat_interleave(lanes)
        self.y = self.corrections.y[self.rows]
        shape = len(self.rows), len(self.corrections.turns)
        self.done = torch.zeros(shape, dtype=torch.bool, device=rows.device)
        self.taken: list[Tensor] = []
        self.numbers = self.corrections.numbers

    def now(self) -> Tensor:
        """`(r, classes)` the logits."""
        return self.corrections.logits(self.rows, self.done)

    def scores(self) -> Tensor:
        """`(r, units)` what the model says of its units now, those corrected aside."""
        if self.corrections.alone:
            reading = self.corrections.reading[self.rows]
        else:
            reading = self.corrections.at(self.rows, self.done)
        scores: Tensor = self.corrections.model.bottleneck.scores(reading)
        return scores

    def after(self) -> Tensor:
        """`(r, moves, classes)` the logits after each move."""
        count = len(self.rows) * len(self.moves)
        every = torch.arange(count, device=self.rows.device)
        row, move = every // len(self.moves), every % len(self.moves)
        logits: Tensor = self._logits(row, move).unflatten(0, (len(self.rows), len(self.moves)))
        return logits

    def against(self, classes: Tensor) -> Tensor:
        """`(r, moves)`: the log odds against a class `(r,)` of each row after each move.

        They are `log((1 - p) / p)`; without meaning for moves at turns already taken.
        """
        odds = self.done.new_zeros((len(self.rows), len(self.moves)), dtype=torch.float64)
        row, move = (~self.done[:, self.moves.turn]).nonzero().unbind(1)
        for some in pieces(len(row), self.numbers, _ASKED):
            at, by = row[some], move[some]
            odds[at, by] = log_odds_(self._logits(at, by), classes[at]).double()
        return odds

    def take(self, turn: Tensor) -> None:
        """Correct one turn `(r,)` of each row."""
        self.done[torch.arange(len(turn), device=turn.device), turn] = True
        self.taken.append(turn)

    def _logits(self, row: Tensor, move: Tensor) -> Tensor:
        """`(p, classes)` of places `(p,)` in `rows`, each after one move."""
        return self.moves.logits(self.rows[row], self.done[row], move)


class LayeredTrial(Trial):
    """The same for a head whose first layer is affine: that one is followed, not run.

    Attributes:
        state: `(r, outputs)` of the first layer.
        shifts: `(rows, moves, outputs)` what each move adds to it.
    """

    def __init__(
        self,
        form: Affine,
        rest: Callable[[Tensor], Tensor],
        moves: Moves,
        rows: Tensor,
        lanes: int = 1,
    ) -> None:
        super().__init__(moves, rows, lanes)
        z, change = form.parts(rows)
        self.form, self.rest = form, rest
        self.change = change.to(form.bias).repeat_interleave(lanes, 0)
        self.state = form.logits(z.to(form.bias)).repeat_interleave(lanes, 0)
        self.shifts = _shifts(form, moves, rows, z)
        self.numbers = max(self.state.shape[1], self.corrections.classes)

    def now(self) -> Tensor:
        """See `Trial.now`."""
        return self.rest(self.state.clone())  # layers may work in place

    def take(self, turn: Tensor) -> None:
        """See `Trial.take`."""
        super().take(turn)
        self.state += self.form.moved(self.change, turn)

    def _logits(self, row: Tensor, move: Tensor) -> Tensor:
        place = row // self.lanes * len(self.moves) + move
        shifted = self.shifts.flatten(0, 1).index_select(0, place)
        return self.rest(shifted.add_(self.state.index_select(0, row)))


class AffineTrial(LayeredTrial):
    """The same for an affine head: each move multiplies the odds by constants."""

    def __init__(self, form: Affine, moves: Moves, rows: Tensor, lanes: int = 1) -> None:
        super().__init__(form, lambda logits: logits, moves, rows, lanes)

    @cached_property
    def factors(self) -> Tensor | None:
        """`(rows, classes, moves)`; None where their sums could overflow."""
        most = max(-float(self.shifts.amin()), float(self.shifts.amax()))
        if most > _WIDE:
            return None
        # Sums of positive terms: single precision costs a few roundings, no cancellation.
        narrow = torch.float32 if most <= _NARROW else torch.float64
        return self.shifts.transpose(1, 2).exp().to(narrow).contiguous()

    def against(self, classes: Tensor) -> Tensor:
        """See `Trial.against`."""
        if self.factors is None:
            return super().against(classes)
        # Relative to the most probable of the others, none overflows. With one class only there
        # are no others, and their largest logit is minus infinity.
        own = self.state.gather(1, classes[:, None])
        others = self.state.scatter(1, classes[:, None], -torch.inf)
        most = others.amax(1, keepdim=True).clamp(min=torch.finfo(others.dtype).min)
        others = (others - most).clamp_(min=_LEAST).exp_()
        # Numbers below the normal ones slow products down, and their sum is out of sight.
        tiny = torch.finfo(self.factors.dtype).tiny
        others = others.masked_fill_(others < tiny, 0).to(self.factors)
        total = torch.bmm(others.unflatten(0, (-1, self.lanes)), self.factors).flatten(0, 1)
        row = torch.arange(len(classes), device=classes.device) // self.lanes
        return (total / self.factors[row, classes]).log_().double() + (most - own)


def trials(moves: Moves, lanes: int = 1) -> Iterator[Trial]:
    """All rows, in pieces that bound the memory.

    Args:
        moves: what could be said.
        lanes: how many times each row is corrected, side by side: they share what is known of the
            moves, so trying several ways costs little more than one.
    """
    corrections = moves.corrections
    make: Callable[[Tensor], Trial] = partial(Trial, moves, lanes=lanes)
    numbers = lanes * corrections.numbers
    form, layered = affine(corrections), first_layer(corrections)
    if form is not None:
        make = partial(AffineTrial, form.double(), moves, lanes=lanes)
        numbers = len(form.bias)
    elif layered is not None:
        make = partial(LayeredTrial, *layered, moves, lanes=lanes)
        numbers = max(len(layered[0].bias), lanes * corrections.classes)
    for rows in pieces(len(corrections), numbers * (len(moves) + lanes), _HELD):
        yield make(rows.to(corrections.y.device))


def log_odds_(logits: Tensor, classes: Tensor) -> Tensor:
    """`(r,)` log odds against one class of each row: `log((1 - p) / p)`, also near p = 1.

    The logits are used up: new memory would cost more than the exponentials.
    """
    own = logits.gather(1, classes[:, None])
    others = logits.scatter_(1, classes[:, None], -torch.inf)
    # With one class only there are no others, and their largest logit is minus infinity.
    most = others.amax(1, keepdim=True).clamp(min=torch.finfo(others.dtype).min)
    odds = others.sub_(most).clamp_(min=FAINT).exp_().scatter_(1, classes[:, None], 0)
    return odds.sum(1).log_() + (most - own).squeeze(1)


def _shifts(form: Affine, moves: Moves, rows: Tensor, z: Tensor) -> Tensor:
    """`(r, moves, outputs)` what each move adds to each output of the form."""
    shifts = form.bias.new_empty(len(rows), len(moves), len(form.bias))
    for slot in range(int(moves.slot.max()) + 1):
        mine = (moves.slot == slot).nonzero().squeeze(1)
        change = form.change(rows, moves.written(rows, slot), z).to(form.bias)
        shifts[:, mine] = form.shifts(change, moves.turn[mine])
    return shifts
