"""The claims of adaptive estimators: compression without saturation, and what it goes with.

The paper's network on a task of its kind (see `bit_networks`), with seven kinds of units; L2 for
rectified and tanh units. All networks of all seeds train as one stack. Cells are of all 4,096
patterns, noise bounds of every second one. A network counts as fitted from 95 % of the patterns
it was trained on.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.bit_networks import LAYERS, UNITS, Plan, Stack
from narrows.measure.watching import (
    AdaptiveBins,
    AdaptiveNoise,
    FixedBins,
    compression_score,
    correlate_scores,
    log_epochs,
)
from narrows.measure.watching.estimators import LayerEstimator
from narrows.measure.watching.plane_table import PlaneRow, PlaneTable

PAPER = (
    "Adaptive Estimators Show Information Compression in Deep Neural Networks "
    "(Chelombiev et al., ICLR 2019, arXiv 1902.09037)"
)
_EPOCHS = {"small": 3000, "gpu": 8000, "full": 8000}
_PENALTIES = (1e-4, 1e-3, 1e-2)
_PENALISED = ("relu", "tanh")
_UNBOUNDED = ("relu", "elu", "swish")
_FITTED = 0.95
_HIDDEN = LAYERS[:-1]
_OFTEN, _SELDOM = 30, 10  # snapshots by cells and by noise bounds
CELLS: dict[str, LayerEstimator] = {"ebab": AdaptiveBins(30), "fixed bins": FixedBins(30)}
NOISE: dict[str, LayerEstimator] = {
    "akde, max squared": AdaptiveNoise(1e-3),
    "akde, max": AdaptiveNoise(1e-3, "max"),
}

CLAIMS = (
    Claim(
        "unbounded",
        "Saturation is not needed for compression: units without bounds compress too.",
        "score of the hidden layer that compresses most, mean of relu, elu and swish, EBAB",
        "a figure; seen for unbounded functions, the amount depends on the function",
        "at least",
        0.1,
        "a tenth of the maximum; less does not show in a figure",
    ),
    Claim(
        "initialisation",
        "How much a layer compresses depends strongly on the initialisation.",
        "distance of a seed's scores from their mean over seeds, root mean square over units and "
        "hidden layers, EBAB, no L2",
        "a figure: single runs differ strongly",
        "at least",
        0.1,
        "a tenth of the maximum, as a deviation over seeds",
    ),
    Claim(
        "penalty",
        "L2 increases compression.",
        "rank correlation of the penalty (0, 1e-4, 1e-3, 1e-2) with the mean score of the hidden "
        "layers, mean of relu and tanh, EBAB",
        "strong",
        "at least",
        0.5,
        "what counts as a strong correlation",
    ),
    Claim(
        "overfitting",
        "L2 prevents overfitting.",
        "points of the gap between training and test accuracy that L2 of 1e-3 takes away, mean of "
        "relu and tanh",
        "a figure",
        "at least",
        0.0,
        "any",
    ),
    Claim(
        "last_layer",
        "Compression of the last layer goes with generalisation.",
        "rank correlation of the softmax layer's score with test accuracy over a seed's fitted "
        "networks, EBAB",
        "positive; the number was not found",
        "at least",
        0.0,
        "positive",
    ),
    Claim(
        "last_only",
        "Compression of hidden layers does not.",
        "that correlation less the largest one of a hidden layer",
        "the last layer only",
        "at least",
        0.0,
        "the last layer above all others",
    ),
)

Scores = Mapping[Plan, Mapping[str, float]]  # of each network, by layer


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; `gpu` and `full` train as long as the paper."""
    plans = plans_of(range(1, 1 + seeds))
    stack, epochs = Stack(plans), _EPOCHS[size]
    scores = watched(stack, epochs)
    train, test = (dict(zip(plans, part, strict=True)) for part in stack.accuracy())
    ebab, seeded = scores["ebab"], range(1, 1 + seeds)
    of_seed = [_correlations(ebab, train, test, [p for p in plans if p.seed == s]) for s in seeded]
    values = {
        "unbounded": [_most(ebab, seed) for seed in seeded],
        "initialisation": _deviations(ebab, seeded),
        "penalty": [_trend(ebab, seed) for seed in seeded],
        "overfitting": [_gap_taken(train, test, seed) for seed in seeded],
        "last_layer": [found["softmax"] for found in of_seed],
        "last_only": [f["softmax"] - max(f[layer] for layer in _HIDDEN) for f in of_seed],
    }
    rows = _score_rows(scores, train, test, plans)
    rows |= _fresh_rows(seeded) | _correlation_rows(ebab, train, test, plans)
    return Evidence(values, rows, f"4,096 patterns of 12 bits on a circle; {epochs:,} epochs")


