"""The report to take away: the run's page with a model card and what people said, in one file."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from narrows.report import write_run
from narrows.studio.book import Book
from narrows.studio.journal import Event
from narrows.studio.model_page import card
from narrows.studio.opened import Opened

_END = "</main>"
_LEFT = ' class="text"'
_COLUMNS = (
    ("time (UTC)", ""),
    ("kind", _LEFT),
    ("case", _LEFT),
    ("unit", _LEFT),
    ("value", ""),
    ("text", _LEFT),
    ("label", _LEFT),
)
# Several limits stand under one term; the heads of text columns stand over their texts.
_CARD_STYLE = (
    "<style>.card dd { grid-column: 2; overflow-wrap: anywhere; } "
    ".said th.text { text-align: left; } "
    ".said td.text { min-width: 0; overflow-wrap: anywhere; } "
    "@media (max-width: 44rem) { .card dd { grid-column: 1; } }</style>\n"
)
_SHOWN = 500  # corrections and notes in the page; the log has all


def report_html(opened: Opened, book: Book) -> str:
    """The page, built afresh: nothing that another program left in the folder is passed on.

    Raises:
        MissingExtra: the packages of reports are not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write_run(
            opened.home,
            path,
            method=opened.method,
            data=opened.data,
            run=opened.record,
            metrics=opened.metrics,
        )
        page = path.read_text(encoding="utf-8")
    with book.lock:
        book.sync()
        more = _card(card(opened, book.state)) + _said(book)
    before, _, after = page.rpartition(_END)
    return f"{before}{more}{_END}{after}"


def _card(entries: Iterable[tuple[str, str]]) -> str:
    """A list of terms; a term that comes again is named once."""
    told, last = "", None
    for name, text in entries:
        term = "" if name == last else f"<dt>{_text(name)}</dt>"
        told += f"{term}<dd>{_text(text)}</dd>\n"
        last = name
    return f'<h2>Model card</h2>\n<dl class="card">{told}</dl>\n{_CARD_STYLE}'


def _said(book: Book) -> str:
    """Corrections, notes and edits that stand."""
    state = book.state
    events = [e for e in state.events if e.kind not in ("undo", "redo") and state.stands(e)]
    if not events:
        return ""
    shown = "".join(map(_row, events[-_SHOWN:]))
    head = "".join(f'<th scope="col"{kind}>{title}</th>' for title, kind in _COLUMNS)
    left = len(events) - _SHOWN
    note = f'<p class="note">And {left:,} earlier ones.</p>' if left > 0 else ""
    return (
        '<h2>What people said</h2>\n<div class="box said" tabindex="0" role="region" '
        f'aria-label="What people said"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{shown}</tbody></table></div>\n{note}"
    )


def _row(event: Event) -> str:
    moved = event.label_before != event.label_after
    cells = [
        event.kind,
        "" if event.split is None else f"{event.split} {event.row}{_named(event)}",
        event.unit or "",
        "" if event.after is None else f"{event.after:g}",
        " ".join(filter(None, (event.text, event.label and f"of {event.label}"))),
        f"{event.label_before} → {event.label_after}" if moved else "",
    ]
    when = event.time[:16].replace("T", " ")
    told = "".join(
        f"<td{kind}>{_text(cell)}</td>" for cell, (_, kind) in zip(cells, _COLUMNS[1:], strict=True)
    )
    return f'<tr><th scope="row">{_text(when)}</th>{told}</tr>\n'


def _named(event: Event) -> str:
    return "" if event.id in (None, str(event.row)) else f": {event.id}"


def _text(value: Any) -> str:
    """Untrusted text, escaped and isolated from the direction of what is around it."""
    return f"<bdi>{html.escape(str(value))}</bdi>"
