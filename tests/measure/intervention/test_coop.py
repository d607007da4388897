"""CooP against a greedy loop in plain numbers."""

from __future__ import annotations

import itertools
import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from narrows.bottleneck import Bottleneck
from narrows.data.record import Concepts, Examples
from narrows.heads import LinearHead
from narrows.measure import intervention_curve
from narrows.measure.corrections import prepare
from narrows.measure.intervention.coop import Weights, _follow, coop, tune
from narrows.measure.intervention.state import HeldOut, State, turn_costs
from narrows.model import NarrowModel
from narrows.reading import Reading

GROUPS = ((1, 2, 4),)


def score_by_hand(now, answers, cost, weights):
    best = now.index(max(now))
    entropy = -sum(p * math.log(p) for p, _ in answers if p > 0) / math.log(len(answers))
    change = abs(sum(p * after[best] for p, after in answers) - now[best])
    return weights.uncertainty * entropy + weights.importance * change - weights.cost * cost


@pytest.fixture
def is_greedy(brute):
    """Every choice has the largest score left, up to rounding."""

    def check(model, rows, order, costs, weights):
        for i in range(len(rows)):
            done = []
            for turn in order[i].tolist():
                now, each = brute(model, rows, i, done)
                left = {
                    t: score_by_hand(now, answers, costs[t], weights)
                    for t, answers in enumerate(each)
                    if t not in done
                }
                assert left[turn] >= max(left.values()) - 2e-5
                done.append(turn)

    return check


@pytest.mark.parametrize("hidden", [None, (6,)], ids=["linear", "mlp"])
@pytest.mark.parametrize("kind", ["soft", "logit"])
@pytest.mark.parametrize("groups", [(), GROUPS], ids=["alone", "groups"])
@pytest.mark.parametrize("costly", [False, True])
def test_each_step_takes_the_largest_score(
    make_model, make_rows, is_greedy, hidden, kind, groups, costly
):
    model = make_model(6, 4, kind, groups, extra=1, hidden=hidden, seed=1)
    rows = make_rows(6, 6, 4, groups, unknown=0.2, seed=1)
    ready = prepare(model, rows)
    costs = turn_costs([1, 2, 3, 1, 2, 0.5], ready, rows) if costly else None
    with torch.no_grad():
        order = coop(State(ready, costs=costs))
    relative = [0.0] * len(ready.turns) if costs is None else (costs / costs.max()).tolist()
    is_greedy(model, rows, order, relative, Weights())


class MeasureTestNeighbours(Bottleneck):
    """Correcting a unit moves the next one too, unless that was corrected: propagation."""

    def read(self, h):
        return Reading(h.sigmoid())

    def condition(self, reading, known):
        fixed = super().condition(reading, known)
        told = (fixed.units - reading.units).roll(1, 1)
        moved = (fixed.units + 0.5 * told).clamp(0, 1)
        return reading.replace(units=torch.where(fixed.units == reading.units, moved, fixed.units))


def test_what_corrections_pass_on_is_scored_again(make_rows, is_greedy):
    rows = make_rows(8, 4, 3)
    head = LinearHead(4, 3)
    nn.init.normal_(head.weight, std=2, generator=torch.Generator().manual_seed(0))
    layer = MeasureTestNeighbours(rows.concepts.names)
    model = NarrowModel(nn.Identity(), layer, head, (0, 1, 2)).eval()
    ready = prepare(model, rows)
    assert not ready.alone
    with torch.no_grad():
        order = coop(State(ready))
    is_greedy(model, rows, order, [0.0] * 4, Weights())


def test_lanes_are_the_same_as_weights_one_by_one(make_model, make_rows):
    model, rows = make_model(6, 4, groups=GROUPS), make_rows(30, 6, 4, GROUPS)
    ready, grid = prepare(model, rows), [Weights(), Weights(1, 0, 0), Weights(0, 1, 0)]
    prices = torch.tensor([0.1, 1, 0.5, 0.2], dtype=torch.float64)
    with torch.no_grad():
        together, right = _follow(ready, prices, grid)
        for lane, weights in enumerate(grid):
            order, alone = _follow(ready, prices, [weights])
            assert torch.equal(together[:, lane], order[:, 0])
            assert torch.equal(right[:, lane], alone[:, 0])


