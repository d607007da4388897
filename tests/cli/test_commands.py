"""The commands in this process: what they print, their exit codes, their errors (N08)."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import narrows
from narrows import registry, store
from narrows.cli import app
from narrows.cli.jobs import REFERENCES
from narrows.data import datasets
from narrows.errors import MissingExtra, NarrowsError


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], env=environment)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "concept:left", "concept:low", "diagnosis"])
        for i in range(80):
            a, b = (i * 37 % 80) / 40 - 1, (i * 53 % 80) / 40 - 1
            cells = [int(a < 0) if i % 2 else "", int(b < 0) if i % 3 else ""]
            writer.writerow([a, b, *cells, "ill" if a < 0 and b < 0 else "well"])
    return path


FIT = ("--target", "diagnosis", "--set", "mode=independent", "--set", "encoder=identity")


@pytest.fixture(scope="module")
def folder(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    done = run("fit", table, *FIT, "--out", out)
    assert done.exit_code == 0, done.output
    return out


def test_help_names_every_command_and_every_exit_code() -> None:
    text = run("--help").stdout
    for command in (
        "demo",
        "fit",
        "compare",
        "report",
        "predict",
        "check",
        "list",
        "info",
        "doctor",
    ):
        assert f"\n  {command} " in text
    for code in ("0 all is well", "1 failure", "2 wrong usage", "130 interrupted"):
        assert code in " ".join(text.split())


@pytest.mark.parametrize("width", [40, 60, 100])
def test_help_fits_the_terminal(width: int) -> None:
    for command in ([], ["fit"], ["compare"], ["doctor"]):
        done = run(*command, "--help", COLUMNS=str(width))
        assert max(map(len, done.stdout.splitlines())) <= width, done.stdout


@pytest.mark.parametrize("command", [["list"], ["info", "cbm"], ["info", "vib"], ["doctor"]])
def test_texts_fit_forty_columns(command: list[str]) -> None:
    done = run(*command, COLUMNS="40", NO_COLOR="1")
    assert done.exit_code == 0
    long = [line for line in done.stdout.splitlines() if len(line) > 40]
    assert not [line for line in long if len(line.split()) > 1], done.stdout
    assert "\x1b" not in done.output


def test_version() -> None:
    assert run("--version").stdout == f"narrows {narrows.__version__}\n"


def test_list_names_every_method_and_data_set_in_text_and_json() -> None:
    text, found = run("list").stdout, json.loads(run("list", "--json").stdout)
    assert {m["name"] for m in found["methods"]} == set(registry.methods())
    assert set(found["data sets"]) == set(datasets())
    for name in (*registry.methods(), *datasets()):
        assert name in text


@pytest.mark.parametrize("name", sorted(registry.methods()))
def test_info_tells_what_a_method_says_about_itself(name: str) -> None:
    kind = registry.method(name)
    text = " ".join(run("info", name).stdout.split())
    found = json.loads(run("info", name, "--json").stdout)
    for part in (kind.info.title, kind.info.paper, kind.info.summary):
        assert " ".join(part.split()) in text
    assert ("not needed" in text) is not kind.info.needs_concepts
    assert set(found["settings"]) == set(kind().get_params())
    for setting, told in found["settings"].items():
        assert told["about"], f"{name} does not describe {setting}"
        assert setting in text


def test_doctor_tells_versions_and_optional_packages() -> None:
    found = json.loads(run("doctor", "--json").stdout)
    assert found["narrows"] == narrows.__version__
    assert {"jinja2", "matplotlib", "pandas", "pyarrow", "pillow"} <= set(found["optional"])
    assert found["problems"] == []


def test_doctor_tells_how_to_install_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata as metadata

    real = metadata.version

    def version(name: str) -> str:
        if name == "pyarrow":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = json.loads(run("doctor", "--json").stdout)
    assert found["optional"]["pyarrow"] == "missing: pip install 'narrows[data]'"


def test_doctor_fails_on_a_broken_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "broken", lambda: {"bad": "RuntimeError: no such wheel"})
    done = run("doctor")
    assert done.exit_code == 1
    assert "problem: plug-in bad: RuntimeError: no such wheel" in done.stdout


def test_fit_on_a_table_with_half_its_concepts_unknown(folder: Path, table: Path) -> None:
    assert narrows.from_pretrained(folder).score(
        narrows.load(str(table), target="diagnosis").test
    ) == pytest.approx(store.read_json(folder / "metrics.json")["accuracy"]["test"])
    assert (folder / "report.html").exists()
    record = store.read_json(folder / "run.json")
    assert record["command"][:3] == ["narrows", "fit", str(table)]
    assert record["data"]["source"] == str(table)


def test_fit_prints_one_json_document_and_nothing_else(table: Path, tmp_path: Path) -> None:
    done = run("fit", table, *FIT, "--out", tmp_path / "run", "--json")
    found = json.loads(done.stdout)
    assert found["metrics"] == store.read_json(tmp_path / "run" / "metrics.json")
    assert done.stderr == ""


def test_fit_takes_settings_of_every_kind(table: Path, tmp_path: Path) -> None:
    settings = ["mode=sequential", "hidden=[4,3]", "lr=0.01", "concept_weighting=null", "seed=5"]
    texts = [part for s in settings for part in ("--set", s)]
    done = run(
        "fit", table, "--target", "diagnosis", *texts, "--epochs", 1, "--out", tmp_path / "r"
    )
    assert done.exit_code == 0, done.output
    params = store.read_json(tmp_path / "r" / "run.json")["method"]["params"]
    expected = {"mode": "sequential", "hidden": [4, 3], "lr": 0.01, "concept_weighting": None}
    assert {k: params[k] for k in (*expected, "seed", "epochs")} == expected | {
        "seed": 5,
        "epochs": 1,
    }


WRONG_USE = {
    "unknown method": (("--method", "cbn"), "nearest: 'cbm'"),
    "unknown setting": (("--set", "concept_wieght=2"), "nearest: 'concept_weight'"),
    "no value": (("--set", "lr"), "wanted KEY=VALUE"),
    "twice": (("--set", "lr=1", "--set", "lr=2"), "'lr' twice"),
    "two ways": (("--set", "epochs=1", "--epochs", "2"), "wanted one of them"),
    "wrong type": (("--set", "batch_size=many"), "wanted int"),
    "a number for a word": (("--set", "extra_dims=1.5"), "wanted int"),
    "no such device": (("--device", "warp"), "--device"),
    "unknown option": (("--bogus",), "bogus"),
    "negative": (("--epochs", "-1"), "greater than or equal to 0"),
}


@pytest.mark.parametrize("case", WRONG_USE)
def test_wrong_use_exits_with_two_and_says_what_is_wanted(
    case: str, table: Path, tmp_path: Path
) -> None:
    options, words = WRONG_USE[case]
    done = run("fit", table, "--target", "diagnosis", *options, "--out", tmp_path / "r")
    assert done.exit_code == 2, done.output
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
    assert done.stdout == ""
    assert not (tmp_path / "r").exists()


FAILURES = {
    "no file": ("nothing.csv", (), "nothing.csv"),
    "unknown data set": ("digit_pear", (), "digit_pairs"),
    "no target": (None, ("--target", "diagnose"), "'diagnosis'"),
    "unknown loader option": (None, ("--target", "diagnosis", "--load", "siize=3"), "'size'"),
    "bad setting": (None, ("--target", "diagnosis", "--set", "mode=joined"), "'joint'"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_one_line_and_exit_with_one(case: str, table: Path, tmp_path: Path) -> None:
    source, options, words = FAILURES[case]
    done = run("fit", source or table, *options, "--out", tmp_path / "r")
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert done.stdout == ""


def test_debug_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    done = run("fit", "nothing.csv", "--out", tmp_path / "r", "--debug")
    assert isinstance(done.exception, NarrowsError)


def test_an_error_nobody_foresaw_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(registry, "methods", broken)
    done = run("list")
    assert done.exit_code == 1
    assert done.stderr == "error: unexpected ZeroDivisionError: two lines (--debug shows where)\n"


def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "methods", interrupted)
    done = run("list")
    assert (done.exit_code, done.stderr) == (130, "interrupted\n")


def test_a_second_process_is_told_to_wait(table: Path, tmp_path: Path) -> None:
    with store.lock(tmp_path):
        done = run("fit", table, *FIT, "--out", tmp_path)
    assert done.exit_code == 1
    assert f"process {os.getpid()} is writing this run" in done.stderr


def test_resume_with_other_settings_shows_the_difference(folder: Path, table: Path) -> None:
    done = run("fit", table, *FIT, "--set", "lr=0.5", "--out", folder, "--resume")
    assert done.exit_code == 1
    assert "lr: was 0.003, now 0.5" in done.stderr


def test_a_stop_says_how_to_go_on_and_exits_with_zero(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from narrows.train import TrainingStopped

    def stopped(*args: object, **more: object) -> None:
        raise TrainingStopped("stopped in stage 'joint', epoch 3")

    monkeypatch.setattr("narrows.runs.fit_run", stopped)
    arguments = ["fit", table, *FIT, "--out", tmp_path / "a b"]
    done = run(*arguments)
    assert done.exit_code == 0
    command = done.stdout.splitlines()[-1]
    assert command.endswith(f"--out '{tmp_path / 'a b'}' --resume")
    found = json.loads(run(*arguments, "--json").stdout)
    assert found["stopped"] == "stopped in stage 'joint', epoch 3"


def test_a_stopped_comparison_is_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from narrows.baselines import BlackBox
    from narrows.train import TrainingStopped

    def stopped(*args: object, **more: object) -> None:
        raise TrainingStopped("stopped in stage 'label', epoch 3")

    monkeypatch.setattr(BlackBox, "fit_run", stopped)
    done = run("compare", "digit_pairs", *COMPARE, "--methods", "cbm", "--out", tmp_path / "c")
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "interrupted\n")
    assert not (tmp_path / "c" / "table.json").exists()


def test_predict_writes_what_the_model_says(folder: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "p.csv"
    done = run("predict", folder, table, "--out", out)
    assert done.exit_code == 0, done.output
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    from narrows.data import prepare

    method = narrows.from_pretrained(folder)
    settings = store.read_json(folder / "run.json")["data"]["settings"]
    examples = prepare(str(table), settings)
    assert [row["prediction"] for row in rows] == method.predict(examples).tolist()
    sure = method.predict_proba(examples).max(1)
    assert [float(row["probability"]) for row in rows] == pytest.approx(sure.tolist())
    accuracy = (method.predict(examples) == examples.labels).mean()
    assert f"{100 * accuracy:.1f} % of 80 labels" in " ".join(done.stdout.split())


def test_report_is_written_again_from_the_folder(folder: Path) -> None:
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    done = run("report", folder)
    assert done.exit_code == 0, done.output
    assert (folder / "report.html").read_bytes() == before
    assert run("report", folder.parent).exit_code == 1


def test_check_fails_on_errors_and_prints_json(tmp_path: Path, table: Path) -> None:
    rows = table.read_text(encoding="utf-8").splitlines()
    fine = run("check", table, "--target", "diagnosis")
    assert fine.exit_code == 0, fine.output
    leaky = tmp_path / "leaky.csv"
    marked = [rows[0] + ",split", *(f"{r},{s}" for s in ("train", "val", "test") for r in rows[1:])]
    leaky.write_text("\n".join(marked), encoding="utf-8")
    done = run("check", leaky, "--target", "diagnosis", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1
    assert not found["ok"]
    assert any(p["severity"] == "error" for p in found["problems"])


def test_check_also_tells_which_concepts_need_not_be_looked_at() -> None:
    tied = ("check", "digit_pairs", "--load", "sizes=[400,80,80]", "--load", "co_occurrence=1.0")
    plain, done = run(*tied), run(*tied, "--locality")
    assert done.exit_code == plain.exit_code == 0, done.output
    # What follows the usual report is added below it.
    assert done.stdout.startswith(plain.stdout.rstrip("\n") + "\n\n")
    assert "20 of 20 concepts need not be looked at" in " ".join(done.stdout.split())
    found = json.loads(run(*tied, "--locality", "--json").stdout)
    assert len(found["locality"]["twins"]) == 10
    assert found["ok"] is True
    assert "locality" not in json.loads(run(*tied, "--json").stdout)


def test_check_of_data_without_concepts_cannot_tell_locality(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    lines = ["a,y", *(f"{i},{'ab'[i % 2]}" for i in range(40))]
    path.write_text("\n".join(lines), encoding="utf-8")
    done = run("check", path, "--target", "y", "--locality")
    assert done.exit_code == 1
    assert "found no concept labels" in done.output


COMPARE = ("--load", "sizes=[120,40,40]", "--load", "task=parity", "--seeds", "1")


@pytest.mark.slow
def test_compare_writes_a_page_and_the_numbers(tmp_path: Path) -> None:
    arguments = ["compare", "digit_pairs", *COMPARE, "--epochs", "1", "--out", tmp_path / "c"]
    arguments += ["--methods", "cbm:mode=independent:epochs=2,cbm"]
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found["rows"]) == {*REFERENCES, "cbm independent", "cbm joint"}
    assert store.read_json(tmp_path / "c" / "table.json")["rows"] == found["rows"]
    assert found["settings"]["cbm independent"]["epochs"] == 2
    for row in ("cbm joint", "black-box", "random"):
        assert found["settings"][row]["epochs"] == 1
    page = (tmp_path / "c" / "report.html").read_text(encoding="utf-8")
    assert "cbm independent" in page
    again = run(*arguments)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr


def test_without_the_report_packages_the_numbers_of_a_comparison_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*args: object, **more: object) -> None:
        raise MissingExtra("jinja2 is needed here: pip install 'narrows[report]'")

    class Nothing:
        names = ()

        def to_json(self, path: Path) -> None:
            store.write_json(path, {"rows": {}})

        def to_text(self, width: int) -> str:
            return "the table"

    monkeypatch.setattr("narrows.report.write_table", missing)
    monkeypatch.setattr("narrows.cli.jobs._compared", lambda *args, **more: Nothing())
    done = run("compare", "digit_pairs", *COMPARE, "--methods", "cbm", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "narrows[report]" in done.stderr
    assert "the table" in done.stdout
    assert store.read_json(tmp_path / "table.json") == {"rows": {}}


def test_compare_refuses_methods_that_are_no_list(tmp_path: Path) -> None:
    for methods in ("", "cbm,,vib", "cbm:mode", "cbm:moode=joint"):
        done = run("compare", "digit_pairs", "--methods", methods, "--out", tmp_path / "c")
        assert done.exit_code == 2, done.output
        assert done.stderr.startswith("error: ")
