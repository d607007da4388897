"""Feature columns as a matrix."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.preprocessing import OneHotEncoder

from narrows.data.features import MAX_CATEGORIES, encode, feature_names, fit_columns
from narrows.errors import InvalidInput, InvalidType, UnknownName

ALL = np.arange(4)


def objects(*cells: object) -> np.ndarray:
    return np.array(cells, dtype=object)


def test_one_hot_agrees_with_scikit_learn_also_for_unseen_values() -> None:
    colour = objects("red", "blue", "red", "green")
    size = objects("s", "m", "m", "xl")
    train = np.array([0, 1, 2])
    columns = {"colour": colour, "size": size}
    found = encode(columns, fit_columns(columns, columns, train))
    both = np.stack([colour, size], axis=1)
    oracle = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(both[train])
    assert np.array_equal(found.numpy(), oracle.transform(both))


def test_readings_are_json_and_say_the_names() -> None:
    columns = {
        "age": np.arange(4.0),
        "ok": np.array([True, False] * 2),
        "w": objects("b", "a", "a", "b"),
    }
    readings = json.loads(json.dumps(fit_columns(columns, columns, ALL)))
    assert feature_names(readings) == ["age", "ok", "w=a", "w=b"]
    assert encode(columns, readings).tolist() == [
        [0, 1, 0, 1],
        [1, 0, 1, 0],
        [2, 1, 1, 0],
        [3, 0, 0, 1],
    ]
    assert encode(columns, readings).dtype == torch.float32


def test_unusable_cells_are_counted_for_each_column() -> None:
    columns = {
        "a": np.array([1.0, np.nan, np.nan, 0]),
        "b": np.array([np.inf, 1, np.nan, 0]),
        "c": objects("x", "", None, "y"),
        "d": np.array([1e300, 0, 0, 0]),
        "e": np.zeros(4),
    }
    with pytest.raises(InvalidInput, match="impute") as caught:
        encode(columns, fit_columns(columns, columns, ALL))
    for part in (
        "'a' 2 missing (rows 2, 3)",
        "'b' 1 missing and 1 infinite (rows 1, 3)",
        "'c' 2 missing (rows 2, 3)",
        "'d' 1 infinite (row 1)",
    ):
        assert part in str(caught.value)
    assert "'e'" not in str(caught.value)


def test_columns_that_are_not_features_are_refused() -> None:
    rows = np.arange(MAX_CATEGORIES + 1)
    many = {"name": objects(*(f"n{i}" for i in rows))}
    with pytest.raises(InvalidInput, match=r"21 different texts.*drop=\['name'\]"):
        fit_columns(many, many, rows)
    assert len(fit_columns(many, many, rows[:-1])[0]["values"]) == MAX_CATEGORIES
    with pytest.raises(InvalidInput, match="nothing in any training row"):
        fit_columns({"w": objects("", "", "a", "b")}, ["w"], np.array([0, 1]))
    with pytest.raises(InvalidType, match="column 'w', row 2: found tuple"):
        fit_columns({"w": objects("a", (1,))}, ["w"], np.array([0]))
    with pytest.raises(InvalidInput, match="no feature columns"):
        fit_columns({}, [], ALL)


def test_missing_columns_and_text_among_numbers_are_refused() -> None:
    with pytest.raises(UnknownName, match=r"'age'.*nearest: 'Age'"):
        encode({"Age": ALL}, [{"name": "age"}])
    with pytest.raises(InvalidInput, match="column 'age', row 2: found 'old'"):
        encode({"age": objects("3", "old")}, [{"name": "age"}])
