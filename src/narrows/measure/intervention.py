"""Intervention curves: how fast does the decision improve while a person corrects concepts?

Corrections go in turns: a group of exclusive concepts at once, any other concept alone. After
each turn the head decides again; the encoder runs once for all. The truth is written as the
bottleneck writes it (`Bottleneck.condition`: for logits percentiles), once. Where the truth is
unknown nothing is corrected, though the turn is spent.

Public code reports the best of several random orders; here the mean over orders counts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Examples
from narrows.errors import wrong
from narrows.measure import draw
from narrows.measure.corrections import prepare
from narrows.measure.policies import State, find
from narrows.measure.replay import replay
from narrows.model import NarrowModel


@dataclasses.dataclass(frozen=True)
class InterventionCurve:
    """Accuracy after each correction.

    Attributes:
        policy: who chose the order.
        steps: `(turns + 1,)` how many turns are done, from 0.
        accuracy: `(orders, turns + 1)` float64; one order where the policy draws none.
    """

    policy: str
    steps: Tensor
    accuracy: Tensor

    @property
    def mean(self) -> Tensor:
        """`(turns + 1,)` the mean over orders."""
        return self.accuracy.mean(0)

    @property
    def standard_error(self) -> Tensor:
        """`(turns + 1,)` the standard error of the mean over orders; NaN for one order."""
        if len(self.accuracy) < 2:
            return torch.full_like(self.mean, torch.nan)
        return self.accuracy.std(0) / math.sqrt(len(self.accuracy))

    @property
    def area(self) -> float:
        """The area under the mean curve (trapezoids) over the number of turns, in [0, 1]."""
        return float(torch.trapezoid(self.mean) / self.steps[-1])

    def at(self, turns: int) -> float:
        """Mean accuracy after that many corrections.

        Raises:
            InvalidInput: more corrections than the curve has.
        """
        last = int(self.steps[-1])
        if isinstance(turns, bool) or not isinstance(turns, int) or not 0 <= turns <= last:
            raise wrong("turns", repr(turns), f"an integer in 0..{last}")
        return float(self.mean[turns])

    def __str__(self) -> str:
        header, rows = self._rows()
        orders = "1 order" if len(self.accuracy) == 1 else f"{len(self.accuracy)} orders"
        lines = [f"{self.policy} policy, {orders}, area {self.area:.4f}"]
        for cells in (header, *rows):
            lines.append("".join(f"{cell:>12}" for cell in cells).rstrip())
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "policy": self.policy,
            "steps": self.steps.tolist(),
            "accuracy": self.accuracy.tolist(),
            "area": self.area,
        }

    def save(self, path: str | Path) -> None:
        """Write one HTML page with the curve and its table."""
        title = f"Accuracy after corrections ({self.policy})"
        draw.write_page(path, title, draw.svg(self._figure()), draw.table(*self._rows()))

    def to_png(self, path: str | Path) -> None:
        """Draw the curve; its band is twice the standard error to each side."""
        self._figure().savefig(path, format="png", dpi=150)

    def _figure(self) -> Any:
        band = (2 * self.standard_error).tolist()
        line = (self.steps.tolist(), self.mean.tolist(), band)
        return draw.lines({self.policy: line}, "corrections", "accuracy")

    def _rows(self) -> tuple[Sequence[str], list[Sequence[str]]]:
        last = int(self.steps[-1])
        shown = sorted({0, 1, 2, 5, *(10 * 2**i for i in range(20)), last})
        mean, error = self.mean.tolist(), self.standard_error.tolist()
        rows = [
            (str(k), f"{mean[k]:.4f}", "" if math.isnan(error[k]) else f"{error[k]:.4f}")
            for k in shown
            if k <= last
        ]
        return ("corrections", "accuracy", "std. error"), list(rows)


def intervention_curve(
    model: NarrowModel, examples: Examples, policy: str = "random", seeds: int = 5
) -> InterventionCurve:
    """Correct concepts one turn after the other and follow the accuracy.

    Memory beside the readings: pieces of at most 16 MiB; 200 concepts and 6,000 rows stay far
    below 500 MB.

    Args:
        model: its units are matched with the concepts of the data by name.
        examples: labelled rows with concepts.
        policy: which concept comes next; see `policies()`.
        seeds: how many orders, where the policy draws them.

    Raises:
        UnknownName: no such policy; the message offers the nearest.
        InvalidInput: no concept labels, no name in common, contradictory truth in a group.

    Example:
        >>> from narrows.data.record import Concepts
        >>> from narrows.concepts import CBM
        >>> x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(5, 1)
        >>> rows = Examples(x, x.sum(1).long(), x, (0, 1, 2), Concepts(("a", "b")))
        >>> model = CBM("independent", encoder="identity").fit(rows).model_
        >>> curve = intervention_curve(model, rows)
        >>> curve.accuracy.shape, curve.at(2)
        (torch.Size([5, 3]), 1.0)
    """
    chosen = find(policy)
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise wrong("seeds", repr(seeds), "an integer >= 1")
    corrections = prepare(model, examples)
    states = (State(corrections, seed) for seed in range(seeds if chosen.draws else 1))
    accuracy = replay(corrections, map(chosen.order, states))
    return InterventionCurve(policy, torch.arange(accuracy.shape[1]), accuracy)
