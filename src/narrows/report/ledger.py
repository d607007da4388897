"""The ledger of a comparison: its table, its headline and its two plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from narrows.report import figures
from narrows.report.labels import number, percent
from narrows.report.page import figure

if TYPE_CHECKING:
    from narrows.comparison import Column, Table

_MEANING = {
    "accuracy": "share of test rows whose label is right",
    "bits": "measured size of what passes the narrow place, per example, after entropy coding",
    "concept_accuracy": "share of right concepts, mean over concepts",
    "concept_auc": "how well scores rank present above absent, mean over concepts; 0.5 is chance",
    "leakage": "accuracy that soft scores give beyond the hard concepts: what a person cannot read",
    "parameters": "numbers the model holds",
    "encoder_latency": "time of the part before the narrow place, as a ratio to the black box",
    "head_latency": "time of the part after the narrow place, as a ratio to the black box",
}
_LEAST_BITS = 0.1  # a row that says less, as chance does, would stretch the axis


def is_reference(table: Table, row: str) -> bool:
    """Whether a row is a baseline that narrow models are compared with."""
    return table.fitted[row].info.bottleneck == "none"


def ledger_section(table: Table) -> dict[str, Any]:
    """The table, baselines first and apart; columns without any number are left out."""
    shown = [c for c in table.columns if any(table.cell(n, c) != "-" for n in table.names)]
    best = {c.key: _best(table, c) for c in shown}
    groups = []
    for reference in (True, False):
        rows = [
            {
                "name": name,
                "cells": [_cell(table, name, c, name in best[c.key]) for c in shown],
            }
            for name in table.names
            if is_reference(table, name) is reference
        ]
        if rows:
            groups.append({"reference": reference, "rows": rows})
    columns = [{"title": c.title, "unit": c.unit, "meaning": _meaning(c)} for c in shown]
    seeds = max(len(v) for row in table.values.values() for v in row.values())
    return {"columns": columns, "groups": groups, "seeds": seeds}


def headline(table: Table) -> list[str]:
    """What the table says, in two or three sentences."""
    narrow = [n for n in table.names if not is_reference(table, n)]
    black = next((n for n in table.names if table.fitted[n].info.name == "black-box"), None)
    if not narrow:
        return []
    top = max(narrow, key=lambda n: _or(table.mean(n, "accuracy"), -1))
    said = f"{top} is right on {_share(table, top)} of the test rows"
    if _known(table.mean(top, "bits")):
        said += f" and decides from {_bits(table, top)} bits per example"
    if black is not None:
        said += f"; the black box is right on {_share(table, black)}"
        if _known(table.mean(black, "bits")):
            said += f" and passes {_bits(table, black)} bits"
    sentences = [said + "."]
    helped = [n for n in narrow if _known(_value(table, n, "after_1"))]
    if helped:
        most = max(helped, key=lambda n: table.mean(n, "after_1"))
        sentences.append(
            f"When a person corrects one concept, {most} goes from {_share(table, most)} to "
            f"{percent(table.mean(most, 'after_1'))}."
        )
    return sentences


def plane(table: Table) -> Any:
    """The accuracy-bits plane as a matplotlib figure; None where no row's bits are known."""
    points = [
        figures.Point(
            name,
            table.mean(name, "bits"),
            table.mean(name, "accuracy"),
            _or(table.standard_error(name, "accuracy"), 0.0),
            is_reference(table, name),
        )
        for name in table.names
        if table.mean(name, "bits") > _LEAST_BITS
    ]
    return figures.plane(points) if points else None


def plots(table: Table) -> list[dict[str, Any]]:
    """The accuracy-bits plane, and the intervention curves where there are concepts."""
    drawn = []
    if (on_plane := plane(table)) is not None:
        words = "Up is more accurate, left is fewer bits. Grey crosses are references."
        drawn.append(figure(on_plane, "plane", title="Accuracy and bits", caption=words))
    lines = [_curve(name, table) for name in table.names if name in table.curves]
    if lines:
        words = (
            "Test accuracy while a person corrects concepts in random order, one turn after the "
            "other. Bands are one standard error."
        )
        label = "corrections"
        drawn.append(
            figure(
                figures.curves(lines, label, "test accuracy"),
                "interventions",
                title="Interventions",
                caption=words,
            )
        )
    return drawn


def _curve(name: str, table: Table) -> figures.Line:
    """The mean over seeds; its error over seeds, or over orders where there is one seed."""
    curves = table.curves[name]
    means = [[float(v) for v in c.mean] for c in curves]
    steps = len(means[0])
    mean = [sum(m[k] for m in means) / len(means) for k in range(steps)]
    if len(means) < 2:
        error = [_or(float(e), 0.0) for e in curves[0].standard_error]
    else:
        spread = [
            sum((m[k] - mean[k]) ** 2 for m in means) / (len(means) - 1) for k in range(steps)
        ]
        error = [math.sqrt(s / len(means)) for s in spread]
    return figures.Line(name, [float(s) for s in curves[0].steps], mean, error)


def _cell(table: Table, row: str, column: Column, best: bool) -> dict[str, Any]:
    """Mean and standard error as printed; an error of exactly 0 says nothing and is left out."""
    shown, _, error = table.cell(row, column).partition(" ± ")
    if not table.standard_error(row, column.key) > 0:
        error = ""
    return {"text": "–" if shown == "-" else shown.replace("-", "−"), "error": error, "best": best}


def _best(table: Table, column: Column) -> Sequence[str]:
    """The narrow rows whose mean is the best of a column, as printed."""
    if column.better is None:
        return ()
    means = {n: table.mean(n, column.key) for n in table.names if not is_reference(table, n)}
    known = {n: m for n, m in means.items() if _known(m)}
    if column.key == "leakage":  # none is none: below zero there is nothing to gain
        known = {n: max(m, 0.0) for n, m in known.items()}
    if len(known) < 2:
        return ()
    top = (max if column.better == "higher" else min)(known.values())
    scale = 100 if column.unit in ("%", "points") else 1
    return [n for n, m in known.items() if round((m - top) * scale, column.digits) == 0]


def _meaning(column: Column) -> str:
    if column.key.startswith("after_"):
        turns = column.key.removeprefix("after_")
        return f"accuracy once a person has corrected {turns} concepts (or groups) of each row"
    return _MEANING.get(column.key, "")


def _value(table: Table, row: str, key: str) -> float:
    return table.mean(row, key) if key in table.values[row] else math.nan


def _share(table: Table, row: str) -> str:
    return percent(table.mean(row, "accuracy"))


def _bits(table: Table, row: str) -> str:
    return number(table.mean(row, "bits"), 1)


def _known(value: float) -> bool:
    return not math.isnan(value)


def _or(value: float, other: float) -> float:
    return value if _known(value) else other
