"""Policies that look one correction ahead, against loops over all answers and closed forms."""

from __future__ import annotations

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
from narrows.measure.corrections import prepare
from narrows.measure.intervention.policies_expected import _divergence, _entropy_lost, expected
from narrows.measure.intervention.registry import find
from narrows.measure.intervention.state import State
from narrows.model import NarrowModel
from narrows.reading import Reading

GROUPS = ((1, 2, 4),)


def entropy(p):
    return -sum(v * math.log(v) for v in p if v > 0)


def by_hand(now, answers, name):
    """The score of one turn, in plain numbers."""
    if name == "eudtp":
        return entropy(now) - sum(p * entropy(after) for p, after in answers)
    return sum(
        p * sum(a * math.log(a / b) for a, b in zip(after, now, strict=True) if a > 0)
        for p, after in answers
    )


GAINS = {"ectp": _divergence, "eudtp": _entropy_lost}


@pytest.mark.parametrize("name", GAINS)
@pytest.mark.parametrize("hidden", [None, (6,), (6, 5)], ids=["linear", "mlp", "deep"])
@pytest.mark.parametrize("kind", ["soft", "hard", "logit"])
@pytest.mark.parametrize("groups", [(), GROUPS], ids=["alone", "groups"])
def test_scores_equal_a_loop_over_answers(make_model, make_rows, brute, name, hidden, kind, groups):
    model = make_model(6, 4, kind, groups, extra=1, hidden=hidden, seed=1)
    rows = make_rows(12, 6, 4, groups, seed=1)
    model.bottleneck.linear.bias.data += 0.5  # the hard kind has bits in every group
    state = State(prepare(model, rows))
    with torch.no_grad():
        found, order = expected(state, GAINS[name]), find(name).order(state)
    wanted = []
    for i in range(12):
        if (
            kind == "hard"
            and groups
            and not model.read(rows.x[i : i + 1]).units[0, [1, 2, 4]].any()
        ):
            wanted.append(found[i].tolist())  # no member is likely: another test
            continue
        now, each = brute(model, rows, i)
        wanted.append([by_hand(now, answers, name) for answers in each])
    wanted = torch.tensor(wanted, dtype=torch.float64)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=2e-6)
    assert (wanted.gather(1, order).diff(dim=1) <= 4e-6).all()


def test_a_group_with_no_likely_member_counts_its_answers_alike(make_model, make_rows):
    model, rows = make_model(3, 3, "hard", ((0, 1, 2),)), make_rows(4, 3, 3, ((0, 1, 2),))
    model.bottleneck.linear.bias.data.fill_(-100)
    reading = model.read(rows.x)
    with torch.no_grad():
        now = model.decide(reading).prediction.double().log_softmax(1)
        gains = []
        for member in range(3):
            units = torch.eye(3)[member].expand(4, -1)
            after = model.decide(reading.replace(units=units)).prediction.double().log_softmax(1)
            gains.append((after.exp() * (after - now)).sum(1))
        found = expected(State(prepare(model, rows)), _divergence)[:, 0]
    torch.testing.assert_close(found, torch.stack(gains).mean(0), rtol=1e-5, atol=1e-6)


class MeasureTestPairs(Bottleneck):
    """Each unit mixes two vectors of its own: the form of concept embeddings."""

    width = 2

    def read(self, h):
        k = len(self.names)
        return Reading(h[:, :k].sigmoid(), context={"pairs": h[:, k:].unflatten(1, (k, 2, 2))})

    def write(self, reading):
        yes, no = reading.context["pairs"].unbind(2)
        return torch.lerp(no, yes, reading.units.unsqueeze(-1)).flatten(1)


class MeasureTestEcho(Bottleneck):
    """Correcting a unit also moves those to its right that nobody corrected: propagation."""

    def read(self, h):
        return Reading(h.sigmoid())

    def condition(self, reading, known):
        fixed = super().condition(reading, known)
        told = fixed.units - reading.units
        moved = (fixed.units + 0.3 * told.cumsum(1)).clamp(0, 1)
        untouched = told == 0
        return reading.replace(units=torch.where(untouched, moved, fixed.units))


@pytest.mark.parametrize("name", GAINS)
@pytest.mark.parametrize("bottleneck", [MeasureTestPairs, MeasureTestEcho])
def test_any_bottleneck_is_asked_through_its_own_verbs(make_rows, brute, name, bottleneck):
    generator = torch.Generator().manual_seed(3)
    k = 4
    layer = bottleneck([f"c{j}" for j in range(k)], [(1, 2)])
    head = LinearHead(k * layer.width, 3)
    nn.init.normal_(head.weight, std=2, generator=generator)
    model = NarrowModel(nn.Identity(), layer, head, (0, 1, 2)).eval()
    x = torch.randn(10, k if layer.width == 1 else 5 * k, generator=generator)
    rows = make_rows(10, k, 3, ((1, 2),))
    rows = Examples(x, rows.y, rows.c, rows.classes, rows.concepts)
    ready = prepare(model, rows)
    assert ready.alone == (bottleneck is MeasureTestPairs)
    with torch.no_grad():
        found = expected(State(ready), GAINS[name])
    wanted = []
    for i in range(10):
        now, each = brute(model, rows, i)
        wanted.append([by_hand(now, answers, name) for answers in each])
    torch.testing.assert_close(
        found.double(), torch.tensor(wanted, dtype=torch.float64), rtol=1e-4, atol=2e-6
    )


