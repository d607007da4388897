"""Could a model know a concept without looking at it? From the annotations alone.

Concepts that always come together cannot be told apart by any model, and a concept that others
predict well can be learned from pixels that are not its own (Furby et al. 2024, arXiv
2402.00912). For concepts i and j, counted over the training rows that annotate both:

    predicts    (P(i | j) + P(not i | not j)) / 2, or one minus that where i speaks against j.
                This is the area under the ROC curve of the one bit i as a score of j
    together    the same of a ridge regression on all concepts outside j's exclusive group, which
                says j above j's share in train; judged on the validation and test rows
    label       the same of the class alone: says j where the class has j more often than all do
    per class   whether every class always has one and the same value of j: then the annotations
                say nothing about single images

All are balanced: 0.5 is chance, 1 is certainty. Annotations above 0.5 count as true.
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from typing import Any

import torch
from torch import Tensor

from narrows.data.load import load
from narrows.data.record import Concepts, Dataset, Examples
from narrows.errors import wrong

_CHEATED = 0.95  # predicted this well, a concept counts as one that need not be looked at
_RIDGE = 1.0  # rows' worth of shrinkage, on standardised columns
_WIDTH, _MOST = 40, 20


@dataclasses.dataclass(frozen=True)
class Twins:
    """Two concepts that no row of train tells apart.

    Attributes:
        first: a concept.
        second: another one.
        opposite: whether one is true exactly where the other is false.
        rows: rows of train that annotate both.
        true: rows in which the first is true.
    """

    first: str
    second: str
    opposite: bool
    rows: int
    true: int

    def __str__(self) -> str:
        told = "never together, never both absent" if self.opposite else "always together"
        return f"{self.first!r} and {self.second!r}: {told} ({self.true} of {self.rows} rows true)"


@dataclasses.dataclass(frozen=True, eq=False)
class LocalityReport:
    """How well annotations predict one another; prints itself in 40 columns.

    Attributes:
        name: of the data set.
        concepts: their names.
        twins: pairs that cannot be told apart.
        predicts: `(k, k)` how well the row's concept predicts the column's; NaN on the diagonal,
            within exclusive groups, and where a concept is constant.
        together: `(k,)` all others; NaN where held rows cannot judge.
        label: `(k,)` the class.
        per_class: `(k,)` whether the concept is one value per class.

    Example:
        >>> report = check_locality("digit_pairs", sizes=(2000, 200, 200), co_occurrence=1.0)
        >>> len(report.twins), len(report.cheated)
        (10, 20)
        >>> print(report.twins[0])
        'left is 0' and 'right is 1': always together (212 of 2000 rows true)
    """

    name: str
    concepts: tuple[str, ...]
    twins: tuple[Twins, ...]
    predicts: Tensor
    together: Tensor
    label: Tensor
    per_class: Tensor

    @property
    def best(self) -> list[tuple[str | None, float]]:
        """For each concept the one that predicts it best, and how well."""
        strength = self.predicts.nan_to_num(-math.inf)
        value, place = strength.max(0)
        return [
            (self.concepts[i], v) if v > -math.inf else (None, math.nan)
            for v, i in zip(value.tolist(), place.tolist(), strict=True)
        ]

    @property
    def cheated(self) -> tuple[str, ...]:
        """Concepts that others predict so well that a model need not look at them."""
        known = torch.tensor([v for _, v in self.best], dtype=torch.float64)
        strongest = torch.stack([known, self.together]).nan_to_num(0).amax(0)
        return tuple(
            n for n, v in zip(self.concepts, strongest.tolist(), strict=True) if v >= _CHEATED
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where nothing can be said."""
        return {
            "twins": [dataclasses.asdict(pair) for pair in self.twins],
            "cheated": list(self.cheated),
            "concepts": {
                name: {
                    "best": best,
                    "predicts": _number(value),
                    "together": _number(float(self.together[j])),
                    "label": _number(float(self.label[j])),
                    "per_class": bool(self.per_class[j]),
                }
                for j, (name, (best, value)) in enumerate(
                    zip(self.concepts, self.best, strict=True)
                )
            },
        }

    def __str__(self) -> str:
        lines = [f"{self.name}: can concepts be told apart?", *self._table()]
        for pair in self.twins[:_MOST]:
            lines.append(str(pair))
        if len(self.twins) > _MOST:
            lines.append(f"and {len(self.twins) - _MOST} more such pairs")
        lines += self._told()
        count, k = len(self.cheated), len(self.concepts)
        lines.append(f"{count} of {k} concepts need not be looked at: others predict them")
        if self.per_class.any():
            lines.append(
                f"{int(self.per_class.sum())} of {k} concepts are annotated per class: they say "
                "nothing about single images"
            )
        return "\n".join(line for text in lines for line in _wrapped(text))

    def _told(self) -> list[str]:
        """Concepts that another one gives away, beside the twins."""
        paired = {name for pair in self.twins for name in (pair.first, pair.second)}
        told = [
            f"{name!r}: {best!r} gives it away ({value:.2f})"
            for name, (best, value) in zip(self.concepts, self.best, strict=True)
            if value >= _CHEATED and name not in paired
        ]
        return told[:_MOST] + ([f"and {len(told) - _MOST} more"] if len(told) > _MOST else [])

    def _table(self) -> list[str]:
        """The concepts that are predicted best by others, strongest first."""
        header = f"  {'concept':<16} best   all label"
        rows = sorted(
            zip(self.concepts, self.best, self.together.tolist(), self.label.tolist(), strict=True),
            key=lambda row: -max((v for v in (row[1][1], row[2]) if v == v), default=0.0),
        )
        lines = [
            f"  {_short(name, 16):<16} {_shown(best)} {_shown(both)} {_shown(label)}"
            for name, (_, best), both, label in rows[:_MOST]
        ]
        more = [f"  and {len(rows) - _MOST} more"] if len(rows) > _MOST else []
        return [header, *lines, *more]


