"""Reading CSV files, whole and damaged."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narrows.data.csv_file import read_csv
from narrows.errors import FileRefused


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def nothing(_: str) -> bool:
    return False


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiter_mark_and_line_ends_make_no_difference(
    tmp_path: Path, delimiter: str, bom: str, end: str
) -> None:
    rows = [["a", "word"], ["1.5", "red, or; so"], ["2", "blue"]]
    lines = [delimiter.join(f'"{c}"' if " " in c else c for c in row) + end for row in rows]
    columns = read_csv(write(tmp_path, bom + "".join(lines)), nothing)
    assert list(columns) == ["a", "word"]
    assert columns["a"].tolist() == [1.5, 2.0]
    assert columns["word"].tolist() == ["red, or; so", "blue"]


def test_quoted_cells_hold_line_breaks_and_quotes(tmp_path: Path) -> None:
    columns = read_csv(write(tmp_path, 'a,b\n1,"two\nlines ""x"""\n'), nothing)
    assert columns["b"].tolist() == ['two\nlines "x"']


def test_blank_lines_are_skipped(tmp_path: Path) -> None:
    assert read_csv(write(tmp_path, "a,b\n\n1,2\n\n3,4\n\n"), nothing)["a"].tolist() == [1, 3]


def test_columns_asked_for_as_text_stay_as_written(tmp_path: Path) -> None:
    columns = read_csv(write(tmp_path, "id,x\n007,1\n1e3,2\n"), lambda name: name == "id")
    assert columns["id"].tolist() == ["007", "1e3"]


def test_a_column_that_turns_to_text_late_keeps_its_first_cells_as_written(tmp_path: Path) -> None:
    cells = ["01"] * 5000 + ["late"]
    columns = read_csv(write(tmp_path, "a,b\n" + "".join(f"{c},1\n" for c in cells)), nothing)
    assert columns["a"].tolist() == cells
    assert columns["b"].dtype == np.float64


TABLES = st.integers(1, 4).flatmap(
    lambda width: st.tuples(
        st.lists(
            st.text(min_size=1).filter(str.strip), min_size=width, max_size=width, unique=True
        ),
        # A row of one empty cell is a blank line to everybody who reads CSV.
        st.lists(
            st.lists(st.text(min_size=width == 1), min_size=width, max_size=width), min_size=1
        ),
    )
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TABLES)
def test_whatever_the_standard_writer_writes_is_read_back(
    tmp_path: Path, table: tuple[list[str], list[list[str]]]
) -> None:
    header, rows = table
    path = tmp_path / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([header, *rows])
    columns = read_csv(path, lambda _: True)
    assert list(columns) == header
    assert [list(row) for row in zip(*columns.values(), strict=True)] == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty file"),
        ("\n\n", "empty file"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3\n", "line 3: found 1 cells, wanted 2"),
        ("a,b\n1,2,3\n", "line 2: found 3 cells, wanted 2"),
        ('a,b\n"1\n2",2\n3\n', "line 4: found 1 cells"),
        ("a,b,a,b\n1,2,3,4\n", "more than one column 'a', 'b'"),
        (",a\n0,1\n", "no name for column 1"),
        ('a,b\n1,"2\n', "line 2"),
        ('a,b\n1,"2"x\n', "line 2"),
        (b"a,b\n\xff\xfe,1\n", "UTF-8"),
        ("a,b\n1," + "9" * 200_000 + "\n", "line 2"),
    ],
)
def test_damaged_files_are_refused_by_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(FileRefused, match=message):
        read_csv(write(tmp_path, text), nothing)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="nowhere"):
        read_csv(tmp_path / "nowhere.csv", nothing)
