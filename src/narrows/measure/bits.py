"""Bits: how large is a reading once it is really coded?

All that passes the narrow place (units, indices, context) becomes integers, and an entropy coder
with a factorised prior, one table per number, fitted on the training readings, writes the test
readings. What counts is the length of its bytes. The tables are not counted: sender and
receiver share them, like the model.

Integers pass as they are. Real numbers are put on a grid of `step` training standard deviations
each; the step is the coarsest of 8, 4, 2, 1, 1/2, ... at which the accuracy on the validation
rows is at most 0.1 point below that of the numbers themselves.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Dataset
from narrows.functional.coder import FactorizedCode
from narrows.measure.grid import Grids
from narrows.measure.rows import decide_rows, pieces, read_rows, targets
from narrows.model import NarrowModel
from narrows.reading import Reading

_COARSEST = 8.0
_HALVINGS = 20  # down to 1.5e-5 deviations, near what float32 tells apart
_CODED = 2**22  # numbers in one stream: the coder takes some 100 bytes for each
_MAY_COST = 0.001 + 1e-9  # of accuracy: 0.1 point, and the rounding of a share


@dataclasses.dataclass(frozen=True)
class BitsResult:
    """The size of a reading, per test example.

    Attributes:
        value: bits an example, 8 times the bytes over the examples.
        ideal: the cross-entropy of the test readings under the prior, in bits an example.
        step: of the grid, in training standard deviations; None where all passes as it is.
        accuracy_full: of the model on the test rows.
        accuracy_coded: of its head on what the receiver decodes.
        rate_bits: mean rate under the bottleneck's own prior, in bits; NaN where it has none.
        numbers: how many numbers a reading has.
        rows: how many readings were coded.
    """

    value: float
    ideal: float
    step: float | None
    accuracy_full: float
    accuracy_coded: float
    rate_bits: float
    numbers: int
    rows: int

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        grid = "as it is" if self.step is None else f"steps of {self.step:g} deviations"
        return (
            f"{self.value:.2f} bits an example (ideal {self.ideal:.2f}; {self.numbers} numbers, "
            f"{grid}); accuracy {self.accuracy_coded:.4f} coded, {self.accuracy_full:.4f} full"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where there is no rate."""
        rate = None if math.isnan(self.rate_bits) else self.rate_bits
        return {**dataclasses.asdict(self), "rate_bits": rate}


def bits(model: NarrowModel, data: Dataset) -> BitsResult:
    """Code a model's test readings and count.

    Args:
        model: any narrow model; its own rate is reported beside.
        data: the prior is fitted on its training rows, the step chosen on its validation rows,
            and its test rows are coded.

    Raises:
        InvalidInput: readings that are NaN or infinite.
        UnknownName: labels the model has no class for.
    """
    train, val, test = (read_rows(model, rows) for rows in (data.train, data.val, data.test))
    y = targets(model, data.test)
    grids, step = _choose(model, Grids.fit(train), val, targets(model, data.val))
    code = FactorizedCode.fit(grids.symbols(train))
    sent = grids.symbols(test)
    streams, received = [], []
    for rows in pieces(len(sent), sent.shape[1], _CODED):
        streams.append(code.encode(sent[rows]))
        received.append(code.decode(streams[-1], len(rows)))
    return BitsResult(
        value=8 * sum(map(len, streams)) / len(sent),
        ideal=float(code.bits(sent).mean()),
        step=step,
        accuracy_full=_accuracy(model, test, y),
        accuracy_coded=_accuracy(model, grids.restore(torch.cat(received), test), y),
        rate_bits=_rate(test),
        numbers=sent.shape[1],
        rows=len(sent),
    )


def _choose(
    model: NarrowModel, grids: Grids, val: Reading, y: Tensor
) -> tuple[Grids, float | None]:
    """The coarsest grids that keep the validation accuracy, and their step."""
    if grids.exact:
        return grids, None
    wanted = _accuracy(model, val, y) - _MAY_COST
    for halvings in range(_HALVINGS + 1):
        step = _COARSEST / 2**halvings
        tried = grids.coarser(step)
        if _accuracy(model, tried.restore(tried.symbols(val), val), y) >= wanted:
            break
    return tried, step


def _accuracy(model: NarrowModel, reading: Reading, y: Tensor) -> float:
    return float((decide_rows(model, reading) == y).double().mean())


def _rate(reading: Reading) -> float:
    """Mean rate of an example in bits; the steps of a sequence add up."""
    return float(reading.rate.double().reshape(len(reading), -1).sum(1).mean()) / math.log(2)
