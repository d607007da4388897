"""Run folders: one training with everything needed to repeat it, resume it and judge it.

run.json             what was asked: method, data, seed, versions, command
checkpoints/         where training stands; removed when it has ended
model.safetensors    the trained model, with config.json and README.md:
config.json          `narrows.from_pretrained(folder)` loads it
log.jsonl            one line an epoch
readings.parquet     one row a test example (readings.csv without pyarrow)
report.html          the page to read first
metrics.json         the numbers; written last, so it marks a finished run
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from narrows import store
from narrows.data import Dataset
from narrows.errors import InvalidInput, MissingExtra, NarrowsError, wrong
from narrows.method import Method, from_pretrained
from narrows.report import (
    environment,
    measure_run,
    readings_of,
    write_csv,
    write_parquet,
    write_run,
)
from narrows.report.measured import finite
from narrows.train import TrainingStopped
from narrows.train.checkpoint import check_same

FORMAT = 1
_OURS = ("run.json", "model.safetensors", "config.json", "metrics.json", "readings.parquet")


@dataclasses.dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: where it is.
        method: the fitted method.
        metrics: as in metrics.json.
        notes: what a person should know, in sentences.
    """

    folder: Path
    method: Method
    metrics: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def fit_run(
    method: Method,
    data: Dataset,
    folder: str | Path,
    *,
    source: str | None = None,
    options: Mapping[str, Any] | None = None,
    command: Sequence[str] = (),
    resume: bool = False,
    progress: Any = None,
) -> RunResult:
    """Train a method into a run folder.

    Args:
        method: with its settings; it is trained in place.
        data: the data set.
        folder: made if missing. Only one process can write to it at a time.
        source: where the data came from, as `load` takes it, so that the report can be rebuilt.
        options: what `load` was given beside.
        command: the command line, for the record.
        resume: go on with a run that was stopped or killed, to the same bits. A finished run is
            given back as it is.
        progress: a started `rich.progress.Progress`, or None.

    Raises:
        InvalidInput: the folder holds a run and `resume` is False, or holds one of other
            settings (the message says which differ), or other files of these names.
        RunLocked: another process is writing the folder.
        TrainingStopped: a signal asked to stop; the state is saved.
    """
    home = Path(folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise wrong("folder", f"{home}: {error.strerror}", "a folder to write to") from error
    asked = _asked(method, data, source, options or {}, command)
    with store.lock(home):
        notes = _take_up(home, asked, resume)
        if (home / "metrics.json").exists():
            done = from_pretrained(home, encoder=_own_encoder(method))
            already = f"{home} already holds this run, finished; nothing was trained"
            return RunResult(home, done, store.read_json(home / "metrics.json"), (already,))
        method.fit_run(data, folder=_folder(home / "checkpoints"), progress=progress)
        try:
            metrics, more = _finish(home, method, data, asked)
        except KeyboardInterrupt:
            raise TrainingStopped("stopped after training, while measuring") from None
        return RunResult(home, method, metrics, (*notes, *more))


def read_run(folder: str | Path) -> dict[str, Any]:
    """The run's own record, `run.json`.

    Raises:
        FileMissing: there is no run in this folder.
        FileRefused: it is damaged, or of a newer version.
    """
    home = Path(folder)
    if not (home / "run.json").exists():
        raise store.FileMissing(f"{home}: found no run.json, wanted the folder of a run")
    record = store.read_json(home / "run.json")
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise wrong(f"{home / 'run.json'} format", found, f"{FORMAT}")
    return record


def _asked(
    method: Method,
    data: Dataset,
    source: str | None,
    options: Mapping[str, Any],
    command: Sequence[str],
) -> dict[str, Any]:
    """The record of a run, as JSON values."""
    params = {k: _plain(v) for k, v in method.get_params(deep=False).items()}
    return {
        "format": FORMAT,
        "method": {"name": method.info.name, "params": params},
        "data": {
            "source": source,
            "options": dict(options),
            "name": data.name,
            "rows": {split: len(examples) for split, examples in data.splits.items()},
            "fingerprint": data.fingerprint,
            "settings": dict(data.settings),
        },
        "versions": environment(),
        "command": list(command),
        "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _plain(value: Any) -> Any:
    """A setting as a JSON value; a module of the user's own by its class."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return f"external: {type(value).__qualname__}"


def _take_up(home: Path, asked: dict[str, Any], resume: bool) -> tuple[str, ...]:
    """Claim a fresh folder by writing run.json, or check that the run in it is this one."""
    if not (home / "run.json").exists():
        taken = [name for name in _OURS if (home / name).exists()]
        if taken:
            raise wrong("folder", f"{home} with {taken[0]} of something else", "a fresh folder")
        store.write_json(home / "run.json", asked)
        return ()
    before = read_run(home)
    if not resume:
        state = "a finished run" if (home / "metrics.json").exists() else "an unfinished run"
        raise InvalidInput(
            f"folder: found {state} in {home}, wanted a fresh folder, or --resume "
            "(resume=True) to go on with that run"
        )
    check_same(_identity(before), _identity(asked))
    changed = [
        f"{name} was {before['versions'].get(name)}, is {asked['versions'].get(name)}"
        for name in ("torch", "numpy", "threads")
        if before["versions"].get(name) != asked["versions"].get(name)
    ]
    return tuple(f"resumed, but {c}: the last bits may differ" for c in changed)


def _identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal for two runs to be the same run; the place of the data is not."""
    return {
        "method": record["method"]["name"],
        **record["method"]["params"],
        "data": record["data"]["fingerprint"],
    }


def _finish(
    home: Path, method: Method, data: Dataset, asked: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Measure, and write everything; metrics.json last."""
    metrics = measure_run(method, data)
    method.save_pretrained(home, metrics={"test accuracy": metrics["accuracy"]["test"]})
    lines = [json.dumps(finite(row), sort_keys=True) for row in method.history_]
    store.write_text(home / "log.jsonl", "".join(f"{line}\n" for line in lines))
    notes = [_write_readings(home, method, data)]
    try:
        write_run(home, method=method, data=data, run=asked, metrics=metrics)
    except MissingExtra as error:
        notes.append(f"report.html was not written: {error}")
    store.write_json(home / "metrics.json", metrics)
    # Only now can the checkpoints go: until here a killed process resumes from them.
    with contextlib.suppress(OSError):
        shutil.rmtree(home / "checkpoints")
    return metrics, tuple(note for note in notes if note)


def _write_readings(home: Path, method: Method, data: Dataset) -> str | None:
    columns = readings_of(method, data.test)
    try:
        write_parquet(home / "readings.parquet", columns)
    except MissingExtra:
        write_csv(home / "readings.csv", columns)
        return "readings.csv was written in place of readings.parquet: pyarrow is not installed"
    return None


def _folder(path: Path) -> Path:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise NarrowsError(f"{path}: cannot be made ({error.strerror})") from error
    return path


def _own_encoder(method: Method) -> Any:
    from torch import nn

    encoder = getattr(method, "encoder", None)
    return encoder if isinstance(encoder, nn.Module) else None
