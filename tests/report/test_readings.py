"""Readings in files: typed in Parquet, and no formulas in CSV (F09)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from narrows.concepts import CBM
from narrows.data import load
from narrows.report import readings_of, write_csv, write_parquet

ATTACKS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "=cmd|' /C calc'!A0"]


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_no_cell_or_heading_of_a_csv_can_be_a_formula(tmp_path: Path) -> None:
    columns = {"id": ATTACKS, **{name: [name] * len(ATTACKS) for name in ATTACKS}}
    write_csv(tmp_path / "r.csv", columns)
    for row in read(tmp_path / "r.csv"):
        for cell in row:
            assert cell.lstrip(" ")[:1] not in {"=", "+", "-", "@", "\t", "\r", "\n"}


def test_csv_keeps_numbers_and_empty_cells(tmp_path: Path) -> None:
    write_csv(tmp_path / "r.csv", {"a": [-0.5, None, 3], "b": ["x,y", 'q"', "line\nline"]})
    assert read(tmp_path / "r.csv") == [
        ["a", "b"],
        ["-0.5", "x,y"],
        ["", 'q"'],
        ["3", "line\nline"],
    ]


def test_readings_have_a_row_an_example_and_a_column_a_unit(tmp_path: Path) -> None:
    data = load("digit_pairs", sizes=(60, 20, 20), task="parity")
    method = CBM("independent", encoder="identity").fit(data)
    columns = readings_of(method, data.test)
    units = [f"unit:{name}" for name in data.concepts.names]
    assert list(columns) == ["id", "label", "prediction", *units]
    assert columns["id"] == list(data.test.ids or ())
    assert columns["label"] == data.test.labels
    assert columns["prediction"] == method.predict(data.test).tolist()
    np.testing.assert_array_equal(
        np.array([columns[u] for u in units]).T, method.transform(data.test).astype(np.float64)
    )
    write_parquet(tmp_path / "r.parquet", columns)
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(tmp_path / "r.parquet").to_pydict() == columns
