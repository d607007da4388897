"""A monotone relation gives 1, a turned scale -1, and categories count each by itself."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure import typicality_alignment


def fan(ratings: np.ndarray) -> np.ndarray:
    """Vectors whose cosine with (1, 0) grows strictly with the rating."""
    angle = np.pi / 2 / (1 + np.exp(ratings))
    return np.stack([np.cos(angle), np.sin(angle)], 1) * np.linspace(1, 9, len(ratings))[:, None]


@given(st.lists(st.integers(-40, 40), min_size=3, max_size=20, unique=True))
def test_a_monotone_relation_is_perfect_and_a_turned_scale_its_opposite(values: list[int]) -> None:
    ratings = np.array(values) / 10
    e, anchor = fan(ratings), np.tile([2.0, 0.0], (len(values), 1))
    up = typicality_alignment(e, anchor, ratings, higher_is_typical=True, draws=2)
    down = typicality_alignment(e, anchor, ratings, higher_is_typical=False, draws=2)
    assert up.rho == pytest.approx(1)
    assert down.rho == pytest.approx(-1)
    turned = typicality_alignment(e, anchor, -ratings, higher_is_typical=False, draws=2)
    assert turned.rho == pytest.approx(1)


def test_it_is_scipys_correlation_of_cosines_written_out() -> None:
    rng = np.random.default_rng(0)
    e, anchors = rng.standard_normal((2, 30, 4))
    ratings = rng.integers(1, 6, 30)  # with ties
    cosine = [a @ b / math.sqrt((a @ a) * (b @ b)) for a, b in zip(e, anchors, strict=True)]
    found = typicality_alignment(e, anchors, ratings, higher_is_typical=True)
    assert found.rho == pytest.approx(spearmanr(cosine, ratings).statistic)
    assert found.n == 30
    assert not found.per_category


def test_within_categories_it_is_the_mean_of_their_own_correlations() -> None:
    rng = np.random.default_rng(1)
    e, ratings = rng.standard_normal((40, 3)), rng.standard_normal(40)
    names = np.repeat(["a", "b"], [25, 15])
    table = {"a": [1.0, 0, 0], "b": [0, 1.0, 0], "unused": [0, 0, 1.0]}
    found = typicality_alignment(
        e, table, ratings, higher_is_typical=True, within="category", categories=names
    )
    for j, name in enumerate("ab"):
        cosine = e[names == name, j] / np.linalg.norm(e[names == name], axis=1)
        own = spearmanr(cosine, ratings[names == name]).statistic
        assert found.per_category[name] == pytest.approx(own)
    assert found.rho == pytest.approx(np.mean(list(found.per_category.values())))
    pooled = typicality_alignment(e, table, ratings, higher_is_typical=True, categories=names)
    assert pooled.rho != pytest.approx(found.rho)


def test_without_a_vector_the_mean_of_the_others_stands_for_the_category() -> None:
    rng = np.random.default_rng(2)
    e, ratings = rng.standard_normal((12, 3)) + 1, rng.standard_normal(12)
    names = np.repeat([7, 9], 6)
    anchors = np.stack(
        [e[[j for j in range(12) if names[j] == names[i] and j != i]].mean(0) for i in range(12)]
    )
    options = {"higher_is_typical": False, "within": "category", "categories": names}
    found = typicality_alignment(e, None, ratings, **options)
    assert found.rho == pytest.approx(typicality_alignment(e, anchors, ratings, **options).rho)


def test_the_interval_has_the_spread_over_samples() -> None:
    def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        ratings = rng.standard_normal(80)
        return fan(ratings + rng.standard_normal(80)), ratings

    anchor = np.tile([1.0, 0.0], (80, 1))
    values = [
        typicality_alignment(e, anchor, r, higher_is_typical=True, draws=2).rho
        for e, r in map(drawn, range(200))
    ]
    e, r = drawn(999)
    low, high = typicality_alignment(e, anchor, r, higher_is_typical=True).interval
    assert (high - low) / (2 * 1.96) == pytest.approx(np.std(values, ddof=1), rel=0.3)


def test_categories_without_a_correlation_are_named_and_left_out() -> None:
    e = np.abs(np.random.default_rng(3).standard_normal((9, 2))) + 0.1
    names = ["big"] * 4 + ["flat"] * 3 + ["two"] * 2
    ratings = [1, 2, 3, 4, 5, 5, 5, 1, 2]
    found = typicality_alignment(
        e, None, ratings, higher_is_typical=True, within="category", categories=names
    )
    assert dict(found.skipped) == {"flat": "ratings that are all equal", "two": "2 items"}
    assert found.n == 4
    assert "note: flat left out" in repr(found)
    assert "high ratings are typical" in repr(found)
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ratings": [1, 2]}, "ratings: found shape"),
        ({"ratings": [1, math.nan, 2]}, "ratings: found NaN"),
        ({"ratings": [2, 2, 2]}, "ratings: found ratings that are all equal"),
        ({"E_category": [[0.0, 0.0]] * 3}, "E_category: found 3 all-zero rows"),
        ({"E_category": [[1.0]] * 3}, "E_category: found 1 dimensions"),
        ({"E_category": [[1.0, 1.0]]}, "E_category: found 1 rows"),
        ({"E_category": None}, "categories"),
        ({"within": "category"}, "categories"),
        ({"within": "study"}, "within"),
        ({"E_category": None, "categories": [0, 0, 1]}, "categories: found 1 with one item"),
        ({"draws": 1}, "draws"),
        ({"categories": [0, 1]}, "categories: found shape"),
    ],
)
def test_bad_input_is_named(changes: dict[str, object], named: str) -> None:
    given = {
        "E": [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]],
        "E_category": [[1.0, 0.0]] * 3,
        "ratings": [1, 2, 3],
        **changes,
    }
    with pytest.raises(InvalidInput, match=named):
        typicality_alignment(**given, higher_is_typical=True)  # type: ignore[arg-type]


def test_the_direction_must_be_a_truth_value_and_each_category_known() -> None:
    e = [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]
    with pytest.raises(InvalidType, match="higher_is_typical"):
        typicality_alignment(e, e, [1, 2, 3], higher_is_typical="low")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="'fish'"):
        typicality_alignment(
            e, {"bird": [1.0, 0.0]}, [1, 2, 3], higher_is_typical=True, categories=["fish"] * 3
        )
