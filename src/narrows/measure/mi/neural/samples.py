"""What a network is given of the two samples, and what there is to say about them."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.measure.mi.gaussian import gaussian
from narrows.measure.mi.gcmi import normal_scores

Floats = NDArray[np.float64]


def scores_of(x: Floats, y: Floats) -> tuple[Tensor, Tensor]:
    """Normal scores of the columns' ranks, float32.

    A strictly monotone map of a column leaves the information as it is. After this one heavy
    tails and units no longer matter to training, nor to the value. Ranks are taken over all rows;
    they use one column each, so they carry nothing of the dependence into the held-out rows.
    """
    left, right = (torch.from_numpy(normal_scores(rows)).float() for rows in (x, y))
    return left, right


def notes(x: Floats, y: Floats, value: float) -> tuple[str, ...]:
    """Warnings about samples no network should be asked about."""
    n, told = len(x), []
    for name, rows in (("x", x), ("y", y)):
        levels = min(len(np.unique(column)) for column in rows.T)
        if levels < 0.8 * n:
            told.append(
                f"{name} looks discrete ({levels} levels in {n} rows): use method 'mixed', or "
                f"'ross' with {name}_kind='discrete'"
            )
    wide = x.shape[1] + y.shape[1]
    if wide > n:
        told.append(f"{wide} columns for {n} rows: a network learns them by heart; use 'sliced'")
    elif n > wide + 1:
        # What lines alone can tell of the scores is there, whatever a network finds.
        value = max(value, gaussian(normal_scores(x), normal_scores(y)).value)
    if value > math.log(n) - 2:
        told.append(
            f"{value:.2f} nats is within 2 of log N = {math.log(n):.2f}, more than {n} rows can "
            "vouch for; if y is a function of x the truth is infinite"
        )
    return tuple(told)
