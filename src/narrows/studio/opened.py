"""Open a finished run: its record, its numbers, its model, and its data where they can be found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from narrows import store
from narrows.data import Dataset
from narrows.errors import FileRefused, NarrowsError, wrong
from narrows.method import Method, from_pretrained
from narrows.model import NarrowModel
from narrows.report.run_page import reload_data
from narrows.runs import read_run


@dataclasses.dataclass(frozen=True)
class Opened:
    """What a run folder holds.

    Attributes:
        home: the folder.
        record: the contents of run.json.
        metrics: the contents of metrics.json.
        method: fitted.
        data: None where they cannot be found again, or have changed since.
        digest: SHA-256 of the model's file; every event of the journal names it.
        notes: what a person should know, in sentences.
    """

    home: Path
    record: Mapping[str, Any]
    metrics: Mapping[str, Any]
    method: Method
    data: Dataset | None
    digest: str
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> NarrowModel:
        """The trained model."""
        return self.method.model_

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes as texts, in the order of the logits."""
        return tuple(map(str, self.model.classes or self.method.classes_.tolist()))

    @property
    def title(self) -> str:
        """The method and the data."""
        return f"{self.record['method']['name']} on {self.record['data']['name']}"


def open_run(
    folder: str | Path, data: Dataset | None = None, encoder: nn.Module | None = None
) -> Opened:
    """Open the folder of a finished run.

    Args:
        folder: of the run.
        data: the run's data, where the folder does not say where they are.
        encoder: the user's own encoder, where the run was trained with one.

    Raises:
        FileMissing: no run in the folder, or one that is not finished.
        FileRefused: damaged files.
        InvalidInput: data other than those of the run.
    """
    home = Path(folder)
    record = read_run(home)
    if not (home / "metrics.json").exists():
        raise store.FileMissing(
            f"{home}: found a run that is not finished, wanted a finished one; "
            "go on with it: narrows fit ... --resume"
        )
    metrics = store.read_json(home / "metrics.json")
    if not isinstance(metrics, dict) or not isinstance(metrics.get("accuracy"), dict):
        raise FileRefused(f"{home / 'metrics.json'}: found no accuracy, wanted a run's numbers")
    method = from_pretrained(home, encoder=encoder)
    digest = store.file_digest(home / "model.safetensors")
    notes: tuple[str, ...] = ()
    if data is not None:
        if data.fingerprint != record["data"]["fingerprint"]:
            raise wrong("data", f"{data.name} with other rows", "the data of the run")
        return Opened(home, record, metrics, method, data, digest)
    try:
        data = reload_data(record["data"])
    except NarrowsError as error:
        notes = (
            f"The rows cannot be shown: {error}. What the model said of the test rows is kept in "
            "the run; inputs, corrections and edits need the data.",
        )
    return Opened(home, record, metrics, method, data, digest, notes)
