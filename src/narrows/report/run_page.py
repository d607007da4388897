"""The page of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrows import store
from narrows.data import Dataset, load
from narrows.errors import FileRefused, NarrowsError, wrong
from narrows.method import Method, from_pretrained
from narrows.report import figures, sections
from narrows.report.labels import number, percent
from narrows.report.measured import has_concepts
from narrows.report.page import figure, write


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
    # From memory or from the file: the same order, so the same page.
    run = store.read_json(home / "run.json") if run is None else _as_in_file(run)
    metrics = store.read_json(home / "metrics.json") if metrics is None else metrics
    notes: list[str] = []
    try:
        method = from_pretrained(home) if method is None else method
        data = reload_data(run["data"]) if data is None else data
    except NarrowsError as error:
        notes.append(f"Without the worked example: {error}")
    name = run["method"]["name"]
    example = None
    if method is not None and data is not None and has_concepts(method, data.test):
        example = sections.example_section(name, method, data)
    concepts = metrics.get("concepts")
    page = {
        "title": f"{name} on {run['data']['name']}",
        "subtitle": sections.sizes(run["data"]["rows"]),
        "headline": _headline(name, metrics),
        "notes": notes,
        "metrics": _metrics(metrics),
        "example": example,
        "plots": _plots(metrics),
        "plots_title": "Corrections",
        "quality": sections.quality_section({} if concepts is None else {name: concepts}),
        "training": sections.training_section({name: _history(home, method)}),
        "training_note": sections.TRAINING,
        "configuration": [
            {
                "title": "Method",
                "entries": [("name", name), *sections.entries(run["method"]["params"])],
            },
            {"title": "Data", "entries": _data(run["data"])},
            {"title": "Versions and machine", "entries": sections.entries(run["versions"])},
        ],
        "command": sections.command_line(run.get("command", ())),
    }
    write(home / "report.html" if path is None else path, page)
    return notes


def _headline(name: str, metrics: Mapping[str, Any]) -> list[str]:
    said = f"{name} is right on {percent(metrics['accuracy']['test'])} of the test rows"
    said += f" and decides from {number(metrics['bits']['value'], 1)} bits per example"
    sentences = [said + "."]
    for curve in metrics.get("interventions", [])[:1]:
        mean = _mean(curve)
        if len(mean) > 1:
            sentences.append(
                f"When a person corrects one concept it is right on {percent(mean[1])}, with all "
                f"{len(mean) - 1} corrected on {percent(mean[-1])}."
            )
    return sentences


def _metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    accuracy, concepts = metrics["accuracy"], metrics.get("concepts") or {}
    rows = [
        ["accuracy on test rows", percent(accuracy["test"])],
        ["accuracy on validation rows", percent(accuracy["val"])],
        ["bits per example", number(metrics["bits"]["value"], 1)],
        ["concept accuracy", percent(concepts.get("accuracy"))],
        ["concept AUC", number(concepts.get("auc"), 3)],
        ["leakage (points of accuracy)", number(_points(metrics.get("leakage")), 1)],
        ["parameters", number(metrics.get("parameters"))],
    ]
    return {"header": ["value"], "rows": [row for row in rows if row[1] != "–"]}


def _plots(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
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


def _points(leakage: Mapping[str, Any] | None) -> float | None:
    return None if leakage is None else 100 * float(leakage["accuracy"])


def _data(data: Mapping[str, Any]) -> list[tuple[str, str]]:
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


def reload_data(data: Mapping[str, Any]) -> Dataset:
    """The data set that the `data` of a run.json describes.

    Raises:
        InvalidInput: it came from memory, so it cannot be found again.
    """
    if data.get("source") is None:
        raise wrong("data", "no source in run.json", "data that `load` can find again")
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in data["options"].items()}
    loaded = load(data["source"], **options)
    if loaded.fingerprint != data["fingerprint"]:
        raise wrong("data", f"{data['source']} changed since the run", "the data of the run")
    return loaded


def _as_in_file(value: Any) -> Any:
    return json.loads(json.dumps(value, sort_keys=True))
