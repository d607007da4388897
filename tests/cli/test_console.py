"""Output fits the terminal; progress is silent without one."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.cli import console

WORDS = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=12)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5), st.integers(20, 120))
def test_a_table_keeps_every_cell_and_never_passes_the_edge(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        shown = console.table(["name", "kind", "about"], rows)
    assert max(map(len, shown.splitlines())) <= max(width, 24)
    for row in rows:
        assert all(cell in shown for cell in row)


@given(
    st.dictionaries(WORDS, st.lists(WORDS, max_size=30).map(" ".join), min_size=1, max_size=4),
    st.integers(30, 120),
)
def test_pairs_keep_every_word_and_never_pass_the_edge(entries: dict[str, str], width: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        shown = console.pairs(entries)
    assert max(map(len, shown.splitlines())) <= width
    words = [w for key, value in entries.items() for w in (key, *value.split())]
    assert shown.split() == words


def test_there_is_no_bar_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with console.progress() as bar:
        assert bar is None


def test_a_terminal_gets_a_bar_that_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress() as bar:
        task = bar.add_task("[red]cbm joint", total=3)
        bar.update(task, completed=2)
        bar.refresh()
        bar.remove_task(task)
    assert "[red]cbm joint" in screen.getvalue()
    with console.progress(quiet=True) as bar:
        assert bar is None


def test_json_is_one_document_without_nan(capsys: pytest.CaptureFixture[str]) -> None:
    console.say_json({"a": [1, None], "ü": "😀"})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None], "ü": "😀"}
    with pytest.raises(ValueError, match="JSON"):
        console.say_json({"a": float("nan")})
