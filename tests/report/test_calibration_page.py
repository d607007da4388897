"""Estimators beside the truth: every task has its line, every method its point and its numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from narrows.errors import UnknownName
from narrows.measure.mi import Calibration, calibrate
from narrows.report.calibration_page import draw_calibration, write_calibration

TASKS = ["normal-0.9", "classes-1", "xor", "dense-3x3"]


@pytest.fixture(scope="module")
def found() -> Calibration:
    return calibrate(60, tasks=TASKS, methods=["ksg", "ross", "gcmi", "hsic"], seeds=3)


def test_a_panel_shows_the_truth_the_means_and_where_answers_fall(found: Calibration) -> None:
    (axes,) = draw_calibration(found, "normal-0.9").axes
    rows = [row for row in found.rows if row.task == "normal-0.9"]
    truth = next(
        line for line in axes.lines if len(set(line.get_xdata())) == 1 < len(line.get_xdata())
    )
    assert set(truth.get_xdata()) == {rows[0].truth}
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [row.method for row in rows]
    for place, (row, drawn) in enumerate(zip(rows, axes.containers, strict=True)):
        point, _, bars = drawn
        assert point.get_xydata().tolist() == [[row.mean, place]]
        (left, right) = bars[0].get_segments()[0][:, 0]
        assert right - left == pytest.approx(2 * 1.96 * row.spread)


def test_all_tasks_stand_in_rows_of_three(found: Calibration) -> None:
    axes = draw_calibration(found).axes
    assert [a.get_title(loc="left").split(":")[0] for a in axes if a.get_visible()] == TASKS
    assert len(axes) == 6
    with pytest.raises(UnknownName, match=r"task.*'xor'"):
        draw_calibration(found, "xr")


def test_the_page_holds_every_row_and_refusal_and_opens_offline(
    found: Calibration, tmp_path: Path
) -> None:
    write_calibration(found, tmp_path / "known.html")
    page = (tmp_path / "known.html").read_text(encoding="utf-8")
    assert page.count("<svg") == len(TASKS)
    for cells in found.cells().values():
        for row in cells:
            assert all(f">{cell}<" in page for cell in row if cell)
    assert "ksg refused" in page
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", page)


def test_a_calibration_draws_itself(found: Calibration, tmp_path: Path) -> None:
    found.save(tmp_path / "a.html")
    found.to_png(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.html").stat().st_size > 1000
