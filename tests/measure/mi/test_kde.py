"""Kernel densities against scipy's, and what the method promises of its bandwidths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy, gaussian_kde

from narrows.errors import InvalidInput, UnknownName
from narrows.measure.mi import mutual_information


def pair(n: int, d: int = 1, rho: float = 0.7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x, noise = np.random.default_rng(seed).standard_normal((2, n, d))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def left_out(rows: np.ndarray, shape: np.ndarray, factor: float) -> np.ndarray:
    """Log density of the other rows, by scipy, a kernel of covariance factor^2 * shape."""
    density = []
    for i in range(len(rows)):
        others = np.delete(rows, i, axis=0).T
        kernel = gaussian_kde(others, bw_method=factor)
        own = np.atleast_2d(np.cov(others))
        # scipy takes the others' covariance; weigh its kernel back to the whole sample's
        delta = others - rows[i][:, None]
        inverse = np.linalg.inv(factor**2 * shape)
        power = np.exp(-0.5 * np.einsum("in,ij,jn->n", delta, inverse, delta))
        norm = math.sqrt(np.linalg.det(2 * np.pi * factor**2 * shape))
        density.append(power.mean() / norm)
        check = np.exp(
            -0.5 * np.einsum("in,ij,jn->n", delta, np.linalg.inv(factor**2 * own), delta)
        )
        theirs = check.mean() / math.sqrt(np.linalg.det(2 * np.pi * factor**2 * own))
        assert kernel(rows[i])[0] == pytest.approx(theirs)
    return np.log(density)


@pytest.mark.parametrize("d", [1, 2])
def test_it_is_the_mean_log_ratio_of_left_out_densities(d):
    x, y = pair(60, d)
    both, factor = np.hstack([x, y]), 0.4
    shape = np.cov(both.T)
    truth = left_out(both, shape, factor) - left_out(x, shape[:d, :d], factor)
    truth -= left_out(y, shape[d:, d:], factor)
    found = mutual_information(x, y, "kde", bandwidth=factor)
    assert found.value == pytest.approx(truth.mean(), abs=1e-10)
    assert found.stderr == pytest.approx(truth.std(ddof=1) / math.sqrt(60))


def test_scott_and_silverman_are_scipy_s():
    x, y = pair(150, 2)
    for rule in ("scott", "silverman"):
        theirs = gaussian_kde(np.hstack([x, y]).T, bw_method=rule).factor
        used = mutual_information(x, y, "kde", bandwidth=rule).settings["bandwidth"]
        assert used == pytest.approx(theirs)


def test_affine_maps_of_each_side_change_nothing():
    x, y = pair(120, 2)
    here = mutual_information(x, y, "kde").value
    turned = x @ np.array([[2.0, 1.0], [0.0, 3.0]]) + 5
    assert mutual_information(turned, -7 * y, "kde").value == pytest.approx(here, abs=1e-9)


def test_likelihood_finds_the_fine_structure_that_scott_blurs():
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 12, 600)
    x = groups + 0.03 * generator.standard_normal(600)
    y = 5 * groups % 12 + 0.03 * generator.standard_normal(600)
    truth = entropy(np.bincount(groups))
    scott = mutual_information(x, y, "kde").value
    chosen = mutual_information(x, y, "kde", bandwidth="likelihood")
    assert scott < 0.5 * truth
    assert chosen.value == pytest.approx(truth, abs=0.1)
    assert chosen.settings["bandwidth"] < 0.1


def test_classes_apart_tell_their_entropy_and_alike_ones_nothing():
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1], 400)
    x = generator.standard_normal(800)
    apart = mutual_information(x + 20 * labels, labels, "kde", y_kind="discrete")
    assert apart.value == pytest.approx(math.log(2), abs=0.01)
    assert apart.ceiling == pytest.approx(math.log(2))
    assert abs(mutual_information(x, labels, "kde", y_kind="discrete").value) < 0.02
    turned = mutual_information(labels, x + 20 * labels, "kde", x_kind="discrete")
    assert turned.value == apart.value


def test_overlapping_classes_against_quadrature():
    grid = np.linspace(-10, 12, 20001)
    parts = [np.exp(-0.5 * (grid - m) ** 2) / math.sqrt(2 * math.pi) for m in (0, 1.5)]
    whole = (parts[0] + parts[1]) / 2
    terms = sum(0.5 * part * np.log(part / whole) for part in parts)
    truth = float(terms.sum() * (grid[1] - grid[0]))
    generator = np.random.default_rng(2)
    labels = np.arange(3000) % 2
    x = generator.standard_normal(3000) + 1.5 * labels
    found = mutual_information(x, labels, "kde", y_kind="discrete")
    assert found.value == pytest.approx(truth, abs=3 * found.stderr)


def test_outliers_have_densities_too():
    x, y = pair(200)
    x[0], y[0] = 1e6, -1e6
    found = mutual_information(x, y, "kde", bandwidth=1e-6)
    assert math.isfinite(found.value)


def test_bad_settings_and_relations_are_named():
    x, y = pair(50)
    with pytest.raises(UnknownName, match="bandwidth: found 'scot'"):
        mutual_information(x, y, "kde", bandwidth="scot")
    with pytest.raises(InvalidInput, match="bandwidth: found -1"):
        mutual_information(x, y, "kde", bandwidth=-1)
    with pytest.raises(InvalidInput, match="y: found a linear function of x"):
        mutual_information(x, 3 * x, "kde")
    with pytest.raises(InvalidInput, match="x: found columns of which others are linear"):
        mutual_information(np.hstack([x, 2 * x]), y, "kde")
    labels = [*[0] * 49, 1]
    with pytest.raises(InvalidInput, match="y: found 1 classes of two rows or more"):
        mutual_information(x, labels, "kde", y_kind="discrete")