def plans_of(seeds: Sequence[int]) -> tuple[Plan, ...]:
    """Each kind of units without L2, two with; rectified ones on random labels as a control.

    Example:
        >>> len(plans_of([1]))
        14
    """
    found = []
    for units in UNITS:
        penalties = (0.0, *(_PENALTIES if units in _PENALISED else ()))
        found += [Plan(units, seed, penalty) for penalty in penalties for seed in seeds]
        if units == "relu":
            found += [Plan(units, seed, shuffled=True) for seed in seeds]
    return tuple(found)


def watched(stack: Stack, epochs: int) -> dict[str, dict[Plan, dict[str, float]]]:
    """Train, and give the score of each estimator, network and layer; noise where L2 is 0."""
    rows: dict[tuple[str, Plan], list[PlaneRow]] = defaultdict(list)
    often, seldom = set(log_epochs(_OFTEN, epochs)), set(log_epochs(_SELDOM, epochs))
    for epoch in range(epochs + 1):
        if epoch in often | seldom:
            layers = stack.layers()
            for i, plan in enumerate(stack.plans):
                now = [t[i] for t in layers]
                if epoch in often:
                    _note(rows, CELLS, plan, epoch, now, stack.y[i])
                if epoch in seldom and plan.penalty == 0 and not plan.shuffled:
                    half = [t[::2] for t in now]
                    _note(rows, NOISE, plan, epoch, half, stack.y[i, ::2])
        if epoch < epochs:
            stack.epoch()
    found: dict[str, dict[Plan, dict[str, float]]] = defaultdict(dict)
    for (name, plan), own in rows.items():
        found[name][plan] = {s.layer: s.score for s in compression_score(PlaneTable(own), name)}
    return dict(found)


def _note(
    rows: dict[tuple[str, Plan], list[PlaneRow]],
    estimators: Mapping[str, LayerEstimator],
    plan: Plan,
    epoch: int,
    layers: list[Tensor],
    labels: Tensor,
) -> None:
    for name, estimator in estimators.items():
        for layer, t in zip(LAYERS, layers, strict=True):
            at = estimator.measure(estimator.encode(t), labels)
            rows[name, plan].append(PlaneRow(epoch, layer, name, at.xt, at.ty, at.ceiling))


def _most(scores: Scores, seed: int) -> float:
    found = [max(scores[Plan(units, seed)][layer] for layer in _HIDDEN) for units in _UNBOUNDED]
    return sum(found) / len(found)


def _deviations(scores: Scores, seeds: Sequence[int]) -> list[float]:
    """For each seed, sized so that the mean of squares is the variance over seeds."""
    if len(seeds) < 2:
        return [math.nan] * len(seeds)
    table = torch.tensor(
        [[[scores[Plan(units, s)][layer] for layer in _HIDDEN] for units in UNITS] for s in seeds]
    ).double()
    away = (table - table.mean(0)).square().mean((1, 2)) * len(seeds) / (len(seeds) - 1)
    return away.sqrt().tolist()


def _trend(scores: Scores, seed: int) -> float:
    penalties, found = (0.0, *_PENALTIES), []
    for units in _PENALISED:
        means = [_hidden(scores[Plan(units, seed, penalty)]) for penalty in penalties]
        found.append(correlate_scores({"mean": means}, penalties, bootstrap=100)[0].spearman)
    return sum(found) / len(found)


