"""The fitted law is the law, and its intervals hold it as often as they say."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from narrows.errors import InvalidInput, InvalidType
from narrows.measure import rate_distortion_fit


def law(rates: Any, c: float, b: float, floor: float) -> Any:
    return c * np.exp(-b * rates) + floor


@given(st.floats(0.05, 5), st.floats(0.3, 4), st.floats(0, 1), st.floats(0.1, 10))
def test_points_on_a_law_give_the_law(c: float, b: float, floor: float, width: float) -> None:
    rates = np.linspace(0, width, 12)
    found = rate_distortion_fit(rates, law(rates, c, b / width, floor))
    assert (found.C, found.b, found.D0) == pytest.approx((c, b / width, floor), rel=1e-3, abs=1e-3)
    assert found.r2 > 1 - 1e-8
    assert found.predict(rates) == pytest.approx(law(rates, c, b / width, floor), abs=1e-5)


def test_it_is_scipys_curve_fit_with_its_intervals() -> None:
    generator = np.random.default_rng(0)
    rates = np.linspace(0, 4, 15)
    errors = law(rates, 0.6, 0.9, 0.2) + generator.normal(0, 0.02, 15)
    found = rate_distortion_fit(rates, errors)
    best, covariance = curve_fit(law, rates, errors, (1.0, 1.0, 0.1))
    assert (found.C, found.b, found.D0) == pytest.approx(tuple(best), rel=1e-4)
    from scipy.stats import t

    wide = t.ppf(0.975, 12) * np.sqrt(np.diag(covariance))
    for (low, high), value, half in zip(found.intervals.values(), best, wide, strict=True):
        assert (high - low) / 2 == pytest.approx(half, rel=1e-3)
        assert low < value < high


def test_intervals_hold_the_truth_in_19_of_20_samples() -> None:
    generator = np.random.default_rng(1)
    rates, inside = np.linspace(0, 4, 20), []
    for _ in range(200):
        found = rate_distortion_fit(
            rates, law(rates, 0.6, 0.9, 0.3) + generator.normal(0, 0.01, 20)
        )
        low, high = found.intervals["b"]
        inside.append(low < 0.9 < high)
    assert 0.9 < np.mean(inside) < 0.99


def test_a_line_has_no_floor_that_can_be_told() -> None:
    rates = np.linspace(0, 1, 8)
    found = rate_distortion_fit(rates, 1 - 0.5 * rates)
    assert found.warnings
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["points"] == 8
    flat = rate_distortion_fit(rates, np.full(8, 0.4))
    assert math.isnan(flat.r2)
    assert flat.predict(0.5) == pytest.approx(0.4)


def test_the_floor_never_lies_below_zero() -> None:
    rates = np.linspace(0, 2, 10)
    found = rate_distortion_fit(rates, law(rates, 1.0, 0.5, -0.3))
    assert found.D0 >= 0
    assert found.C >= 0


@pytest.mark.parametrize(
    ("rates", "distortions", "error", "said"),
    [
        ([1, 2, 3], [1, 2, 3], InvalidInput, "rates: found 3 points"),
        ([1, 2, 3, 4], [1, 2, 3], InvalidInput, "distortions: found 3"),
        ([1, 1, 1, 1], [1, 2, 3, 4], InvalidInput, "one rate"),
        ([1, 2, 3, math.nan], [1, 2, 3, 4], InvalidInput, "rates: found NaN"),
        ([1, 2, 3, 4], [1, 2, math.inf, 4], InvalidInput, "distortions: found NaN or inf"),
        ([[1, 2], [3, 4]], [1, 2], InvalidInput, r"shape \(2, 2\)"),
        (["a", "b"], [1, 2], InvalidType, "rates: found list"),
    ],
)
def test_points_that_are_none_are_refused(
    rates: Any, distortions: Any, error: Any, said: str
) -> None:
    with pytest.raises(error, match=said):
        rate_distortion_fit(rates, distortions)
