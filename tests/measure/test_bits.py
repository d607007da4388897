"""Measured bits against entropies, hand-made quantisation and the coder's own bound."""

from __future__ import annotations

import json
import math
import sys

import pytest
import torch
from torch import nn

from narrows.bottleneck import Bottleneck
from narrows.data.record import Concepts, Dataset, Examples
from narrows.encoders import MLPEncoder
from narrows.errors import InvalidInput
from narrows.heads import LinearHead
from narrows.measure import BitsResult, bits
from narrows.model import NarrowModel
from narrows.reading import Reading

BARE = Concepts(())


class MeasureTestPlain(Bottleneck):
    """The features are the units."""

    def read(self, h):
        return Reading(h)


class MeasureTestIndex(Bottleneck):
    """One code of eight, by its index; the unit beside it is always 1."""

    def read(self, h):
        picked = h.argmax(1, keepdim=True)
        return Reading(torch.ones(len(h), 1), picked, rate=torch.full((len(h),), math.log(8)))

    def write(self, reading):
        one_hot = nn.functional.one_hot(reading.indices[:, 0], len(self.names))
        return reading.units * one_hot.float()


def plain(units: int, classes: int = 2) -> NarrowModel:
    return NarrowModel(
        nn.Identity(),
        MeasureTestPlain([f"u{i}" for i in range(units)]),
        LinearHead(units, classes),
        tuple(range(classes)),
    ).eval()


def split(x: torch.Tensor, y: torch.Tensor, classes: int) -> Examples:
    return Examples(x, y, None, tuple(range(classes)), BARE)


def as_data(x: torch.Tensor, y: torch.Tensor, classes: int = 2) -> Dataset:
    """A half to train, a quarter each to choose and to judge."""
    a, b = len(x) // 2, 3 * len(x) // 4
    parts = [split(x[s], y[s], classes) for s in (slice(0, a), slice(a, b), slice(b, None))]
    return Dataset("made", *parts)


def within_the_bound(found: BitsResult, fixed: int = 64) -> bool:
    ideal = found.ideal * found.rows
    return ideal - 1e-6 <= found.value * found.rows <= ideal * 1.001 + fixed


def test_one_of_eight_at_random_costs_three_bits():
    y = torch.randint(8, (8000,), generator=torch.Generator().manual_seed(0))
    # Every code equally often in training, so that the prior is the uniform one.
    y[:4000] = torch.arange(4000) % 8
    model = NarrowModel(
        nn.Identity(),
        MeasureTestIndex([f"code {i}" for i in range(8)]),
        LinearHead(8, 8),
        tuple(range(8)),
    ).eval()
    with torch.no_grad():
        model.head.weight.copy_(torch.eye(8))
        model.head.bias.zero_()
    found = bits(model, as_data(nn.functional.one_hot(y, 8).float(), y, 8))
    assert found.ideal == pytest.approx(3, abs=0.02)
    assert found.value == pytest.approx(3, abs=0.05)
    assert found.rate_bits == pytest.approx(3)
    assert found.step is None
    assert found.numbers == 2
    assert found.accuracy_full == found.accuracy_coded == 1
    assert within_the_bound(found)


def test_units_that_never_change_cost_nearly_nothing():
    x = torch.full((4000, 5), 0.37)
    y = torch.zeros(4000, dtype=torch.int64)
    found = bits(plain(5), as_data(x, y))
    assert found.value <= 0.1
    assert math.isnan(found.rate_bits)
    assert within_the_bound(found)


def test_biased_bits_cost_their_entropy():
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(40_000, 4, generator=generator) < 0.1).float()
    found = bits(plain(4), as_data(x, x[:, 0].long()))
    p = torch.tensor([0.1, 0.9])
    assert found.step is None
    assert found.ideal == pytest.approx(4 * float(-(p * p.log2()).sum()), rel=0.03)
    assert within_the_bound(found)


def test_context_counts():
    class MeasureTestSide(MeasureTestPlain):
        def read(self, h):
            return Reading(h[:, :1], context={"side": h[:, 1:]})

    generator = torch.Generator().manual_seed(2)
    x = (torch.rand(8000, 3, generator=generator) < 0.5).float()
    y = x[:, 0].long()
    model = NarrowModel(nn.Identity(), MeasureTestSide(["u"]), LinearHead(1, 2), (0, 1)).eval()
    assert bits(model, as_data(x, y)).ideal == pytest.approx(3, abs=0.01)
    assert bits(plain(1), as_data(x[:, :1], y)).ideal == pytest.approx(1, abs=0.01)


