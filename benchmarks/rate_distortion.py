"""The sweep of a rate-distortion curve against calling scikit-learn's KMeans directly.

K = 2 to 50 over 565 items of 300 dimensions, the size of Rosch's second study with word vectors:
random groups of unequal size. The same starts and seeds on both sides; distortions must agree to
1e-9. Target: within 1.5 times.

    python benchmarks/rate_distortion.py [threads]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import in_turns, report
from sklearn.cluster import KMeans

from narrows.measure import rate_distortion_curve

N, D, KS, STARTS, REPEATS = 565, 300, range(2, 51), 10, 3


def items() -> np.ndarray:
    rng = np.random.default_rng(0)
    group = rng.choice(10, N, p=np.arange(1, 11) / 55)
    return 0.4 * rng.standard_normal((10, D))[group] + rng.standard_normal((N, D))


def direct(e: np.ndarray) -> np.ndarray:
    found = [KMeans(k, n_init=STARTS, random_state=0).fit(e).inertia_ for k in KS]
    return np.array(found) / len(e)


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    torch.set_num_threads(threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # for all libraries alike
    before = os.getloadavg()[0]
    e = items()
    centred = e - e.mean(0)

    def ours() -> Any:
        return rate_distortion_curve(e, KS, normalize=None, n_init=STARTS)

    off = float(np.abs(np.array(ours().distortion) / direct(centred) - 1).max())
    assert off < 1e-9, f"distortions differ by {off}"
    seconds = in_turns({"narrows": ours, "scikit-learn": lambda: direct(centred)}, REPEATS)
    figures = ("median", "least", "processor median", "processor least")
    times = {f: seconds["narrows"][f] / seconds["scikit-learn"][f] for f in figures}
    report(
        Path(__file__).stem,
        {
            "items": N,
            "dimensions": D,
            "K": [min(KS), max(KS)],
            "starts": STARTS,
            "repeats": REPEATS,
            "target": "at most 1.5 times scikit-learn's time",
            "largest relative difference": off,
            "seconds": seconds,
            "times scikit-learn's": times,
            "load average before": before,
        },
    )


if __name__ == "__main__":
    main()
