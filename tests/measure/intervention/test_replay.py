"""Replayed corrections equal the model corrected step by step, to the last decision."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from narrows.bottleneck import Bottleneck, resolve_known
from narrows.data.record import Concepts, Examples
from narrows.errors import InvalidInput
from narrows.heads import LinearHead
from narrows.measure.affine import affine
from narrows.measure.corrections import prepare
from narrows.measure.intervention.replay import replay
from narrows.model import NarrowModel
from narrows.reading import Reading


def orders(rows, turns, seed=0, shared=False):
    generator = torch.Generator().manual_seed(seed)
    if shared:
        return torch.randperm(turns, generator=generator).expand(rows, -1)
    return torch.rand(rows, turns, generator=generator).argsort(1)


@pytest.mark.parametrize("shared", [True, False], ids=["one order", "an order per row"])
@pytest.mark.parametrize("hidden", [None, (8,)], ids=["linear", "mlp"])
@pytest.mark.parametrize("kind", ["soft", "hard", "logit"])
@pytest.mark.parametrize("groups", [(), ((1, 2, 3), (5, 6))], ids=["alone", "groups"])
def test_replay_equals_the_naive_loop(
    make_model, make_rows, naive_accuracy, kind, hidden, groups, shared
):
    model = make_model(8, 5, kind, groups, extra=2, hidden=hidden, seed=3)
    rows = make_rows(150, 8, 5, groups, unknown=0.2, seed=3)
    corrections = prepare(model, rows)
    assert (affine(corrections) is not None) == (hidden is None)
    tried = [orders(150, len(corrections.turns), seed, shared) for seed in range(2)]
    wanted = [naive_accuracy(model, rows, order) for order in tried]
    assert replay(corrections, tried).tolist() == wanted


class MeasureTestUnits(Bottleneck):
    """The features are the units."""

    def read(self, h):
        return Reading(h)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_ties_go_to_the_lowest_class_as_argmax_does(data):
    # Eighths add up without rounding, so ties are exact and frequent.
    n, k, classes = (data.draw(st.integers(1, m)) for m in (6, 4, 4))
    seed = data.draw(st.integers(0, 2**20))
    generator = torch.Generator().manual_seed(seed)

    def eighths(*shape):
        return torch.randint(-3, 4, shape, generator=generator) / 8

    head = LinearHead(k, classes)
    with torch.no_grad():
        head.weight.copy_(eighths(classes, k))
        head.bias.copy_(eighths(classes))
    names = [f"c{j}" for j in range(k)]
    model = NarrowModel(nn.Identity(), MeasureTestUnits(names), head).eval()
    c = torch.randint(0, 2, (n, k), generator=generator).float()
    y = torch.randint(0, classes, (n,), generator=generator)
    rows = Examples(eighths(n, k), y, c, tuple(range(classes)), Concepts(tuple(names)))
    order = orders(n, k, seed, shared=data.draw(st.booleans()))
    said, units = [], rows.x.clone()
    for step in range(k + 1):
        if step:
            at = order[:, step - 1 : step]
            units = units.scatter(1, at, c.gather(1, at))
        scores = (units.double() @ head.weight.double().T + head.bias.double()).tolist()
        said.append(sum(row.index(max(row)) == y[i] for i, row in enumerate(scores)) / n)
    assert replay(prepare(model, rows), [order])[0].tolist() == said


def test_an_untrained_head_where_all_classes_tie_is_replayed_exactly(make_rows):
    layer = MeasureTestUnits([f"c{j}" for j in range(3)])
    model = NarrowModel(nn.Identity(), layer, LinearHead(3, 3)).eval()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
    rows = make_rows(50, 3, 3)
    first = float((rows.y == 0).double().mean())
    assert replay(prepare(model, rows), [orders(50, 3)]).tolist() == [[first] * 4]


class MeasureTestMixing(Bottleneck):
    """Each unit mixes two vectors of its own: the form of concept embeddings."""

    width = 3

    def read(self, h):
        soft, vectors = h[:, : len(self.names)].sigmoid(), h[:, len(self.names) :]
        return Reading(soft, context={"vectors": vectors.unflatten(1, (len(self.names), 2, 3))})

    def write(self, reading):
        yes, no = reading.context["vectors"].unbind(2)
        return torch.lerp(no, yes, reading.units.unsqueeze(-1)).flatten(1)


class MeasureTestSwapping(MeasureTestMixing):
    """Writes the vector of a unit in its neighbour's place: units mix in z."""

    def write(self, reading):
        return super().write(reading.replace(units=reading.units + reading.units.roll(1, 1)))