@pytest.fixture
def real():
    """Two Gaussian units, a head that splits by their sum."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(8000, 2, generator=generator) * torch.tensor([3.0, 0.5]) + 1
    score = (x[:, 0] - 1) / 3 + (x[:, 1] - 1) / 0.5
    y = (score + 0.3 * torch.randn(8000, generator=generator) > 0).long()
    model = plain(2)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[0.0, 0.0], [1 / 3, 2.0]]))
        model.head.bias.copy_(torch.tensor([0.0, -1 / 3 - 2]))
    return model, as_data(x, y)


def by_hand(model, data, rows, step):
    """Accuracy with units rounded to the grid, in numpy."""
    train = data.train.x.double().numpy()
    mean, deviation = train.mean(0), train.std(0)
    rounded = ((rows.x.double().numpy() - mean) / (step * deviation)).round()
    units = mean + rounded * step * deviation
    z = units @ model.head.weight.detach().double().numpy().T + model.head.bias.detach().numpy()
    return (z.argmax(1) == rows.y.numpy()).mean()


def test_the_step_is_the_coarsest_that_keeps_validation_accuracy(real):
    model, data = real
    found = bits(model, data)
    full = (model(data.val.x).prediction.argmax(1) == data.val.y).double().mean()
    steps = [8 / 2**i for i in range(12)]
    kept = [step for step in steps if by_hand(model, data, data.val, step) >= full - 0.001]
    assert found.step == kept[0]
    assert kept[0] < 8


def test_coded_accuracy_and_ideal_length_equal_those_by_hand(real):
    model, data = real
    found = bits(model, data)
    accuracy = by_hand(model, data, data.test, found.step)
    assert found.accuracy_coded == pytest.approx(accuracy, abs=1e-12)
    said = model(data.test.x).prediction.argmax(1)
    assert found.accuracy_full == float((said == data.test.y).double().mean())
    # What lies outside the range of the training rows goes in a second stream.
    assert within_the_bound(found, fixed=192)
    # A Gaussian on a fine grid of d deviations has log2(sqrt(2 pi e) / d) bits; the prior, known
    # from 4,000 rows only, costs a little more.
    gaussian = 2 * math.log2(math.sqrt(2 * math.pi * math.e) / found.step)
    assert gaussian - 0.1 <= found.ideal <= gaussian + 0.4


def test_units_nobody_needs_are_dropped_and_finer_units_cost_more(real):
    model, data = real
    idle = torch.randn(8000, 1, generator=torch.Generator().manual_seed(4))
    both = torch.cat([torch.cat([s.x for s in data.splits.values()]), idle], 1)
    y = torch.cat([s.y for s in data.splits.values()])
    constant = plain(3)
    with torch.no_grad():
        constant.head.weight.zero_()
        constant.head.bias.copy_(torch.tensor([1.0, 0.0]))
    found = bits(constant, as_data(both, y))
    assert found.step == 8
    assert found.value < 0.1
    assert bits(model, data).value > 1


def test_where_no_step_is_fine_enough_the_finest_is_taken_and_the_loss_shows():
    generator = torch.Generator().manual_seed(6)
    x = (torch.rand(4000, 1, generator=generator) - 0.5) / 1000
    x[::100] += 1e6  # rare giants set the deviation, and with it the grid
    y = (x[:, 0] > 0).long()
    model = plain(1)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[0.0], [1.0]]))
        model.head.bias.zero_()
    found = bits(model, as_data(x, y))
    assert found.step == 8 / 2**20
    assert found.accuracy_full == 1
    assert found.accuracy_coded < 0.6


def test_long_readings_go_in_several_streams(real, monkeypatch):
    whole = bits(*real)
    monkeypatch.setattr(sys.modules["narrows.measure.bits"], "_CODED", 1000)
    parts = bits(*real)
    # 2,000 rows of two numbers in streams of 500 rows.
    assert 0 < (parts.value - whole.value) * whole.rows <= 3 * 192
    assert parts.ideal == whole.ideal
    assert parts.accuracy_coded == whole.accuracy_coded


def test_the_encoder_may_be_anything_and_the_model_stays_as_it_was(real):
    _, data = real
    model = NarrowModel(
        MLPEncoder(2, (4,)), MeasureTestPlain(list("abcd")), LinearHead(4, 2), (0, 1)
    )
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = bits(model, data)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert bits(model, data) == found or math.isnan(found.rate_bits)
    assert bits(model, data).to_dict() == found.to_dict()


def test_sequences_of_units_are_counted_as_wholes():
    class MeasureTestFrames(MeasureTestPlain):
        def read(self, h):
            units = h.unflatten(1, (3, 2))
            return Reading(units, rate=torch.full(units.shape[:2], math.log(2)))

        def write(self, reading):
            return reading.units.mean(1)

    x = (torch.rand(8000, 6, generator=torch.Generator().manual_seed(5)) < 0.5).float()
    model = NarrowModel(
        nn.Identity(), MeasureTestFrames(["a", "b"]), LinearHead(2, 2), (0, 1)
    ).eval()
    found = bits(model, as_data(x, x[:, 0].long()))
    assert found.ideal == pytest.approx(6, abs=0.02)
    assert found.rate_bits == pytest.approx(3)


def test_text_and_json(real):
    found = bits(*real)
    assert float(found) == found.value
    assert str(found).startswith(f"{found.value:.2f} bits an example (ideal {found.ideal:.2f}")
    loaded = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert loaded["rate_bits"] is None
    assert loaded["step"] == found.step


def test_readings_that_are_not_finite_are_refused(real):
    model, data = real
    with torch.no_grad():
        model.encoder = nn.Linear(2, 2)
        model.encoder.weight.fill_(float("inf"))
    with pytest.raises(InvalidInput, match="units: found NaN or infinite"):
        bits(model, data)
