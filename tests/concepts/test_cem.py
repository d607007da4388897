"""Concept embedding models: the loss, the head, corrections, and the best a concept can do."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from narrows import measure
from narrows.bottleneck import IdentityBottleneck
from narrows.concepts import CBM, CEM
from narrows.data import Concepts, Examples, concept_ceiling, load
from narrows.errors import InvalidInput, InvalidType
from narrows.measure.affine import affine
from narrows.measure.corrections import prepare
from narrows.model import NarrowModel

NAN = float("nan")


@cache
def digits():
    return load("digit_pairs", seed=0, sizes=(400, 120, 120))


@cache
def fitted(randint: float | str = 0.25) -> NarrowModel:
    return CEM(width=4, randint=randint, epochs=4).fit(digits()).model_


@pytest.mark.parametrize("weighting", ["pos_weight", "public", None])
def test_the_loss_is_its_definition(weighting: str | None) -> None:
    data, alpha = digits(), 0.7
    c = data.train.c.clone()
    c[::3, 4] = NAN
    train = Examples(data.train.x, data.train.y, c, data.classes, data.concepts)
    method = CEM(
        alpha, width=2, randint=0.0, concept_weighting=weighting, epochs=1, batch_size=10_000,
        lr=1e-12, hidden=(6,)
    ).fit(train)  # fmt: skip
    model = method.model_.double()
    with torch.no_grad():
        reading = model.read(train.x.double())
        p, logits = reading.units.numpy(), model.decide(reading).prediction.numpy()
    truth, known = np.nan_to_num(c.numpy().astype(float)), ~np.isnan(c.numpy())
    positive = (truth * known).sum(0)
    ratio = (known.sum(0) - positive) / positive
    ratio, other = {
        "pos_weight": (ratio, np.ones_like(ratio)),
        "public": (ratio, ratio),
        None: (np.ones_like(ratio), np.ones_like(ratio)),
    }[weighting]
    each = -(ratio * truth * np.log(p) + other * (1 - truth) * np.log1p(-p)) * known
    concepts = (each.sum(0) / known.sum(0)).mean()
    spread = logits - logits.max(1, keepdims=True)
    log_p = spread - np.log(np.exp(spread).sum(1, keepdims=True))
    label = -log_p[np.arange(len(p)), train.y.numpy()].mean()
    (row,) = method.history_
    assert row["label"] == pytest.approx(label, rel=1e-5)
    assert row["concepts"] == pytest.approx(concepts, rel=1e-5)
    assert row["loss"] == pytest.approx(label + alpha * concepts, rel=1e-5)


def test_a_linear_head_ends_at_its_optimum_on_the_vectors_it_was_trained_on() -> None:
    """With RandInt at 1 these are known; scikit-learn finds no lower loss on them."""
    from sklearn.linear_model import LogisticRegression

    train = digits().train
    model = CEM(width=2, randint=1.0, epochs=2).fit(train).model_
    reading = model.read(train.x)
    on, off = reading.context["on"], reading.context["off"]
    z = torch.where(train.c[..., None] == 1, on, off).flatten(1).double().numpy()
    y, penalty = train.y.numpy(), 5e-5

    def loss(weight: np.ndarray, bias: np.ndarray) -> float:
        logits = z @ weight.T + bias
        logits -= logits.max(1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return -log_p[np.arange(len(y)), y].mean() + penalty * (weight**2).sum() / 2

    theirs = LogisticRegression(C=1 / (penalty * len(y)), max_iter=5_000, tol=1e-8).fit(z, y)
    assert theirs.classes_.tolist() == list(range(19))
    ours = loss(model.head.weight.double().numpy(), model.head.bias.double().numpy())
    assert ours < loss(theirs.coef_, theirs.intercept_) + 1e-4


def test_dot_is_answered_better_than_any_function_of_its_concepts() -> None:
    """P(y | concepts) by quadrature over both directions caps a hard bottleneck, not this one."""
    angles = (np.arange(2_000) + 0.5) / 2_000 * np.pi - np.pi / 2
    acute = np.abs(angles[:, None] - angles) < np.pi / 2
    ceiling = max(acute.mean(), 1 - acute.mean())
    assert concept_ceiling("dot") == pytest.approx(ceiling, abs=1e-3)
    data = load("dot", sizes=(1_000, 200, 4_000))
    hard = CBM("independent", kind="hard", hidden=(16,), epochs=30).fit(data)
    embedded = CEM(width=8, epochs=30).fit(data)
    three_deviations = 3 * (ceiling * (1 - ceiling) / 4_000) ** 0.5
    assert hard.score(data.test) < ceiling + three_deviations
    assert embedded.score(data.test) > ceiling + 0.1
    said = torch.tensor(embedded.transform(data.test)) > 0.5
    assert (said == (data.test.c == 1)).double().mean() > 0.93


def slow_curve(model: NarrowModel, rows: Examples, order: list[int]) -> list[float]:
    """Accuracy after each correction, by the definition: everything anew at each step."""
    curve = []
    turns = model.bottleneck.interventions
    for step in range(len(order) + 1):
        mask = torch.zeros(len(rows), 20, dtype=torch.bool)
        for turn in order[:step]:
            mask[:, list(turns[turn])] = True
        said = model.correct(rows.x, (mask, rows.c)).prediction.argmax(1)
        curve.append(float((said == rows.y).double().mean()))
    return curve


def test_intervention_curves_mix_vectors_as_the_definition_does() -> None:
    model, rows = fitted(), digits().test
    curve = measure.intervention_curve(model, rows, "random", seeds=2)
    orders = [
        torch.randperm(2, generator=torch.Generator().manual_seed(seed)).tolist()
        for seed in range(2)
    ]
    assert curve.accuracy.tolist() == [slow_curve(model, rows, order) for order in orders]
    # Each vector belongs to one concept, so a curve never has to run the head.
    assert affine(prepare(model, rows)) is not None


@pytest.mark.parametrize("policy", ["uncertainty", "oracle"])
def test_every_policy_starts_and_ends_at_the_same_accuracy(policy: str) -> None:
    model, rows = fitted(), digits().test
    curve = measure.intervention_curve(model, rows, policy)
    ends = slow_curve(model, rows, [0, 1])
    assert [curve.at(0), curve.at(2)] == [ends[0], ends[2]]


def test_a_receiver_can_correct_what_it_was_sent() -> None:
    model, x = fitted(), digits().test.x[:6]
    sender, receiver = model.split()
    received = receiver(sender(x)).reading
    known = {"left is 3": 1.0, "right is 4": 0.5}
    assert torch.equal(
        model.correct(received, known).prediction, model.correct(x, known).prediction
    )
    assert {part.shape for part in received.context.values()} == {(6, 20, 4)}


def test_contributions_of_concepts_are_their_vectors_times_their_weights() -> None:
    model, x = fitted(), digits().test.x[:6]
    explanation = model.explain(x)
    z = model.bottleneck.write(model.read(x))
    for unit in (0, 7, 19):
        columns = slice(4 * unit, 4 * unit + 4)
        share = z[:, columns] @ model.head.weight[:, columns].T
        assert torch.allclose(explanation.contributions[:, unit], share, atol=1e-5)


def test_user_modules_serve_as_encoders() -> None:
    with torch.random.fork_rng():
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(128, 9), nn.Tanh())
    model = CEM(width=2, encoder=encoder, epochs=1).fit(digits()).model_
    assert model.bottleneck.linear.weight.shape == (20 * 2 * 2, 9)
    assert not isinstance(model.bottleneck, IdentityBottleneck)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"randint": 1.5}, "randint: found 1.5"),
        ({"randint": -0.1}, "randint: found -0.1"),
        ({"randint": NAN}, "randint: found nan"),
        ({"randint": True}, "randint: found True"),
        ({"randint": None}, "randint: found None"),
        ({"randint": "class:0.25"}, "randint: found 'class:0.25'"),
        ({"randint": "batch"}, "randint: found 'batch'"),
        ({"width": 0}, "width: found 0"),
        ({"width": 1.5}, "width: found 1.5"),
        ({"concept_weight": -1.0}, "concept_weight"),
        ({"concept_weight": NAN}, "concept_weight"),
        ({"concept_weighting": "loud"}, "concept_weighting"),
        ({"lr": 0.0}, "lr"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        CEM(**settings).fit(digits())


def test_labels_outside_0_and_1_are_refused_by_name() -> None:
    x, y = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1] * 2)
    c = torch.tensor([[0.0, 1.0], [1.0, 2.0], [0.0, 0.0], [1.0, 1.0]])
    with pytest.raises(InvalidInput, match=r"loud.*|2\.0"):
        Examples(x, y, c, (0, 1), Concepts(("furry", "loud")))
    with pytest.raises(InvalidInput):
        CEM().fit(x, y, concepts=c)


def test_an_index_list_is_not_taken_for_a_mask() -> None:
    model = fitted()
    with pytest.raises(InvalidType, match="boolean mask, never an index list"):
        model.correct(digits().test.x[:2], (torch.tensor([0, 1]), torch.ones(2, 20)))
