"""Concept directions of 100 concepts in 5 layers from 2,000 examples, against one SVM each.

The layers are as wide as those of a small network (64 to 768). Concepts are noisy half spaces of
what all layers share, each seen through another random map, under noise that is strongly
correlated. scikit-learn's `SVC(kernel="linear", C=0.1)`, as TCAV and post-hoc concept bottlenecks
fit it, takes too long for all 500 problems: it is timed on every tenth concept of every layer and
its time is scaled up. Directions are judged by the area under the ROC curve on 2,000 other rows,
on the same concepts.

Targets: the closed forms at least 50 times as fast, the better of them within one point of AUC.

    python benchmarks/cav.py [threads]
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from _timing import in_turns, report, spread
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC
from torch import Tensor

from narrows.functional.cav_layers import fit_layers

CONCEPTS, ROWS, WIDTHS, REPEATS, EVERY = 100, 2000, (64, 128, 256, 512, 768), 5, 10
CLOSED = ("mean", "ridge")
KINDS = (*CLOSED, "logistic", "squared-hinge")
SHARED, NOISE = 64, 0.5


def data() -> tuple[list[Tensor], Tensor]:
    """Features of each layer `(2 ROWS, width)` float32, and labels `(2 ROWS, CONCEPTS)`."""
    rng = np.random.default_rng(0)
    spectrum = np.arange(1, SHARED + 1) ** -0.5
    shared = rng.normal(size=(2 * ROWS, SHARED)) * spectrum
    said = shared @ rng.normal(size=(SHARED, CONCEPTS))
    said += NOISE * said.std(0) * rng.normal(size=said.shape)
    rarity = rng.uniform(0.5, 0.9, CONCEPTS)  # shares of negative rows
    labels = said > [np.quantile(s, share) for s, share in zip(said.T, rarity, strict=True)]
    layers = []
    for width in WIDTHS:
        seen = shared @ rng.normal(size=(SHARED, width)) / SHARED**0.5
        seen += 0.3 * rng.normal(size=(2 * ROWS, width)) * rng.uniform(0.2, 1.0, width)
        layers.append(torch.as_tensor(np.maximum(seen, -0.5)).float())
    return layers, torch.as_tensor(labels).float()


def closed(kind: str, layers: list[Tensor], c: Tensor) -> list[Tensor]:
    named = {f"{h.shape[1]} wide": h for h in layers}
    return [found.vectors for found in fit_layers(named, c, kind).values()]


def machines(layers: list[Tensor], c: Tensor) -> tuple[list[np.ndarray], list[tuple[float, float]]]:
    """Directions of every tenth concept of each layer, and the seconds of each fit."""
    vectors, seconds = [], []
    for h in layers:
        x, own = h.numpy(), []
        for j in range(0, CONCEPTS, EVERY):
            start = time.perf_counter(), time.process_time()
            own.append(SVC(kernel="linear", C=0.1).fit(x, c[:, j].numpy()).coef_[0])
            seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        vectors.append(np.stack(own))
    return vectors, seconds


def aucs(layers: list[Tensor], c: Tensor, vectors: list[np.ndarray]) -> list[float]:
    """Area under the ROC curve of every tenth concept of each layer."""
    return [
        float(roc_auc_score(c[:, EVERY * j].numpy(), h.numpy() @ v))
        for h, own in zip(layers, vectors, strict=True)
        for j, v in enumerate(own)
    ]


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    layers, c = data()
    train, held = [h[:ROWS] for h in layers], [h[ROWS:] for h in layers]
    seconds = in_turns(
        {kind: lambda kind=kind: closed(kind, train, c[:ROWS]) for kind in CLOSED}, REPEATS
    )
    seconds |= in_turns(
        {kind: lambda kind=kind: closed(kind, train, c[:ROWS]) for kind in KINDS[2:]}, 1
    )
    reference, each = machines(train, c[:ROWS])
    scale = len(WIDTHS) * CONCEPTS / len(each)
    clock, processor = (list(column) for column in zip(*each, strict=True))
    svm = {"median": scale * sum(clock), "processor median": scale * sum(processor)}
    area = {
        kind: aucs(held, c[ROWS:], [v[::EVERY].numpy() for v in closed(kind, train, c[:ROWS])])
        for kind in KINDS
    }
    area["svm"] = aucs(held, c[ROWS:], reference)
    gaps = {kind: np.subtract(area["svm"], area[kind]) for kind in KINDS}
    report(
        "cav",
        {
            "concepts": CONCEPTS,
            "layers": list(WIDTHS),
            "examples": ROWS,
            "runs": REPEATS,
            "seconds": seconds,
            "svms fitted": len(each),
            "svm seconds each": spread(clock, processor),
            "svm seconds, scaled to all": svm,
            "times as fast as the svms": {
                kind: {figure: svm[figure] / seconds[kind][figure] for figure in svm}
                for kind in KINDS
            },
            "mean AUC on held rows": {
                kind: float(np.mean(values)) for kind, values in area.items()
            },
            "AUC points below the svm, mean": {k: 100 * float(g.mean()) for k, g in gaps.items()},
            "AUC points below the svm, worst": {k: 100 * float(g.max()) for k, g in gaps.items()},
            "target": "closed forms at least 50 times as fast; the better within 1 point of AUC",
        },
    )


if __name__ == "__main__":
    main()
