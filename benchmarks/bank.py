"""A bank of 170 concepts (as many as Broden's) on 6,000 cached embeddings of 384 numbers.

The embeddings have unit length and a decaying spectrum, as those of sentence encoders do, and the
concepts are noisy half spaces that hold on 2 to 50 % of the rows. Each kind of direction is fitted
to all 170 together, C of the iterated ones chosen for each concept among the paper's five on
2,000 further rows. `svm` is the paper's way: libsvm on 50 + 50 examples of each concept, C chosen
on 50 + 50 others.

Before anything is timed, three concepts of the iterated kinds must have the objective a solver of
another library finds. Accuracy and the area under the ROC curve are those on the 2,000 rows.

Target: less than 60 seconds on two cores.

    python benchmarks/bank.py [threads]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from _timing import in_turns, report
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor

from narrows.concepts import ConceptBank
from narrows.functional.cav import fit_directions

CONCEPTS, ROWS, HELD, WIDTH, EXAMPLES = 170, 6_000, 2_000, 384, 100
NAMES = [f"c{j}" for j in range(CONCEPTS)]
TOGETHER = ("mean", "ridge", "logistic", "squared-hinge")
REPEATS, CHECKED, COST = 1, 3, 0.1


def data() -> tuple[Tensor, Tensor]:
    """Embeddings `(ROWS + HELD, WIDTH)` and labels `(ROWS + HELD, CONCEPTS)`, float32."""
    rng = np.random.default_rng(0)
    h = rng.normal(size=(ROWS + HELD, WIDTH)) * np.arange(1, WIDTH + 1) ** -0.4
    h /= np.linalg.norm(h, axis=1, keepdims=True)
    said = h @ rng.normal(size=(WIDTH, CONCEPTS))
    said += 0.5 * said.std(0) * rng.normal(size=said.shape)
    edges = [np.quantile(s, 1 - p) for s, p in zip(said.T, rng.uniform(0.02, 0.5, CONCEPTS))]  # noqa: B905  # as many of each
    return torch.as_tensor(h).float(), torch.as_tensor(said > edges).float()


def check(h: Tensor, c: Tensor) -> dict[str, float]:
    """Relative gaps between our objectives and other solvers', the largest of a kind."""
    x, gaps = h.double().numpy(), {"logistic": 0.0, "squared-hinge": 0.0}
    found = {kind: fit_directions(h.double(), c[:, :CHECKED], kind, cost=COST) for kind in gaps}
    for j in range(CHECKED):
        s = 2 * c[:, j].double().numpy() - 1

        def hinge(w: np.ndarray, s: np.ndarray = s) -> tuple[float, np.ndarray]:
            short = np.maximum(0, 1 - s * (x @ w[:-1] + w[-1]))
            pull = -2 * short * s
            slope = np.append(pull @ x + w[:-1] / COST, pull.sum())
            return float(short @ short + w[:-1] @ w[:-1] / (2 * COST)), slope

        def logistic(w: np.ndarray, s: np.ndarray = s) -> tuple[float, np.ndarray]:
            loss = np.logaddexp(0, -s * (x @ w[:-1] + w[-1])).sum()
            return float(loss + w[:-1] @ w[:-1] / (2 * COST)), w

        theirs = LogisticRegression(C=COST, tol=1e-8, max_iter=2_000).fit(x, s)
        best = {
            "logistic": np.append(theirs.coef_[0], theirs.intercept_),
            "squared-hinge": minimize(hinge, np.zeros(WIDTH + 1), jac=True, method="L-BFGS-B").x,
        }
        for kind, objective in (("logistic", logistic), ("squared-hinge", hinge)):
            own = np.append(found[kind].vectors[j].numpy(), float(found[kind].biases[j]))
            wanted = objective(best[kind])[0]
            gaps[kind] = max(gaps[kind], (objective(own)[0] - wanted) / wanted)
    assert max(gaps.values()) < 1e-4, f"objectives above those of other solvers: {gaps}"
    return gaps


def sets(h: Tensor, c: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """The first EXAMPLES rows of each kind, by concept."""
    return {
        name: (h[said > 0.5][:EXAMPLES], h[said < 0.5][:EXAMPLES])
        for name, said in zip(NAMES, c.T, strict=True)
    }


def quality(bank: ConceptBank, h: Tensor, c: Tensor) -> dict[str, float]:
    d = bank.distances(h)
    areas = [roc_auc_score(c[:, j].numpy(), d[:, j].numpy()) for j in range(CONCEPTS)]
    return {"mean AUC": float(np.mean(areas)), "least AUC": float(np.min(areas))}


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    h, c = data()
    train, held = (h[:ROWS], c[:ROWS]), (h[ROWS:], c[ROWS:])
    gaps = check(*train)
    chosen = sets(*train)
    banks: dict[str, ConceptBank] = {}

    def keep(kind: str) -> None:
        if kind == "svm":
            banks[kind] = ConceptBank.from_examples(chosen)
        else:
            banks[kind] = ConceptBank.from_labels(*train, NAMES, kind=kind, held=held)

    kinds = (*TOGETHER, "svm")
    seconds = in_turns({kind: lambda kind=kind: keep(kind) for kind in kinds}, REPEATS)
    result: dict[str, Any] = {
        "concepts": CONCEPTS,
        "rows": ROWS,
        "features": WIDTH,
        "runs": REPEATS,
        "objective above other solvers', relative": gaps,
        "seconds": seconds,
        "held rows": {kind: quality(bank, *held) for kind, bank in banks.items()},
        "target": "less than 60 seconds",
    }
    report("bank", result)


if __name__ == "__main__":
    main()
