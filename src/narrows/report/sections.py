"""Sections that comparisons and single runs share, as plain values for the page."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.data.record import Concepts, Dataset
from narrows.method import Method
from narrows.report import figures
from narrows.report.example import Example, find_example
from narrows.report.labels import number, one_line, percent, signed
from narrows.report.page import figure
from narrows.report.picture import data_uri

TRAINING = (
    "The score that chose the best epoch: accuracy on the validation rows, or minus a loss. Where "
    "no epoch was chosen, the training loss. One panel a stage, of the first seed."
)
_FEATURES = 12  # shown of a row that is no picture


def example_section(name: str, method: Method, data: Dataset) -> dict[str, Any] | None:
    """The worked example of a concept model, or None where there is none."""
    found = find_example(method.model_, data.test)
    return None if found is None else show_example(name, found, data)


def show_example(name: str, found: Example, data: Dataset) -> dict[str, Any]:
    """A worked example as values for the page."""
    labels, rows = found.table()
    pixels = data.test.x[torch.tensor([found.row])][0]
    return {
        "sentence": found.sentence,
        "model": name,
        "row": found.row,
        "truth": found.truth,
        "said": found.said,
        "then": found.then,
        "turn": found.turn.name,
        "was": found.was,
        "now": found.now,
        "labels": labels,
        "rows": [
            {
                "name": cells[0],
                "cells": [
                    *("" if v is None else f"{v:.2f}" for v in cells[1:3]),
                    *(signed(v) for v in cells[3:]),
                ],
                "changed": cells[1] is not None and abs(cells[1] - cells[2]) >= 0.005,
                "total": cells[0] == "sum",
            }
            for cells in rows
        ],
        "exact": found.before.exact,
        "picture": data_uri(pixels),
        "features": _features(pixels, data),
    }


def _features(values: Tensor, data: Dataset) -> list[list[str]]:
    """The first features of a row by name, where they have names."""
    names: Sequence[str] = data.settings.get("features", ())
    if values.ndim != 1 or len(names) != len(values):
        return []
    return [
        [one_line(name), f"{value:.4g}"]
        for name, value in list(zip(names, values.tolist(), strict=True))[:_FEATURES]
    ]


def training_section(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """A small panel for each stage of each method that trained by epochs."""
    panels: list[dict[str, Any]] = []
    for name, history in histories.items():
        stages = list(dict.fromkeys(str(row["stage"]) for row in history))
        for stage in stages:
            line, label = _curve([row for row in history if str(row["stage"]) == stage])
            if line.x:
                title = name if len(stages) == 1 else f"{name}: {stage}"
                drawn = figures.training(line, label)
                panels.append(figure(drawn, f"training-{len(panels)}", title=title))
    return panels


def _curve(history: Sequence[Mapping[str, Any]]) -> tuple[figures.Line, str]:
    """The validation score of one stage, or its loss where nothing was validated."""
    key = "validation" if any("validation" in row for row in history) else "loss"
    points = [
        (row["epoch"], row[key])
        for row in history
        if row.get(key) is not None and math.isfinite(row[key])
    ]
    line = figures.Line(key, [x for x, _ in points], [y for _, y in points])
    return line, "validation score" if key == "validation" else "training loss"


def quality_section(parts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A table of concepts for each model, from its `concept_numbers`."""
    return [
        {
            "name": name,
            "summary": f"{percent(q['accuracy'])} accuracy, "
            f"{number(q['auc'], 3)} AUC, "
            f"{number(q['ece'], 3)} calibration error",
            "header": ["concept", "accuracy", "AUC", "calibration error", "true", "known rows"],
            "rows": [
                [
                    row["name"],
                    percent(row["accuracy"]),
                    number(row["auc"], 3),
                    number(row["ece"], 3),
                    percent(row["base_rate"]),
                    number(row["known"]),
                ]
                for row in q["each"]
            ],
        }
        for name, q in parts.items()
    ]


def entries(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as pairs of texts; long ones are cut."""
    return [(str(k), _text(v)) for k, v in settings.items()]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return one_line(value, 400)
    if isinstance(value, (list, tuple, Mapping)):
        return one_line(json.dumps(value, ensure_ascii=False, default=str), 400)
    return "none" if value is None else str(value)


def data_entries(name: str, fingerprint: str, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the data were; concepts in the short form that `Concepts.parse` reads."""
    told = dict(settings)
    if told.get("concepts"):
        schema = told["concepts"]
        told["concepts"] = str(Concepts(tuple(schema["names"]), schema["groups"]))
    return [("name", name), ("fingerprint", fingerprint), *entries(told)]


def sizes(rows: Mapping[str, int]) -> str:
    """Rows of each split.

    Example:
        >>> sizes({"test": 5, "val": 5, "train": 1000})
        '1,000 train, 5 val, 5 test rows'
    """
    return ", ".join(f"{rows[split]:,} {split}" for split in ("train", "val", "test")) + " rows"


def command_line(command: Sequence[str]) -> str:
    """A command as it is typed."""
    return shlex.join(command)
