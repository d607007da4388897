"""New rows for prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from narrows.data import Dataset, load, prepare
from narrows.errors import InvalidInput, UnknownName


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(60)],
            "age": rng.integers(90, size=60),
            "code": ["1", "2", "x"] * 20,
            "label": ["no", "yes", "no", "no"] * 15,
            "concept:old": [0.0, None, 1.0] * 20,
            "concept:sick": [1.0, 0.0] * 30,
        }
    )


def written(data: Dataset) -> dict:
    """Settings as a run folder keeps them."""
    return json.loads(json.dumps(data.settings))


def test_the_training_file_itself_is_prepared_to_the_same_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    table().to_csv(path, index=False)
    data = load(path)
    again = prepare(path, written(data))
    place = {name: i for i, name in enumerate(again.ids)}
    for split in data.splits.values():
        rows = torch.tensor([place[name] for name in split.ids])
        assert torch.equal(again.x[rows], split.x)
        assert torch.equal(again.y[rows], split.y)
        assert torch.equal(again.c[rows].nan_to_num(-1), split.c.nan_to_num(-1))
    assert again.classes == data.classes
    assert again.concepts == data.concepts


def test_columns_are_matched_by_name_and_all_but_features_are_optional(tmp_path: Path) -> None:
    settings = written(load(table()))
    path = tmp_path / "new.csv"
    path.write_text("code,extra,age\n2,hello,30\n1,there,40\n")
    rows = prepare(path, settings)
    assert rows.x.tolist() == [[30, 0, 1, 0], [40, 1, 0, 0]]
    assert rows.y.tolist() == [-1, -1]
    assert rows.c is None
    assert rows.labels == [None, None]


def test_labels_and_concepts_may_be_there_in_part() -> None:
    new = {"age": [1, 2], "code": ["x", "x"], "label": ["yes", None], "concept:sick": [None, 1]}
    rows = prepare(new, written(load(table())))
    assert rows.labels == ["yes", None]
    assert rows.known.tolist() == [[False, False], [False, True]]


def test_a_category_never_seen_gives_zeros() -> None:
    rows = prepare({"age": [1], "code": ["z"]}, written(load(table())))
    assert rows.x.tolist() == [[1, 0, 0, 0]]


def test_labels_that_differ_only_in_type_are_the_classes_they_spell() -> None:
    numbers = written(load({"x": list(range(20)), "label": [0, 7] * 10}))
    for same in ("7", 7, 7.0):
        assert prepare({"x": [1], "label": [same]}, numbers).labels == [7]
    words = written(load({"x": list(range(20)), "label": ["0", "True"] * 10}))
    assert prepare({"x": [1, 2], "label": [True, 0]}, words).labels == ["True", "0"]


@pytest.mark.parametrize(
    ("new", "error", "message"),
    [
        ({"code": ["x"]}, UnknownName, "'age'"),
        ({"age": [None], "code": ["x"]}, InvalidInput, "'age' 1 missing"),
        ({"age": ["old"], "code": ["x"]}, InvalidInput, "'old'"),
        ({"age": [1], "code": ["x"], "label": ["perhaps"]}, InvalidInput, "row 1: found 'perhaps'"),
        ({"age": [1], "code": ["x"], "concept:olf": [1]}, UnknownName, "'olf'.*'old'"),
        ({"age": [], "code": []}, InvalidInput, "no rows"),
    ],
)
def test_unusable_new_rows_are_refused(new: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        prepare(new, written(load(table())))


def test_arrays_are_prepared_by_shape_and_frames_by_name() -> None:
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    settings = written(load((X, y)))
    assert torch.equal(prepare(X[:5], settings).x, torch.tensor(X[:5], dtype=torch.float32))
    with pytest.raises(InvalidInput, match=r"rows of shape \(2,\), wanted \(3,\)"):
        prepare(X[:, :2], settings)
    named = pd.DataFrame(X, columns=["a", "b", "label"])
    settings = written(load((named, y)))
    assert torch.equal(
        prepare(named[["label", "b", "a"]], settings).x, torch.tensor(X, dtype=torch.float32)
    )


def test_named_sets_can_be_fed_new_rows_too() -> None:
    pairs = load("digit_pairs", sizes=(20, 5, 5))
    assert torch.equal(prepare(pairs.test.x, written(pairs)).x, pairs.test.x)
    nuclei = load("breast_cancer_nuclei")
    columns = dict(zip(nuclei.settings["features"], nuclei.test.x.T.tolist(), strict=True))
    assert torch.equal(prepare(columns, written(nuclei)).x, nuclei.test.x)


def test_images_are_wanted_where_images_were_learned() -> None:
    settings = {
        **written(load(table())),
        "image": {"size": [4, 4], "channels": 3},
    }
    with pytest.raises(UnknownName, match="image column"):
        prepare({"age": [1]}, settings)


def test_settings_without_a_recipe_are_refused() -> None:
    with pytest.raises(InvalidInput, match="settings: found"):
        prepare({"a": [1]}, {"seed": 0})
