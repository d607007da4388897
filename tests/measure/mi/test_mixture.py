"""Bounds of noisy outputs: Monte Carlo with the exact density, and the two ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from narrows.errors import InvalidInput
from narrows.measure.mi import mutual_information
from narrows.measure.mi.mixture import mixture_bounds


def monte_carlo(t: np.ndarray, noise: float, draws: int, seed: int = 0) -> tuple[float, float]:
    """I(X;T) of the mixture itself, by its density at drawn points, and its standard error."""
    generator = np.random.default_rng(seed)
    at = generator.integers(0, len(t), draws)
    z = math.sqrt(noise) * generator.standard_normal((draws, t.shape[1]))
    log_p = logsumexp(-cdist(t[at] + z, t, "sqeuclidean") / (2 * noise), axis=1) - math.log(len(t))
    terms = -(z**2).sum(1) / (2 * noise) - log_p
    return float(terms.mean()), float(terms.std() / math.sqrt(draws))


@pytest.mark.parametrize(("n", "d", "noise"), [(200, 3, 0.05), (100, 1, 0.01), (60, 8, 1.0)])
def test_they_enclose_the_mixture_s_own_information(n, d, noise):
    t = np.random.default_rng(d).standard_normal((n, d))
    truth, error = monte_carlo(t, noise, 20_000)
    bounds = mixture_bounds(t, noise)
    assert bounds.lower < truth + 3 * error
    assert bounds.upper > truth - 3 * error
    assert 0 < bounds.lower < bounds.upper < math.log(n)


def test_two_hundred_points_in_space_give_the_known_order():
    """s^2 = .05: 4.858 below, 5.022 by Monte Carlo, 5.243 above, of log 200 = 5.298 at most."""
    t = 2 * np.random.default_rng(0).standard_normal((200, 3))
    bounds = mixture_bounds(t, 0.05)
    assert bounds.lower == pytest.approx(4.858, abs=1e-3)
    assert bounds.upper == pytest.approx(5.243, abs=1e-3)
    assert monte_carlo(t, 0.05, 20_000)[0] == pytest.approx(5.022, abs=0.01)


def test_they_equal_their_formulas():
    t = np.random.default_rng(1).standard_normal((70, 4))
    far = cdist(t, t, "sqeuclidean")
    bounds = mixture_bounds(t, 0.3)
    for value, by in ((bounds.upper, 2), (bounds.lower, 8)):
        truth = -np.log(np.exp(-far / (by * 0.3)).mean(1)).mean()
        assert value == pytest.approx(truth, abs=1e-10)


def test_far_points_tell_all_and_coincident_ones_nothing():
    far = mixture_bounds(1000 * np.eye(30), 1.0)
    assert far.lower == pytest.approx(math.log(30), abs=1e-12)
    assert far.upper == pytest.approx(math.log(30), abs=1e-12)
    same = mixture_bounds(np.ones((30, 2)), 1.0)
    assert same.lower == same.upper == 0


def test_distant_activations_lose_no_digits():
    t = np.random.default_rng(2).standard_normal((50, 3))
    here, there = mixture_bounds(t, 0.1), mixture_bounds(t + 1e6, 0.1)
    assert there.upper == pytest.approx(here.upper, abs=1e-6)


def test_scaled_outputs_and_noise_change_nothing():
    t = np.random.default_rng(2).standard_normal((50, 3))
    assert mixture_bounds(8 * t, 6.4).lower == pytest.approx(mixture_bounds(t, 0.1).lower)


@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_a_linear_neuron_with_normal_input(weight):
    """1/2 log(1 + w^2/s^2) lies between two closed forms, for all of the population."""
    x = np.random.default_rng(3).standard_normal((2000, 1))
    truth = 0.5 * math.log(1 + weight**2)
    low = mutual_information(x, weight * x, "mixture-lower", noise=1.0)
    high = mutual_information(x, weight * x, "mixture-upper", noise=1.0)
    assert low.value <= truth + 3 * low.stderr
    assert high.value >= truth - 3 * high.stderr
    for found, wide in ((high, 1.0), (low, 4.0)):
        limit = 0.5 * math.log(1 + weight**2 / wide) + 0.5 * weight**2 / (weight**2 + wide)
        assert abs(found.value - limit) < 4 * found.stderr


def test_inputs_with_two_outputs_are_refused_and_equal_ones_welcome():
    x = np.repeat(np.arange(10.0), 2)
    found = mutual_information(x, x**2, "mixture-upper", noise=0.1)
    assert found.value < math.log(10) + 1e-9
    y = x.copy()
    y[7] += 1
    with pytest.raises(InvalidInput, match="y: found another output at row 7 for the same x"):
        mutual_information(x, y, "mixture-upper", noise=0.1)


def test_the_ceiling_is_called_out():
    x = np.arange(50.0)
    assert "ceiling log N" in mutual_information(x, x, "mixture-lower").warnings[0]


def test_bad_noise_and_outputs_are_named():
    x = np.arange(10.0)
    with pytest.raises(InvalidInput, match="noise: found 0"):
        mutual_information(x, x, "mixture-upper", noise=0)
    with pytest.raises(InvalidInput, match="t: found a value that is not finite"):
        mixture_bounds(np.array([[1.0], [np.nan]]), 0.1)


def test_border_pixels_and_dead_units_are_no_obstacle_to_the_bounds() -> None:
    x = np.random.default_rng(0).random((50, 4))
    with_border = np.concatenate([x, np.zeros((50, 2))], 1)
    wanted = mutual_information(x, x, "mixture-lower", noise=0.1).value
    found = mutual_information(with_border, with_border, "mixture-lower", noise=0.1)
    assert found.value == pytest.approx(wanted, rel=1e-12)
    with pytest.raises(InvalidInput, match="y: found column 0 with one value"):
        mutual_information(x, np.zeros((50, 3)), "mixture-lower")
