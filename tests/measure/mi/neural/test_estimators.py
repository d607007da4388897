"""Trained estimators: their side of the truth, their limits, their digits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from narrows.errors import InvalidInput, UnknownName
from narrows.measure.mi import MIResult, mutual_information
from narrows.measure.mi.gcmi import gcmi
from narrows.measure.mi.neural.flow import Side, flow, likelihood
from narrows.measure.mi.neural.lower import infonce, mine, nwj, smile
from narrows.measure.mi.neural.upper import club

SMALL = {"seeds": 2, "width": 32, "steps": 150}
KINDS = {
    "mine": "lower",
    "nwj": "lower",
    "infonce": "lower",
    "smile": "estimate",
    "club": "upper",
    "flow": "estimate",
}
BOUNDS = (mine, nwj, infonce, smile)
ALL = (*BOUNDS, club, flow)


def normal(n: int, rho: float, d: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x, noise = np.random.default_rng(seed).standard_normal((2, n, d))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def measure(name: str, rho: float, **more: object) -> MIResult:
    return mutual_information(*normal(2000, rho, 2, seed=int(rho * 10)), name, **SMALL | more)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_two_columns_a_side_keep_the_rule_of_their_kind(name, rho):
    truth, found = (
        -math.log(1 - rho**2),
        measure(name, rho, width=64, steps=200 if name == "flow" else 300),
    )
    assert found.kind == KINDS[name]
    if found.kind == "lower":
        assert truth - 0.15 - 0.1 * truth < found.value <= truth + 3 * found.stderr
    elif found.kind == "upper":
        wanted = 2 * rho**2 / (1 - rho**2)
        assert found.value >= truth - 3 * found.stderr
        assert abs(found.value - wanted) < 0.05 + 0.15 * wanted
    else:
        assert abs(found.value - truth) < 0.05 + 0.05 * truth + found.stderr


@pytest.mark.parametrize("estimator", ALL)
def test_a_seed_fixes_the_digits_and_the_global_generator_is_left_alone(estimator):
    x, y = normal(200, 0.6)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = estimator(x, y, **SMALL)
    torch.rand(3, generator=torch.Generator().manual_seed(5))
    second, other = estimator(x, y, **SMALL), estimator(x, y, **SMALL, seed=1)
    assert (first.value, first.stderr) == (second.value, second.stderr)
    assert first.value != other.value
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


@pytest.mark.parametrize("estimator", ALL)
def test_settings_that_cannot_train_are_named(estimator):
    x, y = normal(60, 0.5)
    for name in ("seeds", "width", "steps", "batch"):
        for value in (0, -1, 1.5, True):
            with pytest.raises(InvalidInput, match=f"{name}: found {value}"):
                estimator(x, y, **{name: value})
    with pytest.raises(InvalidInput, match="batch: found 1"):
        estimator(x, y, batch=1)
    with pytest.raises(InvalidInput, match=r"seed: found 0\.5"):
        estimator(x, y, seed=0.5)
    with pytest.raises(InvalidInput, match="x: found 49 rows"):
        estimator(x[:49], y[:49])


def test_settings_of_one_estimator_are_named():
    x, y = normal(60, 0.5)
    for estimator in BOUNDS:
        with pytest.raises(UnknownName, match="separable"):
            estimator(x, y, critic="seperable")
    with pytest.raises(InvalidInput, match="clip: found 0"):
        smile(x, y, clip=0)
    with pytest.raises(InvalidInput, match="batch: found 2048"):
        infonce(x, y, batch=2048)


@pytest.mark.parametrize("rows", [200, 5000])
def test_seeds_are_four_and_eight_from_five_thousand_rows_on(rows):
    found = mine(*normal(rows, 0.5), width=4, steps=1)
    assert found.settings["seeds"] == (8 if rows == 5000 else 4)


@pytest.mark.parametrize("estimator", BOUNDS)
def test_a_concatenated_critic_finds_the_same(estimator):
    x, y = normal(600, 0.8)
    more = {"batch": 32} if estimator is infonce else {}
    found = estimator(x, y, **SMALL | {"width": 64}, critic="concatenated", **more)
    assert found.value == pytest.approx(0.51, abs=0.12)


def test_infonce_stops_at_the_log_of_its_candidates_and_says_so():
    x, y = normal(160, 0.9995, 2)
    found = infonce(x, y, **SMALL | {"steps": 400})
    assert found.ceiling == pytest.approx(math.log(found.settings["candidates"] + 1))
    assert found.ceiling - 0.7 < found.value <= found.ceiling
    assert any("close to the ceiling" in note for note in found.warnings)
    assert not infonce(*normal(400, 0.3), **SMALL).warnings


def test_unbounded_ones_warn_where_the_partition_is_noisy():
    told = nwj(*normal(400, 0.9995, 2), **SMALL | {"steps": 400}).warnings
    assert any("variance grows as e^I / N" in note for note in told)
    assert not nwj(*normal(2000, 0.3), **SMALL).warnings


def test_club_always_says_when_it_is_a_bound():
    assert any("only if q(y | x)" in note for note in club(*normal(200, 0.5), **SMALL).warnings)


def test_a_club_whose_conditional_is_not_fitted_says_so():
    x, y = normal(1000, 0.95)
    raw = club(x, y, seeds=2, width=8, steps=1).warnings
    assert any("q has not been fitted" in note for note in raw)
    fitted = club(x, y, **SMALL | {"width": 64, "steps": 300}).warnings
    assert not any("q has not been fitted" in note for note in fitted)


@pytest.mark.parametrize("estimator", ALL)
def test_discrete_columns_and_functions_are_called_out(estimator):
    x, _ = normal(200, 0.5)
    told = estimator(x, np.sign(x) + (x > 1), **SMALL).warnings
    assert any("y looks discrete" in note for note in told)
    if estimator is not club:
        assert any("infinite" in note for note in estimator(x, -3 * x, **SMALL).warnings)


@pytest.mark.parametrize("estimator", ALL)
def test_increasing_maps_of_columns_change_no_digit(estimator):
    x, y = normal(200, 0.6, 2)
    here, there = estimator(x, y, **SMALL), estimator(np.exp(3 * x), y**3, **SMALL)
    assert here.value == there.value


def test_a_critic_finds_what_lines_cannot():
    x, noise = np.random.default_rng(0).standard_normal((2, 1500, 1))
    y = x**2 + 0.3 * noise
    assert gcmi(x, y).value < 0.05
    for estimator in (infonce, smile):
        assert estimator(x, y, **SMALL | {"width": 64, "steps": 300}).value > 0.5


def test_a_flow_straightens_a_bent_side():
    """Two columns of x bent into each other: the copula is not normal, its information is known."""
    z, y = normal(2000, 0.9, 2)
    x = np.stack([z[:, 0], z[:, 1] + 1.5 * np.sin(2 * z[:, 0])], 1)
    truth = -math.log(1 - 0.81)
    assert gcmi(x, y).value < truth - 0.3
    assert flow(x, y, seeds=2, steps=600).value == pytest.approx(truth, abs=0.2)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_log_determinant_of_a_side_is_that_of_its_jacobian(d):
    generator = torch.Generator().manual_seed(0)
    side = Side(2, d, 8, generator).double()
    with torch.no_grad():
        for part in side.parameters():
            part.add_(0.3 * torch.randn(part.shape, generator=generator))
    z = torch.randn(2, 3, d, dtype=torch.float64, generator=generator)
    _, found = side(z)
    whole = torch.autograd.functional.jacobian(lambda rows: side(rows)[0], z)
    for seed in range(2):
        for row in range(3):
            sign, size = torch.linalg.slogdet(whole[seed, row, :, seed, row])
            assert sign == 1
            assert float(size) == pytest.approx(float(found[seed, row].detach()), abs=1e-9)


def test_the_likelihood_is_that_of_a_normal_at_the_sampled_covariance():
    from scipy.stats import multivariate_normal

    x, y = normal(300, 0.7, 2)
    both = np.concatenate([x, y], 1)
    covariance = np.cov(both.T, bias=True)
    logs = multivariate_normal.logpdf(both, both.mean(0), covariance)
    still = torch.zeros(1, 300, dtype=torch.float64)
    left, right = ((torch.from_numpy(part)[None], still) for part in (x, y))
    constant = 2 * math.log(2 * math.pi) + 2
    assert float(likelihood(left, right)) == pytest.approx(logs.mean() + constant, abs=1e-4)
