"""One worked example: what the model read, what it said, and what a correction changes.

The example is looked for among the test rows: first one where the model is wrong because of one
misread concept and right once that is corrected; else a right one where another value of a
concept would change the answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.explanation import Explanation
from narrows.model import NarrowModel
from narrows.report.wording import Turn, sentence, turn_of

_ROWS = 4096  # test rows that are searched at most
_SHOWN = 8  # units in the table of contributions


@dataclass(frozen=True)
class Example:
    """A worked example, ready to be shown.

    Attributes:
        row: of the test split.
        sentence: the example in words.
        mistake: whether the model was wrong and the correction makes it right.
        turn: what is corrected.
        was: its value as read.
        now: its value as corrected.
        said: the label said at first.
        then: the label said after the correction.
        truth: the true label.
        before: contributions at first.
        after: contributions after the correction.
    """

    row: int
    sentence: str
    mistake: bool
    turn: Turn
    was: str
    now: str
    said: str
    then: str
    truth: str
    before: Explanation
    after: Explanation

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows: unit, value and shares of both labels' logits, before and after."""
        pair = [self.before.classes.index(c) for c in self._classes()]
        columns = [
            *(self.before.contributions[0, :, i] for i in pair),
            *(self.after.contributions[0, :, i] for i in pair),
        ]
        shares = torch.stack([columns[0], columns[2], columns[1], columns[3]], 1)
        weight = shares.abs().amax(1)
        weight[list(self.turn.units)] += (
            (shares[:, 1::2] - shares[:, ::2]).abs().amax(1)[list(self.turn.units)]
        )
        order = weight.argsort(descending=True).tolist()
        shown = min(_SHOWN, int((weight > 0.01 * weight.amax()).sum()))
        values = torch.stack([self.before.values[0], self.after.values[0]], 1)
        rows = [
            [self.before.names[0][i], *values[i].tolist(), *shares[i].tolist()]
            for i in order[:shown]
        ]
        hidden = order[shown:]
        if hidden:
            rows.append([f"{len(hidden)} others", None, None, *shares[hidden].sum(0).tolist()])
        rest = [float(self.before.rest[i]) for i in pair for _ in range(2)]
        rows.append(["bias", None, None, *rest])
        sums = [float(e.logits[0, i]) for i in pair for e in (self.before, self.after)]
        rows.append(["sum", None, None, *sums])
        return [self.said, self.then], rows

    def _classes(self) -> list[Any]:
        by_text = {str(c): c for c in self.before.classes}
        return [by_text[self.said], by_text[self.then]]


def turns_of(model: NarrowModel, known: Sequence[str]) -> list[Turn]:
    """The model's turns whose concepts the data name."""
    names = model.bottleneck.names
    return [
        turn_of(units, [names[i] for i in units])
        for units in model.bottleneck.interventions
        if all(names[i] in known for i in units)
    ]


def find_example(model: NarrowModel, test: Examples) -> Example | None:
    """The clearest worked example, or None where no single correction changes anything.

    Args:
        model: a concept model.
        test: rows with concept labels.
    """
    turns = turns_of(model, test.concepts.names)
    if test.c is None or not turns:
        return None
    rows = torch.arange(min(len(test), _ROWS))
    some = test[rows]
    with torch.no_grad():
        output = model(some.x)
    places = {name: i for i, name in enumerate(some.concepts.names)}
    concept = [places.get(name, -1) for name in model.bottleneck.names]
    search = _Search(model, some, output.reading, output.prediction, turns, torch.tensor(concept))
    return search.mistake() or search.counterfactual()


