"""Correlations under weightings against scipy on the drawn samples themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from narrows.measure.generalization.correlation import (
    kendall,
    levels,
    partial,
    pearson,
    ranks,
    signs,
)


def drawn(seed: int, n: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 8, n).astype(float)  # with ties
    y = x + 4 * generator.standard_normal(n)
    chosen = generator.integers(0, n, n)
    return x, y, chosen, np.bincount(chosen, minlength=n).astype(float)[None]


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_a_weighting_is_the_drawn_sample(seed: int) -> None:
    x, y, chosen, weights = drawn(seed)
    a, b = x[chosen], y[chosen]
    sx, sy = signs(x), signs(y)
    assert pearson(weights, x, y)[0] == pytest.approx(stats.pearsonr(a, b).statistic)
    assert kendall(weights, sx, sy)[0] == pytest.approx(stats.kendalltau(a, b).statistic)
    spearman = pearson(weights, ranks(weights, sx), ranks(weights, sy))
    assert spearman[0] == pytest.approx(stats.spearmanr(a, b).statistic)
    assert ranks(weights, sx)[0][chosen] == pytest.approx(stats.rankdata(a))


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_the_partial_correlation_is_that_of_least_squares_remainders(seed: int) -> None:
    x, y, chosen, weights = drawn(seed)
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 3, (2, 25)).astype(object)
    design = levels(first, second)
    left = []
    for column in (x[chosen], y[chosen]):
        fit = np.linalg.lstsq(design[chosen], column, rcond=None)[0]
        left.append(column - design[chosen] @ fit)
    wanted = stats.pearsonr(*left).statistic
    assert partial(weights, x, y, design)[0] == pytest.approx(wanted, abs=1e-8)


def test_given_nothing_but_one_level_the_partial_correlation_is_the_plain_one() -> None:
    x, y, _, weights = drawn(3)
    plain = pearson(weights, x, y)
    assert partial(weights, x, y, np.ones((25, 1))) == pytest.approx(plain)


def test_within_levels_it_is_that_of_columns_less_their_levels_mean() -> None:
    x, y, _, _ = drawn(4)
    level = np.arange(25) % 4
    centred = [v - np.array([v[level == k].mean() for k in level]) for v in (x, y)]
    wanted = stats.pearsonr(*centred).statistic
    found = partial(np.ones((1, 25)), x, y, levels(level.astype(object)))
    assert found[0] == pytest.approx(wanted)


def test_a_column_that_does_not_vary_has_no_correlation() -> None:
    x, y, _, weights = drawn(5)
    flat = np.full(25, 1e8 / 3)
    assert np.isnan(pearson(weights, flat, y)[0])
    assert np.isnan(kendall(weights, signs(flat), signs(y))[0])
    level = (np.arange(25) % 3).astype(object)
    assert np.isnan(partial(weights, (np.arange(25) % 3) * 7.1, y, levels(level))[0])
    one = np.zeros((1, 25))
    one[0, 3] = 25
    assert np.isnan(pearson(one, x, y)[0])


def test_columns_of_any_size_are_correlated() -> None:
    x, y, _, weights = drawn(6)
    wanted = pearson(weights, x, y)
    assert pearson(weights, 1e200 * x, 1e-200 * y) == pytest.approx(wanted)
