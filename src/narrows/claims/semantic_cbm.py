"""The claims of Furby et al.: the data decide whether concepts look at their own pixels.

Their playing cards are digits here. In `digit_pairs` a left and a right concept come together with
probability p; in `digit_hands` three digits make a hand, and at class level every hand of a rank
shows the same digits. A concept's place is its half of the canvas, or the squares of its digit.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from narrows.baselines import BlackBox
from narrows.claims.claim import Claim, Evidence, Sweep
from narrows.claims.shared.seeds import over_seeds, untested
from narrows.concepts import CBM, ConceptLayer
from narrows.data import Concepts, Dataset, Examples, hand_regions, load
from narrows.measure import Audit, ConstantConcept, audit, concept_quality_of
from narrows.measure.impurity import oracle_impurity_of
from narrows.model import NarrowModel
from narrows.train import isolated
from narrows.train.randomness import generator

PAPER = (
    "Can we constrain concept bottleneck models to learn semantically meaningful input features? "
    "(Furby et al., 2024, arXiv 2402.00912)"
)

CLAIMS = (
    Claim(
        "grounded",
        "Concepts that vary independently are read from their own place.",
        "of the positive relevance on a concept's own half of the canvas, independent pairs",
        "stated without a number that could be read; playing cards",
        "at least",
        0.75,
        "half-way from a map that says nothing (.5) to all of it",
    ),
    Claim(
        "together",
        "Concepts that always come together are not.",
        "of that share lost where pairs always come together",
        "stated without a number that could be read; playing cards",
        "at least",
        0.1,
        "a loss that can be seen; most that can be lost is about .4",
    ),
    Claim(
        "swap",
        "So says the swap of pixels, which no plausible map can fool.",
        "more of a concept's movement comes from outside its half when pairs always meet",
        "not in the paper, which has attributions alone",
        "at least",
        0.1,
        "the same size",
    ),
    Claim(
        "class_level",
        "Labels per class ground no concept, labels per picture do.",
        "of the positive relevance on a concept's digits: random hands above hands per class",
        "stated without a number that could be read; playing cards",
        "at least",
        0.0,
        "any difference at all",
    ),
    Claim(
        "impurity",
        "Co-occurrence makes representations impure.",
        "oracle impurity where pairs always meet, above independent pairs",
        "low against high; no number could be read",
        "at least",
        0.0,
        "any difference at all",
    ),
    Claim(
        "hidden",
        "Accuracy does not tell.",
        "points of balanced concept accuracy lost where pairs always meet, on pictures alike",
        "stated without a number that could be read",
        "at most",
        1.0,
        "nothing that a user would see",
    ),
    Claim(
        "collapse",
        "Pictures in which pairs are independent do tell.",
        "points of balanced concept accuracy lost on them, trained at p = 1 above p = .9",
        "not in the paper",
        "at least",
        10.0,
        "a collapse, not a dip",
    ),
)

SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
NOISE = (0.05, 0.2, 0.4)
SWEEPS = (
    Sweep(
        "place",
        "The more often two concepts come together, the less a concept looks at its own half.",
        {f"together with p = {p:g}": p for p in SHARES},
        {
            "mass": "relevance on its half",
            "pointing": "peak on its half",
            "leakage": "movement from outside",
        },
        "share of pairs that come together",
        "share, mean of the concepts",
    ),
    Sweep(
        "accuracy",
        "Where they always come together the test set hides it; independent pairs show it.",
        {f"together with p = {p:g}": p for p in SHARES},
        {
            "accuracy": "concepts, same p",
            "accuracy, independent": "concepts, p = 0",
            "label accuracy": "labels, same p",
        },
        "share of pairs that come together",
        "accuracy on test pairs",
    ),
)
_SIZES = (1_500, 300, 500)
_EPOCHS = 12
_AUDITED = 200  # rows
_HALVES = torch.zeros(20, 8, 16, dtype=torch.bool)
_HALVES[:10, :, :8] = _HALVES[10:, :, 8:] = True


def run(size: str, seeds: int) -> Evidence:
    """Measure all claims; only the small size runs without the paper's data."""
    if size != "small":
        why = "CheXpert and rendered cards of 299 pixels have no run of this size yet"
        return untested(CLAIMS, why)
    data = f"digit_pairs and digit_hands, {_SIZES[0]:,} training pictures"
    return over_seeds(_one_seed, seeds, data)


