"""All that a person could correct in a set of readings, ready to be tried in any order."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import InvalidInput, wrong, wrong_type
from narrows.measure.rows import (
    evaluating,
    matched,
    numbers_per_row,
    pieces,
    read_rows,
    targets,
)
from narrows.model import NarrowModel
from narrows.reading import Reading

_PER_ROW = ("written", "known", "truth", "y")
_PROBE = 64  # rows on which corrections are watched for side effects


@dataclasses.dataclass(frozen=True)
class Corrections:
    """Readings as they are, as corrected, and the turns in between.

    Attributes:
        model: whose head decides.
        reading: `(n, units)` as read.
        written: `(n, units)` after every known concept is corrected, as the bottleneck writes it:
            for logits percentiles, not the truth itself.
        known: `(n, units)` bool, where the truth is known.
        truth: `(n, units)`, 0 where unknown.
        turns: the units that are corrected together.
        y: `(n,)` class ids.
        alone: whether a correction changes its own units only. A bottleneck that passes
            corrections on to other units is asked again at each step.
    """

    model: NarrowModel
    reading: Reading
    written: Tensor
    known: Tensor
    truth: Tensor
    turns: tuple[tuple[int, ...], ...]
    y: Tensor
    alone: bool = True

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Tensor) -> Self:
        """Some of the rows, `(r,)`."""
        at = rows.to(self.y.device)
        parts = {name: getattr(self, name)[at] for name in ("reading", *_PER_ROW)}
        return dataclasses.replace(self, **parts)

    @cached_property
    def turn_of(self) -> Tensor:
        """`(units,)` the turn of each unit; `len(turns)` for those nobody corrects."""
        turn = torch.full((self.known.shape[1],), len(self.turns), device=self.y.device)
        for t, units in enumerate(self.turns):
            turn[list(units)] = t
        return turn

    def fixed(self, done: Tensor) -> Tensor:
        """`(r, units)` bool, which units the turns `done` `(r, turns)` hold."""
        return torch.nn.functional.pad(done, (0, 1))[:, self.turn_of]

    def at(self, rows: Tensor, done: Tensor) -> Reading:
        """Rows `(r,)` with the turns `done` `(r, turns)` corrected."""
        fixed = self.fixed(done)
        reading = self.reading[rows]
        if self.alone:
            units = torch.where(fixed, self.written[rows], reading.units)
            return reading.replace(units=units)
        known = fixed & self.known[rows]
        return self.model.bottleneck.condition(reading, (known, self.truth[rows]))

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores `(r, units)` in double precision.

        Raises:
            InvalidInput: scores outside [0, 1] of a unit that can be corrected, by its name.
        """
        fair = (scores >= 0) & (scores <= 1)  # NaN is not
        strange = ~fair.all(0) & (self.turn_of < len(self.turns))
        if bool(strange.any()):
            name = self.model.bottleneck.names[int(strange.nonzero()[0])]
            raise wrong("model", f"scores of {name!r} outside [0, 1]", "probabilities")
        return scores.double()

    def logits(self, rows: Tensor, done: Tensor) -> Tensor:
        """`(r, classes)` the head's answer with the turns `done` corrected."""
        return self.model.decide(self.at(rows, done)).prediction

    @cached_property
    def numbers(self) -> int:
        """How many numbers one row holds, as a reading or as logits."""
        return max(numbers_per_row(self.reading), self.classes)

    @cached_property
    def classes(self) -> int:
        """How many logits the head gives."""
        first = torch.arange(1, device=self.y.device)
        none = torch.zeros(1, len(self.turns), dtype=torch.bool, device=self.y.device)
        return self.logits(first, none).shape[1]

    def pieces(self, copies: int = 1) -> tuple[Tensor, ...]:
        """Row numbers in pieces that bound the memory of `copies` answers for each row."""
        parts = pieces(len(self), copies * self.numbers)
        return tuple(rows.to(self.y.device) for rows in parts)


def prepare(model: NarrowModel, examples: Examples, visible: Tensor | None = None) -> Corrections:
    """Read the rows once and write the truth once.

    Args:
        model: its units are matched with the concepts of the data by name.
        examples: rows with labels and concepts, NaN where a concept is not annotated: there
            nothing is corrected.
        visible: `(n, k)` bool beside the concepts, False where a person could not tell, so that
            nothing is corrected either.

    Raises:
        InvalidInput: no concept labels, no name in common, no label, units that cannot be
            corrected one by one, or a `visible` of another shape.
        InvalidType: a `visible` that is no boolean mask.
    """
    names = model.bottleneck.names
    pairs = matched(names, examples)
    turns = tuple(t for t in model.bottleneck.interventions if any(i in pairs for i in t))
    if not turns:
        raise InvalidInput("model: none of the units named in the data can be corrected")
    reading = read_rows(model, examples)
    if reading.indices is not None or reading.units.shape != (len(examples), len(names)):
        found = f"units of shape {tuple(reading.units.shape)}"
        raise wrong("model", found, f"one unit per name: {(len(examples), len(names))}")
    _check_finite(reading, names)
    units = [i for turn in turns for i in turn if i in pairs]
    truth = torch.full_like(reading.units, torch.nan)
    truth[:, units] = _told(examples, visible)[:, [pairs[i] for i in units]].to(truth)
    known, truth = ~truth.isnan(), truth.nan_to_num(0.0)
    with evaluating(model):
        written = torch.cat(
            [
                model.bottleneck.condition(reading[rows], (known[rows], truth[rows])).units
                for rows in pieces(len(examples), numbers_per_row(reading))
            ]
        )
        ready = Corrections(model, reading, written, known, truth, turns, targets(model, examples))
        return dataclasses.replace(ready, alone=_acts_alone(ready))


def alternate(ready: Corrections) -> tuple[Tensor, Tensor]:
    """The first rows, with every second turn done: enough to see corrections interact."""
    rows = torch.arange(min(len(ready), _PROBE), device=ready.y.device)
    done = torch.arange(len(ready.turns), device=ready.y.device) % 2 == 0
    return rows, done.expand(len(rows), -1)


def _told(examples: Examples, visible: Tensor | None) -> Tensor:
    """`(n, k)` what a person says of each concept, NaN for nothing."""
    c: Tensor = examples.c  # type: ignore[assignment]  # matched refuses None
    if visible is None:
        return c
    mask = torch.as_tensor(visible, device=c.device)
    if mask.dtype != torch.bool:
        raise wrong_type("visible", f"dtype {mask.dtype}", "a boolean mask")
    if mask.shape != c.shape:
        raise wrong("visible", f"shape {tuple(mask.shape)}", f"shape {tuple(c.shape)}")
    return c.masked_fill(~mask, torch.nan)


def _acts_alone(ready: Corrections) -> bool:
    """Whether correcting some turns equals mixing the two readings."""
    rows, every_second = alternate(ready)
    asking = dataclasses.replace(ready, alone=False)
    for done in (every_second, ~every_second):
        mixed, asked = (way.at(rows, done).tensors() for way in (ready, asking))
        if not all(torch.equal(mixed[name], asked[name]) for name in mixed):
            return False
    return True


def _check_finite(reading: Reading, names: tuple[str, ...]) -> None:
    strange = (~reading.units.isfinite()).any(0)
    if bool(strange.any()):
        name = names[int(strange.nonzero()[0])]
        raise wrong("model", f"unit {name!r} NaN or infinite", "finite units")
