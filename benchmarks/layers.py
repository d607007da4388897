"""What it costs to look at layers: snapshots of the information plane, and a streaming covariance.

* plane: 300 epochs of the 12-10-7-5-4-3-2 network on 3,277 of 4,096 patterns, batches of 256, with
  100 snapshots of five layers by fixed bins, against the same training unrecorded.
* cells: the binned information of 4,096 rows of 10 units.
* spectrum: RankMe of 6,000 x 2,048 features taken in batch by batch, against one float64 product
  `F.T @ F` and its eigenvalues.

Targets: a recorder that costs under 30 % of training; cells under 10 ms; a stream at most 1.3
times the plain product.

    python benchmarks/layers.py [threads]
"""

from __future__ import annotations

import sys
import warnings

import torch
from _timing import in_turns, report, times_as_fast
from torch import Tensor, nn

from narrows.claims.information_plane import _net, task
from narrows.measure import CovarianceStream, FixedBins, InformationPlane, rankme

EPOCHS, SNAPSHOTS, BATCH, TRAIN = 300, 100, 256, 3277
LAYERS = ["1", "3", "5", "7", "9"]


def train(model: nn.Module, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-4)
    for _ in range(EPOCHS):
        for rows in torch.arange(TRAIN).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()


def recorded(x: Tensor, y: Tensor) -> None:
    model = _net("tanh", 0)
    every = range(0, EPOCHS, EPOCHS // SNAPSHOTS)
    plane = InformationPlane(model, x, y, LAYERS, {"bins": FixedBins(30)}, epochs=every)
    with plane.record(steps=-(-TRAIN // BATCH)):
        train(model, x, y)
    assert len(set(plane.table()["epoch"])) == SNAPSHOTS


def streamed(features: Tensor) -> float:
    stream = CovarianceStream(features.shape[1])
    for batch in features.split(512):
        stream.update(batch)
    return rankme(stream)


def plainly(features: Tensor) -> Tensor:
    wide = features.double()
    return torch.linalg.eigvalsh(wide.T @ wide)


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    warnings.filterwarnings("ignore", ".*at its ceiling")
    source = torch.Generator().manual_seed(0)
    x, y = task()
    t = torch.tanh(torch.randn(4096, 10, generator=source))
    features, bins = torch.randn(6000, 2048, generator=source), FixedBins(30)
    plane = in_turns(
        {"recorded": lambda: recorded(x, y), "unrecorded": lambda: train(_net("tanh", 0), x, y)}, 3
    )
    spectrum = in_turns(
        {"stream": lambda: streamed(features), "product": lambda: plainly(features)}, 3
    )
    cells = in_turns({"cells": lambda: bins.measure(bins.encode(t), y)}, 20)
    report(
        "layers",
        {
            "plane": plane,
            "recorded over unrecorded": times_as_fast(plane, "unrecorded", "recorded"),
            "cells": cells,
            "spectrum": spectrum,
            "stream over product": times_as_fast(spectrum, "product", "stream"),
        },
    )


if __name__ == "__main__":
    main()