def _hidden(of: Mapping[str, float]) -> float:
    return sum(of[layer] for layer in _HIDDEN) / len(_HIDDEN)


def _gap_taken(train: Mapping[Plan, float], test: Mapping[Plan, float], seed: int) -> float:
    def gap(plan: Plan) -> float:
        return 100 * (train[plan] - test[plan])

    taken = [gap(Plan(u, seed)) - gap(Plan(u, seed, 1e-3)) for u in _PENALISED]
    return sum(taken) / len(taken)


def _correlations(
    scores: Scores, train: Mapping[Plan, float], test: Mapping[Plan, float], plans: Sequence[Plan]
) -> dict[str, float]:
    """Layer to rank correlation; NaN everywhere where too few networks fitted."""
    fitted = [p for p in plans if train[p] >= _FITTED and not p.shuffled]
    if len(fitted) < 4:
        return dict.fromkeys(LAYERS, math.nan)
    by_layer = {layer: [scores[p][layer] for p in fitted] for layer in LAYERS}
    found = correlate_scores(by_layer, [test[p] for p in fitted], bootstrap=100)
    return {one.layer: one.spearman for one in found}


def _score_rows(
    scores: Mapping[str, Scores],
    train: Mapping[Plan, float],
    test: Mapping[Plan, float],
    plans: Sequence[Plan],
) -> dict[str, dict[str, list[float]]]:
    rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for plan in plans:
        name = plan.units + (f", L2 {plan.penalty:g}" if plan.penalty else "")
        name += ", labels by chance" if plan.shuffled else ""
        for estimator, of in scores.items():
            for layer, score in of.get(plan, {}).items():
                rows[f"{name}, {estimator}"][f"score, layer {layer}"].append(score)
        rows[f"{name}, ebab"]["training accuracy"].append(train[plan])
        rows[f"{name}, ebab"]["test accuracy"].append(test[plan])
    return {name: dict(columns) for name, columns in rows.items()}


def _fresh_rows(seeds: Sequence[int]) -> dict[str, dict[str, list[float]]]:
    """The score of a course in which nothing is learned: each epoch another first network."""
    columns: dict[str, list[float]] = defaultdict(list)
    for seed in seeds:
        fresh = Stack([Plan("relu", 1000 * seed + i) for i in range(_OFTEN)])
        rows: dict[tuple[str, Plan], list[PlaneRow]] = defaultdict(list)
        one, layers = Plan("relu", seed), fresh.layers()
        for i in range(_OFTEN):
            _note(rows, {"ebab": CELLS["ebab"]}, one, i, [t[i] for t in layers], fresh.y[i])
        for found in compression_score(PlaneTable(rows["ebab", one]), "ebab"):
            columns[f"score, layer {found.layer}"].append(found.score)
    return {"relu, another network each epoch, ebab": dict(columns)}


def _correlation_rows(
    scores: Scores, train: Mapping[Plan, float], test: Mapping[Plan, float], plans: Sequence[Plan]
) -> dict[str, dict[str, list[float]]]:
    """Over all fitted networks of all seeds, with 95 % of the bootstrap."""
    fitted = [p for p in plans if train[p] >= _FITTED and not p.shuffled]
    if len(fitted) < 4:
        return {}
    rows = {}
    by_layer = {layer: [scores[p][layer] for p in fitted] for layer in LAYERS}
    outcomes = {
        "test accuracy": [test[p] for p in fitted],
        "accuracy gap": [train[p] - test[p] for p in fitted],
    }
    for outcome, numbers in outcomes.items():
        for one in correlate_scores(by_layer, numbers):
            low, high = one.spearman_interval
            columns = {"rank correlation": one.spearman, "2.5 %": low, "97.5 %": high}
            columns["networks"] = float(one.networks)
            known = {k: [v] for k, v in columns.items() if not math.isnan(v)}
            rows[f"score of layer {one.layer} with {outcome}"] = known
    return rows
