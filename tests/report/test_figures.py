"""Figures become parts of a page: text as text, ids of their own, nothing from outside."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from narrows.report import figures
from narrows.report.figures import Line, Point

NAMES = ["plain", "a <b>&amp;</b>", "$x^2$", "emoji 😀", "שלום", "two\nlines"]


def plane() -> object:
    points = [Point(n, 10.0 + i, 0.5 + i / 20, 0.01) for i, n in enumerate(NAMES)]
    return figures.plane([*points, Point("black-box", 2000.0, 0.9, reference=True)])


def lines(percent: bool = True) -> object:
    every = [
        Line(n, [0, 1, 2], [0.1, 0.2, 0.3 + i / 90], [0.0, 0.01, 0.02]) for i, n in enumerate(NAMES)
    ]
    return figures.curves(every, "corrections", "accuracy", percent)


def texts(svg: str) -> list[str]:
    root = ET.fromstring(svg.replace("&nbsp;", " "))  # noqa: S314  # our own text
    return ["".join(e.itertext()) for e in root.iter("text")]


@pytest.mark.parametrize("draw", [plane, lines])
def test_every_name_stands_in_the_figure_as_text(draw) -> None:
    shown = texts(figures.to_svg(draw(), "f"))
    for name in ["plain", "a <b>&amp;</b>", "$x^2$", "emoji 😀", "שלום", "two lines"]:
        assert name in shown


def test_ids_of_two_figures_never_meet_and_references_stay_inside() -> None:
    ids = []
    for name in ("one", "two"):
        svg = figures.to_svg(lines(), name)
        mine = re.findall(r'\bid="([^"]+)"', svg)
        used = re.findall(r'href="#([^"]+)"', svg) + re.findall(r"url\(#([^)]+)\)", svg)
        assert set(used) <= set(mine)
        assert len(set(mine)) == len(mine)
        ids.append(set(mine))
    assert not ids[0] & ids[1]


def test_a_figure_names_no_address_no_script_and_no_fixed_colour_of_text() -> None:
    svg = figures.to_svg(plane(), "f")
    assert "http" not in svg
    assert "<script" not in svg
    assert "<style" not in svg
    assert "<metadata" not in svg
    for colour in (figures.INK, figures.QUIET, figures.LINE, *figures.SERIES):
        assert colour not in svg
    assert "var(--ink)" in svg
    assert "var(--series-0)" in svg


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert figures.to_svg(lines(), "f") == figures.to_svg(lines(), "f")


def test_labels_at_the_ends_of_curves_do_not_overlap() -> None:
    root = ET.fromstring(figures.to_svg(lines(), "f"))  # noqa: S314  # our own text
    names = {"plain", "$x^2$", "emoji 😀", "שלום", "two lines"}
    heights = sorted(
        float(e.attrib["transform"].rstrip(")").split()[-1])  # rotate(-0 x y)
        for e in root.iter("text")
        if "".join(e.itertext()) in names
    )
    assert len(heights) == len(names)
    assert all(b - a >= 9 for a, b in itertools.pairwise(heights))


def marks(line: Line) -> int:
    """How often a figure uses a marker; ticks use theirs too, so figures must share them."""
    return figures.to_svg(figures.training(line, "loss"), "f").count("var(--series-0)")


def test_one_epoch_is_drawn_as_a_point() -> None:
    assert marks(Line("label", [1], [0.5])) > marks(Line("label", [1, 2], [0.5, 0.6])) > 0


def test_points_of_one_size_are_drawn() -> None:
    same = [Point("a", 8.0, 0.5), Point("b", 8.0, 0.5)]
    assert {"a", "b"} <= set(texts(figures.to_svg(figures.plane(same), "f")))
