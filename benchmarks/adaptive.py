"""What adaptive and compressed estimates of layers cost.

* cells: EBAB of 4,096 rows of 10 rectified units, for the layer and unit by unit, against cells
  with fixed ends.
* noise: bounds with noise in proportion to the layer, of the same rows, against a fixed variance;
  and how many MB the process grew by.
* entropy: nearest neighbours of 10,000 rows of 8 columns, five of them, weighted and not, against
  one O(N^2) pass in pieces that finds the same distances.

Targets: cells under 15 ms; noise under 1 s and 300 MB; entropy under 2 s and within 1e-6 of the
O(N^2) pass.

    python benchmarks/adaptive.py [threads]
"""

from __future__ import annotations

import math
import resource
import sys

import numpy as np
import torch
from _timing import in_turns, report
from scipy.special import digamma, gammaln

from narrows.measure import AdaptiveBins, AdaptiveNoise, FixedBins, MixtureBounds
from narrows.measure.mi.knn_entropy import berrett, knn_entropy, weighted_entropy

N, D, K = 10_000, 8, 5


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def all_distances(x: np.ndarray) -> float:
    """The weighted entropy without a tree and without whitening."""
    near = np.empty((N, K))
    for start in range(0, N, 200):
        rows = slice(start, start + 200)
        far = ((x[rows, None] - x) ** 2).sum(-1)
        far[np.arange(200), np.arange(start, start + 200)] = np.inf
        near[rows] = np.sqrt(np.sort(np.partition(far, K - 1)[:, :K]))
    ball = D / 2 * math.log(math.pi) - gammaln(D / 2 + 1)
    each = digamma(N) - digamma(np.arange(1, K + 1)) + ball + D * np.log(near)
    return float((each @ berrett(K, D)).mean())


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    source = torch.Generator().manual_seed(0)
    t = torch.relu(torch.randn(4096, 10, generator=source))
    y = torch.randint(2, (4096,), generator=source)

    def measure(estimator: object) -> object:
        return lambda: estimator.measure(estimator.encode(t), y)

    cells = in_turns(
        {
            "ebab, layer": measure(AdaptiveBins(30)),
            "ebab, unit": measure(AdaptiveBins(30, "unit")),
            "fixed": measure(FixedBins(30)),
        },
        20,
    )
    before = peak_mb()
    noise = in_turns(
        {"adaptive": measure(AdaptiveNoise(1e-3)), "fixed": measure(MixtureBounds(1e-3))}, 5
    )
    grown = peak_mb() - before
    x = np.random.default_rng(0).standard_normal((N, D))
    ours, known = weighted_entropy(x, k=K, whiten=False).value, all_distances(x)
    entropy = in_turns(
        {"weighted": lambda: weighted_entropy(x, k=K), "plain": lambda: knn_entropy(x, k=K)}, 5
    )
    entropy |= in_turns({"all distances": lambda: all_distances(x)}, 1)
    report(
        "adaptive",
        {
            "cells": cells,
            "noise": noise,
            "noise, MB grown": grown,
            "entropy": entropy,
            "entropy, off all distances": abs(ours - known),
        },
    )


if __name__ == "__main__":
    main()
