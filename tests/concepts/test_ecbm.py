"""Energy-based concept models: training, corrections that propagate, and what they refuse."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

import narrows
from narrows.concepts import ECBM, EnergyBottleneck
from narrows.concepts.energy import layer as energy_layer
from narrows.concepts.energy.layer import DIRECT
from narrows.data import Concepts, Dataset, Examples, load
from narrows.errors import InvalidInput, UnknownName


def twins(rows: int = 400, seed: int = 0) -> Examples:
    """Two concepts that are always equal, of which the input shows only the first, and a third."""
    rng = np.random.default_rng(seed)
    first, third = rng.integers(2, size=(2, rows))
    c = np.stack([first, first, third], 1).astype(np.float32)
    x = np.stack([first + rng.normal(0, 0.4, rows), third + rng.normal(0, 0.4, rows)], 1)
    concepts = Concepts(("one", "other", "third"))
    return Examples(
        torch.tensor(x, dtype=torch.float32),
        torch.tensor(first + third),
        torch.tensor(c),
        (0, 1, 2),
        concepts,
    )


@cache
def fitted() -> ECBM:
    return ECBM(encoder="identity", dims=16, epochs=80, batch_size=32).fit(twins())


@cache
def digits() -> Dataset:
    return load("digit_pairs", seed=0, sizes=(240, 60, 60))


def random_layer(**settings) -> EnergyBottleneck:
    torch.manual_seed(0)
    layer = EnergyBottleneck(4, ["a", "b", "c"], [(0, 1)], classes=3, dims=8, **settings)
    return layer.eval().requires_grad_(False)


def test_it_learns_concepts_and_label() -> None:
    test = twins(seed=1)
    said = fitted().transform(test.x.numpy())[:, :3] > 0.5
    # The input's noise leaves a concept misread in one row of ten: 1 - Phi(0.5 / 0.4).
    assert ((said == (test.c.numpy() > 0.5)).mean(0) > 0.85).all()
    assert fitted().score(test) > 0.75


def test_correcting_one_twin_moves_the_other() -> None:
    test = twins(seed=1)
    model = fitted().model_
    for value in (0.0, 1.0):
        wrong = test.c[:, 0] != value
        moved = model.correct(test.x[wrong], {"one": value}).reading.units
        before = model.read(test.x[wrong]).units
        gain = (moved[:, 1] - before[:, 1]) * (1 if value else -1)
        assert float(gain.mean()) > 0.2
        assert float(gain.min()) > -1e-3


def test_what_the_input_leaves_open_follows_the_twin() -> None:
    """An input half way between the two values: a correction decides for both twins."""
    model = fitted().model_
    x = torch.tensor([[0.5, 0.0]])
    for value in (0.0, 1.0):
        other = float(model.correct(x, {"one": value}).reading.units[0, 1])
        assert abs(other - value) < 0.1


def test_with_a_rounded_joint_energy_nothing_else_moves() -> None:
    rows = twins()
    model = ECBM(encoder="identity", dims=16, epochs=10, hard_global=True).fit(rows).model_
    before, after = model.read(rows.x), model.correct(rows.x, {"one": 1.0}).reading
    assert torch.equal(before.units[:, 1:3], after.units[:, 1:3])


def test_the_twins_depend_on_each_other_and_the_third_does_not() -> None:
    rows = twins()
    given = fitted().dependencies(rows, {"one": 1})
    without = fitted().dependencies(rows, {"one": 0})
    # p(c | x) factors here, so the twin shows through the mean over inputs and the label alone.
    assert given.of("other") > 0.75
    assert fitted().dependencies(rows).beside("other", "one") == pytest.approx(given.of("other"))
    assert without.of("other") < 0.25
    assert abs(given.of("third") - without.of("third")) < 0.15
    assert fitted().conditional("one", label=2, data=rows) > 0.85
    assert fitted().conditional("one", label=0, data=rows) < 0.15


def test_exact_answers_agree_with_the_descent() -> None:
    x = twins(seed=1).x.numpy()
    exact, found = fitted().exact(x), fitted().infer(x)
    agree = (exact.best_concepts == (found.concepts > 0.5).float()).all(1)
    assert float(agree.float().mean()) >= 0.95
    assert found.converged.all()
    given = fitted().exact(x, {"one": 1})
    assert torch.allclose(given.concepts[:, 0], torch.ones(len(x)), atol=1e-5)


def test_a_correction_restarts_from_the_input_so_order_does_not_matter() -> None:
    layer = random_layer()
    reading = layer.read(torch.randn(6, 4, generator=torch.Generator().manual_seed(1)))
    there = layer.condition(layer.condition(reading, {"a": 1.0}), {"c": 0.0})
    back = layer.condition(layer.condition(reading, {"c": 0.0}), {"a": 1.0})
    once = layer.condition(reading, {"a": 1.0, "c": 0.0})
    for other in (back, once):
        assert torch.equal(there.units, other.units)
        assert torch.equal(layer.write(there), layer.write(other))


def test_a_group_is_corrected_whole_and_the_input_stays_out_of_reach() -> None:
    layer = random_layer()
    reading = layer.condition(layer.read(torch.zeros(1, 4)), {"b": 1.0})
    assert reading.units[0, :2].tolist() == [0.0, 1.0]
    assert layer.interventions == ((0, 1), (2,))
    same = layer.condition(reading, {DIRECT: 1.0})
    assert torch.equal(same.units, reading.units)
    with pytest.raises(InvalidInput, match="corrections of named concepts"):
        layer.condition(reading, {DIRECT: 0.0})


def test_with_the_released_weights_all_concepts_decide_alone() -> None:
    layer = random_layer(correction=(0.0, 1.0, 3.0))
    reading = layer.read(torch.randn(9, 4, generator=torch.Generator().manual_seed(2)))
    fixed = layer.condition(reading, {"a": 1.0, "c": 1.0})
    logits = layer.write(fixed).unflatten(-1, (4, 3)).mean(-2)
    assert torch.allclose(logits, logits[:1].expand_as(logits))
    energy = layer.energies.joint(torch.tensor([[1.0, 0.0, 1.0]]))[0]
    assert int(logits[0].argmax()) == int(energy.argmin())
    gaps = logits[0] - logits[0, 0]
    assert torch.allclose(gaps, -3 * (energy - energy[0]), atol=1e-4)


def test_logits_are_minus_the_energies() -> None:
    layer = random_layer(inference=(0.7, 1.0, 0.4))
    h = torch.randn(5, 4, generator=torch.Generator().manual_seed(3))
    reading = layer.read(h)
    logits = layer.write(reading).unflatten(-1, (4, 3)).mean(-2)
    classes = layer.energies.of_input(h).classes
    wanted = -0.7 * classes - 0.4 * layer.energies.joint(reading.units[:, :3])
    assert torch.allclose(logits - logits[:, :1], wanted - wanted[:, :1], atol=1e-4)


def test_batches_of_any_shape_and_rows_of_nobody() -> None:
    layer = random_layer()
    h = torch.randn(6, 4, generator=torch.Generator().manual_seed(4))
    flat, square = layer.read(h), layer.read(h.reshape(2, 3, 4))
    assert square.units.shape == (2, 3, 4)
    assert torch.allclose(square.units.flatten(0, 1), flat.units, atol=1e-6)
    fixed = layer.condition(square, {"c": 1.0})
    assert torch.allclose(
        layer.write(fixed).flatten(0, 1), layer.write(layer.condition(flat, {"c": 1.0})), atol=1e-5
    )
    assert layer.write(layer.condition(layer.read(h[:0]), {"c": 1.0})).shape == (0, 12)


def test_scores_have_a_gradient_by_the_input() -> None:
    layer = random_layer()
    h = torch.randn(3, 4, generator=torch.Generator().manual_seed(5), requires_grad=True)
    (slope,) = torch.autograd.grad(layer.read(h).units[:, :3].sum(), h)
    assert bool(slope.any())


def test_unknown_labels_change_nothing_and_have_no_gradient() -> None:
    """With a concept wholly unknown, its own energy gets no gradient at all."""
    rows = twins()
    c = rows.c.clone()
    c[:, 1] = torch.nan
    method = ECBM(encoder="identity", dims=8, epochs=3).fit(
        Examples(rows.x, rows.y, c, rows.classes, rows.concepts)
    )
    fresh = ECBM(encoder="identity", dims=8, epochs=0).fit(rows)
    a, b = (m.model_.bottleneck.energies.concept_weight[1] for m in (method, fresh))
    # AdamW's decay is all that moves it.
    assert torch.allclose(a, b, atol=1e-3)
    assert np.isfinite(method.transform(rows.x.numpy())).all()


@pytest.mark.parametrize("partition", ["y", "joint-nce"])
def test_the_loss_is_its_definition(partition: str) -> None:
    """With one step of almost no length and no noise in the way: the sum of the three terms."""
    rows = twins(60)
    method = ECBM(
        encoder="identity", dims=8, epochs=1, batch_size=100, lr=1e-12, partition=partition
    ).fit(rows)
    history = method.history_[0]
    total = 3 * history["label"] + history["concepts"] + history["joint"]
    assert history["loss"] == pytest.approx(total, rel=1e-5)
    if partition == "joint-nce":  # at the start: ln 3 for the label, ln 17 for the noise, about
        assert history["joint"] > np.log(17)
    else:
        assert history["joint"] < np.log(17)


def test_explanations_show_what_goes_around_the_concepts() -> None:
    explanation = fitted().model_.explain(twins().x[:4])
    assert explanation.exact
    assert DIRECT in str(explanation)
    assert torch.allclose(
        explanation.contributions.sum(1) + explanation.rest, explanation.logits, atol=1e-4
    )


def test_too_many_concepts_cannot_be_enumerated() -> None:
    method = ECBM(dims=8, epochs=0).fit(digits())
    with pytest.raises(InvalidInput, match="20 concepts and 19 classes"):
        method.exact(digits().test.x.numpy())
    assert method.dependencies(digits().test, draws=4).draws == 240
    held = method.dependencies(digits().test, {"left is 3": 1})
    assert held.draws == 0  # ten concepts are left
    assert held.of("left is 4") == 0
    both = {"left is 3": 1.0, "left is 4": 1.0}
    for ask in (method.infer, method.exact, method.dependencies):
        with pytest.raises(InvalidInput, match="'left is 3' and 'left is 4' both 1"):
            ask(digits().test, both)


def test_rows_that_did_not_converge_are_flagged_in_the_reading(monkeypatch) -> None:
    layer, h = random_layer(), torch.zeros(2, 4)
    there = layer.read(h)
    assert there.context["converged"].all()
    news = torch.tensor([1.0, float(there.units[1, 2])])  # for the first row only
    monkeypatch.setattr(energy_layer, "relax", partial(energy_layer.relax, steps=3))
    assert not layer.read(h).context["converged"].any()
    after = layer.condition(there, {"c": news})
    assert after.context["converged"].flatten().tolist() == [False, True]


def test_a_loaded_method_answers_the_same(tmp_path: Path) -> None:
    rows = twins()
    fitted().save_pretrained(tmp_path)
    loaded = narrows.from_pretrained(tmp_path)
    for table in ("concepts_of_label", "concepts_of_concept"):
        ours, theirs = (getattr(m.dependencies(rows), table) for m in (fitted(), loaded))
        assert torch.equal(ours, theirs)
    assert torch.equal(fitted().infer(rows).energy, loaded.infer(rows).energy)


def test_nothing_is_asked_of_a_method_before_it_is_fitted() -> None:
    x = np.zeros((1, 2))
    for ask in (ECBM().infer, ECBM().exact, ECBM().dependencies):
        with pytest.raises(NotFittedError):
            ask(x)


def test_search_settings_that_cannot_be_meant_are_refused() -> None:
    x = twins().x[:2].numpy()
    for steps in (0, 2.5, True):
        with pytest.raises(InvalidInput, match="steps: found"):
            fitted().infer(x, steps=steps)
    for ask in (fitted().infer, fitted().exact):
        with pytest.raises(InvalidInput, match="weights: found"):
            ask(x, weights=(1.0, 1.0))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"two": 1.0}, UnknownName, "known: found 'two'"),
        ({"one": 2.0}, InvalidInput, r"known\['one'\]: found 2.0"),
        ({"one": float("nan")}, InvalidInput, "NaN"),
        ({DIRECT: 0.0}, UnknownName, "known"),
    ],
)
def test_evidence_that_cannot_be_meant_is_refused(given, error, message) -> None:
    with pytest.raises(error, match=message):
        fitted().infer(twins().x[:2].numpy(), given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"partition": "both"}, "partition: found 'both'"),
        ({"weights": (1.0, 1.0)}, "weights"),
        ({"inference": (1.0, -1.0, 0.0)}, "inference"),
        ({"correction": (1.0, float("nan"), 0.0)}, "correction"),
        ({"dims": 0}, "dims"),
        ({"lr": 0.0}, "lr"),
        ({"hard_global": "yes"}, "hard_global"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ECBM(**settings).fit(twins())