def _one_seed(seed: int, values: Any, rows: Any) -> None:
    free = _pairs(seed, 0.0)
    models = {p: _fit(_pairs(seed, p), seed) for p in SHARES}
    for p, model in models.items():
        name = f"together with p = {p:g}"
        _note(rows[name], model, _pairs(seed, p).test, _HALVES)
        rows[name]["accuracy, independent"].append(_accuracy(model, free.test))
        impurity = oracle_impurity_of(model, _pairs(seed, p).test, repeats=1).value
        rows[name]["oracle impurity"].append(impurity)
    controls = {
        "control: reads its half alone": _oracle(free, seed),
        "control: untrained": _untrained(models[0.0], seed),
        "control: labels of other rows": _fit(_shuffled(free, seed), seed),
        **{f"control: {s:.0%} of labels turned": _fit(_turned(free, s, seed), seed) for s in NOISE},
    }
    for name, model in controls.items():
        _note(rows[name], model, free.test, _HALVES)
    for condition in ("random", "hands", "class_level"):
        hands = load("digit_hands", sizes=_SIZES, condition=condition, seed=seed)
        places = hand_regions(hands.test)
        _note(rows[f"hands: {condition}"], _fit(hands, seed), hands.test, places)
    box = BlackBox(epochs=_EPOCHS, seed=seed).fit(free)
    rows["black box"]["label accuracy"].append(box.score(free.test))
    rows["a map that says nothing"]["mass"].append(0.5)

    def last(row: str, column: str) -> float:
        return float(rows[row][column][-1])

    alone, nine, tied = (f"together with p = {p:g}" for p in (0.0, 0.9, 1.0))
    values["grounded"].append(last(alone, "mass"))
    values["together"].append(last(alone, "mass") - last(tied, "mass"))
    values["swap"].append(last(tied, "leakage") - last(alone, "leakage"))
    cards = [last(f"hands: {c}", "mass") for c in ("random", "class_level")]
    values["class_level"].append(cards[0] - cards[1])
    values["impurity"].append(last(tied, "oracle impurity") - last(alone, "oracle impurity"))
    values["hidden"].append(100 * (last(alone, "accuracy") - last(tied, "accuracy")))
    apart = [last(row, "accuracy, independent") for row in (nine, tied)]
    values["collapse"].append(100 * (apart[0] - apart[1]))


def _pairs(seed: int, p: float) -> Dataset:
    return load("digit_pairs", sizes=_SIZES, seed=seed, co_occurrence=p)


def _fit(data: Dataset, seed: int) -> NarrowModel:
    """The encoder ends in a dense layer: every concept sees the whole picture."""
    return CBM("independent", epochs=_EPOCHS, seed=seed).fit(data).model_


def _note(row: Any, model: NarrowModel, test: Examples, regions: Tensor) -> None:
    """Accuracies over all rows, and where concepts come from over some."""
    said = model(test.x[torch.arange(len(test))]).prediction.argmax(1)
    row["label accuracy"].append(float((said == test.y).double().mean()))
    row["accuracy"].append(_accuracy(model, test))
    some = test[:_AUDITED]
    found = _audit(model, some, regions if regions.ndim == 3 else regions[: len(some)])
    for columns in found.table():
        for name, value in columns.items():
            if isinstance(value, float):
                row[name].append(value)


def _audit(model: NarrowModel, rows: Examples, regions: Tensor) -> Audit:
    layer = model.bottleneck
    if not isinstance(layer, ConceptLayer):
        raise TypeError(type(layer).__name__)
    # Of logits: a sure probability has no slope left.
    return audit(model, rows, regions, score=lambda x: layer.logits(model.encoder(x)))


def _accuracy(model: NarrowModel, rows: Examples) -> float:
    """Balanced, a mean over the concepts that vary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantConcept)
        return float(concept_quality_of(model, rows).balanced_accuracy.nanmean())


# Controls.


def _untrained(model: NarrowModel, seed: int) -> NarrowModel:
    """The same network with fresh weights."""
    other = copy.deepcopy(model)
    with isolated(seed, "untrained"):
        for part in other.modules():
            if callable(reset := getattr(part, "reset_parameters", None)):
                reset()
    return other


def _shuffled(data: Dataset, seed: int) -> Dataset:
    """Every training row has the concepts of another one."""
    order = torch.randperm(len(data.train), generator=generator(seed, "shuffled"))
    return _relabelled(data, _concepts(data.train)[order])


def _turned(data: Dataset, share: float, seed: int) -> Dataset:
    """A share of the concept labels in train is turned round."""
    c = _concepts(data.train)
    noise = torch.rand(c.shape, generator=generator(seed, "turned")) < share
    return _relabelled(data, torch.where(noise, 1 - c, c))


def _relabelled(data: Dataset, c: Tensor) -> Dataset:
    return dataclasses.replace(data, train=dataclasses.replace(data.train, c=c))


def _concepts(rows: Examples) -> Tensor:
    if rows.c is None:
        raise TypeError("rows without concepts")
    return rows.c


class _Halves(nn.Module):
    """One network for both halves, each seen alone."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.inner(part) for part in x.tensor_split(2, dim=-1)], 1)


def _oracle(data: Dataset, seed: int) -> NarrowModel:
    """A model that can read a concept from its own half only: what the scores can reach."""
    schema = Concepts(tuple(str(digit) for digit in range(10)), (tuple(range(10)),))
    parts = {}
    for name, split in data.splits.items():
        c = torch.cat(_concepts(split).tensor_split(2, dim=1))
        x = torch.cat(split.x[torch.arange(len(split))].tensor_split(2, dim=-1))
        parts[name] = Examples(x, c.argmax(1), c, tuple(range(10)), schema)
    one = _fit(Dataset("halves", parts["train"], parts["val"], parts["test"]), seed)
    whole = _fit_head(data, seed)
    narrow = one.bottleneck
    if not isinstance(narrow, ConceptLayer):
        raise TypeError(type(narrow).__name__)
    layer = ConceptLayer(
        2 * narrow.linear.in_features, whole.bottleneck.names, whole.bottleneck.groups
    )
    with torch.no_grad():
        layer.linear.weight.copy_(torch.block_diag(narrow.linear.weight, narrow.linear.weight))
        layer.linear.bias.copy_(narrow.linear.bias.repeat(2))
    return NarrowModel(_Halves(one.encoder), layer, whole.head, whole.classes).eval()


def _fit_head(data: Dataset, seed: int) -> NarrowModel:
    """Its head read true concepts when it was trained, so it fits any model of them."""
    return CBM("independent", epochs=1, seed=seed).fit(data).model_
