"""From sections to one page that opens offline: no script, no address outside the page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from narrows import store
from narrows.errors import require
from narrows.report.figures import to_svg

_HERE = Path(__file__).parent
_EMPTY: dict[str, Any] = {
    "headline": (),
    "notes": (),
    "ledger": None,
    "metrics": None,
    "example": None,
    "plots": (),
    "plots_title": "",
    "quality": (),
    "quality_title": "Concept quality",
    "training": (),
    "training_note": "",
    "configuration": (),
    "command": "",
    "next_steps": (),
}


def render(sections: Mapping[str, Any]) -> str:
    """A whole page.

    Args:
        sections: what `page.html.j2` names; all but `title` and `subtitle` may be left out.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    style = markup((_HERE / "style.css").read_text(encoding="utf-8"))
    page: str = _template().render(**_EMPTY | dict(sections), style=style)
    return page


def write(path: str | Path, sections: Mapping[str, Any]) -> None:
    """Render a page into a file, whose folder is made if missing."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    store.write_text(target, render(sections))


def markup(text: str) -> Any:
    """Text that is HTML already: only for what this package made itself."""
    return require("markupsafe", "report").Markup(text)


def figure(drawn: Any, name: str, **words: str) -> dict[str, Any]:
    """A figure and its words, ready for the page."""
    return {"svg": markup(to_svg(drawn, name)), **words}


@cache
def _template() -> Any:
    jinja = require("jinja2", "report")
    environment = jinja.Environment(
        loader=jinja.FileSystemLoader(_HERE),
        autoescape=True,  # every name comes from the user's data
        undefined=jinja.StrictUndefined,
        trim_blocks=False,
    )
    return environment.get_template("page.html.j2")
