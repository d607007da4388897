"""What a run keeps of its test rows, for when the data themselves are gone."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from narrows.errors import FileRefused, MissingExtra, require
from narrows.studio.answers import known_numbers
from narrows.studio.opened import Opened
from narrows.studio.standing import Standing

_UNIT = "unit:"


@dataclasses.dataclass(frozen=True)
class Kept:
    """The test rows of readings.parquet.

    Attributes:
        ids: of the rows.
        truth: `(n,)` classes, -1 where unknown.
        now: what the model said; how sure it was is not kept.
        units: name to `(n,)` scores, None for what is no number.
    """

    ids: list[str]
    truth: NDArray[np.int64]
    now: Standing
    units: dict[str, list[float | None]]

    def unit_rows(self, row: int, known: Mapping[str, float]) -> list[dict[str, Any]]:
        """The scores of one row as JSON values; what they contribute is not known."""
        return [
            {
                "index": i,
                "name": name,
                "group": None,
                "value": scores[row],
                "now": known.get(name, scores[row]),
                "corrected": name in known,
                "truth": None,
                "contribution": None,
                "exact": False,
            }
            for i, (name, scores) in enumerate(self.units.items())
        ]

    def answer(self, row: int, labels: Sequence[str]) -> dict[str, Any]:
        """The label that was said of one row, as JSON values."""
        said = int(self.now.prediction[row])
        label = labels[said] if said >= 0 else None
        return {"label": label, "probability": None, "scores": [], "rival": None}


def kept_rows(opened: Opened) -> Kept | None:
    """The rows a run kept; None where there are none that can be read.

    Raises:
        FileRefused: columns that are not those of readings.
    """
    columns = _columns(opened)
    if columns is None:
        return None
    if not {"id", "label", "prediction"} <= columns.keys():
        raise FileRefused(f"{opened.home}: readings without id, label and prediction")
    try:
        return _kept(columns, opened.labels)
    except (ValueError, TypeError) as error:
        raise FileRefused(f"{opened.home}: readings with a strange cell ({error})") from error


def _kept(columns: Mapping[str, Sequence[Any]], labels: Sequence[str]) -> Kept:
    place = {label: i for i, label in enumerate(labels)}
    said, truth = (
        np.array([place.get(_text(v), -1) for v in columns[name]], dtype=np.int64)
        for name in ("prediction", "label")
    )
    unknown = np.full(len(said), np.nan)
    units = {
        name.removeprefix(_UNIT): known_numbers(torch.tensor([float(v) for v in values]))
        for name, values in columns.items()
        if name.startswith(_UNIT)
    }
    ids = [_text(one) for one in columns["id"]]
    return Kept(ids, truth, Standing(said, unknown, unknown.copy()), units)


def _columns(opened: Opened) -> dict[str, list[Any]] | None:
    table = opened.home / "readings.parquet"
    if table.exists():
        try:
            parquet = require("pyarrow.parquet", "data")
            found: dict[str, list[Any]] = parquet.read_table(table).to_pydict()
        except MissingExtra:
            return None
        except (OSError, ValueError) as error:
            raise FileRefused(f"{table}: cannot be read ({error})") from error
        return found
    text = opened.home / "readings.csv"
    if not text.exists():
        return None
    try:
        with text.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        names = [_text(name) for name in header]
        return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise FileRefused(f"{text}: cannot be read ({error})") from error


def _text(cell: Any) -> str:
    """A cell as text, without the apostrophe that keeps spreadsheets from computing it."""
    text = str(cell)
    return text[1:] if text.startswith(("'=", "'+", "'-", "'@")) else text
