"""Leakage on codes whose answer is known, and on a concept model trained to cheat."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from narrows.bottleneck import Bottleneck
from narrows.concepts import CBM
from narrows.data.record import Concepts, Dataset, Examples
from narrows.errors import InvalidInput
from narrows.heads import LinearHead
from narrows.measure import irrelevant_leakage, leakage
from narrows.model import NarrowModel
from narrows.reading import Reading

LEFT = tuple(f"left is {d}" for d in range(10))


class MeasureTestLeft(Bottleneck):
    """Reads the left of two digits, and moves all scores by `amount` times the right one."""

    def __init__(self, amount: float) -> None:
        super().__init__(LEFT)
        self.amount = amount

    def read(self, h):
        left, right = h.split(10, 1)
        value = right @ torch.arange(10.0)
        return Reading(0.1 + 0.45 * left + self.amount * value[:, None])


def pairs(of: str, times: int = 3) -> Examples:
    """Every pair of digits equally often, so that left and right are independent exactly."""
    left, right = (
        torch.cartesian_prod(torch.arange(10), torch.arange(10)).repeat(times, 1).T.contiguous()
    )
    one_hot = nn.functional.one_hot
    x = torch.cat([one_hot(left, 10), one_hot(right, 10)], 1).float()
    y = {"left": left, "right": right, "odd": right % 2}[of]
    c = one_hot(left, 10).float()
    concepts = Concepts(LEFT, (tuple(range(10)),))
    return Examples(x, y, c, tuple(range(int(y.max()) + 1)), concepts)


def as_data(rows: Examples) -> Dataset:
    return Dataset("pairs", rows, rows, rows)


def model(amount: float) -> NarrowModel:
    return NarrowModel(nn.Identity(), MeasureTestLeft(amount), LinearHead(10, 10)).eval()


@pytest.mark.parametrize("of", ["right", "odd"])
def test_clean_scores_give_exactly_chance_on_an_independent_label(of):
    rows = pairs(of)
    found = irrelevant_leakage(model(0.0), rows, rows)
    assert found.accuracy == pytest.approx(found.chance, abs=1e-9)
    assert found.chance == pytest.approx(1 / len(rows.classes))
    assert leakage(model(0.0), as_data(rows)).bits == pytest.approx(0, abs=1e-6)


def test_a_trace_of_the_right_digit_in_soft_scores_leaks_it_all():
    rows = pairs("right")
    found = leakage(model(0.01), as_data(rows))
    assert found.soft_accuracy == 1
    assert found.hard_accuracy == pytest.approx(0.1, abs=1e-9)
    assert found.accuracy == float(found) == pytest.approx(0.9, abs=1e-9)
    # All log2(10) bits are there; an affine head tells the digits apart, but not with certainty.
    assert found.hard_bits == pytest.approx(0, abs=1e-3)
    assert 1.5 < found.bits <= math.log2(10)
    assert irrelevant_leakage(model(0.01), rows, rows).excess == pytest.approx(0.9, abs=1e-9)


def test_scores_that_are_bits_already_do_not_leak():
    class MeasureTestBits(MeasureTestLeft):
        def read(self, h):
            return Reading(h[:, :10])

    bits = NarrowModel(nn.Identity(), MeasureTestBits(0.0), LinearHead(10, 10)).eval()
    found = leakage(bits, as_data(pairs("left")))
    assert found.accuracy == found.bits == 0
    assert found.hard_accuracy == 1
    assert found.hard_bits == pytest.approx(math.log2(10), abs=0.1)


def test_scores_that_never_change_tell_nothing():
    class MeasureTestStill(MeasureTestLeft):
        def read(self, h):
            return Reading(torch.full((len(h), 10), 0.3))

    still = NarrowModel(nn.Identity(), MeasureTestStill(0.0), LinearHead(10, 10)).eval()
    rows = pairs("right")
    found = leakage(still, as_data(rows))
    assert found.accuracy == 0
    assert found.soft_bits == pytest.approx(0, abs=1e-9)
    assert irrelevant_leakage(still, rows, rows).excess == pytest.approx(0, abs=1e-9)


def test_bits_equal_the_mutual_information_of_a_two_by_two_table():
    # One score with two values; counts 30, 10 / 10, 30. An affine head on one bit can say every
    # conditional probability, so H(Y) - CE is the plug-in mutual information of the table.
    counts = torch.tensor([[30, 10], [10, 30]])
    bit, y = counts.nonzero().repeat_interleave(counts.flatten(), 0).T.contiguous()
    table = Examples(bit[:, None].float(), y, bit[:, None].float(), (0, 1), Concepts(("h0",)))

    class MeasureTestOne(Bottleneck):
        def read(self, h):
            return Reading(h)

    one = NarrowModel(nn.Identity(), MeasureTestOne(("h0",)), LinearHead(1, 2)).eval()
    joint = counts.double() / 80
    wanted = float((joint * (joint / 0.25).log2()).sum())
    assert leakage(one, as_data(table)).hard_bits == pytest.approx(wanted, abs=1e-3)


@pytest.mark.slow
def test_a_concept_model_trained_for_the_label_leaks_and_a_hard_one_does_not():
    rng = np.random.default_rng(0)
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32).flatten(1)
    target = torch.tensor(digits.target)
    order = torch.tensor(rng.permutation(len(images)))

    def draw(some: torch.Tensor, n: int) -> Examples:
        a, b = (some[torch.tensor(rng.integers(0, len(some), n))] for _ in range(2))
        c = nn.functional.one_hot(target[a], 10).float()
        x = torch.cat([images[a], images[b]], 1)
        return Examples(x, target[b], c, tuple(range(10)), Concepts(LEFT, (tuple(range(10)),)))

    train, test = draw(order[:1200], 3000), draw(order[1200:], 2000)
    data = Dataset("left concepts, right label", train, train[:500], test)
    joint = CBM("joint", concept_weight=1e-4, encoder="mlp", epochs=15, lr=0.1).fit(data).model_
    hard = CBM("independent", kind="hard", encoder="identity").fit(data).model_
    noise = math.sqrt(0.1 * 0.9 / len(test))
    clean = irrelevant_leakage(hard, train, test)
    assert abs(clean.excess) < 5 * noise
    cheat = irrelevant_leakage(joint, train, test)
    assert cheat.excess > 0.5
    assert cheat.excess > 10 * noise + abs(clean.excess)
    assert leakage(hard, data).accuracy == 0


def test_text_and_json_say_the_same():
    rows = pairs("right")
    found = leakage(model(0.01), as_data(rows))
    assert "leakage +90.0 points (100.0 soft, 10.0 hard)" in str(found)
    assert found.to_dict()["accuracy"] == found.accuracy
    other = irrelevant_leakage(model(0.01), rows, rows)
    assert "+90.0 points (100.0, chance 10.0)" in str(other)
    assert other.to_dict()["excess"] == float(other)


def test_what_cannot_be_judged_is_refused():
    rows = pairs("right")
    with pytest.raises(InvalidInput, match="values outside"):
        leakage(model(2.0), as_data(rows))
    with pytest.raises(InvalidInput, match=r"test\.classes"):
        irrelevant_leakage(model(0.0), rows, pairs("odd"))
    unnamed = Examples(rows.x, rows.y, rows.c, rows.classes, Concepts(tuple("abcdefghij")))
    with pytest.raises(InvalidInput, match="no name in common"):
        leakage(model(0.0), as_data(unnamed))
    y = rows.y.clone()
    y[0] = -1
    with pytest.raises(InvalidInput, match="without a label"):
        irrelevant_leakage(
            model(0.0), Examples(rows.x, y, rows.c, rows.classes, rows.concepts), rows
        )
