"""Probing 100 features from 8 layers against scikit-learn's RidgeCV, feature by feature.

10,000 rows; layers of 16 to 128 columns. Each feature is a noisy mixture of the last layer. Ours:
all features and layers at once, penalties chosen over 5 folds, R² on 3,000 held-out rows, with
its standard error. Peers, on the same training rows, columns standardised the same:

- RidgeCV over the same 5 folds: the same choice, so R² must agree to 1e-4
- RidgeCV with its fast leave-one-out choice, whose R² may differ where it chooses otherwise
- the latter for all features of a layer in one call, which no target asks for

The first two are timed on a part of the features, and their time is scaled up: all of it takes
minutes. Target: 5 times as fast as RidgeCV feature by feature.

    python benchmarks/v_information.py [threads]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _timing import in_turns, report, times_as_fast
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import PredefinedSplit

from narrows.measure import FeatureComplexity, feature_complexity
from narrows.measure.complexity.parts import split_parts
from narrows.measure.complexity.ridge import ALPHAS

N, K, WIDTHS, REPEATS = 10_000, 100, (16, 16, 32, 32, 64, 64, 128, 128), 3
AT_ONCE = "RidgeCV, leave-one-out, all features at once"
SOME = 4  # features that each peer is timed on, of all layers
Peer = Callable[[np.ndarray, np.ndarray], np.ndarray]


def data() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    last = torch.randn(N, WIDTHS[-1], generator=source)
    layers = {}
    for i, width in enumerate(WIDTHS):
        mix = torch.randn(WIDTHS[-1], width, generator=source) / WIDTHS[-1] ** 0.5
        layers[str(i)] = torch.relu(last @ mix) + 0.1 * torch.randn(N, width, generator=source)
    z = last @ torch.randn(WIDTHS[-1], K, generator=source) / WIDTHS[-1] ** 0.5
    return layers, torch.relu(z + 0.5 * torch.randn(N, K, generator=source))


def peer(choice: Callable[[np.ndarray], object]) -> Peer:
    def r2(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        parts = PARTS.numpy()
        train, test = parts >= 0, parts < 0
        x = x / x[train].std(0)
        found = []
        for target in z.T:
            model = RidgeCV(ALPHAS, cv=choice(parts[train])).fit(x[train], target[train])
            found.append(model.score(x[test], target[test]))
        return np.array(found)

    return r2


LAYERS, Z = data()
PARTS = split_parts(Z.double(), 0.3, 5, seed=0)
PEERS = {
    "RidgeCV, same folds": peer(PredefinedSplit),
    "RidgeCV, leave-one-out": peer(lambda _: None),
}


def ours() -> FeatureComplexity:
    return feature_complexity(LAYERS, Z)


def theirs(who: str, features: int) -> np.ndarray:
    z = Z[:, :features].double().numpy()
    return np.stack([PEERS[who](x.double().numpy(), z) for x in LAYERS.values()])


def at_once() -> np.ndarray:
    train, test = PARTS.numpy() >= 0, PARTS.numpy() < 0
    z, found = Z.double().numpy(), []
    for layer in LAYERS.values():
        x = layer.double().numpy()
        x = x / x[train].std(0)
        model = RidgeCV(ALPHAS, alpha_per_target=True).fit(x[train], z[train])
        found.append(r2_score(z[test], model.predict(x[test]), multioutput="raw_values"))
    return np.stack(found)


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    torch.set_num_threads(threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # for all libraries alike
    before = os.getloadavg()[0]
    found = ours().v_information.numpy()
    off = {
        who: float(np.abs(np.maximum(theirs(who, SOME), 0) - found[:, :SOME]).max())
        for who in PEERS
    }
    off[AT_ONCE] = float(np.abs(np.maximum(at_once(), 0) - found).max())
    assert off["RidgeCV, same folds"] < 1e-4, off
    seconds = in_turns({"narrows": ours, AT_ONCE: at_once}, REPEATS)
    for who in PEERS:
        one = in_turns({who: lambda who=who: theirs(who, SOME)}, 1)[who]
        seconds[who] = {figure: value * K / SOME for figure, value in one.items()}
    report(
        Path(__file__).stem,
        {
            "rows": N,
            "features": K,
            "columns of the layers": list(WIDTHS),
            "features each peer was timed on": SOME,
            "target": "5 times as fast, R² equal to 1e-4",
            "largest difference of R²": off,
            "seconds, peers scaled to all features": seconds,
            "times as fast": {
                who: times_as_fast(seconds, "narrows", who) for who in [*PEERS, AT_ONCE]
            },
            "load average before": before,
        },
    )


if __name__ == "__main__":
    main()
