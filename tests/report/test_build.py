"""Pages open offline, show what was measured, and escape every name (I14)."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from narrows.comparison import Table
from narrows.concepts import CBM
from narrows.data import Dataset
from narrows.data.record import Concepts, Examples
from narrows.errors import MissingExtra
from narrows.report import NEXT, write_demo, write_run, write_table
from narrows.report.page import render
from narrows.report.sections import training_section
from narrows.runs import fit_run

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Tags, their nesting, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.mismatched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mismatched.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(table: Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "deep" / "report.html"
    write_demo(table, path, command=["narrows", "demo", "--out", "a b"])
    return path.read_text(encoding="utf-8")


def offline(text: str) -> None:
    """No script, no address, no handler: all that a page could load is inside it."""
    page = Page(text)
    assert not page.mismatched
    assert not page.open
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & {
        tag for tag, _ in page.tags
    }
    for tag, attrs in page.tags:
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href"):
                assert str(value).startswith(("data:image/png;base64,", "#")), (tag, name, value)
    assert not re.search(r"https?:|//[a-z]|@import", re.sub(r"base64,[\w+/=]+", "", text))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_the_page_opens_offline(page: str) -> None:
    offline(page)


def test_the_page_fits_a_phone_and_a_dark_room(page: str) -> None:
    assert 'name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    parsed = Page(page)
    boxed = [a for a in parsed.named("div") if a.get("class") == "box"]
    assert len(boxed) == len(parsed.named("table"))


def test_the_page_shows_every_row_with_its_numbers(page: str, table: Table) -> None:
    text = Page(page).text
    for name in table.names:
        assert name in text
        assert f"{100 * table.mean(name, 'accuracy'):.1f}" in text
        assert f"{table.mean(name, 'bits'):.1f}" in text


def test_the_page_shows_configuration_command_and_what_is_next(page: str, table: Table) -> None:
    text = Page(page).text
    assert table.data.fingerprint in text
    assert "narrows demo --out 'a b'" in text
    assert f"{torch.__version__}" in text
    for _, command in NEXT:
        assert command in text
    assert "left is 0 | left is 1" in text


def test_the_page_shows_one_example_with_its_picture(table: Table, tmp_path: Path) -> None:
    sentence = write_table(table, tmp_path / "t.html")
    page = Page((tmp_path / "t.html").read_text(encoding="utf-8"))
    assert sentence is not None
    assert sentence in page.text
    assert str(page.named("img")[0]["src"]).startswith("data:image/png;base64,")


def test_the_best_narrow_row_is_marked_and_the_references_are_not(page: str, table: Table) -> None:
    body = page[page.index("The ledger") : page.index("What the columns mean")]
    reference, narrow = body.split("<tbody")[1:]
    assert "best" not in reference
    assert {"black-box", "random", "chance"} == set(re.findall(r"<bdi>([^<]+)</bdi>", reference))
    assert "cbm independent" in narrow


def test_a_standard_error_is_shown_exactly_where_it_is_not_zero(page: str, table: Table) -> None:
    shown = re.findall(r"<small> ±([\d.,]+)</small>", page)
    errors = [
        table.standard_error(n, c.key)
        for n in table.names
        for c in table.columns
        if not math.isnan(table.mean(n, c.key))
    ]
    assert len(shown) == sum(e > 0 for e in errors)


NAMES = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "emoji 😀",
    "שלום עולם",
    "two\nlines",
    "{{ 7 * 7 }}",
)


def odd_data() -> Dataset:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(150, len(NAMES), generator=source)
    c = (x > 0).float()
    y = (c.sum(1) > 3).long()
    concepts = Concepts(NAMES)
    splits = [
        Examples(x[s], y[s], c[s], ("<b>no</b>", "yes & more"), concepts)
        for s in (slice(0, 90), slice(90, 120), slice(120, 150))
    ]
    settings = {"features": [f"<i>{i}</i>" for i in range(len(NAMES))]}
    return Dataset("<u>odd</u>", *splits, settings=settings)


def test_names_with_markup_direction_and_line_breaks_are_only_text(tmp_path: Path) -> None:
    run = fit_run(CBM("independent", encoder="identity"), odd_data(), tmp_path / "run")
    text = (run.folder / "report.html").read_text(encoding="utf-8")
    offline(text)
    page = Page(text)
    for name in ("odd", "b>no", "i>0"):
        assert name in page.text
    for name in NAMES:
        assert " ".join(name.split()) in page.text
    assert not {"b>no", "u", "i"} & {tag for tag, _ in page.tags}
    assert "49" not in re.findall(r"<bdi>([^<]*)</bdi>", text)


def test_a_run_is_reported_from_its_folder_alone(tmp_path: Path) -> None:
    data = odd_data()
    run = fit_run(CBM("independent", encoder="identity"), data, tmp_path / "run")
    with_data = (run.folder / "report.html").read_text(encoding="utf-8")
    notes = write_run(run.folder, tmp_path / "again.html")
    again = (tmp_path / "again.html").read_text(encoding="utf-8")
    assert len(notes) == 1
    assert "no source" in notes[0]
    assert "One example" in with_data
    assert "One example" not in again
    write_run(run.folder, tmp_path / "whole.html", data=data)
    assert (tmp_path / "whole.html").read_text(encoding="utf-8") == with_data


def test_each_stage_has_a_panel_of_what_it_was_judged_by() -> None:
    history = [
        {"stage": "first", "epoch": 1, "loss": 2.0, "validation": 0.1},
        {"stage": "first", "epoch": 2, "loss": 1.0, "validation": 0.7},
        {"stage": "second", "epoch": 1, "loss": 3.0},
        {"stage": "third", "epoch": 1, "loss": math.nan},
    ]
    panels = training_section({"a <b>": history, "solved": []})
    assert [panel["title"] for panel in panels] == ["a <b>: first", "a <b>: second"]
    assert "validation score" in panels[0]["svg"]
    assert "training loss" in panels[1]["svg"]


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from narrows.report import page as module

    def missing(name: str, extra: str) -> None:
        raise MissingExtra(f"{name} is needed here: pip install 'narrows[{extra}]'")

    monkeypatch.setattr(module, "require", missing)
    with pytest.raises(MissingExtra, match=r"narrows\[report\]"):
        render({"title": "t", "subtitle": "s"})


def test_the_plane_is_a_picture_of_its_own_and_the_same_bytes_again(
    table: Table, tmp_path: Path
) -> None:
    for name in ("a.svg", "b.svg"):
        table.to_svg(tmp_path / name)
    first = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert first == (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert first.startswith("<?xml")
    assert first.endswith("</svg>\n")
    assert "script" not in first
    assert "<text" not in first  # letters are shapes: the same picture with any fonts