@dataclass(frozen=True)
class _Search:
    model: NarrowModel
    test: Examples
    reading: Any
    logits: Tensor
    turns: Sequence[Turn]
    concept: Tensor  # of each unit; -1 for units the data do not name

    def mistake(self) -> Example | None:
        """The misread concept whose correction makes a wrong answer right most clearly."""
        wrong = self.logits.argmax(1) != self.test.y
        misread = torch.stack([self._misread(turn) for turn in self.turns], 1)
        best: tuple[float, int, int, Tensor] | None = None
        # Rows with one misread concept come first, as nothing else could be to blame; of those,
        # rows whose answer follows from the values read, as a person would work it out.
        alone, follows = misread.sum(1) == 1, self._follows()
        for blame in (alone & follows, alone, ~alone):
            for t, turn in enumerate(self.turns):
                rows = (wrong & blame & misread[:, t]).nonzero().flatten()
                if not len(rows):
                    continue
                truth = self._truth(turn)[rows]
                sure = self._corrected(rows, turn, truth).softmax(1)
                right = sure.gather(1, self.test.y[rows, None]).squeeze(1)
                right = right.where(sure.argmax(1) == self.test.y[rows], -1.0)
                top = int(right.argmax())
                if right[top] > 0 and (best is None or right[top] > best[0]):
                    best = (float(right[top]), int(rows[top]), t, truth[top])
            if best is not None:
                return self._show(best[1], self.turns[best[2]], best[3], mistake=True)
        return None

    def counterfactual(self) -> Example | None:
        """A right answer that one other concept value changes most clearly."""
        right = self.logits.argmax(1) == self.test.y
        rows = right.nonzero().flatten()[:256]
        best: tuple[float, int, Turn, Tensor] | None = None
        for turn in self.turns if len(rows) else ():
            read = self._read(turn)[rows]
            for option in torch.eye(max(2, len(turn.units)))[:, : len(turn.units)]:
                changed = self._corrected(rows, turn, option.expand(len(rows), -1)).softmax(1)
                sure = changed.amax(1)
                other = changed.argmax(1) != self.test.y[rows]
                sure = sure.where(other & (read != option).any(1), -1.0)
                top = int(sure.argmax())
                if sure[top] > 0 and (best is None or sure[top] > best[0]):
                    best = (float(sure[top]), int(rows[top]), turn, option)
        return None if best is None else self._show(best[1], best[2], best[3], mistake=False)

    def _truth(self, turn: Turn) -> Tensor:
        """`(rows, units of the turn)`, NaN where not annotated."""
        c = self.test.c
        columns = self.concept[list(turn.units)]
        return torch.full((len(self.test), len(columns)), torch.nan) if c is None else c[:, columns]

    def _read(self, turn: Turn) -> Tensor:
        """What the turn's units say, as 0 and 1: one of a group, or a concept by its half."""
        scores = self.model.bottleneck.scores(self.reading)[:, list(turn.units)]
        if turn.values:
            return torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1]).float()
        return (scores >= 0.5).float()

    def _follows(self) -> Tensor:
        """`(rows,)` whether the answer stays when each unit is written as 0 or 1, as it is read."""
        names = self.model.bottleneck.names
        known = {
            names[unit]: column
            for turn in self.turns
            for unit, column in zip(turn.units, self._read(turn).unbind(1), strict=True)
        }
        with torch.no_grad():
            said = self.model.correct(self.reading, known).prediction
        return said.argmax(1) == self.logits.argmax(1)

    def _misread(self, turn: Turn) -> Tensor:
        truth = self._truth(turn)
        certain = ((truth == 0) | (truth == 1)).all(1)
        if turn.values:
            certain &= truth.sum(1) == 1
        return certain & (self._read(turn) != truth).any(1)

    def _corrected(self, rows: Tensor, turn: Turn, values: Tensor) -> Tensor:
        known = {self.model.bottleneck.names[u]: values[:, i] for i, u in enumerate(turn.units)}
        with torch.no_grad():
            return self.model.correct(self.reading[rows], known).prediction

    def _show(self, row: int, turn: Turn, values: Tensor, mistake: bool) -> Example:
        reading = self.reading[torch.tensor([row])]
        known = {
            self.model.bottleneck.names[u]: float(v)
            for u, v in zip(turn.units, values, strict=True)
        }
        with torch.no_grad():
            before = self.model.explain(reading)
            after = self.model.explain(self.model.bottleneck.condition(reading, known))
        scores = self.model.bottleneck.scores(reading)[0]
        written = scores.clone()
        written[list(turn.units)] = values.to(scores.dtype)
        said, then = (str(e.classes[int(e.logits[0].argmax())]) for e in (before, after))
        found = Example(
            row=row,
            sentence="",
            mistake=mistake,
            turn=turn,
            was=turn.say(scores),
            now=turn.say(written),
            said=said,
            then=then,
            truth=str(self.test.labels[row]),
            before=before,
            after=after,
        )
        said_of = {t.name: t.say(scores) for t in self.turns if t.values or t is turn}
        return dataclasses.replace(found, sentence=sentence(found, said_of))
