"""What the model says now of all rows of a split, as arrays."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.measure.rows import numbers_per_row, pieces
from narrows.model import NarrowModel
from narrows.reading import Reading


@dataclasses.dataclass(frozen=True)
class Standing:
    """Answers of all rows.

    Attributes:
        prediction: `(n,)` the class said, -1 where it is unknown.
        probability: `(n,)` of that class; NaN where it is not known.
        margin: `(n,)` its probability minus that of the next.
    """

    prediction: NDArray[np.int64]
    probability: NDArray[np.float64]
    margin: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.prediction)

    def put(self, rows: NDArray[np.int64], other: Standing) -> None:
        """Replace some rows by those of another standing."""
        for mine, theirs in zip(self._arrays(), other._arrays(), strict=True):
            mine[rows] = theirs

    def _arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        return self.prediction, self.probability, self.margin


@torch.no_grad()
def stand(model: NarrowModel, reading: Reading) -> Standing:
    """Decide for all rows of a reading; memory: 2^20 numbers of it at a time.

    Example:
        >>> from narrows.bottleneck import Bottleneck
        >>> from narrows.heads import FixedHead
        >>> model = NarrowModel(torch.nn.Identity(), Bottleneck(["a", "b"]), FixedHead(2), (0, 1))
        >>> now = stand(model, Reading(torch.tensor([[0.0, 1.0], [0.0, 0.0]])))
        >>> now.prediction.tolist(), now.margin.round(3).tolist()
        ([1, 0], [0.462, 0.0])
    """
    rows = pieces(len(reading), numbers_per_row(reading))
    return of_logits(torch.cat([model.decide(reading[part]).prediction for part in rows]))


def of_logits(logits: Tensor) -> Standing:
    """The standing of logits `(n, classes)`."""
    sure = logits.double().softmax(1)
    top = sure.topk(min(2, sure.shape[1]), 1).values
    best = top[:, 0]
    margin = best - top[:, 1] if top.shape[1] > 1 else best
    # The class is that of `argmax`, as everywhere else: of equal logits the first.
    return Standing(logits.argmax(1).numpy(), best.numpy().copy(), margin.numpy().copy())


@torch.no_grad()
def stand_corrected(
    model: NarrowModel, reading: Reading, known: Mapping[int, Mapping[str, float]]
) -> tuple[NDArray[np.int64], Standing]:
    """Rows with corrections, and their standing; rows with the same units go together.

    Args:
        model: that decides.
        reading: of all rows of the split.
        known: row to corrections by unit; rows without any are decided as they were read.
    """
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, own in known.items():
        alike[tuple(sorted(own))].append(row)
    logits, order = [], []
    for names, rows in alike.items():
        for part in torch.tensor(rows).split(1024):
            fixed = {n: torch.tensor([known[row][n] for row in part.tolist()]) for n in names}
            logits.append(corrected(model, reading[part], fixed))
            order.append(part)
    return torch.cat(order).numpy(), of_logits(torch.cat(logits))


def corrected(model: NarrowModel, reading: Reading, known: Mapping[str, Tensor]) -> Tensor:
    """Logits of a reading with some units fixed."""
    if not known:
        return model.decide(reading).prediction
    return model.correct(reading, known).prediction