@given(st.integers(0, 2**20))
@settings(max_examples=25, deadline=None)
def test_single_terms_give_the_orders_their_names_say(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(6, 4, generator=generator)
    head = LinearHead(4, 3)
    with torch.no_grad():
        head.weight.copy_(torch.randn(3, 4, generator=generator))
    names = tuple(f"c{j}" for j in range(4))
    model = NarrowModel(nn.Identity(), MeasureTestScored(names), head).eval()
    y = torch.zeros(6, dtype=torch.int64)
    ready = prepare(model, Examples(x, y, x.round(), (0, 1, 2), Concepts(names)))
    prices = torch.randperm(4, generator=generator).double() / 3
    with torch.no_grad():
        order, _ = _follow(ready, prices, [Weights(1, 0, 0), Weights(0, 0, 1), Weights(0, 1, 100)])
    certain = (x - 0.5).abs().gather(1, order[:, 0])
    assert (certain.diff(dim=1) >= -1e-6).all()
    cheap = prices.argsort().expand(6, -1)
    assert torch.equal(order[:, 1], cheap)
    assert torch.equal(order[:, 2], cheap)  # a probability moves by 1 at most


class MeasureTestScored(Bottleneck):
    """The features are the scores."""

    def read(self, h):
        return Reading(h)


def test_tuned_weights_have_the_largest_area_of_the_grid(make_model, make_rows):
    model, rows = make_model(6, 4, seed=5), make_rows(150, 6, 4, seed=5)
    ready = prepare(model, rows)
    state = State(ready, held_out=HeldOut(model, rows))
    grid = sys.modules["narrows.measure.intervention.coop"]._RATIOS
    with torch.no_grad():
        chosen = tune(state)
    areas = {}
    for u, i in grid:
        orders, _ = _follow(ready, torch.zeros(6, dtype=torch.float64), [Weights(u, i, 0)])
        areas[u, i] = area_of(model, rows, orders[:, 0])
    assert areas[chosen.uncertainty, chosen.importance] == pytest.approx(max(areas.values()))
    assert max(areas.values()) > min(areas.values())  # so there is something to choose
    tuned = intervention_curve(model, rows, "coop", validation=rows)
    assert tuned.area == pytest.approx(max(areas.values()))
    assert tuned.area >= intervention_curve(model, rows, "coop").area


@torch.no_grad()
def area_of(model, rows, order):
    """Trapezoids under the accuracy, from the head itself at each step."""
    units = model.read(rows.x).units.clone()
    curve = []
    for step in range(order.shape[1] + 1):
        if step:
            at = order[:, step - 1 : step]
            units = units.scatter(1, at, rows.c.gather(1, at))
        said = model.decide(Reading(units)).prediction.argmax(1)
        curve.append(float((said == rows.y).double().mean()))
    return sum((a + b) / 2 for a, b in itertools.pairwise(curve)) / order.shape[1]


def test_a_cost_is_minded_when_validation_says_it_pays():
    # Two copies of one concept, of which the second costs ten times as much: only the first is
    # worth its price, and a third that costs nothing says nothing.
    generator = torch.Generator().manual_seed(0)
    c = (torch.rand(300, 2, generator=generator) < 0.5).float()
    c = torch.cat([c[:, :1], c[:, :1], c[:, 1:]], 1)
    x = 0.5 + 0.2 * (torch.rand(300, 3, generator=generator) - 0.5)
    x[:, 1] = 0.5  # the dear one is a little more uncertain
    head = LinearHead(3, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 0, 0], [4, 4, 0]]))
        head.bias.copy_(torch.tensor([0.0, -4]))
    names = ("cheap", "dear", "idle")
    model = NarrowModel(nn.Identity(), MeasureTestScored(names), head, (0, 1)).eval()
    rows = Examples(x, c[:, 0].long(), c, (0, 1), Concepts(names))
    costs = {"cheap": 1, "dear": 10, "idle": 1}
    blind = intervention_curve(model, rows, "coop")
    minded = intervention_curve(model, rows, "coop", validation=rows, costs=costs)
    ready = prepare(model, rows)
    with torch.no_grad():
        state = State(ready, costs=turn_costs(costs, ready, rows), held_out=HeldOut(model, rows))
        first = coop(state)[:, 0]
        assert tune(state).cost > 0
    assert (first == 0).all()
    assert minded.spent[0, 1] == 1
    assert minded.at(1) == blind.at(1) == 1  # either copy decides


def test_orders_do_not_depend_on_pieces(make_model, make_rows, monkeypatch):
    model, rows = make_model(5, 4), make_rows(30, 5, 4)
    state = State(prepare(model, rows))
    with torch.no_grad():
        whole = coop(state)
        monkeypatch.setattr(sys.modules["narrows.measure.intervention.trial"], "_HELD", 100)
        assert torch.equal(coop(state), whole)
