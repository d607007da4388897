"""The correction for neighbours along a line: a loop by the paper, and strong dependence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from narrows.errors import InvalidInput
from narrows.measure.mi import mutual_information
from narrows.measure.mi.lnc import log_ratio, threshold


def test_it_equals_a_loop_over_the_rows():
    """Principal axes by singular vectors, volumes by products."""
    generator = np.random.default_rng(0)
    x = generator.random((150, 1))
    y = x + 0.02 * generator.random((150, 1))
    both, alpha, terms = np.hstack([x, y]), 0.4, []
    for i in range(150):
        far = np.abs(both - both[i]).max(1)
        far[i] = np.inf
        near = both[np.argsort(far)[:5]] - both[i]
        axes = np.linalg.svd(near)[2]
        straight = np.abs(near).max(0).prod()
        turned = np.abs(near @ axes.T).max(0).prod()
        terms.append(-math.log(turned / straight) if turned / straight < alpha else 0.0)
    plain = mutual_information(x, y, "ksg", k=5, variant=2).value
    found = mutual_information(x, y, "lnc", k=5, alpha=alpha).value
    assert np.mean(terms) > 0.1
    assert found == pytest.approx(plain + np.mean(terms), abs=1e-10)


@pytest.mark.parametrize("noise", [1e-3, 1e-4, 1e-5])
def test_narrow_strips_where_plain_neighbours_fail(noise):
    """Y = X + U(-e, e): e - log 2e."""
    generator = np.random.default_rng(1)
    x = generator.random(1000)
    y = x + noise * generator.uniform(-1, 1, 1000)
    truth = noise - math.log(2 * noise)
    found = mutual_information(x, y, "lnc").value
    plain = mutual_information(x, y, "ksg", k=5).value
    # at 1e-3 the strip is as wide as its rows are apart, and looks even to some
    assert abs(found - truth) < (0.8 if noise == 1e-3 else 0.35)
    assert abs(found - truth) < 0.65 * abs(plain - truth)


def test_alpha_zero_corrects_nothing():
    x, noise = np.random.default_rng(2).standard_normal((2, 300, 1))
    y = x + 0.05 * noise
    plain = mutual_information(x, y, "ksg", k=4, variant=2).value
    assert mutual_information(x, y, "lnc", k=4, alpha=0).value == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize(("k", "m"), [(3, 2), (5, 2), (8, 3)])
def test_even_neighbours_are_corrected_once_in_two_hundred_times(k, m):
    drawn = np.random.default_rng(5).uniform(-1, 1, (40_000, k, m))
    share = (log_ratio(drawn) < math.log(threshold(k, m))).mean()
    assert share == pytest.approx(0.005, abs=0.0012)


def test_columns_that_depend_on_one_another_within_a_side_add_nothing():
    """x's own columns lie on a line; y is independent of both."""
    generator = np.random.default_rng(3)
    first = generator.standard_normal((1500, 1))
    x = np.hstack([first, first + 1e-3 * generator.standard_normal((1500, 1))])
    y = generator.standard_normal((1500, 1))
    assert abs(mutual_information(x, y, "lnc", k=12).value) < 0.15


def test_bad_settings_are_named():
    x, y = np.random.default_rng(0).standard_normal((2, 50, 2))
    with pytest.raises(InvalidInput, match="k: found 4, wanted more than the 4 columns"):
        mutual_information(x, y, "lnc", k=4)
    with pytest.raises(InvalidInput, match="alpha: found 2"):
        mutual_information(x, y, "lnc", alpha=2)