def check_locality(source: Any, **options: Any) -> LocalityReport:
    """See from the annotations which concepts a model could know without looking at them.

    Args:
        source: a `Dataset`, or whatever `load` takes.
        **options: of the loader.

    Raises:
        InvalidInput: data without concepts.

    Memory: about ten `(rows, concepts)` arrays and `(concepts, concepts)` in float64.
    """
    data: Dataset = load(source, **options)
    train = data.train
    if train.c is None or not len(data.concepts):
        raise wrong("concepts", "no concept labels", "data with concepts")
    predicts, twins = _pairs(train, data.concepts)
    held = [data.val, data.test]
    told = _together(train, held, data.concepts)
    by_class, per_class = _by_class(train, held)
    return LocalityReport(
        data.name, data.concepts.names, tuple(twins), predicts, told, by_class, per_class
    )


def _bits(rows: Examples) -> tuple[Tensor, Tensor]:
    """Where concepts are true and where they are false, `(n, k)` float64 of 0 and 1."""
    c = torch.full((len(rows), len(rows.concepts)), torch.nan) if rows.c is None else rows.c.cpu()
    return (c > 0.5).double(), (c <= 0.5).double()


def _pairs(train: Examples, concepts: Concepts) -> tuple[Tensor, list[Twins]]:
    true, false = _bits(train)
    both, neither = true.T @ true, false.T @ false
    first, second = true.T @ false, false.T @ true
    raw = (both / (both + second) + neither / (first + neither)) / 2
    predicts = torch.maximum(raw, 1 - raw)
    own = torch.eye(len(predicts), dtype=torch.bool)
    for group in concepts.groups:
        own[torch.tensor(group)[:, None], torch.tensor(group)] = True
    twins = []
    for opposite, alike, differ in ((False, both, first + second), (True, first, both + neither)):
        other = neither if not opposite else second
        for i, j in ((differ == 0) & (alike > 0) & (other > 0) & ~own).nonzero().tolist():
            if i < j:
                rows, count = alike[i, j] + other[i, j], alike[i, j]
                names = concepts.names[i], concepts.names[j]
                twins.append(Twins(*names, opposite, int(rows), int(count)))
    return predicts.masked_fill(own, torch.nan), twins


def _together(train: Examples, held: list[Examples], concepts: Concepts) -> Tensor:
    """Ridge regressions of every concept on those outside its group, by one inverse.

    With P = (Z'Z + l I)^-1 the regression of columns g on the others has the coefficients
    `-P[others, g] P[g, g]^-1`. An annotation that is unknown counts as the mean.
    """
    true, false = _bits(train)
    known = true + false
    rows = known.sum(0).clamp_min(1)
    share = true.sum(0) / rows
    deviation = (share * (1 - share)).sqrt().clamp_min(1e-9)

    def standard(t: Tensor, f: Tensor) -> Tensor:
        return (t - share) / deviation * (t + f)

    z = standard(true, false)
    inverse = torch.linalg.inv(z.T @ z + _RIDGE * torch.eye(len(share), dtype=torch.float64))
    slope = torch.zeros_like(inverse)
    for group in concepts.interventions:
        g = torch.tensor(group)
        inner = inverse[g[:, None], g]
        slope[:, g] = -torch.linalg.solve(inner.T, inverse[:, g].T).T
        slope[g[:, None], g] = 0
    marks = [_bits(s) for s in held]
    said = torch.cat([standard(*m) @ slope > 0 for m in marks])
    return _balanced(said, torch.cat([m[0] for m in marks]), torch.cat([m[1] for m in marks]))


def _by_class(train: Examples, held: list[Examples]) -> tuple[Tensor, Tensor]:
    """How well the class predicts each concept, and whether it settles it."""
    true, false = _bits(train)
    onehot = torch.nn.functional.one_hot(train.y.cpu(), len(train.classes)).double()
    trues, falses = onehot.T @ true, onehot.T @ false
    settled = (trues == 0) | (falses == 0)
    varied = ((trues + falses) > 1).any(0) & (true.sum(0) > 0) & (false.sum(0) > 0)
    share = true.sum(0) / (true + false).sum(0)
    rate = trues / (trues + falses)
    marks = [_bits(s) for s in held]
    said = torch.cat([(rate > share)[s.y.cpu()] for s in held])
    judged = _balanced(said, torch.cat([m[0] for m in marks]), torch.cat([m[1] for m in marks]))
    return judged, settled.all(0) & varied


def _balanced(said: Tensor, true: Tensor, false: Tensor) -> Tensor:
    """Balanced accuracy per column; NaN where only one value is known."""
    yes = said.double()
    return ((yes * true).sum(0) / true.sum(0) + ((1 - yes) * false).sum(0) / false.sum(0)) / 2


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shown(value: float) -> str:
    return "    -" if math.isnan(value) else f"{value:5.2f}"


def _short(text: str, width: int) -> str:
    plain = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return plain if len(plain) <= width else plain[: width - 3] + "..."


def _wrapped(text: str) -> list[str]:
    if len(text) <= _WIDTH and text.isprintable():
        return [text]
    return textwrap.wrap(_short(text, 10**6), _WIDTH, subsequent_indent="  ")
