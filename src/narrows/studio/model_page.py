"""The whole of a run: what was measured, its curves and its card, as plain tables and series."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from narrows.errors import FileRefused
from narrows.report import sections
from narrows.report.labels import number, percent
from narrows.report.measured import finite
from narrows.studio.opened import Opened
from narrows.studio.state import State

JSON = dict[str, Any]


def model_page(opened: Opened, state: State) -> JSON:
    """Tables, plots, notes and the model card."""
    metrics = opened.metrics
    tables = [measured(metrics), *ledger(metrics), *quality(metrics)]
    plots = [*plane(metrics), *interventions(metrics), *training(opened)]
    page = {
        "tables": tables,
        "plots": plots,
        "notes": [*opened.notes, *limits(opened)],
        "card": [list(pair) for pair in card(opened, state)],
    }
    plain: JSON = finite(page)  # the log of the training may hold NaN
    return plain


def measured(metrics: Mapping[str, Any]) -> JSON:
    """The numbers of a run, those that exist."""
    accuracy, concepts = metrics.get("accuracy", {}), metrics.get("concepts") or {}
    rows = [
        ["accuracy on test rows", percent(accuracy.get("test"))],
        ["accuracy on validation rows", percent(accuracy.get("val"))],
        ["bits per example", number((metrics.get("bits") or {}).get("value"), 1)],
        ["parameters", number(metrics.get("parameters"))],
        ["concept accuracy", percent(concepts.get("accuracy"))],
        ["concept AUC", number(concepts.get("auc"), 3)],
        ["concepts all right at once", percent(concepts.get("exact_set"))],
    ]
    kept = [row for row in rows if row[1] != "–"]
    return {"title": "Measured", "header": ["measure", "value"], "rows": kept}


def ledger(metrics: Mapping[str, Any]) -> list[JSON]:
    """What passes the narrow place, and what leaks through it."""
    bits, leakage = metrics.get("bits") or {}, metrics.get("leakage") or {}
    told = [
        ["numbers that pass", number(bits.get("numbers"))],
        ["bits per example, as coded", number(bits.get("value"), 1)],
        ["bits per example, ideal code", number(bits.get("ideal"), 1)],
        ["bits per example under the model's prior", number(bits.get("rate_bits"), 1)],
        ["accuracy from the coded numbers", percent(bits.get("accuracy_coded"))],
        ["accuracy from the full numbers", percent(bits.get("accuracy_full"))],
        ["leakage: bits about the label", number(leakage.get("bits"), 2)],
        ["leakage: accuracy from soft scores", percent(leakage.get("soft_accuracy"))],
        ["leakage: accuracy from hard scores", percent(leakage.get("hard_accuracy"))],
    ]
    rows = [row for row in told if row[1] != "–"]
    return [{"title": "The ledger", "header": ["entry", "value"], "rows": rows}] if rows else []


def quality(metrics: Mapping[str, Any]) -> list[JSON]:
    """A table of concepts, where there are any."""
    concepts = metrics.get("concepts")
    if not concepts:
        return []
    (table,) = sections.quality_section({"Concepts": concepts})
    title = f"Concepts: {table['summary']}"
    return [{"title": title, "header": table["header"], "rows": table["rows"]}]


def plane(metrics: Mapping[str, Any]) -> list[JSON]:
    """The run as a point: bits per example and test accuracy."""
    bits = (metrics.get("bits") or {}).get("value")
    accuracy = metrics.get("accuracy", {}).get("test")
    if bits is None or accuracy is None:
        return []
    return [_plot("Accuracy and bits", ("bits per example", "test accuracy"), "points",
                  [_series("this run", [bits], [accuracy])])]  # fmt: skip


def interventions(metrics: Mapping[str, Any]) -> list[JSON]:
    """Accuracy while a person corrects concepts, with standard errors over orders."""
    series = []
    for curve in metrics.get("interventions") or ():
        steps = list(zip(*curve["accuracy"], strict=True))
        mean = [sum(at) / len(at) for at in steps]
        error = [_error(at, m) for at, m in zip(steps, mean, strict=True)]
        series.append(_series(f"{curve['policy']} order", curve["steps"], mean, error))
    if not series:
        return []
    return [_plot("Interventions", ("corrections", "test accuracy"), "line", series)]


def training(opened: Opened) -> list[JSON]:
    """The validation score of each stage by epoch, or its loss where nothing was validated."""
    stages: dict[str, list[JSON]] = {}
    for row in _log(opened):
        stages.setdefault(str(row.get("stage")), []).append(row)
    plots = []
    for stage, rows in stages.items():
        key = "validation" if any("validation" in row for row in rows) else "loss"
        points = [(r["epoch"], r[key]) for r in rows if r.get(key) is not None and "epoch" in r]
        if points:
            x, y = (list(side) for side in zip(*points, strict=True))
            label = "validation score" if key == "validation" else "training loss"
            name = f"Training: {stage}"
            plots.append(_plot(name, ("epoch", label), "line", [_series(stage, x, y)]))
    return plots


def card(opened: Opened, state: State | None = None) -> list[tuple[str, str]]:
    """The model card: data, split, method, settings, what people did, and known limits."""
    record, info = opened.record, opened.method.info
    data, bits = record["data"], opened.metrics.get("bits") or {}
    entries = [
        ("method", f"{info.name}: {info.title}"),
        ("paper", info.paper),
        ("what it does", info.summary),
        ("narrow place", info.bottleneck),
        ("data", data["name"]),
        ("split", sections.sizes(data["rows"])),
        ("data fingerprint", data["fingerprint"]),
        ("model digest", opened.digest),
        (
            "settings",
            ", ".join(f"{k} = {v}" for k, v in sections.entries(record["method"]["params"])),
        ),
        ("trained", str(record.get("begun", ""))),
        ("versions", ", ".join(f"{k} {v}" for k, v in record["versions"].items())),
        ("test accuracy", percent(opened.metrics.get("accuracy", {}).get("test"))),
        ("bits per example", number(bits.get("value"), 1)),
    ]
    if state is not None:
        kinds = [e.kind for e in state.events if state.stands(e)]
        counts = {k: kinds.count(k) for k in ("correction", "note", "disagreement", "edit")}
        told = [f"{n:,} {kind}{'s' * (n > 1)}" for kind, n in counts.items() if n]
        entries.append(("in the journal", ", ".join(told) or "nothing yet"))
    return [*entries, *(("known limit", text) for text in limits(opened))]


def limits(opened: Opened) -> list[str]:
    """What the numbers of this run cannot say, in sentences."""
    metrics, rows = opened.metrics, opened.record["data"]["rows"]
    accuracy = metrics.get("accuracy", {}).get("test")
    found = ["One training with one seed: its spread over seeds is not known."]
    if accuracy is not None and rows.get("test"):
        spread = math.sqrt(max(accuracy * (1 - accuracy), 0.0) / rows["test"])
        found.append(
            f"Test accuracy is of {rows['test']:,} rows: its standard error is {percent(spread)}."
        )
    leakage = (metrics.get("leakage") or {}).get("bits")
    if leakage is not None and leakage > 0:
        found.append(
            f"Soft scores carry {leakage:.2f} bits about the label beyond what hard concepts say; "
            "what an explanation shows need not be all that decides."
        )
    each = (metrics.get("concepts") or {}).get("each", ())
    unseen = [row["name"] for row in each if not row.get("known")]
    if unseen:
        found.append(f"{len(unseen)} concepts have no annotated test row, so nothing judges them.")
    return found


def _log(opened: Opened) -> list[JSON]:
    path = opened.home / "log.jsonl"
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise FileRefused(f"{path}: not lines of JSON: {error}") from error


def _error(values: Sequence[float], mean: float) -> float:
    """The standard error of a mean; 0 of one value."""
    if len(values) < 2:
        return 0.0
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def _plot(title: str, axes: tuple[str, str], kind: str, series: list[JSON]) -> JSON:
    return {"title": title, "x": axes[0], "y": axes[1], "kind": kind, "series": series}


def _series(
    name: str, x: Sequence[float], y: Sequence[float], error: Sequence[float] | None = None
) -> JSON:
    own = None if error is None else list(error)
    return {"name": name, "x": list(x), "y": list(y), "error": own}
