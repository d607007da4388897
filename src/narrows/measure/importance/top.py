"""Of the most important concepts of each row, how many are right?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.importance.checks import as_json


@dataclasses.dataclass(frozen=True)
class TopShare:
    """Of the l most important concepts, the share that is right, as a mean over rows.

    Attributes:
        top: the values of l.
        share: `(len(top),)` mean over rows that have anything to judge.
        error: `(len(top),)` its standard error over rows.
        coverage: `(len(top),)` how many of the l concepts a row could be judged by, as a share.
            A row with fewer than l is divided by those it has.
        rows: how many rows were judged.
        baselines: what chance and simple rules reach, `(len(top),)` each.
    """

    top: tuple[int, ...]
    share: Tensor
    error: Tensor
    coverage: Tensor
    rows: int
    baselines: Mapping[str, Tensor]

    def __str__(self) -> str:
        wide = max(8, *map(len, self.baselines)) if self.baselines else 8
        lines = [f"{'top':<{wide}} " + " ".join(f"{n:>6d}" for n in self.top)]
        rows = {"share": self.share, "+-": self.error, **self.baselines, "coverage": self.coverage}
        for name, values in rows.items():
            lines.append(f"{name:<{wide}} " + " ".join(f"{v:6.3f}" for v in values.tolist()))
        return "\n".join([*lines, f"rows: {self.rows}"])

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        return {k: as_json(v) for k, v in vars(self).items()}


def ranked(importance: Tensor, judged: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The `most` most important concepts of each row that can be judged.

    Returns:
        Their places `(n, most)`, and `(n, most)` bool: False where a row has no more.
    """
    order = importance.masked_fill(~judged, -torch.inf).sort(dim=-1, descending=True, stable=True)
    chosen = order.indices[:, :most]
    return chosen, judged.gather(1, chosen)


def judge(right: Tensor, valid: Tensor, top: Sequence[int]) -> TopShare:
    """Means over rows of `right (n, most)`, the first l of each row, where `valid`.

    Example:
        >>> judge(torch.tensor([[1.0, 0.0]]), torch.tensor([[True, True]]), (1, 2)).share.tolist()
        [1.0, 0.5]
    """
    last = torch.tensor(top, device=right.device) - 1
    hits = torch.where(valid, right.double(), 0.0).cumsum(1)[:, last]
    held = valid.double().cumsum(1)[:, last]
    rows = valid[:, 0]
    shares = (hits / held)[rows]
    n = len(shares)
    nan = torch.full((len(top),), torch.nan, dtype=torch.float64)
    return TopShare(
        top=tuple(top),
        share=shares.mean(0) if n else nan,
        error=shares.std(0) / math.sqrt(n) if n > 1 else nan,
        coverage=(held / (last + 1)).mean(0) if len(held) else nan,
        rows=n,
        baselines={},
    )


def check_top(top: Sequence[int], concepts: int) -> tuple[int, ...]:
    """How many concepts to look at, each from 1 to all of them, or an error."""
    if not len(top) or any(not isinstance(n, int) or not 1 <= n <= concepts for n in top):
        raise wrong(
            "top", tuple(top), f"whole numbers from 1 to {concepts}, the concepts there are"
        )
    return tuple(top)
