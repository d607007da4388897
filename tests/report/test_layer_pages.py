"""The pages of layers hold every number and name, open offline, and say which estimator spoke."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch

from narrows.errors import InvalidInput, UnknownName
from narrows.measure.geometry import spectrum_report
from narrows.measure.watching.plane_table import PlaneRow, PlaneTable
from narrows.report.figures import to_svg
from narrows.report.plane_page import (
    draw_course,
    draw_information_plane,
    write_information_plane,
)
from narrows.report.spectrum_page import draw_spectrum, save_png, write_spectrum

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def table() -> PlaneTable:
    rows = []
    for epoch in (0, 1, 10, 50):
        for i, layer in enumerate(["fc <1>", "fc2", ""]):
            for name in ("bins", "kde"):
                xt = 6 - i - abs(epoch - 10) / 50
                note = ("half are alone",) if name == "kde" else ()
                rows.append(PlaneRow(epoch, layer, name, xt, 0.1 + epoch / 99, 7.0, note))
    return PlaneTable(rows, "bits")


def test_a_page_of_a_plane_has_both_figures_of_each_estimator_and_each_fall(
    table, tmp_path: Path
) -> None:
    write_information_plane(table, tmp_path / "new" / "plane.html")
    page = (tmp_path / "new" / "plane.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    assert "by bins" in page
    assert "by kde" in page
    assert "fc &lt;1&gt;, bins" in page
    assert "fc <1>" not in page
    assert f"{(6.0) / math.log(2):.3f}" in page  # the largest I(X;T) of the first layer
    assert "half are alone (4 of 4 epochs)" in page
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", page)


def test_every_layer_stands_in_the_figures_by_name(table) -> None:
    for draw in (draw_information_plane, draw_course):
        svg = to_svg(draw(table, "kde"), "f")
        for word in ("fc &lt;1&gt;", "fc2", "model", "by kde", "bits"):
            assert word in svg
        assert "by bins" in to_svg(draw(table), "f")


def test_a_plane_without_rows_or_of_another_estimator_is_refused(table, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="snapshot"):
        write_information_plane(PlaneTable([]), tmp_path / "a.html")
    with pytest.raises(UnknownName, match="kde"):
        draw_information_plane(table, "kd")


def test_a_page_of_a_spectrum_has_its_numbers(tmp_path: Path) -> None:
    x = torch.randn(300, 120, generator=torch.Generator().manual_seed(0))
    report = spectrum_report(x, draws=5, generator=torch.Generator().manual_seed(0))
    write_spectrum(report, tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert f"{report.rankme:.2f}" in page
    assert f"{report.alpha:.4f}" in page
    assert f"{report.rankme_interval[0]:.2f} to {report.rankme_interval[1]:.2f}" in page
    assert "clearly too low" in page
    assert f"RankMe {report.rankme:.1f} of 120" in to_svg(draw_spectrum(report), "f")


def test_a_spectrum_without_a_power_law_is_still_drawn(tmp_path: Path) -> None:
    report = spectrum_report(torch.tensor([2.0, 1.0]))
    report.save(tmp_path / "s.html")
    assert "R²" not in (tmp_path / "s.html").read_text(encoding="utf-8")


def test_pictures_are_png_and_the_same_again(table, tmp_path: Path) -> None:
    report = spectrum_report(torch.arange(1.0, 200.0) ** -1)
    for draw in (lambda: draw_spectrum(report), lambda: draw_information_plane(table)):
        save_png(draw(), tmp_path / "a.png")
        save_png(draw(), tmp_path / "b.png")
        first = (tmp_path / "a.png").read_bytes()
        assert first.startswith(PNG)
        assert first == (tmp_path / "b.png").read_bytes()
    report.to_png(tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(PNG)
