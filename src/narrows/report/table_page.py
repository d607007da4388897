"""The page of a comparison, and of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.report import figures, ledger, sections
from narrows.report.environment import environment
from narrows.report.example import find_example
from narrows.report.measured import concept_numbers, has_concepts
from narrows.report.page import write

if TYPE_CHECKING:
    from narrows.comparison import Table

Step = tuple[str, str]

NEXT: tuple[Step, ...] = (
    (
        "Train a model on your own table: any columns of numbers, a label, and columns that "
        "start with concept: (empty cells are unknown).",
        "narrows fit mine.csv --target label --method cbm --out runs/mine",
    ),
    ("See what is wrong with a table before you trust it.", "narrows check mine.csv"),
    ("Read what a method does and which settings it has.", "narrows info cbm"),
    (
        "Put methods on one plane for your own data.",
        "narrows compare mine.csv --methods cbm,vib --seeds 3 --out runs/compare",
    ),
)


def write_table(
    table: Table,
    path: str | Path,
    *,
    command: Sequence[str] = (),
    next_steps: Sequence[Step] = (),
    title: str | None = None,
) -> str | None:
    """Write a comparison as one page that opens offline.

    Args:
        table: what `compare` gave.
        path: of the page.
        command: the command line, for the record.
        next_steps: pairs of a sentence and a command.
        title: of the page.

    Returns:
        The sentence of the worked example; None where there is none.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
        WriteFailed: the page could not be written.
    """
    data = table.data
    rows = {name: len(split) for name, split in data.splits.items()}
    example = _example(table)
    concepts = {
        name: concept_numbers(method, data.test)
        for name, method in table.fitted.items()
        if has_concepts(method, data.test)
    }
    page = {
        "title": title or f"{len(table.names)} models on {data.name}",
        "subtitle": f"{data.name}: {sections.sizes(rows)}, {len(data.classes)} labels, "
        f"{len(data.concepts)} concepts",
        "headline": ledger.headline(table),
        "ledger": ledger.ledger_section(table),
        "example": example,
        "plots": ledger.plots(table),
        "plots_title": "Accuracy, bits, corrections",
        "quality": sections.quality_section(concepts),
        "training": sections.training_section({n: m.history_ for n, m in table.fitted.items()}),
        "training_note": sections.TRAINING,
        "configuration": _configuration(table),
        "command": sections.command_line(command),
        "next_steps": [{"text": text, "command": line} for text, line in next_steps],
    }
    write(path, page)
    return None if example is None else str(example["sentence"])


def write_plane(table: Table, path: str | Path) -> None:
    """Write the accuracy-bits plane as an SVG file; nothing where no row's bits are known.

    Raises:
        MissingExtra: matplotlib is not installed.
        WriteFailed: the file could not be written.
    """
    if (drawn := ledger.plane(table)) is not None:
        figures.save_svg(drawn, path)


def write_demo(table: Table, path: str | Path, *, command: Sequence[str] = ()) -> str | None:
    """Write the demo's page: a comparison, and what to do next; see `write_table`."""
    title = "Narrows: models that decide through a narrow place"
    return write_table(table, path, command=command, next_steps=NEXT, title=title)


def _example(table: Table) -> dict[str, Any] | None:
    """The example of the model that one correction helps most; mistakes before what-ifs."""
    rows = [n for n, m in table.fitted.items() if has_concepts(m, table.data.test)]
    rows.sort(key=lambda n: table.mean(n, "after_1") if "after_1" in table.values[n] else 0.0)
    what_if = None
    for name in reversed(rows):
        found = find_example(table.fitted[name].model_, table.data.test)
        if found is not None and found.mistake:
            return sections.show_example(name, found, table.data)
        what_if = what_if or (found and (name, found))
    return sections.show_example(*what_if, table.data) if what_if else None


def _configuration(table: Table) -> list[dict[str, Any]]:
    data = table.data
    settings = table.to_dict()["settings"]
    return [
        {
            "title": "Data",
            "entries": sections.data_entries(data.name, data.fingerprint, data.settings),
        },
        *({"title": name, "entries": sections.entries(settings[name])} for name in table.names),
        {"title": "Versions and machine", "entries": sections.entries(environment())},
    ]
