"""Columns from files, frames and mappings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from narrows.data.columns import columns_of
from narrows.errors import FileRefused, InvalidInput, InvalidType

FRAME = pd.DataFrame(
    {
        "number": [1.5, 2.5, None],
        "whole": pd.array([1, None, 3], dtype="Int64"),
        "word": ["red", None, "blue"],
        "kind": pd.Categorical(["u", "v", "u"], categories=["u", "v", "unused"]),
        "flag": [True, False, True],
        7: [1, 2, 3],
    }
)
EXPECTED = {
    "number": [1.5, 2.5, np.nan],
    "whole": [1, None, 3],
    "word": ["red", None, "blue"],
    "kind": ["u", "v", "u"],
    "flag": [True, False, True],
    "7": [1, 2, 3],
}


class Duck:
    """What a Hugging Face data set offers a reader."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns = columns

    @property
    def column_names(self) -> list[str]:
        return list(self._columns)

    def __getitem__(self, name: str) -> list[Any]:
        return self._columns[name]


def never(_: str) -> bool:
    return False


def test_a_frame_gives_its_values_with_none_for_missing() -> None:
    columns = columns_of(FRAME, never)
    assert list(columns) == list(EXPECTED)
    for name, expected in EXPECTED.items():
        found = [None if v is None else v for v in columns[name].tolist()]
        assert pd.Series(found, dtype=object).equals(pd.Series(expected, dtype=object)), name


def test_parquet_gives_what_pandas_wrote(tmp_path: Path) -> None:
    frame = FRAME.rename(columns=str)
    frame.to_parquet(tmp_path / "a.parquet")
    columns = columns_of(tmp_path / "a.parquet", never)
    assert columns["word"].tolist() == ["red", None, "blue"]
    assert columns["kind"].tolist() == ["u", "v", "u"]
    assert columns["flag"].tolist() == [True, False, True]
    assert np.array_equal(columns["whole"], [1, np.nan, 3], equal_nan=True)


def test_a_hugging_face_like_object_gives_its_columns() -> None:
    columns = columns_of(Duck({"a": [1, 2], "b": ["x", "y"]}), never)
    assert columns["a"].tolist() == [1, 2]
    assert columns["a"].dtype.kind == "i"
    assert columns["b"].tolist() == ["x", "y"]


def test_tables_by_split_are_stacked_with_a_split_column() -> None:
    columns = columns_of({"train": Duck({"a": [1, 2]}), "test": Duck({"a": [3]})}, never)
    assert columns["a"].tolist() == [1, 2, 3]
    assert columns["split"].tolist() == ["train", "train", "test"]
    with pytest.raises(InvalidInput, match="columns of 'test'"):
        columns_of({"train": Duck({"a": [1]}), "test": Duck({"b": [3]})}, never)


def test_a_mapping_may_hold_lists_arrays_and_tensors() -> None:
    source = {
        "a": [1, 2],
        "b": np.array([0.5, 1]),
        "c": torch.tensor([3, 4]),
        "d": pd.Series(["x", "y"]),
    }
    columns = columns_of(source, never)
    assert [c.tolist() for c in columns.values()] == [[1, 2], [0.5, 1], [3, 4], ["x", "y"]]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ({}, InvalidInput, "no columns"),
        ({"a": []}, InvalidInput, "no rows"),
        ({"a": [1], "b": [1, 2]}, InvalidInput, "lengths"),
        ({"a": [[1, 2], [3, 4]]}, InvalidType, "column 'a': found lists"),
        ({"a": np.zeros((2, 2))}, InvalidType, "column 'a'"),
        ({"a": np.array(["2020-01-01"], dtype="datetime64[D]")}, InvalidType, "datetime64"),
        ({"a": np.array([1j])}, InvalidType, "complex"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), FileRefused, "more than one column 'a'"),
        (pd.DataFrame({"a": []}), InvalidInput, "no rows"),
        (3, InvalidType, "source: found int"),
    ],
)
def test_other_sources_are_refused(source: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        columns_of(source, never)


def test_a_folder_must_hold_one_table(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="no table"):
        columns_of(tmp_path, never)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    assert columns_of(str(tmp_path), never)["a"].tolist() == [1]
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    with pytest.raises(FileRefused, match=r"table\.csv and table\.parquet"):
        columns_of(tmp_path, never)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"not parquet at all", "not a readable Parquet file"),
        ("a.pkl", b"", r"\.pkl"),
        ("a", b"", "no ending"),
    ],
)
def test_other_files_are_refused_by_name(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileRefused, match=message):
        columns_of(tmp_path / name, never)
