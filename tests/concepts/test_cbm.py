"""Concept bottleneck models against hand computation, brute force and the paper's definitions."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from narrows.concepts import CBM, ConceptLayer
from narrows.data import Concepts, Examples, load
from narrows.errors import InvalidInput, UnknownName
from narrows.functional.losses import concept_weights

NAMES = tuple(f"{side} is {i}" for side in ("left", "right") for i in range(10))
GROUPS = (tuple(range(10)), tuple(range(10, 20)))


@cache
def digits():
    return load("digit_pairs", seed=0, sizes=(600, 150, 150))


def truth_table() -> tuple[Tensor, Tensor]:
    """All 100 pairs of digits as 20 one-hot concepts, and their sums."""
    pairs = list(itertools.product(range(10), range(10)))
    c = torch.zeros(100, 20)
    for row, (a, b) in enumerate(pairs):
        c[row, a] = c[row, 10 + b] = 1
    return c, torch.tensor([a + b for a, b in pairs])


def test_an_independent_head_learns_the_sum_of_two_digits_exactly() -> None:
    c, y = truth_table()
    concepts = Concepts(NAMES, GROUPS)
    rows = Examples(c, y, c, tuple(range(19)), concepts)
    data = load("digit_pairs", seed=0, sizes=(200, 60, 60))
    assert data.concepts.names == NAMES
    from narrows.data import Dataset

    whole = Dataset("truth", rows, rows, rows)
    model = CBM("independent", encoder="identity").fit(whole).model_
    assert torch.equal(model.head(c).argmax(1), y)


def test_the_joint_loss_is_its_definition() -> None:
    data, lam = digits(), 0.3
    method = CBM("joint", concept_weight=lam, epochs=1, batch_size=10_000, lr=1e-12, hidden=(7,))
    method.fit(Examples(data.train.x, data.train.y, data.train.c, data.classes, data.concepts))
    model, train = method.model_.double(), data.train
    with torch.no_grad():
        h = model.encoder(train.x.double())
        p = model.bottleneck.logits(h).sigmoid().numpy()
        logits = model.head(torch.as_tensor(p)).numpy()
    c = train.c.numpy().astype(float)
    ratio = (1 - c).sum(0) / c.sum(0)
    by_concept = -(ratio * c * np.log(p) + (1 - c) * np.log1p(-p)).mean(0)
    spread = logits - logits.max(1, keepdims=True)
    log_p = spread - np.log(np.exp(spread).sum(1, keepdims=True))
    label = -log_p[np.arange(len(p)), train.y.numpy()].mean()
    wanted = (label + lam * by_concept.sum()) / (1 + lam * 20)
    assert method.history_[0]["loss"] == pytest.approx(wanted, rel=1e-5)
    assert method.history_[0]["label"] == pytest.approx(label, rel=1e-5)


def test_sequential_and_independent_share_their_concepts_and_freeze_them() -> None:
    one, two = (CBM(mode, epochs=2).fit(digits()).model_ for mode in ("independent", "sequential"))
    for name in ("encoder", "bottleneck"):
        a, b = getattr(one, name).state_dict(), getattr(two, name).state_dict()
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(one.head.weight, two.head.weight)


def test_standard_is_joint_without_concept_weight() -> None:
    standard, joint = (
        CBM(mode, concept_weight=weight, epochs=2).fit(digits()).model_
        for mode, weight in (("standard", 1.0), ("joint", 0.0))
    )
    a, b = standard.state_dict(), joint.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_large_concept_weight_approaches_concepts_alone() -> None:
    def concept_loss_of(method: CBM) -> float:
        scores = torch.tensor(method.fit(digits()).transform(digits().train)).clamp(1e-6, 1 - 1e-6)
        return float(torch.nn.functional.binary_cross_entropy(scores, digits().train.c))

    alone = concept_loss_of(CBM("sequential", epochs=8, concept_weighting=None))
    heavy = concept_loss_of(CBM("joint", 1e4, epochs=8, concept_weighting=None))
    light = concept_loss_of(CBM("joint", 1e-4, epochs=8, concept_weighting=None))
    assert heavy < 1.5 * alone + 0.02
    assert light > 3 * heavy


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_fixing_all_concepts_is_the_head_on_the_truth(kind: str) -> None:
    model = CBM("joint", kind=kind, epochs=1).fit(digits()).model_
    test = digits().test
    known = (torch.ones_like(test.c, dtype=torch.bool), test.c)
    assert torch.equal(model.correct(test.x, known).prediction, model.head(test.c))


def test_logit_corrections_write_the_training_percentiles() -> None:
    data = digits()
    model = CBM("joint", kind="logit", epochs=1).fit(data).model_
    with torch.no_grad():
        logits = model.bottleneck.logits(model.encoder(data.train.x)).double().numpy()
    low, high = np.percentile(logits, [5, 95], axis=0)
    test = data.test
    known = (torch.ones_like(test.c, dtype=torch.bool), test.c)
    written = model.correct(test.x, known).reading.units
    wanted = np.where(test.c.numpy() == 1, high, low)
    assert np.allclose(written.numpy(), wanted, atol=1e-5)


@given(st.floats(0.01, 0.99))
def test_a_half_sure_correction_writes_its_logit(value: float) -> None:
    layer = ConceptLayer(3, ["a", "b"], kind="logit")
    reading = layer.read(torch.zeros(1, 3))
    fixed = layer.condition(reading, {"a": value})
    assert layer.scores(fixed)[0, 0].item() == pytest.approx(value, abs=1e-5)


def test_hard_concepts_pass_bits_and_let_the_gradient_through() -> None:
    layer = ConceptLayer(3, ["a", "b"], kind="hard")
    h = torch.randn(5, 3, requires_grad=True)
    reading = layer.read(h)
    assert set(reading.units.detach().flatten().tolist()) <= {0.0, 1.0}
    (gradient,) = torch.autograd.grad(reading.units.sum(), h)
    soft = torch.autograd.grad(layer.logits(h).sigmoid().sum(), h)[0]
    assert torch.allclose(gradient, soft)


def test_extra_units_cannot_be_corrected() -> None:
    layer = ConceptLayer(3, ["a", "b"], extra=2)
    assert layer.interventions == ((0,), (1,))
    with pytest.raises(InvalidInput, match="extra"):
        layer.condition(layer.read(torch.zeros(1, 3)), {"extra 0": 1.0})


def test_a_value_outside_the_range_names_concept_and_value() -> None:
    layer = ConceptLayer(3, ["a", "b"])
    with pytest.raises(InvalidInput, match=r"known\['b'\]: found 3.0, wanted a value in \[0, 1\]"):
        layer.condition(layer.read(torch.zeros(1, 3)), {"b": 3.0})


def test_in_multitask_learning_the_label_does_not_pass_through_the_concepts() -> None:
    model = CBM("multitask", epochs=1).fit(digits()).model_
    x = digits().test.x[:9]
    fixed = model.correct(x, {"left is 3": 1.0})
    assert torch.equal(fixed.prediction, model(x).prediction)
    assert fixed.reading.units[:, 3].eq(1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "both"}, "mode: found 'both'"),
        ({"kind": "fuzzy"}, "kind: found 'fuzzy'"),
        ({"mode": "independent", "kind": "logit"}, "f saw"),
        ({"mode": "sequential", "extra_dims": 2}, "extra_dims"),
        ({"concept_weight": -1.0}, "concept_weight"),
        ({"concept_weight": float("nan")}, "concept_weight"),
        ({"concept_weighting": "loud"}, "concept_weighting"),
        ({"lr": 0.0}, "lr"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        CBM(**settings).fit(digits())


def test_unknown_labels_change_nothing_that_is_known() -> None:
    """Training with a concept wholly unknown equals training without it, for the others."""
    data = digits()
    c = data.train.c.clone()
    c[:, 5] = torch.nan
    rows = Examples(data.train.x, data.train.y, c, data.classes, data.concepts)
    whole = Examples(data.train.x, data.train.y, data.train.c, data.classes, data.concepts)
    scores = [
        CBM("sequential", encoder="identity").fit(given).transform(data.test.x)
        for given in (rows, whole)
    ]
    others = [i for i in range(20) if i != 5]
    # Probabilities, not weights: the optimum is flat where classes nearly separate.
    assert np.abs(scores[0] - scores[1])[:, others].max() < 1e-2


def test_public_weighting_scales_both_terms() -> None:
    c = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, float("nan")], [0.0, 1.0]])
    assert concept_weights(c, "public").tolist() == [[3, 1], [3, 1]]
    assert concept_weights(c, "pos_weight").tolist() == [[1, 1], [3, 1]]
    assert concept_weights(c, None) is None


def test_a_correction_by_a_wrong_name_offers_the_right_one() -> None:
    model = CBM("standard", epochs=1).fit(digits()).model_
    with pytest.raises(UnknownName, match="'left is 3'"):
        model.correct(digits().test.x[:1], {"left is 33": 1.0})


def test_concepts_of_a_data_frame_keep_their_names() -> None:
    pandas = pytest.importorskip("pandas", reason="the data extra is not installed")
    c = pandas.DataFrame({"is 日本": [0.0, 1.0] * 10, "<b>": [1.0, np.nan] * 10})
    x = np.random.default_rng(0).normal(size=(20, 3))
    method = CBM("joint", epochs=1).fit(x, c["is 日本"], concepts=c)
    assert method.get_feature_names_out().tolist() == ["is 日本", "<b>"]
