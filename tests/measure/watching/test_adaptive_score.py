"""The compression score by hand, and its correlations against scipy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from narrows.errors import InvalidInput, UnknownName
from narrows.measure.watching import compression_score, correlate_scores
from narrows.measure.watching.plane_table import PlaneRow, PlaneTable


def table(*values: float, unit: str = "nats") -> PlaneTable:
    rows = [PlaneRow(10 * i, "a", "ebab", v, 0.0, 9.0) for i, v in enumerate(values)]
    return PlaneTable([*rows, PlaneRow(0, "a", "kde", 1.0, 0.0, 9.0)], unit)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 9), min_size=1, max_size=9))
def test_the_score_is_the_share_of_the_maximum_that_went_away(values) -> None:
    found = compression_score(table(*values), "ebab")[0]
    most = max(values)
    assert found.score == pytest.approx((most - values[-1]) / most if most else 0.0)
    assert 0 <= found.score <= 1
    assert found.at == 10 * values.index(most)
    bits = compression_score(table(*values, unit="bits"), "ebab")[0]
    assert bits.score == pytest.approx(found.score)
    assert bits.most == pytest.approx(most / math.log(2))


def test_an_estimator_that_is_not_in_the_plane_is_unknown() -> None:
    with pytest.raises(UnknownName, match="'ebab'"):
        compression_score(table(1.0), "eba")


def test_correlations_are_those_of_scipy_and_intervals_those_of_a_loop() -> None:
    source = np.random.default_rng(0)
    y = source.random(30)
    layers = {"1": source.random(30), "9": (y + 0.2 * source.random(30)).round(1)}
    found = correlate_scores(layers, y, bootstrap=200, seed=3)
    drawn = np.random.default_rng(3).integers(30, size=(200, 30))
    for one, x in zip(found, layers.values(), strict=True):
        assert one.pearson == pytest.approx(pearsonr(x, y).statistic)
        assert one.spearman == pytest.approx(spearmanr(x, y).statistic)
        again = [spearmanr(x[rows], y[rows]).statistic for rows in drawn]
        assert one.spearman_interval == pytest.approx(tuple(np.quantile(again, [0.025, 0.975])))
        again = [pearsonr(x[rows], y[rows]).statistic for rows in drawn]
        assert one.pearson_interval == pytest.approx(tuple(np.quantile(again, [0.025, 0.975])))
    assert found[1].spearman_interval[0] > 0.5 > found[0].spearman_interval[0]


def test_scores_of_networks_are_sorted_by_layer() -> None:
    nets = [compression_score(table(4.0, 4 - i), "ebab") for i in range(4)]
    found = correlate_scores(nets, [0.1, 0.2, 0.3, 0.4])
    assert [one.layer for one in found] == ["a"]
    assert found[0].spearman == pytest.approx(1)


def test_a_score_that_does_not_vary_has_no_correlation_and_says_so() -> None:
    found = correlate_scores({"1": [0.0] * 5}, [1.0, 2.0, 3.0, 4.0, 5.0])[0]
    assert math.isnan(found.pearson)
    assert math.isnan(found.spearman_interval[0])
    assert "no correlation" in repr(found)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["pearson"] is None
    rare = correlate_scores({"1": [0.0, 0.0, 0.0, 0.0, 1.0]}, [1.0, 2.0, 3.0, 4.0, 5.0])[0]
    assert "resamples do not vary" in rare.warnings[0]


def test_what_cannot_be_correlated_is_refused() -> None:
    y = [1.0, 2.0, 3.0, 4.0]
    for scores, outcome in (
        ({"1": y[:3]}, y[:3]),
        ({"1": y[:3]}, y),
        ({"1": [1.0, math.nan, 0.0, 0.0]}, y),
        ({"1": y}, [1.0, math.inf, 0.0, 0.0]),
        ([], y),
    ):
        with pytest.raises(InvalidInput):
            correlate_scores(scores, outcome)
    with pytest.raises(InvalidInput, match="bootstrap"):
        correlate_scores({"1": y}, y, bootstrap=10)
