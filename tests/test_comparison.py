"""The table of a comparison: its numbers, its rows, and how it is printed."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import narrows as nw
from narrows import store
from narrows.baselines import BlackBox, Chance, RandomBottleneck
from narrows.comparison import COLUMNS, Table
from narrows.concepts import CBM
from narrows.data import Dataset, load
from narrows.errors import InvalidInput, InvalidType

numbers = st.one_of(st.just(math.nan), st.floats(0, 1e6))


def made(rows: dict[str, dict[str, list[float]]]) -> Table:
    whole = {n: {c.key: row.get(c.key, [math.nan]) for c in COLUMNS} for n, row in rows.items()}
    return Table(None, tuple(rows), whole, {}, {})  # type: ignore[arg-type]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_mean_and_standard_error_are_numpys(values: list[float]) -> None:
    table = made({"a": {"accuracy": values}})
    assert table.mean("a", "accuracy") == pytest.approx(np.mean(values))
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert table.standard_error("a", "accuracy") == pytest.approx(error, abs=1e-12)


@given(
    st.dictionaries(
        st.text("abc ", min_size=1, max_size=20),
        st.dictionaries(st.sampled_from([c.key for c in COLUMNS]), st.lists(numbers, min_size=1)),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 200),
)
def test_every_number_is_printed_at_every_width(rows: dict[str, Any], width: int) -> None:
    table = made(rows)
    text = table.to_text(width)
    for name in rows:
        for column in COLUMNS:
            cell = table.cell(name, column)
            assert cell == "-" or cell in text
    blocks = any(line.startswith("  accuracy ") for line in text.splitlines())
    if width >= 80 and not blocks:
        assert all(len(line) <= width for line in text.splitlines())


def test_a_table_is_split_between_columns_and_never_cut() -> None:
    table = made({"one": {c.key: [0.5] for c in COLUMNS}, "two": {c.key: [0.5] for c in COLUMNS}})
    wide, stacked, narrow = (table.to_text(width) for width in (200, 80, 24))
    assert "\n\n" not in wide
    assert [part.count("\n") for part in stacked.split("\n\n")] == [4, 4]
    assert max(map(len, stacked.splitlines())) <= 80
    assert narrow.splitlines()[:2] == ["one", "  accuracy 50.0 %"]
    words = re.findall(r"\S+", wide)
    assert set(words) == set(re.findall(r"\S+", stacked))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("digit_pairs", seed=0, sizes=(120, 40, 40), task="parity")


@pytest.fixture(scope="module")
def table(data: Dataset) -> Table:
    methods = [
        CBM(epochs=1, seed=3),
        BlackBox(epochs=1),
        CBM("independent", epochs=1),
        CBM(epochs=2),
    ]
    return nw.compare([*methods, RandomBottleneck(epochs=1)], data, seeds=2)


def test_baselines_are_added_and_come_first(table: Table) -> None:
    assert table.names[:3] == ("black-box", "random", "chance")
    assert len(set(table.names)) == 6
    assert table.fitted["random"].epochs == 1  # as given, not a second one


def test_rows_of_one_name_are_kept_apart(table: Table) -> None:
    joint = [name for name in table.names if name.startswith("cbm joint")]
    assert [table.fitted[name].epochs for name in joint] == [1, 2]


def test_accuracies_are_those_of_the_trained_models(data: Dataset, table: Table) -> None:
    for name, method in table.fitted.items():
        assert table.values[name]["accuracy"][0] == method.score(data.test)
    majority = int(data.train.y.bincount().argmax())
    expected = float((data.test.y == majority).double().mean())
    assert table.values["chance"]["accuracy"] == [expected, expected]


def test_seeds_are_added_to_each_methods_own(table: Table) -> None:
    assert table.fitted["cbm joint"].seed == 3
    assert table.fitted["black-box"].seed == 0
    assert all(len(v) == 2 for row in table.values.values() for v in row.values())


def test_the_black_box_takes_its_own_time_once(table: Table) -> None:
    assert table.mean("black-box", "encoder_latency") == 1
    assert table.mean("black-box", "head_latency") == 1


def test_the_file_holds_all_numbers(table: Table, tmp_path: Any) -> None:
    table.to_json(tmp_path / "t.json")
    read = store.read_json(tmp_path / "t.json")
    for name, row in table.values.items():
        for key, values in row.items():
            expected = [None if math.isnan(v) else v for v in values]
            assert read["rows"][name][key] == expected
    assert [c["key"] for c in read["columns"]] == [c.key for c in COLUMNS]
    assert read["settings"]["cbm joint"]["seed"] == 3


@pytest.mark.parametrize("seeds", [0, -1, True, 1.5])
def test_seeds_must_be_a_whole_number(data: Dataset, seeds: Any) -> None:
    with pytest.raises(InvalidInput, match="seeds"):
        nw.compare([Chance()], data, seeds=seeds)


def test_what_is_no_method_is_refused(data: Dataset) -> None:
    with pytest.raises(InvalidType, match=r"methods: found a?.*str"):
        nw.compare(["cbm"], data)  # type: ignore[list-item]


def test_a_method_that_lacks_its_concepts_is_refused_before_anything_trains(data: Dataset) -> None:
    bare = {s: dataclasses.replace(part, c=None) for s, part in data.splits.items()}
    without = Dataset("bare", bare["train"], bare["val"], bare["test"], {})
    trained = []

    class Watched(BlackBox):
        def _train(self, *arguments: Any) -> Any:
            trained.append(1)
            return super()._train(*arguments)

    with pytest.raises(InvalidInput, match="concepts"):
        nw.compare([Watched(epochs=1), CBM(epochs=1)], without)
    assert not trained
