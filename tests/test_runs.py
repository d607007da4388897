"""Run folders: complete, repeatable, locked, refused when settings differ, resumed to the same
bits (R01, R06, R07, N02).
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import narrows
from narrows import registry, store
from narrows.concepts import CBM
from narrows.data import Dataset, load
from narrows.errors import FileRefused, InvalidInput, MissingExtra, RunLocked
from narrows.runs import fit_run, read_run

CHILD = Path(__file__).parent / "cli" / "runs_child.py"


def write_table(path: Path, rows: int = 90) -> Path:
    """Numeric columns and concept columns, half of whose cells are empty."""
    chance = random.Random(0)  # noqa: S311  # test data, not secrets
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "edge", "concept:large", "concept:rough", "diagnosis"])
        for _ in range(rows):
            size, edge = chance.gauss(0, 1), chance.gauss(0, 1)
            cells = [int(size > 0), int(edge > 0)]
            shown = [cell if chance.random() < 0.5 else "" for cell in cells]
            label = "malignant" if all(cells) else "benign"
            writer.writerow([f"{size:.4f}", f"{edge:.4f}", *shown, label])
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("table") / "mine.csv")


@pytest.fixture(scope="module")
def data(table: Path) -> Dataset:
    return load(str(table), target="diagnosis")


def cbm(**settings: object) -> CBM:
    return CBM("independent", **({"encoder": "identity", "seed": 1} | settings))


@pytest.fixture(scope="module")
def run(table: Path, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "deep" / "mine"
    fit_run(
        cbm(),
        data,
        folder,
        source=str(table),
        options={"target": "diagnosis"},
        command=["narrows", "fit", str(table)],
    )
    return folder


def test_a_run_folder_holds_all_of_a_run_and_nothing_more(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        ".lock",
        "README.md",
        "config.json",
        "log.jsonl",
        "metrics.json",
        "model.safetensors",
        "readings.parquet",
        "report.html",
        "run.json",
    }


def test_the_record_is_enough_to_repeat_the_run(run: Path, table: Path, tmp_path: Path) -> None:
    record = read_run(run)
    kind = registry.method(record["method"]["name"])
    params = {
        k: tuple(v) if isinstance(v, list) else v for k, v in record["method"]["params"].items()
    }
    again = load(record["data"]["source"], **record["data"]["options"])
    assert again.fingerprint == record["data"]["fingerprint"]
    fit_run(kind(**params), again, tmp_path / "again")
    for name in ("model.safetensors", "config.json", "metrics.json", "log.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (run / name).read_bytes()
    assert record["versions"]["torch"] == torch.__version__
    assert record["versions"]["narrows"] == narrows.__version__
    assert record["command"] == ["narrows", "fit", str(table)]


def test_the_folder_is_a_saved_model(run: Path, data: Dataset) -> None:
    loaded = narrows.from_pretrained(run)
    direct = cbm().fit(data)
    np.testing.assert_array_equal(loaded.predict(data.test), direct.predict(data.test))


def test_the_metrics_are_those_of_the_model(run: Path, data: Dataset) -> None:
    metrics = store.read_json(run / "metrics.json")
    model = cbm().fit(data)
    assert metrics["accuracy"]["test"] == float(
        (model.predict(data.test) == data.test.labels).mean()
    )
    assert metrics["accuracy"]["val"] == model.score(data.val)
    known = data.test.known
    right = ((model.transform(data.test) >= 0.5) == (data.test.c >= 0.5).numpy())[known.numpy()]
    counts = [row["known"] for row in metrics["concepts"]["each"]]
    shares = [row["accuracy"] for row in metrics["concepts"]["each"]]
    assert counts == known.sum(0).tolist()
    assert np.dot(counts, shares) == pytest.approx(right.sum())
    curve = metrics["interventions"][0]
    assert curve["accuracy"][0][0] == metrics["accuracy"]["test"]


def test_the_log_has_one_line_an_epoch(data: Dataset, tmp_path: Path) -> None:
    done = fit_run(CBM("joint", epochs=3), data, tmp_path / "run")
    lines = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert [json.loads(line) for line in lines] == done.method.history_


def test_without_pyarrow_readings_are_a_csv(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: Path, columns: object) -> None:
        raise MissingExtra("pyarrow is needed here")

    monkeypatch.setattr("narrows.runs.write_parquet", missing)
    done = fit_run(cbm(), data, tmp_path / "run")
    assert any("pyarrow" in note for note in done.notes)
    with (tmp_path / "run" / "readings.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(data.test)
    assert set(rows[0]) == {"id", "label", "prediction", "unit:large", "unit:rough"}


def test_without_the_report_packages_a_run_still_ends(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*args: object, **more: object) -> None:
        raise MissingExtra("jinja2 is needed here: pip install 'narrows[report]'")

    monkeypatch.setattr("narrows.runs.write_run", missing)
    done = fit_run(cbm(), data, tmp_path / "run")
    assert any("narrows[report]" in note for note in done.notes)
    assert (tmp_path / "run" / "metrics.json").exists()


def test_a_folder_with_a_run_is_refused_and_left_as_it_is(run: Path, data: Dataset) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(InvalidInput, match=r"a finished run in .*--resume"):
        fit_run(cbm(), data, run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_finished_run_is_given_back_by_resume(run: Path, data: Dataset) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    done = fit_run(cbm(), data, run, resume=True)
    assert done.metrics == store.read_json(run / "metrics.json")
    assert "nothing was trained" in done.notes[0]
    np.testing.assert_array_equal(
        done.method.predict(data.test), cbm().fit(data).predict(data.test)
    )
    after = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    assert {k: v for k, v in after.items() if k != ".lock"} == {
        k: v for k, v in before.items() if k != ".lock"
    }


def test_resume_with_other_settings_is_refused_with_the_difference(
    run: Path, data: Dataset
) -> None:
    with pytest.raises(InvalidInput, match=r"epochs: was None, now 7.*seed: was 1, now 2"):
        fit_run(cbm(epochs=7, seed=2), data, run, resume=True)


def test_resume_with_other_data_is_refused(run: Path, data: Dataset) -> None:
    other = load((data.train.x.numpy(), np.arange(len(data.train)) % 2, data.train.c.numpy()))
    with pytest.raises(InvalidInput, match="data: was"):
        fit_run(cbm(), other, run, resume=True)


def test_resume_of_nothing_is_a_fresh_run(data: Dataset, tmp_path: Path) -> None:
    fit_run(cbm(), data, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "metrics.json").exists()


def test_resume_under_another_torch_is_told(run: Path, data: Dataset, tmp_path: Path) -> None:
    record = read_run(run)
    record["versions"]["torch"] = "1.0"
    (tmp_path / "run").mkdir()
    store.write_json(tmp_path / "run" / "run.json", record)
    done = fit_run(cbm(), data, tmp_path / "run", resume=True)
    assert any("torch was 1.0" in note for note in done.notes)


def test_another_model_in_the_folder_is_not_overwritten(data: Dataset, tmp_path: Path) -> None:
    cbm().fit(data).save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(InvalidInput, match="a fresh folder"):
        fit_run(cbm(), data, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_second_writer_is_told_who_holds_the_folder(data: Dataset, tmp_path: Path) -> None:
    with store.lock(tmp_path), pytest.raises(RunLocked, match=f"process {os.getpid()} is writing"):
        fit_run(cbm(), data, tmp_path)
    assert not (tmp_path / "run.json").exists()


def test_a_file_in_place_of_the_folder_is_refused(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="folder to write to"):
        fit_run(cbm(), data, tmp_path / "file")


def test_a_folder_without_a_run_or_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"no run\.json"):
        read_run(tmp_path)
    store.write_json(tmp_path / "run.json", {"format": 99})
    with pytest.raises(InvalidInput, match="99"):
        read_run(tmp_path)


def test_an_error_in_training_leaves_a_run_that_can_be_resumed(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("no more memory")

    with monkeypatch.context() as patch:
        patch.setattr("narrows.runs.measure_run", broken)
        with pytest.raises(RuntimeError, match="memory"):
            fit_run(cbm(), data, tmp_path)
    with pytest.raises(InvalidInput, match="an unfinished run"):
        fit_run(cbm(), data, tmp_path)
    fit_run(cbm(), data, tmp_path, resume=True)
    assert (tmp_path / "metrics.json").exists()


@pytest.mark.slow
def test_killed_runs_resume_to_the_same_bytes(table: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(CHILD), str(table), str(tmp_path), "0", "10"],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    states = json.loads(done.stdout)
    assert states[0] != "finished", "no kill came in time"
    for name in ("model.safetensors", "config.json", "metrics.json", "log.jsonl"):
        whole, killed = tmp_path / "whole" / name, tmp_path / "killed" / name
        assert whole.read_bytes() == killed.read_bytes(), name
    assert not (tmp_path / "killed" / "checkpoints").exists()
