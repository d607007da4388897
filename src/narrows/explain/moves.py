"""Everything a person could correct in one reading, as moves of a search."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from narrows.errors import InvalidInput, unknown, wrong
from narrows.explain.search import Sets
from narrows.reading import Reading

if TYPE_CHECKING:
    from narrows.model import NarrowModel

_PROBES = 8  # sets of corrections on which additivity is checked
_ROUNDINGS = 64  # of the sum of magnitudes that two ways to the same logit may differ by


@dataclasses.dataclass(frozen=True)
class Correction:
    """One thing to correct.

    Attributes:
        unit: the concept.
        value: what it is set to: 1 or 0; a 1 in a group sets its other members to 0.
        was: its score now.
        instead_of: the group's highest member now, where that is another one.
        gain: what this correction alone adds to the new class against the old one, in logits.
    """

    unit: str
    value: float
    was: float
    instead_of: str | None
    gain: float

    def __str__(self) -> str:
        instead = f"  instead of {self.instead_of}" if self.instead_of is not None else ""
        return f"{self.unit}: {self.was:.2f} -> {self.value:g}  ({self.gain:+.2f}){instead}"


@dataclasses.dataclass(frozen=True)
class Moves:
    """One reading, one label, and all moves a person could make.

    Attributes:
        model: that decides.
        reading: of one row.
        label: the class asked about.
        turn: `(moves,)` the turn of each move.
        units: `(moves, units)` bool, what each move writes.
        values: `(moves, units)` what it writes there.
        place: `(moves,)` the unit each move names.
        now: `(1, classes)` logits.
    """

    model: NarrowModel
    reading: Reading
    label: int
    turn: NDArray[np.int64]
    units: Tensor
    values: Tensor
    place: tuple[int, ...]
    now: Tensor

    @classmethod
    def about(cls, model: NarrowModel, reading: Reading, label: Any) -> Moves:
        """All moves of one reading; see `why_not` for what is refused."""
        bottleneck = model.bottleneck
        names = bottleneck.names
        if reading.indices is not None or reading.units.shape != (1, len(names)):
            found = f"units of shape {tuple(reading.units.shape)}"
            raise wrong("x_or_reading", found, f"one example with one unit per name: {len(names)}")
        if not bool(reading.units.isfinite().all()):
            raise wrong("x_or_reading", "units that are NaN or infinite", "finite units")
        now = model.decide(reading).prediction
        classes = classes_of(model, now.shape[1])
        if label not in classes:
            raise unknown("label", label, map(str, classes))
        moves = list(_moves(bottleneck.interventions))
        if not moves:
            raise InvalidInput("model: none of its units can be corrected")
        units = torch.zeros(len(moves), len(names), dtype=torch.bool, device=now.device)
        values = torch.zeros(len(moves), len(names), dtype=reading.units.dtype, device=now.device)
        for row, (_, members, unit, value) in enumerate(moves):
            units[row, list(members)] = True
            values[row, unit] = value
        turn = np.array([move[0] for move in moves])
        place = tuple(move[2] for move in moves)
        return cls(model, reading, classes.index(label), turn, units, values, place, now)

    @property
    def turns(self) -> int:
        """How many turns there are."""
        return int(self.turn[-1]) + 1

    def at(self, sets: Sets) -> Reading:
        """The reading with each set of moves made."""
        copies = self.reading[torch.zeros(len(sets), dtype=torch.int64, device=self.now.device)]
        mask = torch.zeros_like(copies.units, dtype=torch.bool)
        values = torch.zeros_like(copies.units)
        for row, moves in enumerate(sets):
            for move in moves:
                mask[row] |= self.units[move]
                values[row] += self.values[move]
        return self.model.bottleneck.condition(copies, (mask, values))

    def logits(self, sets: Sets) -> Tensor:
        """`(sets, classes)` the model's own answers."""
        return self.model.decide(self.at(sets)).prediction.double()

    def worst(self, sets: Sets) -> NDArray[np.float64]:
        """`(sets,)` the label's smallest margin after each set; a tie that is won is above 0."""
        logits = self.logits(sets)
        margins = pad(_margins(logits, self.label), (0, 1), value=torch.inf)  # without rivals: inf
        smallest = margins.amin(1)
        won = (logits.argmax(1) == self.label).to(smallest)
        tie = torch.finfo(smallest.dtype).tiny * won
        return torch.where(smallest == 0, tie, smallest).cpu().numpy()

    def wins(self, moves: tuple[int, ...]) -> bool:
        """Whether the model says the label after these moves."""
        return int(self.logits([moves]).argmax()) == self.label

    def gains(self) -> tuple[float, NDArray[np.float64], NDArray[np.float64]] | None:
        """Rounding, margins now and what each move adds `(moves, rivals)`; None if not a sum."""
        head = self.model.head
        weight, bias = getattr(head, "weight", None), getattr(head, "bias", None)
        if not isinstance(weight, Tensor) or not isinstance(bias, Tensor) or weight.ndim != 2:
            return None
        z = self._written([()])
        if z.shape[1] != weight.shape[1]:
            return None
        moved = self._written([(m,) for m in range(len(self.turn))])
        added = moved - z
        weight, bias = weight.double(), bias.double()
        probes = self._probes()
        total = torch.stack([z[0] + added[list(s)].sum(0) for s in probes])
        size = (z.abs() + added.abs().sum(0)) @ weight.abs().T + bias.abs()
        slack = _ROUNDINGS * torch.finfo(self.now.dtype).eps * float(size.max())
        gap = (self.logits(probes) - (total @ weight.T + bias)).abs().max()
        if float(gap) > slack:
            return None
        start = _margins(z @ weight.T + bias, self.label)[0]
        gains = _margins(added @ weight.T, self.label)
        return slack, start.cpu().numpy(), gains.cpu().numpy()

    def correction(self, move: int) -> Correction:
        """What a move says to a person."""
        unit, names = self.place[move], self.model.bottleneck.names
        scores = self.model.bottleneck.scores(self.reading)[0]
        members = self.units[move].nonzero().flatten()
        highest = int(members[scores[members].argmax()])
        old = int(self.now.argmax())
        then, now = self.logits([(move,)])[0], self.now[0].double()
        return Correction(
            unit=names[unit],
            value=float(self.values[move, unit]),
            was=float(scores[unit]),
            instead_of=None if highest == unit else names[highest],
            gain=float((then - now)[self.label] - (then - now)[old]),
        )

    def _written(self, sets: Sets) -> Tensor:
        return self.model.bottleneck.write(self.at(sets)).flatten(1).double()

    def _probes(self) -> list[tuple[int, ...]]:
        """Sets of one move in each turn, or in every second, different moves each time."""
        moves = [np.flatnonzero(self.turn == t) for t in range(self.turns)]
        return [
            tuple(int(own[p % len(own)]) for own in moves[p // 2 % 2 :: 1 + p // 4])
            for p in range(_PROBES)
        ]


def _margins(logits: Tensor, label: int) -> Tensor:
    """`(n, classes - 1)`: the label's logit minus each other's."""
    others = [k for k in range(logits.shape[1]) if k != label]
    return logits[:, [label]] - logits[:, others]


def _moves(
    interventions: tuple[tuple[int, ...], ...],
) -> Iterator[tuple[int, tuple[int, ...], int, float]]:
    """Turn, units it writes, the unit it names and the unit's value."""
    for turn, members in enumerate(interventions):
        if len(members) == 1:
            yield turn, members, members[0], 0.0
            yield turn, members, members[0], 1.0
        else:
            for unit in members:
                yield turn, members, unit, 1.0


def classes_of(model: NarrowModel, count: int) -> tuple[Any, ...]:
    """The model's classes, or their numbers where it has no names for them."""
    return model.classes or tuple(range(count))
