"""Inputs of every shape, told by the shape of the data alone; and rows that a run kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from narrows.data import Concepts, Examples
from narrows.data.texts import TextColumn
from narrows.errors import FileRefused, UnknownName
from narrows.report import readings_of, write_csv
from narrows.studio.desk import Desk
from narrows.studio.inputs import CELLS, describe, input_png
from narrows.studio.kept import kept_rows
from narrows.studio.opened import open_run
from studio.small_runs import fresh


def rows(x: Any) -> Examples:
    return Examples(x, torch.zeros(len(x), dtype=torch.int64), None, ("a", "b"), Concepts(()))


def test_sequences_are_one_curve_a_series() -> None:
    x = torch.arange(24.0).reshape(2, 4, 3)
    shown = describe(rows(x), 1, {"features": ["heart", "lung", "<b>"]})
    assert (shown["kind"], shown["steps"]) == ("sequence", 4)
    assert [s["name"] for s in shown["series"]] == ["heart", "lung", "<b>"]
    assert [s["values"] for s in shown["series"]] == x[1].T.tolist()


def test_texts_are_shown_as_they_are() -> None:
    examples = rows(TextColumn(["one", "<script>two</script>"]))
    assert describe(examples, 1, {}) == {"kind": "text", "text": "<script>two</script>"}
    with pytest.raises(UnknownName, match="no pictures"):
        input_png(examples, 1)


def test_long_rows_are_cut_and_say_how_much_is_left_out() -> None:
    shown = describe(rows(torch.arange(2.0 * (CELLS + 7)).reshape(2, -1)), 0, {})
    assert (len(shown["cells"]), shown["hidden"]) == (CELLS, 7)
    assert shown["cells"][3] == ["x3", 3.0]


@pytest.mark.parametrize("shape", [(2, 5, 4, 4), (2, 1, 2, 3, 4)])
def test_what_cannot_be_shown_is_nothing(shape: tuple[int, ...]) -> None:
    assert describe(rows(torch.zeros(shape)), 0, {}) == {"kind": "none"}


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_tell_their_size(channels: int) -> None:
    examples = rows(torch.zeros(1, channels, 5, 7))
    assert describe(examples, 0, {}) == {"kind": "image", "width": 7, "height": 5}
    assert input_png(examples, 0).startswith(b"\x89PNG\r\n")


def test_rows_kept_as_csv_say_what_those_in_parquet_say(table_run: Path, tmp_path: Path) -> None:
    home = fresh(table_run, tmp_path)
    opened = open_run(home)
    first = kept_rows(opened)
    assert opened.data is not None
    write_csv(home / "readings.csv", readings_of(opened.method, opened.data.test))
    (home / "readings.parquet").unlink()
    second = kept_rows(opened)
    assert first is not None
    assert second is not None
    assert first.ids == second.ids
    assert first.truth.tolist() == second.truth.tolist() == opened.data.test.y.tolist()
    assert first.now.prediction.tolist() == second.now.prediction.tolist()
    for name, values in first.units.items():
        assert second.units[name] == pytest.approx(values)
    (home / "readings.csv").write_text("id,other\r\n1,2\r\n")
    with pytest.raises(FileRefused, match="without id"):
        kept_rows(opened)
    (home / "readings.csv").unlink()
    assert kept_rows(opened) is None


def test_rows_are_read_once_and_only_where_they_are_asked_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    model = desk.opened.model
    model.encoder.register_forward_hook(lambda _, args, __: read.append(len(args[0])))
    for _ in range(2):
        desk.cases()
        desk.case("test", 1)
    data = desk.opened.data
    assert data is not None
    assert read == [len(data.test)]
    desk.cases("train")
    desk.cases("train")
    assert read == [len(data.test), len(data.train)]
