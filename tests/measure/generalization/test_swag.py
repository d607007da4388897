"""SWAG against torch's own low-rank normal distribution (check 3 of the method)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal, kl_divergence

from narrows.errors import InvalidInput, UnknownName
from narrows.measure import SWAG
from narrows.measure.generalization.low_rank import LowRank

SHAPES = {"first.weight": (3, 2), "first.bias": (3,), "last.weight": (1, 3)}


def path(seed: int, steps: int = 6, scale: float = 0.3) -> list[dict[str, Tensor]]:
    source = torch.Generator().manual_seed(seed)
    start = {name: torch.randn(s, generator=source) for name, s in SHAPES.items()}
    return [
        {name: p + scale * torch.randn(p.shape, generator=source) for name, p in start.items()}
        for _ in range(steps)
    ]


def swag_of(weights: list[dict[str, Tensor]], columns: int = 4, floor: float = 1e-6) -> SWAG:
    swag = SWAG(columns, floor)
    for one in weights:
        swag.collect(one)
    return swag


def torchs(weights: list[dict[str, Tensor]], name: str, columns: int) -> LowRankMultivariateNormal:
    """The same distribution from the whole path, by its definition."""
    whole = torch.stack([one[name].flatten() for one in weights]).double()
    running = torch.stack([whole[: i + 1].mean(0) for i in range(len(whole))])
    factor = (whole - running)[-columns:].T / math.sqrt(2 * (columns - 1))
    diagonal = (whole.square().mean(0) - whole.mean(0).square()) / 2
    return LowRankMultivariateNormal(whole.mean(0), factor, diagonal.clamp(min=1e-6))


@given(st.integers(0, 10**6), st.integers(4, 12))
@settings(max_examples=15, deadline=None)
def test_the_log_density_is_torchs_summed_over_blocks(seed: int, steps: int) -> None:
    weights = path(seed, steps)
    swag, at = swag_of(weights), path(seed + 1, 3)
    stacked = {name: torch.stack([one[name] for one in at]) for name in SHAPES}
    parts = {
        name: torchs(weights, name, 4).log_prob(stacked[name].double().flatten(1))
        for name in SHAPES
    }
    whole = sum(parts.values())
    assert torch.allclose(swag.log_prob(stacked), whole, rtol=1e-4)
    first = parts["first.weight"] + parts["first.bias"]
    assert torch.allclose(swag.log_prob(stacked, upto="first"), first, rtol=1e-4)


def test_draws_have_the_mean_and_covariance_of_the_distribution() -> None:
    weights = path(3)
    swag = swag_of(weights)
    drawn = swag.sample(100_000, torch.Generator().manual_seed(0))
    for name in SHAPES:
        wanted = torchs(weights, name, 4)
        flat = drawn[name].flatten(1).double()
        spread = wanted.variance.sqrt()
        assert ((flat.mean(0) - wanted.mean) / spread).abs().max() < 5 / math.sqrt(100_000)
        apart = torch.cov(flat.T) - wanted.covariance_matrix
        assert (apart / spread / spread[:, None]).abs().max() < 8 / math.sqrt(100_000)


def test_a_module_is_taken_as_its_parameters() -> None:
    model, swag = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), SWAG()
    swag.collect(model)
    swag.collect(model)
    assert swag.names == ("0.weight", "0.bias", "2.weight", "2.bias")
    assert swag.upto("0") == ("0.weight", "0.bias")
    assert swag.upto("2.weight") == ("0.weight", "0.bias", "2.weight")
    assert swag.upto() == swag.names
    assert repr(swag) == "SWAG(13 weights, 2 collected, 10 columns)"


def test_collected_weights_are_copies() -> None:
    weight, swag = torch.zeros(2), SWAG()
    for step in range(3):
        weight.fill_(step)
        swag.collect({"weight": weight})
    assert swag.mean["weight"].tolist() == [1.0, 1.0]
    assert swag.variance["weight"].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert swag.deviations["weight"][:, 0].tolist() == [0.0, 0.5, 1.0]


def test_only_the_last_columns_are_kept() -> None:
    weights = path(0, steps=9)
    assert swag_of(weights, columns=3).deviations["first.bias"].shape == (3, 3)


def test_a_weight_that_does_not_move_has_the_floors_density() -> None:
    still = [{"w": torch.ones(1)} for _ in range(4)]
    swag = swag_of(still, floor=1e-4)
    wanted = -0.5 * math.log(2 * math.pi * 1e-4)
    assert float(swag.log_prob({"w": torch.ones(1)})) == pytest.approx(wanted)
    assert swag.still() == 1.0
    assert swag_of(path(0)).still() == 0.0


def test_variances_of_weights_far_from_zero_are_not_lost_in_rounding() -> None:
    source = torch.Generator().manual_seed(0)
    moves = 1e-3 * torch.randn(50, 4, generator=source)
    swag = SWAG()
    for move in moves:
        swag.collect({"w": 100 + move})
    wanted = (100 + moves).double().var(0, correction=0)
    assert torch.allclose(swag.variance["w"].double(), wanted, rtol=1e-2)


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_divergences_are_those_of_full_covariances(seed: int, columns: int) -> None:
    source = torch.Generator().manual_seed(seed)
    normals, ours = [], []
    for _ in range(3):
        mean, diagonal = torch.randn(2, 5, generator=source, dtype=torch.float64)
        diagonal = diagonal.square() + 0.1
        factor = torch.randn(5, columns, generator=source, dtype=torch.float64)
        ours.append(LowRank.of(mean, diagonal, factor))
        normals.append(MultivariateNormal(mean, factor @ factor.T + diagonal.diag()))
    for other, theirs in zip(ours, normals, strict=True):
        wanted = torch.stack([kl_divergence(one, theirs) for one in normals])
        assert torch.allclose(other.divergences(ours), wanted, atol=1e-8)


def test_what_is_no_weight_is_refused() -> None:
    swag = swag_of(path(0))
    with pytest.raises(InvalidInput, match="as before"):
        swag.collect({"other": torch.zeros(2)})
    with pytest.raises(InvalidInput, match=r"'first.weight'.*not finite"):
        swag.collect({**path(0)[0], "first.weight": torch.full((3, 2), math.nan)})
    with pytest.raises(InvalidInput, match="at least one"):
        SWAG().collect({})
    with pytest.raises(InvalidInput, match="columns"):
        SWAG(columns=1)
    with pytest.raises(InvalidInput, match="floor"):
        SWAG(floor=0.0)
    with pytest.raises(InvalidInput, match="2 or more"):
        swag_of(path(0)[:1]).block("first.bias")
    with pytest.raises(UnknownName, match="'first', 'last'"):
        swag.upto("second")
