"""Nearest-neighbour information: brute force, scikit-learn and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.mi import mutual_information
from narrows.measure.mi.neighbours import in_line

RHO = [0.0, 0.3, 0.6, 0.9]


def normal(n: int, rho: float, seed: int, d: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x, noise = generator.standard_normal((2, n, d))
    return x, rho * x + np.sqrt(1 - rho**2) * noise


def brute(x: np.ndarray, y: np.ndarray, k: int, variant: int) -> float:
    """The formulas of the paper row by row."""
    n, terms = len(x), []
    for i in range(n):
        dx, dy = np.abs(x - x[i]).max(1), np.abs(y - y[i]).max(1)
        both = np.maximum(dx, dy)
        both[i] = np.inf
        near = np.argsort(both, kind="stable")[:k]
        others = np.arange(n) != i
        if variant == 1:
            radius = both[near].max()
            counts = [(d[others] < radius).sum() + 1 for d in (dx, dy)]
        else:
            counts = [(d[others] <= d[near].max()).sum() for d in (dx, dy)]
        terms.append(digamma(counts[0]) + digamma(counts[1]))
    first = digamma(k) - (0 if variant == 1 else 1 / k)
    return float(first + digamma(n) - np.mean(terms))


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize(("d", "k"), [(1, 1), (1, 4), (2, 3), (3, 5)])
def test_it_equals_the_formulas_row_by_row(variant, d, k):
    x, y = normal(250, 0.7, seed=d, d=d)
    found = mutual_information(x, y, "ksg", k=k, variant=variant).value
    assert found == pytest.approx(brute(x, y, k, variant), abs=1e-12)


def test_it_equals_scikit_learn_on_single_columns():
    x, y = normal(800, 0.8, seed=5)
    x, y = x / x.std(), y / y.std()
    theirs = mutual_info_regression(x, y[:, 0], n_neighbors=4, random_state=0)[0]
    # scikit-learn adds a noise of 1e-10 to both
    assert mutual_information(x, y, k=4).value == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("rho", RHO)
@pytest.mark.parametrize("variant", [1, 2])
def test_correlated_normals(rho, variant):
    truth = -0.5 * np.log(1 - rho**2)
    x, y = normal(2000, rho, seed=int(10 * rho))
    found = mutual_information(x, y, variant=variant)
    assert abs(found.value - truth) < 0.05 + 0.05 * truth
    back = mutual_information(y, x, variant=variant).value
    assert found.value == pytest.approx(back, abs=1e-12)


def test_strictly_monotone_maps_hardly_matter():
    x, y = normal(2000, 0.75, seed=1)
    bent = mutual_information(np.exp(x), y * np.sqrt(np.abs(y))).value
    assert bent == pytest.approx(-0.5 * np.log(1 - 0.75**2), abs=0.07)


def test_independence_stays_within_three_deviations_of_its_null():
    x, y = normal(2000, 0.0, seed=3)
    generator = np.random.default_rng(4)
    null = [mutual_information(x, generator.permutation(y)).value for _ in range(20)]
    assert abs(mutual_information(x, y).value - np.mean(null)) < 3 * np.std(null)


def test_the_interval_covers_the_truth_nine_times_in_ten():
    truth = -0.5 * np.log(1 - 0.6**2)
    hits = 0
    for seed in range(60):
        low, high = mutual_information(*normal(1000, 0.6, seed)).interval
        hits += low <= truth <= high
    assert hits >= 54


def test_noise_added_step_by_step_loses_information():
    generator = np.random.default_rng(8)
    x = generator.standard_normal((2000, 1))
    chain = [x + 0.3 * generator.standard_normal((2000, 1))]
    for _ in range(3):
        chain.append(chain[-1] + 0.6 * generator.standard_normal((2000, 1)))
    values = [mutual_information(x, step).value for step in chain]
    assert all(a > b for a, b in itertools.pairwise(values))


def test_a_function_of_x_is_called_out():
    x = np.random.default_rng(0).standard_normal(500)
    assert "truth is infinite" in mutual_information(x, 2 * x).warnings[0]


def test_ross_equals_scikit_learn_with_its_classes():
    generator = np.random.default_rng(2)
    y = generator.integers(0, 4, 600)
    x = generator.standard_normal((600, 1)) + y[:, None]
    x = x / x.std()
    theirs = mutual_info_classif(x, y, n_neighbors=3, random_state=0)[0]
    found = mutual_information(x, y, "ross", y_kind="discrete")
    assert found.value == pytest.approx(theirs, abs=1e-5)
    turned = mutual_information(y, x, "ross", x_kind="discrete")
    assert turned.value == pytest.approx(found.value, abs=1e-12)


def test_ross_leaves_classes_of_one_row_out_and_says_so():
    generator = np.random.default_rng(2)
    x, y = generator.standard_normal(101), [*np.repeat([0, 1], 50).tolist(), 2]
    assert "1 classes of one row" in mutual_information(x, y, "ross", y_kind="discrete").warnings[0]


def test_mixed_on_uniform_integers_and_their_noisy_copies():
    """X on m integers, Y uniform on [X, X + 2]: log m - (m - 1)/m log 2 (Gao et al. 2017)."""
    generator = np.random.default_rng(6)
    x = generator.integers(0, 5, 4000)
    y = x + 2 * generator.random(4000)
    truth = np.log(5) - 0.8 * np.log(2)
    found = mutual_information(x, y, "mixed", x_kind="discrete").value
    assert found == pytest.approx(truth, abs=0.05)


def test_mixed_on_discrete_pairs_is_near_the_plug_in():
    generator = np.random.default_rng(6)
    x = generator.integers(0, 3, 3000)
    y = np.where(generator.random(3000) < 0.7, x, generator.integers(0, 3, 3000))
    kinds = {"x_kind": "discrete", "y_kind": "discrete"}
    plain = mutual_information(x, y, "discrete", correction="none", **kinds).value
    assert mutual_information(x, y, "mixed", **kinds).value == pytest.approx(plain, abs=0.01)


def test_discrete_samples_are_called_discrete():
    x = np.random.default_rng(0).integers(0, 3, 300)
    notes = mutual_information(x, x[::-1]).warnings
    assert any("x looks discrete" in note and "x_kind='discrete'" in note for note in notes)


def test_more_columns_than_rows_are_called_out():
    x, y = normal(20, 0.5, seed=0, d=15)
    assert any("distances tell little" in note for note in mutual_information(x, y).warnings)


def test_bad_samples_are_named():
    x, y = normal(10, 0.5, seed=0)
    with pytest.raises(InvalidInput, match="x: found 3 rows, wanted at least k \\+ 1 = 4"):
        mutual_information(x[:3], y[:3])
    with pytest.raises(InvalidInput, match="k: found 0"):
        mutual_information(x, y, k=0)
    with pytest.raises(InvalidInput, match="variant: found 3"):
        mutual_information(x, y, variant=3)
    spoiled = x.copy()
    spoiled[4, 0] = np.nan
    with pytest.raises(InvalidInput, match="x: found nan at row 4, column 0"):
        mutual_information(spoiled, y)
    with pytest.raises(InvalidInput, match="y: found column 0 with one value"):
        mutual_information(x, np.ones(10))
    with pytest.raises(InvalidType, match="y: found dtype <U1"):
        mutual_information(x, list("ababababab"))
    with pytest.raises(InvalidInput, match="units: found 'bit'"):
        mutual_information(x, y, units="bit")


def test_the_same_samples_give_the_same_digits():
    x = np.random.default_rng(0).integers(0, 50, (300, 1)).astype(float)
    first, second = (mutual_information(x, x[::-1], k=3) for _ in range(2))
    assert first.value == second.value


def test_bits_are_nats_over_log_two():
    x, y = normal(300, 0.6, seed=0)
    nats, bits = mutual_information(x, y), mutual_information(x, y, units="bits")
    assert bits.value == pytest.approx(nats.value / np.log(2))
    assert bits.interval[1] == pytest.approx(nats.interval[1] / np.log(2))


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_numbers_whose_squares_overflow_are_refused(scale):
    x, y = normal(50, 0.6, seed=0)
    with pytest.raises(InvalidInput, match="x: found column 0 with numbers too large or too small"):
        mutual_information(scale * x, y)


def test_a_measure_without_a_unit_is_the_same_in_bits():
    x, y = normal(50, 0.6, seed=0)
    plain, bits = (mutual_information(x, y, "nhsic", units=u) for u in ("nats", "bits"))
    assert plain.value == bits.value
    assert bits.units == "no unit"
    assert "bits" not in repr(bits)


@given(st.integers(0, 10**6), st.integers(1, 4))
@settings(deadline=None)
def test_groups_in_a_line_know_nothing_of_one_another(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    runs = np.sort(generator.integers(0, 3, 12))
    values = np.concatenate([np.sort(generator.standard_normal(n)) for n in np.bincount(runs)])
    found = in_line(values, k, runs)
    for i, value in enumerate(values):
        apart = np.sort(np.abs(values[runs == runs[i]] - value))
        assert found[i] == (apart[k] if len(apart) > k else np.inf)