@given(
    st.lists(st.floats(-4, 4), min_size=3, max_size=3),
    st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2),
)
@settings(deadline=None)
def test_two_concepts_and_two_classes_in_closed_form(weights, scores):
    # y = sigmoid(a + w1 c1 + w2 c2); one concept is told, the other stays at its probability.
    a, *w = weights
    model, rows = logistic(a, w, scores)
    wanted = {"ectp": [], "eudtp": []}
    for j in range(2):
        q, other = scores[j], a + w[1 - j] * scores[1 - j]
        now = sigma(other + w[j] * q)
        yes, no = sigma(other + w[j]), sigma(other)
        change = q * binary_divergence(yes, now) + (1 - q) * binary_divergence(no, now)
        wanted["ectp"].append(change)
        left = q * entropy([yes, 1 - yes]) + (1 - q) * entropy([no, 1 - no])
        wanted["eudtp"].append(entropy([now, 1 - now]) - left)
    state = State(prepare(model, rows))
    for name, gain in GAINS.items():
        with torch.no_grad():
            found = expected(state, gain)
        torch.testing.assert_close(found[0].tolist(), wanted[name], rtol=1e-4, atol=1e-6)


def sigma(z):
    return 1 / (1 + math.exp(-z))


def binary_divergence(p, q):
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


class MeasureTestScores(Bottleneck):
    """The features are the scores."""

    def read(self, h):
        return Reading(h)


def logistic(a, w, scores):
    head = LinearHead(len(w), 2)
    with torch.no_grad():
        head.weight.copy_(torch.stack([torch.zeros(len(w)), torch.tensor(w)]))
        head.bias.copy_(torch.tensor([0.0, a]))
    names = tuple(f"c{j}" for j in range(len(w)))
    model = NarrowModel(nn.Identity(), MeasureTestScores(names), head, (0, 1)).eval()
    x = torch.tensor([scores])
    return model, Examples(x, torch.tensor([0]), x.round(), (0, 1), Concepts(names))


@given(st.integers(0, 2**20))
@settings(max_examples=25, deadline=None)
def test_laws_of_expected_scores(seed):
    generator = torch.Generator().manual_seed(seed)
    k, classes = 5, 4
    head = LinearHead(k, classes)
    with torch.no_grad():
        head.weight.copy_(2 * torch.randn(classes, k, generator=generator))
        head.weight[:, 2] = head.weight[0, 2]  # moves all logits alike: no class hears it
        head.bias.copy_(torch.randn(classes, generator=generator))
    names = tuple(f"c{j}" for j in range(k))
    x = torch.rand(7, k, generator=generator)
    x[:, 4] = x[:, 4].round()  # already certain
    y = torch.zeros(7, dtype=torch.int64)

    def scores(gain, head, x, names):
        model = NarrowModel(nn.Identity(), MeasureTestScores(names), head).eval()
        rows = Examples(x, y, x.round(), tuple(range(classes)), Concepts(names))
        with torch.no_grad():
            return expected(State(prepare(model, rows)), gain)

    order = torch.randperm(k, generator=generator)
    other = LinearHead(k, classes)
    shuffled = LinearHead(k, classes)
    with torch.no_grad():
        other.weight.copy_(head.weight.flip(0))
        other.bias.copy_(head.bias.flip(0))
        shuffled.weight.copy_(head.weight[:, order])
        shuffled.bias.copy_(head.bias)
    for name, gain in GAINS.items():
        found = scores(gain, head, x, names)
        if name == "ectp":
            assert (found >= -1e-9).all()
        assert found[:, [2, 4]].abs().max() < 1e-5  # what nobody hears, and what is known
        torch.testing.assert_close(scores(gain, other, x, names), found)  # classes have no order
        moved = scores(gain, shuffled, x[:, order], tuple(names[j] for j in order.tolist()))
        torch.testing.assert_close(moved, found[:, order], rtol=1e-5, atol=1e-7)
        assert torch.equal(scores(gain, head, x.flip(0), names), found.flip(0))


@pytest.mark.parametrize("hidden", [None, (6,)], ids=["linear", "mlp"])
def test_scores_do_not_depend_on_pieces(make_model, make_rows, monkeypatch, hidden):
    model, rows = make_model(5, 4, hidden=hidden), make_rows(30, 5, 4)
    state = State(prepare(model, rows))
    with torch.no_grad():
        whole = {name: expected(state, gain) for name, gain in GAINS.items()}
        monkeypatch.setattr(sys.modules["narrows.measure.intervention.trial"], "_HELD", 100)
        for name, gain in GAINS.items():
            torch.testing.assert_close(expected(state, gain), whole[name], rtol=1e-5, atol=1e-6)
