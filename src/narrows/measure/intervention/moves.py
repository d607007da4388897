"""What a person could say next: the truth, or any answer that is possible.

A single concept is true or not. A group of exclusive concepts is one question with one answer per
member: that member is true and the others are not.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import torch
from torch import Tensor

from narrows.measure.corrections import Corrections


@dataclasses.dataclass(frozen=True)
class Moves:
    """Things that could be said, each at one turn.

    Attributes:
        corrections: what can be corrected.
        turn: `(moves,)` at which turn each is said.
        slot: `(moves,)` numbers from 0; moves of one slot belong to different turns, so that a
            bottleneck can write them together.
        told: `(moves, units)` what is said of the units of its turn; None where it is the truth,
            which every row has of its own.
    """

    corrections: Corrections
    turn: Tensor
    slot: Tensor
    told: Tensor | None = None

    def __len__(self) -> int:
        return len(self.turn)

    @cached_property
    def asked(self) -> Tensor:
        """`(moves, units)` bool, the units of each move's turn."""
        return self.corrections.turn_of == self.turn[:, None]

    def logits(self, rows: Tensor, done: Tensor, move: Tensor) -> Tensor:
        """`(p, classes)`: rows `(p,)` with the turns `done` corrected and one move made."""
        ready = self.corrections
        if self.told is None:
            more = done.scatter(1, self.turn[move][:, None], True)
            return ready.logits(rows, more)
        asked = self.asked[move]
        mask = asked | (ready.fixed(done) & ready.known[rows])
        values = torch.where(asked, self.told[move], ready.truth[rows])
        return ready.model.correct(ready.reading[rows], (mask, values)).prediction

    def written(self, rows: Tensor, slot: int) -> Tensor:
        """`(r, units)` as the bottleneck writes all moves of one slot together."""
        ready = self.corrections
        if self.told is None:
            return ready.written[rows]
        mine = self.slot == slot
        mask = self.asked[mine].any(0).expand(len(rows), -1)
        values = self.told[mine].sum(0).expand(len(rows), -1)
        return ready.model.bottleneck.condition(ready.reading[rows], (mask, values)).units

    def chances(self, scores: Tensor) -> Tensor:
        """`(r, moves)` float64, how probable the model finds each answer.

        A single concept is Bernoulli. The scores of a group are divided by their sum; where all
        are 0 its answers count alike.

        Args:
            scores: `(r, units)` probabilities.

        Raises:
            InvalidInput: scores outside [0, 1], by the unit's name.
        """
        if self.told is None:
            return scores.new_ones(len(scores), len(self), dtype=torch.float64)
        alone, unit, value = self._parts
        p = self.corrections.probabilities(scores)[:, unit]
        single = torch.where(value, p, 1 - p)
        total = p.new_zeros(len(p), len(self.corrections.turns)).index_add_(1, self.turn, p)[
            :, self.turn
        ]
        count = torch.bincount(self.turn)[self.turn].double()
        return torch.where(alone, single, torch.where(total > 0, p / total, 1 / count))

    @cached_property
    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """`(moves,)` each: whether its turn is a single concept, its unit, and if it is true."""
        alone = self.asked.sum(1) == 1
        value: Tensor = self.told > 0  # type: ignore[operator,assignment]  # chances handles None
        unit = torch.where(alone, self.asked.int().argmax(1), value.int().argmax(1))
        return alone, unit, value.any(1)

    def per_turn(self, each: Tensor) -> Tensor:
        """`(r, turns)` sums over the moves of each turn of `(r, moves)`."""
        total = each.new_zeros(len(each), len(self.corrections.turns))
        return total.index_add_(1, self.turn, each)


def truths(corrections: Corrections) -> Moves:
    """One move a turn: the truth is told."""
    turn = torch.arange(len(corrections.turns), device=corrections.y.device)
    return Moves(corrections, turn, torch.zeros_like(turn))


def answers(corrections: Corrections) -> Moves:
    """Every answer there is at every turn, turn by turn."""
    turn, slot, told = [], [], []
    width = corrections.known.shape[1]
    for t, units in enumerate(corrections.turns):
        # A single concept: not, then true. A group: each member.
        for s, unit in enumerate([None, *units] if len(units) == 1 else units):
            turn.append(t)
            slot.append(s)
            told.append((torch.arange(width) == (-1 if unit is None else unit)).float())
    at, part = torch.tensor([turn, slot], device=corrections.y.device)
    return Moves(corrections, at, part, torch.stack(told).to(corrections.truth))
