"""The residual of hybrid models: how much of the accuracy goes around the named concepts?

What the head reads of every named concept is replaced by its mean over the training rows; units
without a concept (extra dimensions, the residual of a post-hoc hybrid, an input's own vote) stay.
Without any way around the concepts, all rows are then alike and get one label.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Dataset
from narrows.errors import wrong
from narrows.measure.rows import evaluating, matched, read_rows, targets
from narrows.model import NarrowModel
from narrows.reading import Reading


@dataclasses.dataclass(frozen=True)
class Residual:
    """Accuracy on the test rows.

    Attributes:
        full: as the model is.
        without: with all named concepts at their means.
        chance: of always saying the training rows' commonest class.
    """

    full: float
    without: float
    chance: float

    @property
    def share(self) -> float:
        """The share of the accuracy that survives; that of chance is no leakage."""
        return self.without / self.full if self.full else float("nan")

    def __float__(self) -> float:
        return self.share

    def __str__(self) -> str:
        return (
            f"{100 * self.share:.1f} % of the accuracy goes around the concepts "
            f"({100 * self.without:.1f} of {100 * self.full:.1f}, chance {100 * self.chance:.1f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        share = self.share if self.full else None
        return {**dataclasses.asdict(self), "share": share}


def residual(model: NarrowModel, data: Dataset) -> Residual:
    """Accuracy that survives without the concepts.

    Memory: the head's input of all rows, twice.

    Args:
        model: its units are matched with the concepts of the data by name.
        data: means come from its training rows, accuracies from its test rows.

    Raises:
        InvalidInput: no concept labels, no name in common, units that have no fixed place.
    """
    columns = list(matched(model.bottleneck.columns, data.test))
    y, seen = targets(model, data.test), targets(model, data.train)
    train, test = (read_rows(model, rows) for rows in (data.train, data.test))
    with evaluating(model):
        full = model.decide(test).prediction.argmax(-1)
        without = _silenced(model, train, test, columns).argmax(-1)
    commonest = seen.bincount().argmax()
    shares = ((said == y).double().mean() for said in (full, without, commonest))
    return Residual(*map(float, shares))


def _silenced(model: NarrowModel, train: Reading, test: Reading, columns: list[int]) -> Tensor:
    """Logits with the concepts at their means."""
    units, width = len(model.bottleneck.columns), model.bottleneck.width
    z = model.bottleneck.write(test)
    if width > 0 and z.flatten(1).shape[1] == units * width:
        mean = model.bottleneck.write(train).flatten(1).mean(0).unflatten(0, (units, width))
        parts = z.flatten(1).unflatten(1, (units, width)).clone()
        parts[:, columns] = mean[columns]
        logits: Tensor = model.head(parts.reshape(z.shape))
        return logits
    if test.indices is not None or test.units.shape[-1] != units:
        raise wrong("model", "units without a fixed place", "a unit for each concept")
    replaced = test.units.clone()
    replaced[:, columns] = torch.as_tensor(train.units.mean(0))[columns]
    return model.decide(test.replace(units=replaced)).prediction
