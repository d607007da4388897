"""An intervention curve: accuracy after each correction, as numbers, text, page and picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure import draw


@dataclasses.dataclass(frozen=True)
class InterventionCurve:
    """Accuracy after each correction.

    Attributes:
        policy: who chose the order.
        steps: `(turns + 1,)` how many turns are done, from 0.
        accuracy: `(orders, turns + 1)` float64; one order where the policy draws none.
        spent: `(orders, turns + 1)` float64, what the corrections cost until then, a mean over
            rows; None where no costs were given.
    """

    policy: str
    steps: Tensor
    accuracy: Tensor
    spent: Tensor | None = None

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
        values = {
            "policy": self.policy,
            "steps": self.steps.tolist(),
            "accuracy": self.accuracy.tolist(),
            "area": self.area,
        }
        return values if self.spent is None else values | {"spent": self.spent.tolist()}

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
