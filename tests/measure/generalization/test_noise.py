"""Noise is chosen by likelihood, in the order of data processing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from torch import Tensor

from narrows.errors import InvalidInput
from narrows.measure import choose_noise, sandwich_mi
from narrows.measure.generalization.noise import (
    GRID,
    given_noise,
    linear_noise,
    log_likelihood,
)


def layers(seed: int, rows: int = 60) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    scale = torch.rand(3, generator=source) * 10
    wide = torch.randn(rows, 6, generator=source)
    mix = torch.randn(6, 4, generator=source)
    second = torch.relu(wide @ mix)
    return {"a": wide * scale[0], "b": second * scale[1], "c": second[:, :2] * scale[2]}


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_no_layer_keeps_less_than_the_next_unless_it_is_flagged(seed: int) -> None:
    for form in ("marginal", "jensen"):
        found = list(choose_noise(layers(seed), ref=30, form=form).values())
        for this, after in itertools.pairwise(found):
            assert this.ordered == (this.information.value >= after.information.value)


def test_the_likelihood_is_that_of_a_kernel_density_without_the_row_itself() -> None:
    rows = layers(1)["a"].double().numpy()
    for form in ("marginal", "jensen"):
        total = 0.0
        for i, row in enumerate(rows):
            others = np.delete(rows, i, 0)
            far = ((others - row) ** 2).sum(1)
            logs = -far / (2 * 0.75**2) - 6 * math.log(0.75) - 3 * math.log(2 * math.pi)
            total += logsumexp(logs) - math.log(len(others)) if form == "marginal" else logs.mean()
        found = log_likelihood(torch.from_numpy(rows), 0.75, form=form)
        assert found == pytest.approx(total / len(rows))


def test_the_last_layer_has_the_likeliest_noise_of_all() -> None:
    rows = layers(2)
    likely = [log_likelihood(rows["c"], s) for s in GRID]
    assert choose_noise(rows)["c"].deviation == GRID[int(np.argmax(likely))]


def test_the_order_can_overrule_the_likelihood() -> None:
    """A last layer in far clusters tells much; the layer before must keep as much at least."""
    source = torch.Generator().manual_seed(0)
    last = torch.arange(40).repeat_interleave(5)[:, None] * 10.0
    last = last + 0.01 * torch.randn(200, 1, generator=source)
    first = torch.randn(200, 1, generator=source)
    likely = GRID[int(np.argmax([log_likelihood(first, s) for s in GRID]))]
    found = choose_noise({"first": first, "last": last})
    assert found["first"].deviation < likely
    assert found["first"].ordered
    alone = choose_noise({"first": first})
    assert alone["first"].deviation == likely


def test_an_order_that_no_noise_can_keep_is_flagged_and_falls_back_on_likelihood() -> None:
    first, last = torch.zeros(50, 1), torch.arange(50.0)[:, None] * 100
    first[:25] = 1.0  # tells one of two things at most
    found = choose_noise({"first": first, "last": last})
    assert not found["first"].ordered
    likely = [log_likelihood(first, s) for s in GRID]
    assert found["first"].deviation == GRID[int(np.argmax(likely))]


def test_the_information_is_that_of_the_sandwich_with_this_noise() -> None:
    rows = layers(3)
    found = choose_noise(rows, ref=20, seed=7)
    for layer, chosen in found.items():
        assert chosen.information == sandwich_mi(rows[layer], chosen.deviation, ref=20, seed=7)


def test_linear_noise_has_a_variance_of_base_times_the_largest_activation() -> None:
    found = linear_noise({"a": torch.tensor([[9.0, -20.0]])}, 0.25)
    assert found == {"a": pytest.approx(1.5)}
    told = given_noise(layers(4), {"a": 1.0, "b": 100.0, "c": 0.001})
    assert not told["b"].ordered
    assert told["c"].ordered


def test_bad_settings_are_refused() -> None:
    rows = layers(0)
    for grid in ([], [0.0], [-1.0], [math.inf]):
        with pytest.raises(InvalidInput, match="grid"):
            choose_noise(rows, grid=grid)
    with pytest.raises(InvalidInput, match="same rows"):
        choose_noise({**rows, "d": torch.zeros(3, 1)})
    with pytest.raises(InvalidInput, match="features"):
        choose_noise({})
    with pytest.raises(InvalidInput, match="base"):
        linear_noise(rows, 0.0)
    with pytest.raises(InvalidInput, match="some above 0"):
        linear_noise({"dead": torch.zeros(3, 1)}, 1.0)
