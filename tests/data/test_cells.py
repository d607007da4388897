"""What cells mean."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.cells import labels, numbers, read_concept, texts, typed
from narrows.errors import InvalidInput, InvalidType

FLOATS = st.floats(allow_nan=False)


@given(st.lists(FLOATS))
def test_numbers_written_as_text_are_read_exactly(values: list[float]) -> None:
    assert numbers([repr(v) for v in values]).tolist() == values


@pytest.mark.parametrize("missing", ["", "NA", "n/a", "NaN", "null", None, math.nan])
def test_missing_numbers_are_nan(missing: Any) -> None:
    assert np.array_equal(numbers([missing, "2"]), [math.nan, 2.0], equal_nan=True)


def test_mixed_number_objects_are_read() -> None:
    cells = np.array([True, 2, Decimal("0.5"), np.float32(1.5), "7", "TRUE"], dtype=object)
    assert numbers(cells).tolist() == [1, 2, 0.5, 1.5, 7, 1]


@pytest.mark.parametrize("cell", ["1_000", "red", "1,5", "0x10", 1j, b"1", (1,)])
def test_other_cells_are_not_numbers(cell: Any) -> None:
    assert numbers([cell, 1.0]) is None


def test_every_documented_annotation_is_read() -> None:
    cells = [
        "1",
        "0",
        " True",
        "FALSE",
        "yes",
        "No",
        "present",
        "absent",
        "0.25",
        "1e-1",
        "1.0",
        "",
    ]
    expected = [1, 0, 1, 0, 1, 0, 1, 0, 0.25, 0.1, 1, math.nan]
    assert np.array_equal(read_concept("c", cells), np.float32(expected), equal_nan=True)


@pytest.mark.parametrize("cell", ["2", "-0.1", "maybe", "1.0001", "inf", "?", "none", 7, 1j])
def test_other_annotations_are_refused_by_column_row_and_value(cell: Any) -> None:
    with pytest.raises(InvalidInput, match="column 'wing', row 3: found ") as caught:
        read_concept("wing", ["0", "", cell])
    assert repr(cell) in str(caught.value)


def test_numeric_annotations_out_of_range_are_refused_by_row() -> None:
    with pytest.raises(InvalidInput, match=r"row 2: found 1\.5"):
        read_concept("wing", np.array([math.nan, 1.5]))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["3", "-1"], [3, -1]),
        (["1.0", "2.5"], [1.0, 2.5]),
        (["True", "False"], [True, False]),
        (["01", "2"], ["01", "2"]),
        (["1", "2.5"], ["1", "2.5"]),
        (["true", "false"], ["true", "false"]),
        (["nan", "inf"], ["nan", "inf"]),
        (["NA", "None"], ["NA", "None"]),
        (["a", ""], ["a", None]),
        (["1_0", "2"], ["1_0", "2"]),
    ],
)
def test_texts_of_a_file_become_what_gives_the_same_text(
    cells: list[str], expected: list[Any]
) -> None:
    found = typed(labels("y", cells))
    assert found == expected
    assert [type(v) for v in found] == [type(v) for v in expected]


@given(st.lists(st.text(min_size=1)))
def test_writing_text_labels_gives_the_same_text(cells: list[str]) -> None:
    assert [str(v) for v in typed(cells)] == cells
    assert labels("y", cells) == cells


def test_labels_keep_their_own_types() -> None:
    found = labels("y", [np.int16(4), np.str_("4"), math.nan, True, None, ""])
    assert found == [4, "4", None, True, None, None]
    assert [type(v) for v in found[:2]] == [int, str]


@pytest.mark.parametrize("cell", [1j, b"x", (1,), math.inf, Decimal(1)])
def test_labels_of_other_types_are_refused_by_row(cell: Any) -> None:
    with pytest.raises(InvalidType, match="column 'y', row 2"):
        labels("y", ["a", cell])


def test_missing_names_are_counted_and_listed() -> None:
    with pytest.raises(InvalidInput, match=r"'id': found nothing in rows 1, 2, 3, 4, 5 and 1 more"):
        texts("id", ["", None, "", math.nan, "", ""])
