"""Conditional information: normal closed forms, exact tables, brute force, and its ways."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import digamma
from sklearn.metrics import mutual_info_score

from narrows.errors import InvalidInput, UnknownName
from narrows.measure import conditional_mi, mutual_information

DISCRETE = {"x_kind": "discrete", "y_kind": "discrete", "z_kind": "discrete"}


def chain(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x -> z -> y: dependent, and independent given z."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, 1))
    z = x + 0.7 * generator.standard_normal((n, 1))
    return x, z + 0.7 * generator.standard_normal((n, 1)), z


def normal_truth(covariance: np.ndarray) -> float:
    """Of single columns in the order x, y, z."""
    det = np.linalg.det
    xz, yz = covariance[np.ix_([0, 2], [0, 2])], covariance[np.ix_([1, 2], [1, 2])]
    return 0.5 * math.log(det(xz) * det(yz) / (det(covariance) * covariance[2, 2]))


@pytest.mark.parametrize("method", ["ksg", "gaussian", "gcmi", "kde", "lnc"])
def test_normal_variables_of_known_covariance(method):
    covariance = np.array([[1.0, 0.7, 0.4], [0.7, 1.0, 0.5], [0.4, 0.5, 1.0]])
    rows = np.random.default_rng(0).multivariate_normal(np.zeros(3), covariance, 3000)
    more = {"k": 8} if method == "lnc" else {}
    found = conditional_mi(*rows.T, method, **more)
    assert found.value == pytest.approx(normal_truth(covariance), abs=0.06)
    assert found.kind == "estimate"
    assert found.method == method


@pytest.mark.parametrize("method", ["ksg", "gaussian"])
def test_what_stands_between_takes_all_of_it(method):
    x, y, z = chain(2500)
    assert mutual_information(x, y, method).value > 0.3
    assert conditional_mi(x, y, z, method).value == pytest.approx(0, abs=0.05)


def test_neighbours_equal_the_formula_row_by_row():
    x, y, z = chain(150)
    z = np.hstack([z, np.random.default_rng(1).standard_normal((150, 1))])
    k, terms = 4, []
    for i in range(150):
        dx, dy, dz = (np.abs(one - one[i]).max(1) for one in (x, y, z))
        whole = np.maximum(np.maximum(dx, dy), dz)
        radius = np.sort(whole)[k]  # the row itself comes first
        n_xz = (np.maximum(dx, dz) < radius).sum()
        n_yz = (np.maximum(dy, dz) < radius).sum()
        terms.append(digamma(n_xz) + digamma(n_yz) - digamma((dz < radius).sum()))
    truth = digamma(k) - np.mean(terms)
    assert conditional_mi(x, y, z, k=k).value == pytest.approx(truth, abs=1e-12)


def test_x_and_y_may_change_places():
    x, y, z = chain(200)
    for method in ("ksg", "gaussian"):
        forth, back = conditional_mi(x, y, z, method), conditional_mi(y, x, z, method)
        assert forth.value == pytest.approx(back.value, abs=1e-9)


def test_exclusive_or_shows_only_once_the_other_is_known():
    a, b = np.tile([0, 0, 1, 1], 100), np.tile([0, 1, 0, 1], 100)
    settings = {"correction": "none", "units": "bits", **DISCRETE}
    assert conditional_mi(a, a ^ b, b, "discrete", **settings).value == pytest.approx(1)
    assert conditional_mi(a, a, a, "discrete", **settings).value == pytest.approx(0)
    told = conditional_mi(a, a ^ b, b, "discrete", **settings)
    assert told.ceiling == pytest.approx(1)
    assert told.units == "bits"


def test_counts_equal_the_mean_over_the_values_of_z():
    generator = np.random.default_rng(0)
    z = generator.integers(0, 4, 600)
    x = (z + generator.integers(0, 2, 600)) % 3
    y = (x + z + generator.integers(0, 2, 600)) % 3
    truth = sum((z == v).mean() * mutual_info_score(x[z == v], y[z == v]) for v in range(4))
    found = conditional_mi(x, y, z, "discrete", correction="none", **DISCRETE)
    assert found.value == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("correction", ["miller-madow", "grassberger", "chao-shen"])
def test_corrections_take_bias_off_where_there_is_nothing(correction):
    generator, raw, corrected = np.random.default_rng(1), [], []
    for _ in range(60):
        x, y, z = generator.integers(0, 3, (3, 150))
        raw.append(conditional_mi(x, y, z, "discrete", correction="none", **DISCRETE).value)
        found = conditional_mi(x, y, z, "discrete", correction=correction, **DISCRETE)
        corrected.append(found.value)
    assert abs(np.mean(corrected)) < 0.5 * np.mean(raw)


@pytest.mark.parametrize("method", ["ksg", "gaussian", "binning"])
def test_classes_are_taken_one_by_one(method):
    generator = np.random.default_rng(2)
    z = np.repeat([0, 1], [300, 500])
    x = generator.standard_normal(800) + 10 * z
    y = np.where(z == 1, x, 0) + generator.standard_normal(800) + 10 * z
    parts = [mutual_information(x[z == v], y[z == v], method) for v in (0, 1)]
    found = conditional_mi(x, y, z, method, z_kind="discrete")
    assert found.value == pytest.approx(3 / 8 * parts[0].value + 5 / 8 * parts[1].value)
    spread = math.hypot(3 / 8 * parts[0].stderr, 5 / 8 * parts[1].stderr)
    assert found.stderr == pytest.approx(spread)
    assert found.value < mutual_information(x, y, method).value


def test_the_chain_rule_is_a_difference_and_its_errors_add():
    x, y, z = chain(400)
    more = mutual_information(x, np.hstack([y, z]), "kde")
    less = mutual_information(x, z, "kde")
    found = conditional_mi(x, y, z, "kde")
    assert found.value == pytest.approx(more.value - less.value)
    assert found.stderr == pytest.approx(math.hypot(more.stderr, less.stderr))


def test_bounds_within_classes_stay_bounds_and_differences_are_none():
    x, y, z = chain(100)
    labels = np.arange(100) % 2
    assert conditional_mi(x, y, labels, "gcmi", z_kind="discrete").kind == "lower"
    assert conditional_mi(x, y, z, "gcmi").kind == "estimate"


def test_standardizing_first_is_an_option():
    x, y, z = chain(200)
    plain = conditional_mi(x / x.std(), y / y.std(), z / z.std()).value
    found = conditional_mi(5 * x, y / 9, z + 3, standardize=True).value
    assert found == pytest.approx(plain, abs=1e-9)


def test_mixed_takes_a_discrete_side_beside_a_continuous_one():
    generator = np.random.default_rng(3)
    y = generator.integers(0, 2, 2000)
    z = generator.standard_normal(2000)
    x = 6 * y + 0.5 * generator.standard_normal(2000) + z
    found = conditional_mi(x, y, z, "mixed", y_kind="discrete", k=5)
    assert found.value == pytest.approx(math.log(2), abs=0.1)
    with pytest.raises(InvalidInput, match="method: found 'ksg' for y discrete"):
        conditional_mi(x, y, z, "ksg", y_kind="discrete")


def test_bad_samples_and_settings_are_named():
    x, y, z = chain(30)
    with pytest.raises(InvalidInput, match="z: found 29 rows, wanted as many as x has, 30"):
        conditional_mi(x, y, z[:-1])
    with pytest.raises(InvalidInput, match="method: found 'hsic', a surrogate"):
        conditional_mi(x, y, z, "hsic")
    with pytest.raises(UnknownName, match="method: found 'kgs'"):
        conditional_mi(x, y, z, "kgs")
    with pytest.raises(UnknownName, match="setting of conditional_mi: found 'correction'"):
        conditional_mi(x, y, z, correction="none")
    with pytest.raises(InvalidInput, match="x: found 3 rows, wanted at least k"):
        conditional_mi(x[:3], y[:3], z[:3])
    with pytest.raises(InvalidInput, match="each: found True"):
        conditional_mi(x, y, z, each=True)
    labels = np.arange(30) // 29
    with pytest.raises(UnknownName, match="setting of ksg: found 'bins'"):
        conditional_mi(x, y, labels, z_kind="discrete", bins=3)
    with pytest.raises(InvalidInput, match="z: found a value with 1 rows on which 'ksg' fails"):
        conditional_mi(x, y, labels, z_kind="discrete")
