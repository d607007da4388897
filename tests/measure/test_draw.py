"""Drawing: pages are whole, escaped and repeatable."""

from __future__ import annotations

import html.parser

from narrows.measure import draw


class Checker(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def test_cells_and_titles_are_escaped_and_nothing_is_loaded(tmp_path):
    evil = '<script>alert("1")</script>'
    draw.write_page(tmp_path / "p.html", evil, draw.table([evil], [[evil], ["a & b"]]))
    page = Checker()
    page.feed((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any({"src", "href"} & set(attrs) for _, attrs in page.tags)
    assert page.text.count(evil) == 4
    assert "a & b" in page.text


def test_a_line_is_drawn_where_its_values_are():
    nan = float("nan")
    figure = draw.lines({"a": ([0, 1, 2], [0.1, 0.5, 0.9], [nan] * 3)}, "x", "y")
    (axes,) = figure.axes
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[0, 0.1], [1, 0.5], [2, 0.9]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    first = draw.svg(figure)
    assert first.startswith("<svg")
    assert first == draw.svg(draw.lines({"a": ([0, 1, 2], [0.1, 0.5, 0.9], [nan] * 3)}, "x", "y"))
