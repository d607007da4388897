"""Entropies of known densities, weights that cancel, and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import cdist
from scipy.special import digamma, gamma, gammaln

from narrows.errors import InvalidInput, UnknownName
from narrows.measure import entropy
from narrows.measure.mi.kde import log_density
from narrows.measure.mi.knn_entropy import berrett, near_distances

KNOWN = {
    "uniform": (scipy.stats.uniform(-1, 3), math.log(3)),
    "exponential": (scipy.stats.expon(scale=0.5), 1 - math.log(2)),
    "laplace": (scipy.stats.laplace(scale=2), 1 + math.log(4)),
    "normal": (scipy.stats.norm(3, 2), 0.5 * math.log(2 * math.pi * math.e * 4)),
    "gamma": (scipy.stats.gamma(3), 3 + gammaln(3) - 2 * digamma(3)),
}


@pytest.mark.parametrize("density", KNOWN)
@pytest.mark.parametrize("method", ["knn", "weighted-knn"])
def test_neighbours_find_the_entropy_of_known_densities(method, density):
    drawn, truth = KNOWN[density]
    x = drawn.rvs(4000, random_state=np.random.default_rng(1))
    found = entropy(x, method)
    assert truth == pytest.approx(float(drawn.entropy()))
    assert abs(found.value - truth) < 3 * found.stderr + 0.01


@pytest.mark.parametrize("density", KNOWN)
def test_kernels_err_upwards_and_little(density):
    drawn, truth = KNOWN[density]
    x = drawn.rvs(3000, random_state=np.random.default_rng(2))
    found = entropy(x, "kde")
    assert -3 * found.stderr < found.value - truth < 0.12


@pytest.mark.parametrize("density", ["uniform", "exponential", "laplace", "gamma"])
def test_the_normal_has_the_largest_entropy_for_its_variance(density):
    drawn, truth = KNOWN[density]
    x = drawn.rvs(3000, random_state=np.random.default_rng(3))
    found = entropy(x, "gaussian")
    assert found.value == pytest.approx(
        0.5 * math.log(2 * math.pi * math.e * drawn.var()), abs=0.06
    )
    assert found.value > truth


@pytest.mark.parametrize("d", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("method", ["knn", "weighted-knn", "gaussian"])
def test_normal_variables_of_several_columns(method, d):
    generator = np.random.default_rng(d)
    mix = generator.standard_normal((d, d)) + 2 * np.eye(d)
    x = generator.standard_normal((3000, d)) @ mix.T
    truth = 0.5 * d * math.log(2 * math.pi * math.e) + np.linalg.slogdet(mix)[1]
    found = entropy(x, method)
    allowed = 0.02 if d <= 4 else 0.15
    assert abs(found.value - truth) < 3 * found.stderr + allowed


def test_the_unit_cube_has_none():
    """Balls reach over its faces, so the value lies above: by less with more rows."""
    x = np.random.default_rng(0).random((16_000, 3))
    few, many = entropy(x[:1000], k=1), entropy(x, k=1)
    assert 0 < many.value < few.value
    assert many.value < 3 * many.stderr + 0.03


@pytest.mark.parametrize(("d", "k"), [(1, 1), (2, 4), (10, 3)])
def test_neighbours_equal_the_formula_over_all_distances(d, k):
    x = np.random.default_rng(d).standard_normal((300, d))
    far = np.sort(cdist(x, x), axis=1)[:, 1:]
    volume = math.pi ** (d / 2) / gamma(d / 2 + 1)
    truth = digamma(300) - digamma(k) + math.log(volume) + d * np.log(far[:, k - 1]).mean()
    assert entropy(x, "knn", k=k, whiten=False).value == pytest.approx(truth, abs=1e-9)
    assert near_distances(x, k) == pytest.approx(far[:, :k], abs=1e-7)


def test_single_columns_are_near_scipy():
    x = np.random.default_rng(0).standard_normal(2000)
    theirs = scipy.stats.differential_entropy(x)  # by spacings
    assert entropy(x).value == pytest.approx(theirs, abs=0.05)


@pytest.mark.parametrize("d", [4, 5, 8, 12, 16])
@pytest.mark.parametrize("k", [5, 20])
def test_weights_sum_to_one_and_their_moments_vanish(d, k):
    weights, j = berrett(k, d), np.arange(1, k + 1)
    assert weights.sum() == pytest.approx(1, abs=1e-8)
    for order in range(1, d // 4 + 1):
        ratio = np.exp(gammaln(j + 2 * order / d) - gammaln(j))
        assert weights @ ratio == pytest.approx(0, abs=1e-8)
    used = {i * k // d for i in range(1, d + 1)}
    assert set(j[weights != 0]) <= used


def test_few_columns_have_no_weights_and_few_neighbours_are_refused():
    assert berrett(5, 3).tolist() == [1, 0, 0, 0, 0]
    with pytest.raises(InvalidInput, match="k: found 2, wanted 5 neighbours or more for 16"):
        berrett(2, 16)


def test_weights_take_bias_off_in_four_columns():
    """Against the true density at the same rows, which share the noise of the draw."""
    d, generator = 4, np.random.default_rng(0)
    error: dict[str, list[float]] = {"knn": [], "weighted-knn": []}
    for _ in range(4):
        x = generator.standard_normal((4000, d))
        truth = 0.5 * d * math.log(2 * math.pi) + 0.5 * (x**2).sum(1).mean()
        for method, found in error.items():
            found.append(entropy(x, method, k=20).value - truth)
    assert abs(np.mean(error["weighted-knn"])) < 0.7 * abs(np.mean(error["knn"]))


def test_large_weights_are_called_out():
    x = np.random.default_rng(0).standard_normal((500, 8))
    assert "amplify the noise" in entropy(x, "weighted-knn").warnings[0]
    assert not entropy(x[:, :5], "weighted-knn").warnings


@pytest.mark.parametrize("method", ["knn", "weighted-knn", "kde", "gaussian"])
def test_linear_maps_add_their_log_determinant(method):
    x = np.random.default_rng(4).standard_normal((400, 3)) ** 3
    mix = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, -1.0], [0.5, 0.0, 1.0]])
    here, there = entropy(x, method).value, entropy(x @ mix.T + 7, method).value
    assert there - here == pytest.approx(math.log(abs(np.linalg.det(mix))), abs=1e-9)


def test_kernel_densities_integrate_to_one():
    x = np.random.default_rng(5).standard_normal((40, 1))
    grid = np.linspace(-8, 8, 4001)[:, None]
    far = -0.5 * ((grid - x.T) / 0.3) ** 2
    truth = np.exp(far).mean(1) / (0.3 * math.sqrt(2 * math.pi))
    assert truth.sum() * (grid[1, 0] - grid[0, 0]) == pytest.approx(1, abs=1e-6)
    # a grid point beside the sample, left out of its own density
    one = [np.exp(log_density(np.vstack([x, point[None]]), 0.3)[-1]) for point in grid[::500]]
    assert one == pytest.approx(truth[::500])


def test_the_gaussian_correction_leaves_no_bias():
    generator = np.random.default_rng(6)
    truth = 1.5 * math.log(2 * math.pi * math.e)
    raw, corrected = [], []
    for _ in range(500):
        x = generator.standard_normal((20, 3))
        raw.append(entropy(x, "gaussian", correct=False).value)
        corrected.append(entropy(x, "gaussian").value)
    assert abs(np.mean(corrected) - truth) < 3 * np.std(corrected) / math.sqrt(500)
    assert np.mean(raw) < truth - 0.1


def test_counts_equal_scipy_and_keep_their_units():
    labels = list("aabbbbcddd")
    found = entropy(labels, "plugin", kind="discrete", correction="none", units="bits")
    assert found.value == pytest.approx(scipy.stats.entropy([2, 4, 1, 3], base=2))
    assert found.units == "bits"
    assert found.ceiling == pytest.approx(2)
    assert entropy(labels, "plugin", kind="discrete").value > found.to("nats").value
    many = entropy(range(20), "plugin", kind="discrete")
    assert "seen once" in many.warnings[0]


@pytest.mark.parametrize("method", ["knn", "kde", "gaussian"])
def test_intervals_cover_the_truth_nine_times_in_ten(method):
    truth, hits = 0.5 * math.log(2 * math.pi * math.e), 0
    for seed in range(40):
        low, high = entropy(np.random.default_rng(seed).standard_normal(600), method).interval
        hits += low <= truth <= high
    assert hits >= 35


def test_bad_samples_and_settings_are_named():
    x = np.random.default_rng(0).standard_normal((20, 2))
    with pytest.raises(UnknownName, match="method: found 'knnn'"):
        entropy(x, "knnn")
    with pytest.raises(UnknownName, match="setting of kde: found 'k'"):
        entropy(x, "kde", k=3)
    with pytest.raises(
        InvalidInput, match="method: found 'knn' for a discrete x, wanted one of plugin"
    ):
        entropy(["a", "b"], kind="discrete")
    with pytest.raises(InvalidInput, match="method: found 'plugin' for a continuous x"):
        entropy(x, "plugin")
    with pytest.raises(InvalidInput, match="x: found 3 rows, wanted at least k \\+ 1 = 4"):
        entropy(x[:3])
    with pytest.raises(InvalidInput, match="k: found 0"):
        entropy(x, k=0)
    with pytest.raises(InvalidInput, match="x: found nan"):
        entropy([0.0, math.nan])
    for method in ("knn", "kde", "gaussian"):
        with pytest.raises(InvalidInput, match="x: found columns of which others are linear"):
            entropy(np.hstack([x, x[:, :1]]), method)


def test_rows_lost_beside_an_outlier_are_an_error():
    x = np.append(np.random.default_rng(0).random(49), 1e17)
    with pytest.raises(InvalidInput, match="x: found rows that coincide"):
        entropy(x)


def test_ties_are_moved_and_called_out():
    x = np.random.default_rng(0).integers(0, 5, 300).astype(float)
    notes = entropy(x).warnings
    assert "300 tied values" in notes[0]
    assert "plugin" in notes[1]
