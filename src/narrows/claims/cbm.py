"""The claims of Concept Bottleneck Models, on pairs of real handwritten digits."""

from __future__ import annotations

from typing import Any

import torch

from narrows import measure
from narrows.baselines import BlackBox, RandomBottleneck
from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.seeds import over_seeds, untested
from narrows.concepts import CBM
from narrows.data import Dataset, Examples, load
from narrows.functional.logistic import fit_logistic
from narrows.method import Method, concept_labels
from narrows.train.steps import features_of

PAPER = "Concept Bottleneck Models (Koh et al., ICML 2020, arXiv 2007.04612)"

CLAIMS = (
    Claim(
        "joint_gap",
        "The joint bottleneck costs little accuracy.",
        "points below the black box",
        "2.4 points (error .199 against .175), CUB",
        "at most",
        2.4,
        "the paper's own gap",
    ),
    Claim(
        "sequential_gap",
        "So does the sequential one.",
        "points below the black box",
        "6.8 points (error .243 against .175), CUB",
        "at most",
        6.8,
        "the paper's own gap",
    ),
    Claim(
        "independent_gap",
        "So does the independent one.",
        "points below the black box",
        "6.5 points (error .240 against .175), CUB",
        "at most",
        6.5,
        "the paper's own gap",
    ),
    Claim(
        "probe",
        "Its concepts are accurate where a linear probe of a standard network is not.",
        "times the joint bottleneck's concept error",
        "2.7 times (.093 against .034), CUB",
        "at least",
        2.0,
        "well above 1, below the paper's ratio on other data",
    ),
    Claim(
        "intervention",
        "Correcting concepts improves the label.",
        "of the error left after correcting one of two groups",
        "about .75 after 2 of 10 concepts (RMSE .4 to .3), OAI",
        "at most",
        0.75,
        "the paper's own ratio",
    ),
    Claim(
        "shift",
        "It is more robust when the background changes.",
        "of the black box's error under a shifted patch (joint)",
        ".77 (error .482 against .627), TravelingBirds",
        "at most",
        1.0,
        "any gain at all",
    ),
)

_MODES = ("joint", "sequential", "independent", "standard")


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; only the small size runs without the paper's data."""
    if size != "small":
        why = "CUB-200-2011 and OAI must be brought by the user; no loader runs in this size yet"
        return untested(CLAIMS, why)
    what = "digit_pairs, 10,000 training pairs, task: their sum"
    return over_seeds(_one_seed, seeds, what, first=0)


def _one_seed(seed: int, values: Any, rows: Any) -> None:
    data = load("digit_pairs", seed=seed)
    fitted: dict[str, Method] = {mode: CBM(mode, seed=seed).fit(data) for mode in _MODES}
    fitted |= {"black box": BlackBox(seed=seed).fit(data)}
    fitted |= {"random bottleneck": RandomBottleneck(seed=seed).fit(data)}
    accuracy = {name: method.score(data.test) for name, method in fitted.items()}
    for name, value in accuracy.items():
        rows[name]["accuracy"].append(value)
    rows["chance (largest class)"]["accuracy"].append(_largest_class(data.train, data.test))
    for mode in ("joint", "sequential", "independent"):
        values[f"{mode}_gap"].append(100 * (accuracy["black box"] - accuracy[mode]))
        curve = measure.intervention_curve(fitted[mode].model_, data.test)
        rows[mode]["after 1 group"].append(float(curve.mean[1]))
        rows[mode]["concept error"].append(_concept_error(fitted[mode], data.test))
        if mode == "joint":
            left = (1 - float(curve.mean[1])) / max(1 - float(curve.mean[0]), 1e-9)
            values["intervention"].append(left)
    probe = _probe_error(fitted["black box"], data)
    rows["black box"]["concept error"].append(probe)
    values["probe"].append(probe / max(rows["joint"]["concept error"][-1], 1e-9))
    values["shift"].append(_shift(seed, rows))


def _shift(seed: int, rows: Any) -> float:
    data = load("digit_pairs", seed=seed, shift="patch", shift_strength=0.9)
    errors = {}
    for name, method in (("joint", CBM("joint", seed=seed)), ("black box", BlackBox(seed=seed))):
        errors[name] = 1 - method.fit(data).score(data.test)
        rows[name]["accuracy under shift"].append(1 - errors[name])
    return errors["joint"] / max(errors["black box"], 1e-9)


def _largest_class(train: Examples, test: Examples) -> float:
    return float((test.y == train.y.bincount().argmax()).float().mean())


def _concept_error(method: Method, test: Examples) -> float:
    said = torch.tensor(method.transform(test)) > 0.5
    return float((said != (concept_labels(test) > 0.5)).float().mean())


def _probe_error(black_box: Method, data: Dataset) -> float:
    """Error of logistic regressions from the black box's features to the concepts."""
    train, test = (features_of(black_box.model_, s) for s in (data.train, data.test))
    probe = fit_logistic(train, concept_labels(data.train), l2=1.0)
    said = test @ probe.weight.T + probe.bias > 0
    return float((said != (concept_labels(data.test) > 0.5)).float().mean())
