"""The sandwich against closed forms and quadrature (checks 1 and 2 of the method)."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from narrows.errors import InvalidInput, UnknownName
from narrows.information import GaussianBottleneck
from narrows.measure import sandwich_mi


def normal(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("gain", "noise"), [(1.0, 1.0), (2.0, 0.5), (3.0, 0.2)])
def test_a_linear_channel_comes_within_two_percent_of_its_closed_form(
    gain: float, noise: float
) -> None:
    truth = 0.5 * math.log1p(gain**2 / noise**2)
    assert truth < math.log(4000) - 2
    told = sandwich_mi(gain * normal(4000), noise, draws=5)
    # two percent, and what the drawn x of another variance may add
    assert abs(told.value - truth) < 0.02 * truth + 2 * told.stderr


def test_fewer_references_make_it_lower_and_never_above_their_logarithm() -> None:
    mean = 10 * normal(2000)
    told = [sandwich_mi(mean, 0.1, ref=m, seed=1) for m in (5, 50, 500, 2000)]
    values = [one.value for one in told]
    assert values == sorted(values)
    for one, m in zip(told, (5, 50, 500, 2000), strict=True):
        assert one.value <= one.ceiling == pytest.approx(math.log(m))
        assert one.settings["references"] == m
    assert "ceiling" in told[0].warnings[0]


def test_the_marginal_form_is_below_the_truth_in_expectation() -> None:
    truth = 0.5 * math.log(5)
    told = [sandwich_mi(normal(40, seed), 0.5, seed=seed).value for seed in range(200)]
    assert np.mean(told) < truth + 3 * np.std(told) / math.sqrt(200)
    few = [sandwich_mi(normal(200, seed), 0.5, ref=8, seed=seed).value for seed in range(50)]
    assert np.mean(few) + 3 * np.std(few) / math.sqrt(50) < truth


def test_the_jensen_form_is_its_own_closed_form() -> None:
    mean = 1.5 * normal(4000)
    told = sandwich_mi(mean, 0.7, form="jensen", draws=5)
    # a^2 var(x) / s^2 of these x, their own row among the references
    wanted = float(mean.var(correction=0)) / 0.49
    assert told.value == pytest.approx(wanted, rel=0.02)
    assert (told.kind, told.ceiling) == ("upper", math.inf)


def test_a_code_that_depends_on_the_label_alone_keeps_nothing_given_the_label() -> None:
    y = torch.arange(600) % 3
    mean = torch.stack([y.double() * 4, -y.double()], 1)
    for form in ("marginal", "jensen"):
        assert sandwich_mi(mean, 0.5, y, form=form).value == pytest.approx(0, abs=1e-9)
    assert sandwich_mi(mean, 0.5).value > 1


def test_the_chain_rule_holds_against_quadrature() -> None:
    """I(X;Z) = I(Z;Y) + I(X;Z|Y), three classes of five values each, the code x + noise."""
    noise = 0.6
    values = np.array([[0.0, 0.5, 1.0, 1.5, 2.0], [1.5, 2.0, 3.0, 3.5, 4.0], [5, 5.2, 6, 7, 7.5]])
    z = np.linspace(-6, 14, 20001)
    step = z[1] - z[0]
    density = np.exp(-((z - values[..., None]) ** 2) / (2 * noise**2))
    density /= noise * math.sqrt(2 * math.pi)

    def entropy(p: Any) -> float:
        return float(-(p * np.log(np.maximum(p, 1e-300))).sum() * step)

    own = 0.5 * math.log(2 * math.pi * math.e * noise**2)
    whole = entropy(density.mean((0, 1))) - own
    given_y = float(np.mean([entropy(d.mean(0)) for d in density])) - own
    of_y = entropy(density.mean((0, 1))) - float(np.mean([entropy(d.mean(0)) for d in density]))
    rows = torch.from_numpy(np.repeat(values.ravel(), 100))[:, None]
    y = np.repeat([0, 1, 2], 500)
    told = sandwich_mi(rows, noise, draws=20)
    within = sandwich_mi(rows, noise, y, draws=20, seed=1)
    assert told.value == pytest.approx(whole, abs=4 * told.stderr / math.sqrt(20) + 1e-3)
    assert within.value == pytest.approx(given_y, abs=4 * within.stderr / math.sqrt(20) + 1e-3)
    assert told.value - within.value == pytest.approx(of_y, abs=0.03)


def test_classes_count_by_their_share_of_rows_or_by_the_shares_given() -> None:
    mean = torch.cat([torch.zeros(30, 1), 100 * torch.arange(10.0)[:, None]])
    y = ["same"] * 30 + ["apart"] * 10
    assert sandwich_mi(mean, 1.0, y).value == pytest.approx(0.25 * math.log(10))
    even = sandwich_mi(mean, 1.0, y, shares=[0.5, 0.5])
    assert even.value == pytest.approx(0.5 * math.log(10))
    assert even.ceiling == pytest.approx(0.5 * math.log(10) + 0.5 * math.log(30))
    assert even.settings["references"] == [10, 30]


@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_scale_and_place_of_the_code_change_nothing(seed: int, by: float, to: float) -> None:
    mean = normal(50, seed)
    told = sandwich_mi(mean, 0.4, seed=seed).value
    assert sandwich_mi(by * mean + to, 0.4 * by, seed=seed).value == pytest.approx(told, abs=1e-8)


def test_one_seed_is_one_value_and_bits_are_nats_over_log_two() -> None:
    mean = normal(100)
    told = sandwich_mi(mean, 0.3, ref=20, seed=4)
    assert sandwich_mi(mean, 0.3, ref=20, seed=4) == told
    assert sandwich_mi(mean, 0.3, ref=20, seed=5).value != told.value
    bits = sandwich_mi(mean, 0.3, ref=20, seed=4, units="bits")
    assert bits.value == pytest.approx(told.value / math.log(2))
    assert json.loads(json.dumps(told.to_dict()))["settings"]["deviation"] == 0.3


def test_a_gaussian_bottleneck_keeps_no_more_than_its_rate() -> None:
    """E KL(q(z|x) || r) bounds I(X;Z) from above, whatever the prior r."""
    layer = GaussianBottleneck(3, units=4)
    source = torch.Generator().manual_seed(0)
    for scale in (0.5, 2.0, 5.0):
        with torch.no_grad():
            layer.linear.weight.normal_(0, scale, generator=source)
            layer.linear.bias.fill_(4.0)
            h = torch.randn(400, 3, generator=source)
            told = sandwich_mi(*layer.code(h))
            assert 0.1 < told.value < float(layer.read(h).rate.mean())


def test_more_noise_tells_less() -> None:
    mean = normal(500)
    values = [sandwich_mi(mean, s).value for s in (0.1, 0.3, 1.0, 3.0)]
    assert values == sorted(values, reverse=True)


def test_far_pairs_are_noted_where_they_rule_the_jensen_form() -> None:
    told = sandwich_mi(100 * normal(50), 0.1, form="jensen")
    assert told.value > math.log(50)
    assert "far pairs" in told.warnings[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": torch.zeros(3)}, "shape"),
        ({"mean": torch.zeros(1, 2)}, "2 rows"),
        ({"mean": torch.tensor([[0.0], [math.nan]])}, "row 1"),
        ({"std": 0.0}, "std"),
        ({"std": torch.ones(3, 3)}, "std"),
        ({"std": math.inf}, "std"),
        ({"y": [0, 0, 0, 1]}, "class 1 with 1 row"),
        ({"y": [0, 1]}, "one label for each of 4"),
        ({"y": ["a", "a", "a", None]}, "missing"),
        ({"ref": 1}, "ref"),
        ({"draws": 0}, "draws"),
        ({"y": [0, 0, 1, 1], "shares": [0.7, 0.7]}, "shares"),
        ({"units": "bytes"}, "units"),
    ],
)
def test_what_cannot_be_measured_is_refused(change: dict[str, Any], message: str) -> None:
    settings = {"mean": torch.arange(8.0).reshape(4, 2), "std": 1.0} | change
    with pytest.raises(InvalidInput, match=message):
        sandwich_mi(**settings)


def test_an_unknown_form_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="jensen"):
        sandwich_mi(torch.zeros(3, 1), 1.0, form="jenson")
