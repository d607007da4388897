"""What the model says of one case, what each unit adds to it, and what would change it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from narrows.data import Examples
from narrows.explain import why_not
from narrows.explanation import contributions
from narrows.model import NarrowModel
from narrows.reading import Reading

BEST = 5  # classes that an answer names
_TRIES = 4000  # sets that "why not" tries on a head that is not linear, so that it answers at once


@dataclasses.dataclass(frozen=True)
class Question:
    """One case: its reading, and what a person corrected in it.

    Attributes:
        model: that decides, edits included.
        labels: the classes as texts.
        reading: of this row, a batch of one.
        known: the corrections in force, by unit.
    """

    model: NarrowModel
    labels: Sequence[str]
    reading: Reading
    known: Mapping[str, float]

    @cached_property
    def now(self) -> Reading:
        """The reading with the corrections; some bottlenecks have to search for it."""
        if not self.known:
            return self.reading
        with torch.no_grad():
            return self.model.bottleneck.condition(self.reading, self.known)

    @torch.no_grad()
    def answer(self, reading: Reading) -> dict[str, Any]:
        """What the model says of a reading, as JSON values."""
        return answer_of(self.model.decide(reading).prediction[0], self.labels)

    @torch.no_grad()
    def units(self, truth: Mapping[str, float]) -> list[dict[str, Any]]:
        """The units as JSON values, those that decide most first.

        Args:
            truth: annotated values by unit.
        """
        shares, exact = self.shares()
        before, after = self.values(self.reading), self.values(self.now)
        group = {i: g for g, members in enumerate(self.model.bottleneck.groups) for i in members}
        rows = [
            {
                "index": index,
                "name": name,
                "group": group.get(index),
                "value": before.get(name, (0, 0.0))[1],
                "now": value,
                "corrected": name in self.known,
                "truth": truth.get(name),
                "contribution": None if shares is None else shares[place],
                "exact": exact,
            }
            for place, (name, (index, value)) in enumerate(after.items())
        ]
        # Sorting is stable: where nothing is known of the shares, units keep their order.
        return sorted(rows, key=lambda row: -abs(row["contribution"] or 0.0))

    def shares(self) -> tuple[list[float | None] | None, bool]:
        """What each unit adds to the answer against its rival, and whether that is exact.

        None where the label does not pass through the units.
        """
        units = self.now.units.shape[-1]
        z = self.model.bottleneck.write(self.now).flatten(1)
        if z.shape[1] != units * self.model.bottleneck.width or not z.shape[1]:
            return None, False
        logits = self.model.head(z)[0]
        best = logits.argsort(descending=True, stable=True).tolist()
        pair = Margin(self.model.head, best[0], best[min(1, len(best) - 1)])
        own, _, exact = contributions(pair, z, units)
        return known_numbers(own[0, :, 0]), exact

    def why_not(self, label: str) -> dict[str, Any]:
        """The smallest set of further corrections after which the model says `label`."""
        asked = dict(zip(self.labels, self.model.classes, strict=True)).get(label, label)
        found = why_not(self.model, self.now, asked, evaluations=_TRIES)
        return {
            "label": label,
            "corrections": [
                {"name": c.unit, "from": c.was, "to": c.value} for c in found.corrections or ()
            ],
            "proven": found.proven,
            "text": str(found),
        }

    @torch.no_grad()
    def values(self, reading: Reading) -> dict[str, tuple[int, float | None]]:
        """Index and value of the units that a reading holds, by name."""
        bottleneck = self.model.bottleneck
        names = bottleneck.spoken(reading)[0]
        if reading.indices is None:
            values = known_numbers(bottleneck.scores(reading)[0])
            return dict(zip(names, enumerate(values), strict=True))
        pairs = zip(reading.indices[0].tolist(), known_numbers(reading.units[0]), strict=True)
        return dict(zip(names, pairs, strict=True))


class Margin(nn.Module):
    """The logit of one class minus that of another, affine where the head is.

    Args:
        head: of the model.
        first: the one class.
        second: the other.

    Example:
        >>> from narrows.heads import FixedHead
        >>> Margin(FixedHead(2), 0, 1)(torch.tensor([[3.0, 1.0]]))
        tensor([[2.]])
    """

    def __init__(self, head: nn.Module, first: int, second: int) -> None:
        super().__init__()
        self.head, self.first, self.second = head, first, second
        self.weight, self.bias = (
            part[first : first + 1] - part[second : second + 1]
            if isinstance(part, Tensor)
            else None
            for part in (getattr(head, "weight", None), getattr(head, "bias", None))
        )

    def forward(self, z: Tensor) -> Tensor:
        """`(*batch, inputs)` to `(*batch, 1)`."""
        logits = self.head(z)
        return (logits[..., self.first] - logits[..., self.second]).unsqueeze(-1)


def answer_of(logits: Tensor, labels: Sequence[str]) -> dict[str, Any]:
    """An answer as JSON values, from logits `(classes,)`.

    Example:
        >>> answer_of(torch.tensor([0.0, 0.0]), ["cat", "dog"])["rival"]
        'dog'
    """
    sure = known_numbers(logits.double().softmax(0))
    order = logits.argsort(descending=True, stable=True)[:BEST].tolist()
    scores = [{"label": labels[i], "probability": sure[i]} for i in order]
    rival = labels[order[1]] if len(order) > 1 else None
    return {**scores[0], "scores": scores, "rival": rival}


def known_numbers(values: Tensor) -> list[float | None]:
    """Numbers as JSON values: None for what is NaN or infinite.

    Example:
        >>> known_numbers(torch.tensor([0.5, float("nan")]))
        [0.5, None]
    """
    numbers: list[float | None] = values.tolist()
    if bool(values.isfinite().all()):
        return numbers
    return [n if ok else None for n, ok in zip(numbers, values.isfinite().tolist(), strict=True)]


def truth_of(examples: Examples, row: int, names: Sequence[str]) -> dict[str, float]:
    """The annotated values of a row, by unit; units that nobody annotated are left out."""
    if examples.c is None:
        return {}
    own = dict(zip(examples.concepts.names, examples.c[row].tolist(), strict=True))
    return {name: own[name] for name in names if name in own and own[name] == own[name]}
