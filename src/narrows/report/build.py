"""Build the reports: of a comparison, of the demo, of one run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows import store
from narrows.data import Dataset, load
from narrows.errors import FileRefused, NarrowsError, wrong
from narrows.method import Method, from_pretrained
from narrows.report import figures, ledger, sections
from narrows.report.environment import environment
from narrows.report.example import find_example
from narrows.report.labels import number, percent
from narrows.report.measured import concept_numbers, has_concepts
from narrows.report.page import figure, write

if TYPE_CHECKING:
    from narrows.compare import Table

Step = tuple[str, str]

TRAINING = (
    "The score that chose the best epoch: accuracy on the validation rows, or minus a loss. One "
    "curve a stage, of the first seed."
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
    example = _table_example(table)
    concepts = {
        name: concept_numbers(method, data.test)
        for name, method in table.fitted.items()
        if has_concepts(method, data.test)
    }
    page = {
        "title": title or f"{len(table.names)} models on {data.name}",
        "subtitle": _subtitle(data),
        "headline": ledger.headline(table),
        "ledger": ledger.ledger_section(table),
        "example": example,
        "plots": ledger.plots(table),
        "plots_title": "Accuracy, bits, corrections",
        "quality": sections.quality_section(concepts),
        "training": sections.training_section({n: m.history_ for n, m in table.fitted.items()}),
        "training_note": TRAINING,
        "configuration": _table_configuration(table),
        "command": _command(command),
        "next_steps": [{"text": text, "command": line} for text, line in next_steps],
    }
    write(path, page)
    return None if example is None else str(example["sentence"])


def write_demo(table: Table, path: str | Path, *, command: Sequence[str] = ()) -> str | None:
    """Write the demo's page: a comparison, and what to do next; see `write_table`."""
    title = "Narrows: models that decide through a narrow place"
    return write_table(table, path, command=command, next_steps=NEXT, title=title)


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


def write_run(
    folder: str | Path,
    path: str | Path | None = None,
    *,
    method: Method | None = None,
    data: Dataset | None = None,
    run: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> list[str]:
    """Write the report of one run, from its folder alone or from what is at hand.

    Args:
        folder: of the run.
        path: of the page; `report.html` in the folder by default.
        method: fitted; loaded from the folder by default.
        data: loaded from its source by default. Where that is gone or has changed, the page has
            no worked example.
        run: the contents of run.json.
        metrics: the contents of metrics.json.

    Returns:
        What could not be shown, in sentences.

    Raises:
        FileMissing: the folder holds no finished run.
        FileRefused: its files are damaged.
    """
    home = Path(folder)
    run = store.read_json(home / "run.json") if run is None else run
    metrics = store.read_json(home / "metrics.json") if metrics is None else metrics
    notes: list[str] = []
    try:
        method = from_pretrained(home) if method is None else method
        data = _reload(run["data"]) if data is None else data
    except NarrowsError as error:
        notes.append(f"Without the worked example: {error}")
    name = run["method"]["name"]
    example = None
    if method is not None and data is not None and has_concepts(method, data.test):
        example = sections.example_section(name, method, data)
    concepts = metrics.get("concepts")
    page = {
        "title": f"{name} on {run['data']['name']}",
        "subtitle": f"{'  '.join(f'{n:,} {split}' for split, n in run['data']['rows'].items())}",
        "headline": _run_headline(name, metrics),
        "notes": notes,
        "metrics": _run_metrics(metrics),
        "example": example,
        "plots": _run_plots(metrics),
        "plots_title": "Corrections",
        "quality": sections.quality_section({} if concepts is None else {name: concepts}),
        "training": sections.training_section({name: _history(home, method)}),
        "training_note": TRAINING,
        "configuration": [
            {
                "title": "Method",
                "entries": [("name", name), *sections.entries(run["method"]["params"])],
            },
            {"title": "Data", "entries": _run_data(run["data"])},
            {"title": "Versions and machine", "entries": sections.entries(run["versions"])},
        ],
        "command": _command(run.get("command", ())),
    }
    write(home / "report.html" if path is None else path, page)
    return notes


def _table_example(table: Table) -> dict[str, Any] | None:
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


def _table_configuration(table: Table) -> list[dict[str, Any]]:
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


def _subtitle(data: Dataset) -> str:
    sizes = ", ".join(f"{len(s):,} {name}" for name, s in data.splits.items())
    return f"{data.name}: {sizes} rows, {len(data.classes)} labels, {len(data.concepts)} concepts"


def _command(command: Sequence[str]) -> str:
    return shlex.join(command) if command else ""


def _run_headline(name: str, metrics: Mapping[str, Any]) -> list[str]:
    said = f"{name} is right on {percent(metrics['accuracy']['test'])} of the test rows"
    if metrics.get("bits") is not None:
        said += f" and decides from {number(round(metrics['bits'], 1), 1)} bits per example"
    sentences = [said + "."]
    for curve in metrics.get("interventions", [])[:1]:
        mean = _mean(curve)
        if len(mean) > 1:
            sentences.append(
                f"When a person corrects one concept it is right on {percent(mean[1])}, with all "
                f"{len(mean) - 1} corrected on {percent(mean[-1])}."
            )
    return sentences


def _run_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    accuracy, concepts = metrics["accuracy"], metrics.get("concepts") or {}
    rows = [
        ["accuracy on test rows", percent(accuracy["test"])],
        ["accuracy on validation rows", percent(accuracy["val"])],
        ["bits per example", number(metrics.get("bits"), 1)],
        ["concept accuracy", percent(concepts.get("accuracy_mean"))],
        ["concept AUC", number(concepts.get("auc_mean"), 3)],
        ["leakage (points of accuracy)", number(_times(metrics.get("leakage"), 100), 1)],
        ["parameters", number(metrics.get("parameters"))],
    ]
    return {"header": ["value"], "rows": [row for row in rows if row[1] != "–"]}


def _run_plots(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    lines = [
        figures.Line(f"{curve['policy']} order", curve["steps"], _mean(curve))
        for curve in metrics.get("interventions", [])
    ]
    if not lines:
        return []
    words = "Test accuracy while a person corrects concepts, one turn after the other."
    drawn = figures.curves(lines, "corrections", "test accuracy")
    return [figure(drawn, "interventions", title="Interventions", caption=words)]


def _mean(curve: Mapping[str, Any]) -> list[float]:
    orders = curve["accuracy"]
    return [sum(at) / len(orders) for at in zip(*orders, strict=True)]


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _run_data(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    source = [("source", str(data["source"]))] if data.get("source") else []
    rest = sections.data_entries(data["name"], data["fingerprint"], data["settings"])
    return [*source, *rest]


def _history(home: Path, method: Method | None) -> list[dict[str, Any]]:
    """The epochs, from memory right after training, else from the log."""
    if method is not None and method.history_:
        return method.history_
    if not (home / "log.jsonl").exists():
        return []
    text = (home / "log.jsonl").read_text(encoding="utf-8")
    try:
        return [json.loads(line) for line in text.splitlines()]
    except ValueError as error:
        raise FileRefused(f"{home / 'log.jsonl'}: not lines of JSON: {error}") from error


def _reload(data: Mapping[str, Any]) -> Dataset:
    if data.get("source") is None:
        raise wrong("data", "no source in run.json", "data that `load` can find again")
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in data["options"].items()}
    loaded = load(data["source"], **options)
    if loaded.fingerprint != data["fingerprint"]:
        raise wrong("data", f"{data['source']} changed since the run", "the data of the run")
    return loaded
