"""Odds and logits after one more move, against the model corrected the public way."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from narrows.measure.corrections import prepare
from narrows.measure.intervention.moves import answers, truths
from narrows.measure.intervention.registry import find
from narrows.measure.intervention.state import State
from narrows.measure.intervention.trial import AffineTrial, LayeredTrial, Trial, log_odds_, trials

GROUPS = ((0, 2),)
MOVES = {"truth": truths, "answers": answers}
HEADS = [(None, AffineTrial), ((6,), LayeredTrial), ("other", Trial)]


class MeasureTestOtherHead(nn.Module):
    """A head that shows nobody what it is made of."""

    def __init__(self, head):
        super().__init__()
        self.inner = head

    def forward(self, z):
        return self.inner(z)


@pytest.fixture
def make(make_model, make_rows):
    def make(hidden, kind="logit", n=40):
        rows = make_rows(n, 5, 3, GROUPS, unknown=0.2)
        model = make_model(5, 3, kind, GROUPS, hidden=(6,) if hidden == "other" else hidden)
        if hidden == "other":
            model.head = MeasureTestOtherHead(model.head)
        return model, rows

    return make


@torch.no_grad()
def corrected(model, rows, moves, i, done, move):
    """`(classes,)` logits of row `i`, one name after the other."""
    names, turns = model.bottleneck.names, moves.corrections.turns
    known = {names[u]: rows.c[i, u] for t, d in enumerate(done) if d for u in turns[t]}
    t = int(moves.turn[move])
    for u in turns[t]:
        known[names[u]] = rows.c[i, u] if moves.told is None else moves.told[move, u]
    known = {name: float(value) for name, value in known.items() if value == value}
    return model.correct(model.read(rows.x[i : i + 1]), known).prediction[0].double()


@pytest.mark.parametrize("what", MOVES)
@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize(("hidden", "kind"), HEADS, ids=["affine", "layers", "other"])
def test_odds_and_logits_are_those_of_the_corrected_model(make, what, lanes, hidden, kind):
    model, rows = make(hidden)
    moves = MOVES[what](prepare(model, rows))
    with torch.no_grad():
        (trial,) = trials(moves, lanes)
        assert type(trial) is kind
        lane = torch.arange(40 * lanes) % lanes
        for turn in (trial.rows % 4, (trial.rows + 1 + lane) % 4):  # lanes part ways
            trial.take(turn)
            logits, found = trial.after().double(), trial.against(trial.y)
            for place in range(0, 40 * lanes, 7):
                i, done = int(trial.rows[place]), trial.done[place].tolist()
                for move in range(len(moves)):
                    if done[int(moves.turn[move])]:
                        continue
                    wanted = corrected(model, rows, moves, i, done, move)
                    torch.testing.assert_close(logits[place, move], wanted, rtol=1e-4, atol=1e-5)
                    p = wanted.softmax(0)[rows.y[i]]
                    torch.testing.assert_close(
                        found[place, move], ((1 - p) / p).log(), rtol=1e-4, atol=1e-5
                    )
        now = trial.now().double()
        done = trial.done
        wanted = model.correct(
            model.read(rows.x[trial.rows]),
            (
                moves.corrections.fixed(done) & rows.known[trial.rows],
                moves.corrections.truth[trial.rows],
            ),
        ).prediction
        torch.testing.assert_close(now, wanted.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("limit", [{"_NARROW": 0.0}, {"_WIDE": 0.0}])
def test_wide_logits_give_the_same_odds_and_order(make_model, make_rows, monkeypatch, limit):
    model, rows = make_model(5, 4), make_rows(30, 5, 4)
    ready = prepare(model, rows)
    (narrow,) = trials(answers(ready))
    assert narrow.factors.dtype == torch.float32
    order = find("oracle").order(State(ready))
    for name, value in limit.items():
        monkeypatch.setattr(sys.modules["narrows.measure.intervention.trial"], name, value)
    (wide,) = trials(answers(ready))
    assert wide.factors is None or wide.factors.dtype == torch.float64
    assert (wide.factors is None) == ("_WIDE" in limit)
    torch.testing.assert_close(wide.against(rows.y), narrow.against(rows.y), rtol=1e-5, atol=1e-6)
    assert torch.equal(find("oracle").order(State(ready)), order)


@pytest.mark.parametrize("size", [1.0, 40.0, 400.0, 1e4])
def test_odds_stay_finite_and_right_however_large_the_weights(make_model, make_rows, size):
    model, rows = make_model(4, 3), make_rows(30, 4, 3)
    with torch.no_grad():
        model.head.weight.mul_(size)
        moves = answers(prepare(model, rows))
        (trial,) = trials(moves)
        found = trial.against(rows.y)
        for i in range(30):
            for move in range(len(moves)):
                z = corrected(model, rows, moves, i, [False] * 4, move)
                others = torch.cat([z[: rows.y[i]], z[rows.y[i] + 1 :]])
                wanted = others.logsumexp(0) - z[rows.y[i]]
                torch.testing.assert_close(found[i, move], wanted, rtol=1e-5, atol=1e-5 * size)


def test_log_odds_keep_their_precision_near_certainty():
    logits = torch.tensor([[0.0, 50.0, -1.0], [2.0, 0.0, 0.0]])
    found = log_odds_(logits.clone(), torch.tensor([1, 0]))
    others = [torch.tensor([0.0, -1]).logsumexp(0) - 50, torch.tensor(2.0).log() - 2]
    torch.testing.assert_close(found, torch.stack(others))


@pytest.mark.parametrize("gap", [70.0, 90.0, 110.0, 800.0])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_terms_out_of_sight_change_no_odds(gap, kind):
    logits = torch.tensor([[0.0, 0.5, -gap, -gap - 1]], dtype=kind)
    for c in range(4):
        z = [float(v) for j, v in enumerate(logits[0].tolist()) if j != c]
        wanted = torch.tensor(z, dtype=torch.float64).logsumexp(0) - logits[0, c].double()
        found = log_odds_(logits.clone(), torch.tensor([c])).double()
        torch.testing.assert_close(found[0], wanted, rtol=1e-6, atol=1e-6)


def test_layers_that_work_in_place_do_not_spoil_what_is_kept(make_model, make_rows):
    model, rows = make_model(4, 3, hidden=(6,)), make_rows(20, 4, 3)
    ready = prepare(model, rows)
    with torch.no_grad():
        order = find("coop").order(State(ready))
        model.head.layers[1] = nn.ReLU(inplace=True)
        (trial,) = trials(answers(prepare(model, rows)))
        assert type(trial) is LayeredTrial
        assert torch.equal(trial.now(), trial.now())
        assert torch.equal(find("coop").order(State(prepare(model, rows))), order)


def test_a_single_class_is_corrected_in_the_order_of_its_turns(make_model, make_rows):
    model, rows = make_model(3, 1), make_rows(5, 3, 1)
    order = find("oracle").order(State(prepare(model, rows)))
    assert order.tolist() == [[0, 1, 2]] * 5
    assert log_odds_(torch.ones(2, 1), torch.tensor([0, 0])).tolist() == [-torch.inf] * 2
