"""Normal information and that of the normal copula: determinants, averages, ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InvalidInput
from narrows.measure.mi import mutual_information
from narrows.measure.mi.gcmi import normal_scores


def pair(n: int, dx: int, dy: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((n, dx + dy)) @ generator.standard_normal((dx + dy, dx + dy))
    return rows[:, :dx], rows[:, dx:]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_it_equals_the_ratio_of_determinants(dx, dy, seed):
    x, y = pair(60, dx, dy, seed)
    log_det = [
        np.linalg.slogdet(np.atleast_2d(np.cov(one.T)))[1] for one in (x, y, np.hstack([x, y]))
    ]
    truth = 0.5 * (log_det[0] + log_det[1] - log_det[2])
    found = mutual_information(x, y, "gaussian", correct=False).value
    assert found == pytest.approx(truth, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("dx", "dy"), [(1, 1), (2, 3), (5, 5)])
def test_the_correction_leaves_no_bias_on_average(dx, dy):
    """Thirty rows, of which the raw value makes much too much."""
    generator = np.random.default_rng(0)
    rho, raw, corrected = 0.6, [], []
    shared = min(dx, dy)
    truth = -0.5 * shared * math.log(1 - rho**2)
    for _ in range(600):
        x, y = generator.standard_normal((30, dx)), generator.standard_normal((30, dy))
        y[:, :shared] = rho * x[:, :shared] + math.sqrt(1 - rho**2) * y[:, :shared]
        raw.append(mutual_information(x, y, "gaussian", correct=False).value)
        corrected.append(mutual_information(x, y, "gaussian").value)
    error = np.std(corrected) / math.sqrt(600)
    assert abs(np.mean(corrected) - truth) < 3 * error
    assert np.mean(raw) - np.mean(corrected) > 0.9 * dx * dy / 60


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_the_standard_error_is_the_spread_over_samples(rho):
    generator = np.random.default_rng(1)
    values, said = [], []
    for _ in range(300):
        x, noise = generator.standard_normal((2, 400, 2))
        found = mutual_information(x, rho * x + math.sqrt(1 - rho**2) * noise, "gaussian")
        values.append(found.value)
        said.append(found.stderr)
    # the sample's own correlations are too large where there is none, and the error with them
    assert 0.85 < np.mean(said) / np.std(values) < (1.15 if rho else 3)


@pytest.mark.parametrize("d", [2, 5, 25])
def test_dense_covariance_of_one_half(d):
    covariance = np.full((2 * d, 2 * d), 0.5) + 0.5 * np.eye(2 * d)
    rows = np.random.default_rng(d).multivariate_normal(np.zeros(2 * d), covariance, 4000)
    side = np.linalg.slogdet(covariance[:d, :d])[1]
    truth = side - 0.5 * np.linalg.slogdet(covariance)[1]
    found = mutual_information(rows[:, :d], rows[:, d:], "gaussian")
    assert abs(found.value - truth) < 3 * found.stderr + 1e-3


def test_columns_that_follow_from_others_add_nothing_and_are_named():
    x, y = pair(200, 2, 2, 0)
    doubled = np.hstack([x, x[:, :1] - 3 * x[:, 1:]])
    found = mutual_information(doubled, y, "gaussian")
    assert found.value == pytest.approx(mutual_information(x, y, "gaussian").value)
    assert "x: 3 columns span 2 directions" in found.warnings[0]


def test_linear_relations_are_infinite_and_few_rows_an_error():
    x, _ = pair(100, 2, 1, 0)
    found = mutual_information(x, x @ np.array([1.0, -2.0]), "gaussian")
    assert math.isinf(found.value)
    assert "infinite" in found.warnings[0]
    with pytest.raises(InvalidInput, match="x: found 5 rows, wanted more than dx \\+ dy \\+ 1"):
        mutual_information(*pair(5, 2, 2, 0), "gaussian")


def test_the_copula_is_blind_to_monotone_maps_to_the_last_digit():
    x, y = pair(300, 1, 1, 3)
    bent = mutual_information(np.exp(x), y**3, "gcmi").value
    assert bent == mutual_information(x, y, "gcmi").value


def test_the_copula_finds_what_curved_margins_hide():
    rho = 0.9
    x, noise = np.random.default_rng(0).standard_normal((2, 5000, 1))
    y = rho * x + math.sqrt(1 - rho**2) * noise
    truth = -0.5 * math.log(1 - rho**2)
    bent = np.exp(2 * x), np.sign(y) * np.abs(y) ** 3
    assert mutual_information(*bent, "gcmi").value == pytest.approx(truth, abs=0.05)
    assert mutual_information(*bent, "gaussian").value < 0.6 * truth


def test_the_copula_stays_below_student_s_information():
    """Dependence without correlation: identity dispersion, two degrees of freedom."""
    generator = np.random.default_rng(0)
    chi = np.sqrt(generator.chisquare(2, (4000, 1)) / 2)
    x, y = generator.standard_normal((2, 4000, 1)) / chi

    def entropy(d: int) -> float:
        return float(scipy.stats.multivariate_t(np.zeros(d), np.eye(d), df=2).entropy())

    truth = 2 * entropy(1) - entropy(2)
    found = mutual_information(x, y, "gcmi")
    assert truth > 0.08
    assert found.value < truth


def test_scores_are_normal_quantiles_and_ties_share_theirs():
    values = np.array([[3.0], [1.0], [1.0], [7.0]])
    expected = scipy.stats.norm.ppf(np.array([3, 1.5, 1.5, 4]) / 5)
    assert normal_scores(values)[:, 0] == pytest.approx(expected)


def test_several_columns_and_ties_are_called_out():
    x, y = pair(200, 2, 1, 0)
    notes = mutual_information(x.round(0), y, "gcmi").warnings
    assert any("looks discrete" in note for note in notes)
    assert any("several columns" in note for note in notes)
