"""What a unit can show for itself: the training row it resembles, or the places it looked at."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import torch

from narrows.data import Dataset
from narrows.data.texts import TextColumn
from narrows.reading import Evidence
from narrows.studio import inputs
from narrows.studio.readings import Readings

_CELLS = 12  # of a training row that are told
_PROBED = 8  # units that are asked whether there is any evidence


def evidence_of(readings: Readings, case: tuple[str, int], unit: str) -> Evidence:
    """The evidence of one unit for one row, from its cached reading."""
    split, row = case
    model, x = readings.model, readings.examples(split).x[torch.tensor([row])]
    with torch.no_grad():
        (found,) = model.bottleneck.evidence(x, readings.row(split, row), [unit])
    return found


def has_evidence(readings: Readings) -> bool:
    """Whether any of the first units shows evidence for the first test row."""
    x = readings.examples("test").x
    if isinstance(x, TextColumn):
        return False
    bottleneck, reading = readings.model.bottleneck, readings.row("test", 0)
    with torch.no_grad():
        found = bottleneck.evidence(x[torch.tensor([0])], reading, bottleneck.names[:_PROBED])
    return any(e.kind != "none" for e in found)


def items(
    found: Evidence, data: Dataset, case: tuple[str, int], address: str
) -> list[dict[str, Any]]:
    """Evidence as JSON values.

    Args:
        found: for one row.
        data: of the run.
        case: split and row.
        address: of the run's routes, for pictures.
    """
    if found.kind == "none" or found.value is None:
        return []
    if found.kind == "map":
        split, row = case
        image = f"{address}/cases/{quote(split)}/{row}/heat.png?unit={quote(found.unit, safe='')}"
        return [_item("crop", f"where {found.unit} looks", image=image)]
    row = int(found.value[0])
    if not 0 <= row < len(data.train):
        return []
    title = f"training row {row}: {data.train.labels[row]}"
    shown = inputs.describe(data.train, row, data.settings)
    if shown["kind"] == "image":
        image = f"{address}/cases/train/{row}/input.png"
        return [_item("crop", title, image=image)]
    if shown["kind"] == "sequence":
        return [
            _item("strip", f"{title}, {s['name']}", values=s["values"]) for s in shown["series"]
        ]
    if shown["kind"] == "row":
        cells = "; ".join(f"{name}: {value:.4g}" for name, value in shown["cells"][:_CELLS])
        return [_item("text", title, text=cells)]
    return [_item("text", title, text=shown.get("text"))]


def _item(kind: str, title: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "title": title,
        "image": None,
        "box": None,
        "values": None,
        "text": None,
    } | more
