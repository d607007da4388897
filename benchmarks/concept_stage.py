"""The concept stage of CUB as 112 logistic regressions, solved together and by scikit-learn.

5,994 rows of 2,048 standardised features with a decaying spectrum (the k-th direction has
deviation k^-1/2), 112 concepts from noisy linear rules on the leading directions, 3 % to 50 %
positive, L2 with C = 1. scikit-learn's `LogisticRegression` (lbfgs, its default and the fastest
of its solvers here) is called once a concept: at a tolerance of 3e-8 in float64, where it is as
near the optimum as we are (1e-3 in every coefficient is asserted of both, against a solution to
1e-11), and at its default tolerance in float32, where it is far from it. Seven rounds take turns:
all 112 concepts by us, then some by scikit-learn, each of them once. Its fits do not depend on
one another, so by default every fourth concept stands for four and the total is scaled; `all`
times each of the 112. Before that our gradient is checked to be at most 1e-6 of its start in
every concept, by the original features in float64.
Target: five times as fast.

    python benchmarks/concept_stage.py [threads [all]]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from _timing import report, spread
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor

from narrows.functional.logistic import Solved, fit_logistic

ROWS, FEATURES, CONCEPTS, LEADING = 5994, 2048, 112, 200
ROUNDS, TOL = 7, 1e-6
NOTES = ("concepts timed, each once", "iterations", "largest difference of a coefficient")


def data() -> tuple[Tensor, Tensor]:
    """Features `(N, D)` float32 and labels `(N, K)`."""
    generator = torch.Generator().manual_seed(0)
    deviation = torch.arange(1, FEATURES + 1).double().rsqrt()
    basis = torch.linalg.qr(torch.randn(FEATURES, FEATURES, generator=generator).double())[0]
    latent = torch.randn(ROWS, FEATURES, generator=generator).double()
    x = (latent * deviation) @ basis.T
    rules = torch.randn(LEADING, CONCEPTS, generator=generator).double() / LEADING**0.5
    noise = torch.randn(ROWS, CONCEPTS, generator=generator).double()
    score = latent[:, :LEADING] @ rules + 0.7 * noise
    share = torch.linspace(0.03, 0.5, CONCEPTS)
    cut = torch.stack([s.quantile(1 - q) for s, q in zip(score.T, share.double(), strict=True)])
    return ((x - x.mean(0)) / x.std(0)).float(), (score > cut).float()


def gradients(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Norms of the gradient by weight and bias, `(K,)`, in float64."""
    residual = (x.double() @ weight.T + bias).sigmoid() - y.double()
    return torch.cat([residual.T @ x.double() + weight, residual.sum(0)[:, None]], 1).norm(dim=1)


def shares_left(x: Tensor, y: Tensor, solved: Solved) -> Tensor:
    """Gradient norms as shares of those at zero weight and the best constant."""
    start = gradients(x, y, torch.zeros_like(solved.weight), y.double().mean(0).logit())
    return gradients(x, y, solved.weight, solved.bias) / start


def coefficients(solved: Solved) -> np.ndarray:
    """`(K, D + 1)`, the bias last."""
    return np.concatenate([solved.weight.numpy(), solved.bias.numpy()[:, None]], 1)


def scikit(x: np.ndarray, y: Tensor, concepts: list[int], tol: float) -> tuple[np.ndarray, int]:
    """Coefficients with the intercept last, `(concepts, D + 1)`, and iterations."""
    rows, steps = [], 0
    for k in concepts:
        model = LogisticRegression(C=1.0, tol=tol, max_iter=100_000).fit(x, y[:, k].numpy())
        rows.append(np.append(model.coef_[0], model.intercept_[0]))
        steps += int(model.n_iter_[0])
    return np.stack(rows), steps


def timed(call: Any) -> tuple[Any, float, float]:
    """What a call gives, its seconds and its processor seconds."""
    start, busy = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - start, time.process_time() - busy


def summary(
    rounds: int,
    mine: list[tuple[float, float]],
    theirs: dict[str, list[tuple[float, float]]],
    notes: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """What the rounds so far say."""
    seconds = spread(*map(list, zip(*mine, strict=True)))
    peers = {}
    for name, times in theirs.items():
        scale = CONCEPTS / notes[name]["concepts timed, each once"]
        clock, busy = (scale * sum(part) for part in zip(*times, strict=True))
        peers[name] = notes[name] | {
            "seconds for all concepts": clock,
            "processor seconds": busy,
            "times as fast": clock / seconds["median"],
            "times as fast, processor": busy / seconds["processor median"],
        }
    return {"rounds": f"{rounds} of {ROUNDS}", "seconds": seconds, "scikit-learn": peers}


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    torch.set_num_threads(threads)
    x, y = data()
    # Float64 inputs, so that rounding the answer to float32 does not count as a gradient left.
    solved = fit_logistic(x.double(), y, 1.0, tol=TOL)
    left = shares_left(x, y, solved)
    assert solved.converged.all()
    assert left.max() <= 2 * TOL, float(left.max())
    reference = coefficients(fit_logistic(x.double(), y, 1.0, tol=1e-11))
    ours_off = float(np.abs(coefficients(solved) - reference).max())
    assert ours_off <= 1e-3, ours_off
    settings = {
        "rows": ROWS,
        "features": FEATURES,
        "concepts": CONCEPTS,
        "l2": "C = 1 on standardised features",
        "positive": [0.03, 0.5],
        "steps": solved.iterations,
        "largest share of a gradient left": float(left.max()),
        "largest difference of a coefficient": ours_off,
        "target": "5 times as fast",
    }
    ways = {"3e-8, float64": (x.double().numpy(), 3e-8), "1e-4, float32": (x.numpy(), 1e-4)}
    mine: list[tuple[float, float]] = []
    theirs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    notes = {name: dict.fromkeys(NOTES, 0.0) for name in ways}
    chosen = list(range(0, CONCEPTS, 1 if sys.argv[2:] == ["all"] else 4))
    with threadpool_limits(threads):
        for turn in range(ROUNDS):
            _, clock, busy = timed(lambda: fit_logistic(x, y, 1.0, tol=TOL))
            mine.append((clock, busy))
            concepts = chosen[turn::ROUNDS]
            for name, (features, tol) in ways.items():
                (found, used), clock, busy = timed(
                    lambda f=features, c=concepts, t=tol: scikit(f, y, c, t)
                )
                theirs[name].append((clock, busy))
                gap = float(np.abs(found - reference[concepts]).max())
                note = notes[name]
                note[NOTES[0]] += len(concepts)
                note[NOTES[1]] += used
                note[NOTES[2]] = max(note[NOTES[2]], gap)
            assert notes["3e-8, float64"][NOTES[2]] <= 1e-3, notes
            # After each round, so that a run which is cut short leaves what it has measured.
            report("concept_stage", settings | summary(turn + 1, mine, theirs, notes))


if __name__ == "__main__":
    main()
