"""The concept layer: one named, correctable score per concept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from narrows.bottleneck import Bottleneck, Known, resolve_known
from narrows.errors import unknown, wrong
from narrows.reading import Reading

KINDS = ("soft", "hard", "logit")


class ConceptLayer(Bottleneck):
    """Linear concept scores of features.

    Args:
        features: width of `h`.
        names: one per concept.
        groups: mutually exclusive concepts.
        kind: what passes: `soft` probabilities, `hard` bits (straight-through gradient), or
            `logit`s. A correction writes the truth for the first two; for logits it writes the
            5th or 95th percentile of that concept's training logits.
        extra: unsupervised units appended for capacity. They carry whatever training puts there
            (they leak) and cannot be corrected.

    Example:
        >>> layer = ConceptLayer(4, ["furry", "loud"])
        >>> reading = layer.read(torch.zeros(1, 4))
        >>> layer.condition(reading, {"furry": 1.0}).units[0, 0].item()
        1.0
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        features: int,
        names: Sequence[str],
        groups: Sequence[Sequence[int]] = (),
        kind: str = "soft",
        extra: int = 0,
    ) -> None:
        if kind not in KINDS:
            raise wrong("kind", repr(kind), f"one of {', '.join(KINDS)}")
        super().__init__([*names, *(f"extra {i}" for i in range(extra))], groups)
        self.kind, self.concepts = kind, len(names)
        self.linear = nn.Linear(features, len(self.names))
        self.register_buffer("low", torch.zeros(len(names)))
        self.register_buffer("high", torch.zeros(len(names)))

    def logits(self, h: Tensor) -> Tensor:
        """`(*batch, concepts + extra)` before any squashing: what losses take."""
        return self.linear(h)

    def let_through(self, logits: Tensor) -> Reading:
        """What passes of these logits."""
        if self.kind == "logit":
            return Reading(logits)
        soft = logits.sigmoid()
        if self.kind == "hard":
            bits = (soft >= 0.5).to(soft.dtype)
            soft = bits + (soft - soft.detach())  # exactly the bits, with the gradient of soft
        return Reading(soft)

    def read(self, h: Tensor) -> Reading:
        """Score every concept."""
        return self.let_through(self.logits(h))

    def scores(self, reading: Reading) -> Tensor:
        """Probabilities (bits for the hard kind)."""
        return reading.units.sigmoid() if self.kind == "logit" else reading.units

    def condition(self, reading: Reading, known: Known) -> Reading:
        """Fix concepts to values in [0, 1]; confirming a score leaves its unit as it is."""
        mask, values = resolve_known(known, self.names, self.groups, reading.units)
        self._check(mask, values)
        if self.kind == "logit":
            values = self._as_logits(reading, values)
        return reading.replace(units=torch.where(mask, values, reading.units))

    @property
    def interventions(self) -> tuple[tuple[int, ...], ...]:
        """Groups and single concepts; the extra units are nobody's to correct."""
        return tuple(g for g in super().interventions if g[0] < self.concepts)

    @torch.no_grad()
    def fit_range(self, logits: Tensor) -> None:
        """Keep the 5th and 95th percentile of the training logits `(n, concepts + extra)`."""
        marks = torch.tensor([0.05, 0.95], dtype=torch.float64)
        low, high = logits[:, : self.concepts].double().cpu().quantile(marks, 0)
        self.low.copy_(low)
        self.high.copy_(high)

    def _as_logits(self, reading: Reading, values: Tensor) -> Tensor:
        unit = reading.units
        low, high = (
            nn.functional.pad(edge, (0, len(self.names) - self.concepts))
            for edge in (self.low, self.high)
        )
        written = torch.where(values >= 1, high, torch.where(values <= 0, low, values.logit()))
        return torch.where(values == unit.sigmoid(), unit, written)

    def _check(self, mask: Tensor, values: Tensor) -> None:
        if mask[..., self.concepts :].any():
            raise wrong("known", "an extra, unsupervised unit", "named concepts only")
        outside = mask & ((values < 0) | (values > 1))
        if outside.any():
            where = int(outside.flatten(0, -2).any(0).nonzero()[0])
            value = float(values[outside][0])
            raise wrong(f"known[{self.names[where]!r}]", value, "a value in [0, 1]")


class SideConcepts(ConceptLayer):
    """Concepts read beside the features, which pass untouched: multitask learning.

    The label does not go through the concepts, so correcting one changes no label. It stands
    here as the comparison the paper makes.
    """

    width = 0  # no part of the head's input belongs to a unit

    def let_through(self, logits: Tensor) -> Reading:
        """Not enough to read from; use `read`."""
        raise unknown("input", "logits alone", ["features"])

    def read(self, h: Tensor) -> Reading:
        """Concept scores, with all features as context."""
        return super().let_through(self.logits(h)).replace(context={"features": h})

    def write(self, reading: Reading) -> Tensor:
        """The features."""
        return reading.context["features"]
