"""Every measure of a concept bottleneck on one table, and what the measures' papers claim."""

from __future__ import annotations

import math
from typing import Any

import torch

from narrows import measure
from narrows.baselines import BlackBox, Chance, RandomBottleneck
from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.seeds import over_seeds, untested
from narrows.concepts import CBM, CEM, PCBM, ConceptBank
from narrows.data import Dataset, load
from narrows.measure.evaluate import WHICH
from narrows.method import Method

PAPER = (
    "How concept bottlenecks are measured (CAS: arXiv 2209.09056; OIS and NIS: arXiv 2301.10367; "
    "accuracy at NEC: arXiv 2408.01432)"
)

CLAIMS = (
    Claim(
        "cas",
        "Concept embeddings align better with concepts than jointly trained probabilities.",
        "of alignment (CAS), CEM above the joint CBM",
        "CEM above the joint CBM on every data set, by figure (CEM paper)",
        "at least",
        0.0,
        "any gain",
    ),
    Claim(
        "cas_noise",
        "Alignment must be read beside noise: noise scores high by itself.",
        "of alignment (CAS) of random numbers",
        "not in the paper; follows from as many clusters as rows scoring 1",
        "at least",
        0.5,
        "halfway to the best value",
    ),
    Claim(
        "impurity",
        "A joint bottleneck puts more of the other concepts into a score than an independent one.",
        "of oracle impurity, joint above independent CBM",
        "joint bottlenecks are the impure ones, by figure (impurity paper)",
        "at least",
        0.0,
        "any difference",
    ),
    Claim(
        "random",
        "With many effective concepts random directions decide nearly as well.",
        "points of accuracy at NEC 15, concepts above random directions (joint CBM)",
        "29.5 to 67.6 % with random concepts at NEC 5 already (VLG-CBM paper)",
        "at most",
        5.0,
        "a difference one would overlook between two data sets",
    ),
)

_SIZES = (1_500, 300, 500)
_COLUMNS = {
    "task accuracy": "task accuracy",
    "concept AUC": "concept AUC",
    "every concept right": "every concept right",
    "alignment (CAS)": "CAS",
    "oracle impurity (OIS)": "OIS",
    "niche impurity (NIS)": "NIS",
    "leakage, accuracy": "leakage, accuracy",
    "leakage, bits of all": "leakage, bits",
    "concept-task leakage": "concept-task leakage",
    "concept-concept leakage": "concept-concept leakage",
    "out-of-concept residual": "residual",
    "corrections, area (random)": "area, random",
    "corrections, area (uncertainty)": "area, uncertainty",
    "corrections, area (coop)": "area, CooP",
    "accuracy at NEC 5": "NEC 5",
    "accuracy at NEC 15": "NEC 15",
}


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; only the small size runs without the papers' data."""
    if size != "small":
        return untested(CLAIMS, "CUB-200-2011 and CelebA must be brought by the user")
    what = f"digit_pairs, {_SIZES[0]:,} training pairs, task: their sum; concepts: the two digits"
    return over_seeds(_one_seed, seeds, what)


def _one_seed(seed: int, values: Any, rows: Any) -> None:
    data = load("digit_pairs", seed=seed, sizes=_SIZES)
    found = {name: _evaluated(name, m.fit(data), data, rows) for name, m in _methods(seed).items()}
    box = BlackBox(seed=seed).fit(data)
    rows["black box"]["task accuracy"].append(box.score(data.test))
    drawn = ConceptBank.random(
        len(data.concepts), len(box.model_.bottleneck.names), torch.Generator().manual_seed(seed)
    )
    by_chance = PCBM(bank=drawn, encoder=box.model_.encoder, seed=seed).fit(data)
    _evaluated("PCBM, random directions", by_chance, data, rows)
    others: dict[str, Method] = {
        "random bottleneck": RandomBottleneck(seed=seed),
        "chance (largest class)": Chance(),
    }
    for name, method in others.items():
        rows[name]["task accuracy"].append(method.fit(data).score(data.test))
    joint, independent = found["CBM, joint"], found["CBM, independent"]
    values["cas"].append(found["CEM"].cas.mean - joint.cas.mean)
    values["cas_noise"].append(joint.cas.noise_mean)
    values["impurity"].append(joint.ois.value - independent.ois.value)
    at = joint.anec.concepts.sizes.index(15)
    gap = joint.anec.concepts.accuracy[at] - joint.anec.random.accuracy[at]
    values["random"].append(100 * float(gap))


def _methods(seed: int) -> dict[str, Method]:
    cbm = {f"CBM, {m}": CBM(m, seed=seed) for m in ("independent", "sequential", "joint")}
    return {**cbm, "CEM": CEM(seed=seed), "PCBM": PCBM(seed=seed)}


def _evaluated(name: str, method: Method, data: Dataset, rows: Any) -> Any:
    """All measures of one model, its row filled, and the rows of noise and chance beside it."""
    # Effective concepts are counted for scalars; the numbers of a vector are no concepts.
    which = [w for w in WHICH if w != "anec" or not isinstance(method, CEM)]
    found = measure.evaluate(method.model_, data, which, seeds=2, seed=method.seed)
    for row in found.rows:
        if row.name in _COLUMNS and not math.isnan(row.value):
            rows[name][_COLUMNS[row.name]].append(row.value)
    if found.cas is not None and name == "CBM, joint":
        rows["random numbers in its place"]["CAS"].append(found.cas.noise_mean)
    if found.anec is not None and name == "CBM, joint":
        for m, value in zip(
            found.anec.random.sizes, found.anec.random.accuracy.tolist(), strict=True
        ):
            if f"NEC {m}" in _COLUMNS.values():
                rows["random numbers in its place"][f"NEC {m}"].append(value)
    return found