class MeasureTestSpreading(MeasureTestUnits):
    """Correcting the first unit also moves the second one."""

    def condition(self, reading, known):
        mask, values = resolve_known(known, self.names, self.groups, reading.units)
        units = torch.where(mask, values, reading.units)
        second = torch.where(mask[:, 0] & ~mask[:, 1], units[:, 0], units[:, 1])
        units[:, 1] = second
        return reading.replace(units=units)


@pytest.mark.parametrize(
    ("bottleneck", "followed"),
    [(MeasureTestMixing, True), (MeasureTestSwapping, False), (MeasureTestSpreading, False)],
)
def test_other_bottlenecks_equal_the_naive_loop(make_rows, naive_accuracy, bottleneck, followed):
    generator = torch.Generator().manual_seed(5)
    rows = make_rows(80, 4, 3, unknown=0.1)
    layer = bottleneck(rows.concepts.names, [(2, 3)])
    rows = Examples(rows.x, rows.y, rows.c, rows.classes, rows.concepts)
    rows.c[:, 2:] = torch.eye(2)[torch.randint(2, (80,), generator=generator)]
    head = LinearHead(4 * layer.width, 3)
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator))
        head.bias.zero_()
    x = torch.randn(80, 4 if layer.width == 1 else 28, generator=generator)
    rows = Examples(x, rows.y, rows.c, rows.classes, rows.concepts)
    model = NarrowModel(nn.Identity(), layer, head).eval()
    corrections = prepare(model, rows)
    assert corrections.turns == ((0,), (1,), (2, 3))
    assert (affine(corrections) is not None) == followed
    tried = [orders(80, 3, seed, shared) for seed in range(3) for shared in (True, False)]
    wanted = [naive_accuracy(model, rows, order) for order in tried]
    assert replay(corrections, tried).tolist() == wanted


class MeasureTestClaimsAffine(LinearHead):
    """Has a weight and a bias, and does something else with them."""

    def forward(self, z):
        return super().forward(z.square())


def test_a_head_is_not_taken_at_its_word(make_rows, naive_accuracy):
    rows = make_rows(60, 4, 3)
    head = MeasureTestClaimsAffine(4, 3)
    model = NarrowModel(nn.Identity(), MeasureTestUnits(rows.concepts.names), head).eval()
    corrections = prepare(model, rows)
    assert affine(corrections) is None
    order = orders(60, 4)
    assert replay(corrections, [order]).tolist() == [naive_accuracy(model, rows, order)]


def test_pieces_and_threads_do_not_change_the_result(make_model, make_rows, monkeypatch):
    model, rows = make_model(6, 4), make_rows(97, 6, 4)
    corrections = prepare(model, rows)
    tried = [orders(97, 6, 1, shared=True), orders(97, 6, 2)]
    whole = replay(corrections, tried)
    for name, value in {"_CACHED": 40, "_HELD": 200, "_FEW": 0}.items():
        monkeypatch.setattr(sys.modules["narrows.measure.intervention.replay"], name, value)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert torch.equal(replay(corrections, tried), whole)
    assert torch.equal(replay(corrections, tried[:1]), whole[:1])


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (torch.zeros(9, 4, dtype=torch.int64), "a turn missing or twice"),
        (torch.zeros(4, dtype=torch.int64), r"shape \(4,\)"),
        (torch.zeros(9, 4), "float32"),
    ],
)
def test_an_order_that_is_no_permutation_is_refused(make_model, make_rows, order, said):
    corrections = prepare(make_model(4, 3), make_rows(9, 4, 3))
    with pytest.raises(InvalidInput, match=said):
        replay(corrections, [order])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "policies"),
    [
        (6000, ("random", "uncertainty", "lcp", "cctp")),
        # These hold pieces of what all moves would do: more rows are more pieces, one by one.
        (300, ("ectp", "eudtp", "coop", "oracle")),
    ],
)
def test_memory_of_200_concepts_and_6000_rows_stays_below_500_mb(rows, policies):
    code = f"n, policies = {rows}, {policies}\n" + textwrap.dedent("""
        import resource, torch
        from torch import nn
        from narrows.concepts.layer import ConceptLayer
        from narrows.data.record import Concepts, Examples
        from narrows.heads import LinearHead
        from narrows.measure import intervention_curve
        from narrows.model import NarrowModel
        k, classes = 200, 200
        names = tuple(f"c{j}" for j in range(k))
        model = NarrowModel(nn.Identity(), ConceptLayer(k, names), LinearHead(k, classes))
        generator = torch.Generator().manual_seed(0)
        c = (torch.rand(n, k, generator=generator) < 0.5).float()
        y = torch.randint(classes, (n,), generator=generator)
        rows = Examples(2 * c - 1, y, c, tuple(range(classes)), Concepts(names))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for policy in policies:
            intervention_curve(model, rows, policy, seeds=2, validation=rows[:50])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(ran.stdout) * 1024 <= 500e6
