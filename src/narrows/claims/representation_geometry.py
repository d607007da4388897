"""The claims of representation geometry that a model of two layers can hold or break.

The paper explains the phases of the effective rank by a linear model: contexts with a feature
vector each, a matrix of class vectors, cross-entropy, gradient descent. Here 64 contexts, each
with a class of its own; frequencies as 1 / rank; a target holds 0.9 of its class and 0.1 of all
classes by frequency; 8 dimensions. The controls take one cause away: equal frequencies, or as
many dimensions as classes.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import torch
from torch import Tensor

from narrows.claims.claim import Claim, Evidence
from narrows.measure.geometry import CovarianceStream, rankme

PAPER = (
    "Tracing the Representation Geometry of Language Models from Pretraining to Post-training "
    "(Li et al., NeurIPS 2025, arXiv 2509.23024)"
)
_CLASSES, _DIM, _STEPS, _RATE = 64, 8, 6000, 0.1
_EARLY = 200  # steps among which the collapse is looked for

CLAIMS = (
    Claim(
        "collapse",
        "At first the effective rank collapses.",
        "lowest RankMe of the first 200 steps, as a share of that at the start",
        "a figure; warm-up collapse in OLMo-2 and Pythia",
        "at most",
        0.5,
        "half of the directions out of use",
    ),
    Claim(
        "expansion",
        "Then it grows two- to threefold.",
        "highest RankMe after the collapse over the lowest",
        "2 to 3 times",
        "at least",
        2.0,
        "the lower end of the paper's range",
    ),
    Claim(
        "contraction",
        "Then it shrinks again.",
        "percent of the highest RankMe lost by the last step",
        "a figure; compression-seeking phase",
        "at least",
        3.0,
        "the share that counts as a turn",
    ),
    Claim(
        "needs_skew",
        "With equal class frequencies it does not shrink.",
        "percent of the highest RankMe lost by the last step, equal frequencies",
        "monotone expansion",
        "at most",
        1.0,
        "a third of what counts as a turn",
    ),
    Claim(
        "needs_bottleneck",
        "With as many dimensions as classes it does not shrink.",
        "percent of the highest RankMe lost by the last step, 64 dimensions",
        "monotone expansion",
        "at most",
        1.0,
        "a third of what counts as a turn",
    ),
)


@dataclasses.dataclass(frozen=True)
class Toy:
    """One setting of the linear model.

    Attributes:
        dim: of features.
        skewed: class frequencies as 1 / rank; else equal.
        noise: of the targets, what goes to all classes by frequency.
    """

    dim: int = _DIM
    skewed: bool = True
    noise: float = 0.1


TOYS = {
    "skewed, 8 dimensions": Toy(),
    "equal frequencies": Toy(skewed=False),
    "64 dimensions": Toy(dim=_CLASSES),
    "no noise in the targets": Toy(noise=0.0),
}


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims. Language models are not trained here in any size."""
    if size != "small":
        why = "checkpoints of OLMo-2 and Pythia must be brought: narrows measure geometry"
        return Evidence({}, {}, "no data", dict.fromkeys((c.key for c in CLAIMS), why))
    rows = {name: _columns(toy, seeds) for name, toy in TOYS.items()}
    whole = rows["skewed, 8 dimensions"]
    values = {
        "collapse": [b / a for a, b in zip(whole["start"], whole["lowest"], strict=True)],
        "expansion": [b / a for a, b in zip(whole["lowest"], whole["highest"], strict=True)],
        "contraction": whole["percent lost"],
        "needs_skew": rows["equal frequencies"]["percent lost"],
        "needs_bottleneck": rows["64 dimensions"]["percent lost"],
    }
    told = f"a linear model of {_CLASSES} contexts and classes, {_STEPS:,} steps"
    return Evidence(values, rows, told)


def trace(toy: Toy, seeds: int, steps: int = _STEPS) -> tuple[list[int], list[list[float]]]:
    """Steps and, for each seed, RankMe of the features at them; all seeds descend at once.

    The covariance is weighted by class frequency and centred.

    Example:
        >>> steps, ranks = trace(Toy(), seeds=2, steps=20)
        >>> len(ranks), ranks[0][0] > 2 * min(ranks[0])
        (2, True)
    """
    share = torch.ones(_CLASSES, dtype=torch.float64)
    if toy.skewed:
        share /= torch.arange(1, _CLASSES + 1)
    share /= share.sum()
    target = (1 - toy.noise) * torch.eye(_CLASSES, dtype=torch.float64) + toy.noise * share
    weight = (share * _CLASSES / 4)[:, None]
    f, w = (0.05 * part for part in _drawn(toy.dim, seeds))
    at: list[int] = []
    found: list[list[float]] = [[] for _ in range(seeds)]
    for step in range(steps + 1):
        if step < 50 or step % 10 == 0:
            at.append(step)
            for ranks, features in zip(found, f, strict=True):
                ranks.append(rankme(CovarianceStream(toy.dim).update(features, share)))
        gradient = (torch.softmax(f @ w.mT, -1) - target) * weight
        f, w = f - _RATE * (gradient @ w), w - _RATE * (gradient.mT @ f)
    return at, found


def _drawn(dim: int, seeds: int) -> tuple[Tensor, Tensor]:
    sources = [torch.Generator().manual_seed(seed) for seed in range(seeds)]
    drawn = [
        torch.randn(2, _CLASSES, dim, generator=source, dtype=torch.float64) for source in sources
    ]
    return torch.stack(drawn).unbind(1)  # type: ignore[return-value]  # two of them


def _columns(toy: Toy, seeds: int) -> dict[str, list[float]]:
    at, found = trace(toy, seeds)
    columns: dict[str, list[float]] = defaultdict(list)
    for ranks in found:
        early = [r for step, r in zip(at, ranks, strict=True) if step <= _EARLY]
        low = early.index(min(early))
        later = ranks[low:]
        columns["start"].append(ranks[0])
        columns["lowest"].append(ranks[low])
        columns["at step"].append(float(at[low]))
        columns["highest"].append(max(later))
        columns["at this step"].append(float(at[low + later.index(max(later))]))
        columns["end"].append(ranks[-1])
        columns["percent lost"].append(100 * (1 - ranks[-1] / max(later)))
    return dict(columns)
