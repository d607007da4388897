"""Policies that score once, against loops over rows and concepts."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from narrows.bottleneck import Bottleneck
from narrows.errors import InvalidInput
from narrows.heads import LinearHead
from narrows.measure.corrections import prepare
from narrows.measure.intervention.policies_static import highest_first
from narrows.measure.intervention.registry import find
from narrows.measure.intervention.state import HeldOut, State
from narrows.model import NarrowModel
from narrows.reading import Reading

GROUPS = ((0, 3),)


def order_of(name, model, rows, held_out=None):
    held = None if held_out is None else HeldOut(model, held_out)
    return find(name).order(State(prepare(model, rows), held_out=held))


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=5))
@settings(deadline=None)
def test_highest_first_is_a_sort_that_keeps_ties_in_place(scores):
    wanted = [sorted(range(4), key=lambda j: -row[j]) for row in scores]  # used at once
    assert highest_first(torch.tensor(scores)).tolist() == wanted


def test_uncertainty_takes_the_score_nearest_one_half_first(make_model, make_rows):
    model, rows = make_model(5, 3), make_rows(30, 5, 3)
    scores = model.read(rows.x).units.detach()
    weight = 1 / ((scores - 0.5).abs() + 1e-9)
    wanted = [sorted(range(5), key=lambda j: -row[j]) for row in weight.tolist()]  # used at once
    assert order_of("uncertainty", model, rows).tolist() == wanted


def test_uncertainty_of_a_group_is_its_most_uncertain_member(make_model, make_rows):
    groups = ((0, 3),)
    model, rows = make_model(4, 3, groups=groups), make_rows(30, 4, 3, groups)
    certain = (model.read(rows.x).units.detach() - 0.5).abs()
    order = order_of("uncertainty", model, rows)
    assert prepare(model, rows).turns == ((0, 3), (1,), (2,))
    each = torch.stack([certain[:, [0, 3]].amin(1), certain[:, 1], certain[:, 2]], 1)
    assert (each.gather(1, order).diff(dim=1) >= 0).all()


def losses(model, rows):
    """Mean |p - c| of each concept over its known labels, one at a time."""
    scores = model.bottleneck.scores(model.read(rows.x)).tolist()
    found = []
    for j in range(rows.c.shape[1]):
        known = [(p[j], c[j]) for p, c in zip(scores, rows.c.tolist(), strict=True) if c[j] == c[j]]
        found.append(sum(abs(p - c) for p, c in known) / max(len(known), 1))
    return found


@pytest.mark.parametrize("kind", ["soft", "hard", "logit"])
def test_lcp_follows_the_loss_on_validation_rows_whatever_the_rows(make_model, make_rows, kind):
    model, rows = make_model(6, 3, kind), make_rows(20, 6, 3, seed=1)
    held = make_rows(90, 6, 3, unknown=0.3, seed=2)
    loss = losses(model, held)
    order = order_of("lcp", model, rows, held)
    assert order.stride(0) == 0  # one order, which is replayed faster
    taken = [loss[j] for j in order[0].tolist()]
    assert all(a >= b - 1e-6 for a, b in itertools.pairwise(taken))


def test_lcp_of_a_group_is_the_mean_of_its_concepts_and_unknown_ones_come_last(
    make_model, make_rows
):
    model, rows = make_model(5, 3, groups=GROUPS), make_rows(20, 5, 3, GROUPS)
    held = make_rows(90, 5, 3, GROUPS, seed=2)
    held.c[:, 1] = torch.nan
    loss = losses(model, held)
    score = [(loss[0] + loss[3]) / 2, -1, loss[2], loss[4]]  # turns in their order
    assert prepare(model, rows).turns == ((0, 3), (1,), (2,), (4,))
    wanted = sorted(range(4), key=lambda t: -score[t])
    assert order_of("lcp", model, rows, held)[0].tolist() == wanted
    assert wanted[-1] == 1


@pytest.mark.parametrize("kind", ["soft", "logit"])
def test_cctp_of_a_linear_head_is_the_unit_times_the_sum_of_its_weights(
    make_model, make_rows, kind
):
    model, rows = make_model(5, 4, kind, groups=GROUPS, extra=1), make_rows(30, 5, 4, GROUPS)
    units, weight = model.read(rows.x).units.tolist(), model.head.weight.tolist()
    order = order_of("cctp", model, rows).tolist()
    for unit, taken in zip(units, order, strict=True):
        each = [sum(abs(unit[j] * w[j]) for w in weight) for j in range(5)]
        score = [(each[0] + each[3]) / 2, each[1], each[2], each[4]]
        assert all(score[a] >= score[b] - 1e-5 for a, b in itertools.pairwise(taken))


def test_cctp_of_any_head_follows_finite_differences(make_model, make_rows):
    model, rows = make_model(4, 3, hidden=(6,), seed=1), make_rows(20, 4, 3)
    model.double()
    units, step = model.read(rows.x.double()).units.detach(), 1e-6
    score = torch.zeros(20, 4)
    for j in range(4):
        move = step * torch.eye(4, dtype=torch.float64)[j]
        up, down = (model.decide(Reading(units + s * move)).prediction for s in (1, -1))
        score[:, j] = ((up - down) / (2 * step) * units[:, j, None]).abs().sum(1)
    order = order_of("cctp", model, rows)
    assert (score.gather(1, order).diff(dim=1) <= 1e-5).all()


def test_cctp_leaves_no_gradient_behind(make_model, make_rows):
    model, rows = make_model(4, 3), make_rows(20, 4, 3)
    with torch.no_grad():
        order_of("cctp", model, rows)
    assert all(part.grad is None for part in model.parameters())


class MeasureTestRounding(LinearHead):
    """A decision with no gradient."""

    def forward(self, z):
        return super().forward(z.detach()).detach()


def test_cctp_says_that_it_needs_a_gradient(make_model, make_rows):
    model, rows = make_model(3, 2), make_rows(5, 3, 2)
    model = NarrowModel(model.encoder, model.bottleneck, MeasureTestRounding(3, 2), (0, 1)).eval()
    with pytest.raises(InvalidInput, match="'cctp' needs the gradient"):
        order_of("cctp", model, rows)


class MeasureTestUnbounded(Bottleneck):
    """Scores that are no probabilities."""

    def read(self, h):
        return Reading(3 * h)


@pytest.mark.parametrize("name", ["lcp", "ectp", "eudtp", "coop"])
def test_scores_that_are_no_probabilities_are_refused(make_rows, name):
    rows = make_rows(20, 3, 2)
    head = LinearHead(3, 2)
    model = NarrowModel(nn.Identity(), MeasureTestUnbounded(rows.concepts.names), head, (0, 1))
    with pytest.raises(InvalidInput, match=r"scores of 'c\d' outside \[0, 1\], wanted prob"):
        order_of(name, model, rows, rows)


class MeasureTestUndefined(Bottleneck):
    """Finite units whose scores are no numbers."""

    def read(self, h):
        return Reading(h)

    def scores(self, reading):
        return reading.units.clone().index_fill_(1, torch.tensor([1]), torch.nan)


@pytest.mark.parametrize("name", ["lcp", "ectp", "eudtp", "coop"])
def test_scores_that_are_no_numbers_are_refused_by_the_concepts_name(make_rows, name):
    rows = make_rows(20, 3, 2)
    rows = dataclasses.replace(rows, x=rows.c)
    layer = MeasureTestUndefined(rows.concepts.names)
    model = NarrowModel(nn.Identity(), layer, LinearHead(3, 2), (0, 1))
    with pytest.raises(InvalidInput, match="scores of 'c1'"):
        order_of(name, model, rows, rows)


def test_lcp_without_validation_rows_says_so(make_model, make_rows):
    with pytest.raises(InvalidInput, match="validation: found None, wanted validation rows"):
        order_of("lcp", make_model(3, 2), make_rows(5, 3, 2))
