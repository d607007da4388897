"""Policies against brute force over all corrections."""

from __future__ import annotations

import itertools
import sys

import pytest
import torch

from narrows.errors import InvalidInput, UnknownName
from narrows.measure import intervention_curve, policies, policy
from narrows.measure.affine import affine
from narrows.measure.corrections import prepare
from narrows.measure.intervention.registry import find
from narrows.measure.intervention.replay import replay
from narrows.measure.intervention.state import HeldOut, State
from narrows.measure.rows import pieces


def order_of(name, model, rows, seed=0):
    return find(name).order(State(prepare(model, rows), seed, held_out=HeldOut(model, rows)))


def corrected(model, rows, turns):
    """Logits with these turns corrected, through the public way."""
    reading = model.read(rows.x)
    mask = torch.zeros(reading.units.shape, dtype=torch.bool)
    for turn in turns:
        mask[:, list(turn)] = True
    truth = torch.zeros(reading.units.shape)
    truth[:, : rows.c.shape[1]] = rows.c.nan_to_num(0.0)
    mask[:, : rows.c.shape[1]] &= rows.known
    with torch.no_grad():
        return model.correct(reading, (mask, truth)).prediction


@pytest.mark.parametrize("name", policies())
@pytest.mark.parametrize("hidden", [None, (6,)], ids=["linear", "mlp"])
def test_every_policy_orders_every_turn_once_and_repeats_itself(
    make_model, make_rows, name, hidden
):
    groups = ((0, 1, 2),)
    model, rows = make_model(7, 4, groups=groups, hidden=hidden), make_rows(40, 7, 4, groups, 0.1)
    order = order_of(name, model, rows)
    assert order.dtype == torch.int64
    assert torch.equal(order.sort(1).values, torch.arange(5).expand(40, -1))
    assert torch.equal(order, order_of(name, model, rows))


@pytest.mark.parametrize("name", policies())
def test_all_policies_agree_before_any_and_after_all_corrections(make_model, make_rows, name):
    model, rows = make_model(6, 5), make_rows(200, 6, 5, unknown=0.1)
    curve = intervention_curve(model, rows, name, validation=rows)
    for turns, step in (((), 0), (model.bottleneck.interventions, -1)):
        said = corrected(model, rows, turns).argmax(1)
        wanted = float((said == rows.y).double().mean())
        assert curve.accuracy[:, step].tolist() == [wanted] * len(curve.accuracy)


def test_random_draws_one_order_for_all_rows_and_another_per_seed(make_model, make_rows):
    model, rows = make_model(6, 3), make_rows(5, 6, 3)
    drawn = [order_of("random", model, rows, seed) for seed in range(20)]
    assert all((order == order[0]).all() for order in drawn)
    assert len({tuple(order[0].tolist()) for order in drawn}) > 10


def test_random_on_average_is_the_mean_over_all_subsets(make_model, make_rows):
    model, rows = make_model(4, 3), make_rows(60, 4, 3)
    turns = model.bottleneck.interventions
    exact = []
    for size in range(5):
        right = [
            float((corrected(model, rows, some).argmax(1) == rows.y).double().mean())
            for some in itertools.combinations(turns, size)
        ]
        exact.append(sum(right) / len(right))
    exact = torch.tensor(exact, dtype=torch.float64)
    every = [torch.tensor(o).expand(60, -1) for o in itertools.permutations(range(4))]
    torch.testing.assert_close(replay(prepare(model, rows), every).mean(0), exact)
    sampled = intervention_curve(model, rows, "random", seeds=200)
    assert ((sampled.mean - exact).abs() <= 4 * sampled.standard_error + 1e-12).all()


@pytest.mark.parametrize("kind", ["soft", "logit"])
@pytest.mark.parametrize("hidden", [None, (6,)], ids=["linear", "mlp"])
def test_oracle_is_greedy_in_the_probability_of_the_true_class(make_model, make_rows, kind, hidden):
    model, rows = make_model(5, 4, kind, hidden=hidden), make_rows(25, 5, 4)
    order = order_of("oracle", model, rows).tolist()
    turns = model.bottleneck.interventions
    for i in range(len(rows)):
        row, left, done = rows[i], set(range(5)), []
        for turn in order[i]:
            gain = {
                t: float(corrected(model, row, [*done, turns[t]]).double().log_softmax(1)[0, row.y])
                for t in left
            }
            assert gain[turn] >= max(gain.values()) - 1e-4
            left.remove(turn)
            done.append(turns[turn])


def test_oracle_at_one_correction_beats_every_policy(make_model, make_rows):
    # With two classes a row is right after one correction exactly when some single one makes it.
    model, rows = make_model(6, 2, seed=4), make_rows(300, 6, 2, seed=4)
    singles = [
        corrected(model, rows, [turn]).argmax(1) == rows.y
        for turn in model.bottleneck.interventions
    ]
    best = float(torch.stack(singles).any(0).double().mean())
    first = {
        name: intervention_curve(model, rows, name, validation=rows).at(1) for name in policies()
    }
    assert first["oracle"] == best == max(first.values())
    assert first["oracle"] > first["random"]


def test_random_over_eight_concepts_is_the_mean_over_256_subsets(make_model, make_rows):
    model, rows = make_model(8, 4, seed=2), make_rows(80, 8, 4, seed=2)
    exact = torch.zeros(9, dtype=torch.float64)
    for size in range(9):
        shares = [
            (corrected(model, rows, [(j,) for j in some]).argmax(1) == rows.y).double().mean()
            for some in itertools.combinations(range(8), size)
        ]
        exact[size] = torch.stack(shares).mean()
    sampled = intervention_curve(model, rows, "random", seeds=300)
    assert ((sampled.mean - exact).abs() <= 4 * sampled.standard_error + 1e-12).all()
    torch.testing.assert_close(sampled.mean[[0, 8]], exact[[0, 8]])


def test_oracle_does_not_depend_on_pieces(make_model, make_rows, monkeypatch):
    model, rows = make_model(5, 4), make_rows(30, 5, 4)
    whole = order_of("oracle", model, rows)
    assert affine(prepare(model, rows)) is not None
    monkeypatch.setattr(pieces, "__defaults__", (50,))
    assert torch.equal(order_of("oracle", model, rows), whole)


def test_an_unknown_policy_is_refused_with_the_nearest_names(make_model, make_rows):
    with pytest.raises(UnknownName, match="nearest: 'uncertainty'"):
        intervention_curve(make_model(3, 2), make_rows(4, 3, 2), "uncertanty")


def test_a_policy_is_one_registered_function(make_model, make_rows, monkeypatch):
    monkeypatch.setattr(sys.modules["narrows.measure.intervention.registry"], "_POLICIES", {})

    @policy("last first")
    def last_first(state):
        turns = torch.arange(len(state.turns)).flip(0)
        return turns.expand(len(state.corrections), -1)

    assert policies() == ("last first",)
    model, rows = make_model(3, 2), make_rows(50, 3, 2)
    curve = intervention_curve(model, rows, "last first")
    said = corrected(model, rows, [(2,)]).argmax(1)
    assert curve.at(1) == float((said == rows.y).double().mean())
    with pytest.raises(InvalidInput, match="'last first' a second time"):
        policy("last first")(last_first)
