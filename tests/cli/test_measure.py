"""The commands that measure information: files in, values out, and what they refuse."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from narrows.cli import app
from narrows.measure.mi import mutual_information
from narrows.measure.mi.known import tasks


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, ["measure", *map(str, arguments)], env=environment)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    generator = np.random.default_rng(0)
    x = generator.standard_normal((400, 3))
    y = x[:, :1] + generator.standard_normal((400, 1))
    label = np.where(x[:, 0] > 0, "up", "down")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    np.save(folder / "label.npy", label)
    np.save(folder / "row.npy", y[:, 0])
    np.save(folder / "objects.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    np.save(folder / "empty.npy", np.empty((0, 2)))
    np.save(folder / "text.npy", np.array(["a", "b"] * 200))
    np.save(folder / "hole.npy", np.where(np.arange(400) == 7, np.nan, y[:, 0]))
    np.save(folder / "short.npy", x[:10])
    np.savez(folder / "many.npz", x=x)
    (folder / "zip.npy").write_bytes((folder / "many.npz").read_bytes())
    (folder / "cut.npy").write_bytes((folder / "x.npy").read_bytes()[:3000])
    (folder / "pickle.npy").write_bytes(pickle.dumps([1.0, 2.0]))
    (folder / "nothing.npy").write_bytes(b"")
    np.savetxt(folder / "numbers.csv", x, delimiter=",")
    lines = [
        "a,b,label,y",
        *(f"{p[0]},{p[1]},{c},{q}" for p, c, q in zip(x, label, y[:, 0], strict=True)),
    ]
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_the_value_is_the_librarys_in_text_and_json(files: Path) -> None:
    x, y = np.load(files / "x.npy"), np.load(files / "y.npy")
    wanted = mutual_information(x, y, "ksg", k=5, units="bits", standardize=True)
    line = ("mi", files / "x.npy", files / "y.npy", "--method", "ksg", "--k", 5)
    line = (*line, "--units", "bits", "--standardize")
    done = run(*line)
    assert done.exit_code == 0, done.output
    assert repr(wanted) in done.stdout
    found = json.loads(run(*line, "--json").stdout)
    assert {k: found[k] for k in wanted.to_dict()} == wanted.to_dict()
    assert found["x"].endswith("x.npy, shape (400, 3)")


def test_by_default_a_method_is_chosen_and_its_reason_told(files: Path) -> None:
    done = run("mi", files / "x.npy", files / "y.npy")
    assert done.exit_code == 0, done.output
    wanted = mutual_information(np.load(files / "x.npy"), np.load(files / "y.npy"), "auto")
    assert repr(wanted).splitlines()[0] in done.stdout
    assert wanted.settings["because"] in " ".join(done.stdout.split())


def test_discrete_sides_are_stated(files: Path) -> None:
    x, label = np.load(files / "x.npy"), np.load(files / "label.npy")
    wanted = mutual_information(x, label, "ross", y_kind="discrete").value
    line = ("mi", files / "x.npy", files / "label.npy", "--method", "ross", "--json")
    assert json.loads(run(*line, "--y-kind", "discrete").stdout)["value"] == wanted
    turned = ("mi", files / "label.npy", files / "x.npy", "--method", "ross", "--json")
    assert json.loads(run(*turned, "--x-kind", "discrete").stdout)["value"] == wanted
    refused = run(*line)
    assert refused.exit_code == 1
    assert "y: found dtype" in refused.stderr


def test_columns_of_tables_are_the_arrays_they_hold(files: Path) -> None:
    x, y = np.load(files / "x.npy"), np.load(files / "row.npy")
    wanted = mutual_information(x[:, :2], y, "ksg").value
    done = run("mi", f"{files}/table.csv:a,b", f"{files}/table.csv:y", "--method", "ksg", "--json")
    found = json.loads(done.stdout)
    assert found["value"] == pytest.approx(wanted, abs=1e-12)
    assert found["x"].endswith("400 rows of a, b")
    pair = (f"{files}/table.csv:label", f"{files}/table.csv:y")
    by_label = json.loads(run("mi", *pair, "--x-kind", "discrete", "--json").stdout)
    same = mutual_information(np.load(files / "label.npy"), y, "auto", x_kind="discrete").value
    assert by_label["value"] == pytest.approx(same, abs=1e-12)


def test_each_column_gets_its_value(files: Path) -> None:
    line = ("mi", files / "x.npy", files / "y.npy", "--each", "--method", "ksg")
    wanted = mutual_information(np.load(files / "x.npy"), np.load(files / "y.npy"), each=True)
    found = json.loads(run(*line, "--json").stdout)
    assert [one["value"] for one in found["columns"]] == wanted.value.tolist()
    assert repr(wanted) in run(*line).stdout


def test_settings_reach_the_method(files: Path) -> None:
    line = ("mi", files / "x.npy", files / "y.npy", "--method", "ksg", "--json")
    found = json.loads(run(*line, "--set", "variant=2", "--set", "k=4").stdout)
    assert found["settings"] == {"k": 4, "variant": 2}
    word = ("mi", files / "label.npy", files / "text.npy", "--method", "discrete", "--json")
    kinds = ("--x-kind", "discrete", "--y-kind", "discrete")
    found = json.loads(run(*word, *kinds, "--set", "correction=chao-shen").stdout)
    assert found["settings"]["correction"] == "chao-shen"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("objects.npy", "found Python objects, which only a pickle can hold"),
        ("pickle.npy", "found no array, wanted one array saved by numpy.save"),
        ("nothing.npy", "found no array"),
        ("zip.npy", "found an archive of arrays"),
        ("many.npz", "found '.npz', wanted .npy or .csv"),
        ("cut.npy", "found a damaged array"),
        ("empty.npy", "x: found shape (0, 2)"),
        ("text.npy", "x: found dtype <U1, wanted numbers"),
        ("hole.npy", "x: found nan at row 7, column 0"),
        ("short.npy", "y: found 400 rows, wanted as many as x has, 10"),
        ("numbers.csv", "found numbers in the first line"),
        ("missing.npy", "found no such file"),
        ("", "found a folder"),
        ("table.csv", "x: found dtype"),
    ],
)
def test_files_that_cannot_be_used_fail_with_one_line(files: Path, name: str, said: str) -> None:
    done = run("mi", files / name, files / "y.npy", "--method", "ksg")
    assert done.exit_code == 1
    assert said in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_reading_a_pickle_runs_nothing(files: Path, tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    np.save(tmp_path / "bad.npy", np.array([Runs()], dtype=object), allow_pickle=True)
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Runs()))
    for name in ("bad.npy", "raw.npy"):
        assert run("mi", tmp_path / name, files / "y.npy").exit_code == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "ksq"), "method: found 'ksq'"),
        (("--method", "ksg", "--set", "neighbours=3"), "setting of ksg: found 'neighbours'"),
        (("--method", "ksg", "--k", "3", "--set", "k=3"), "found --k and --set k"),
        (("--set", "units=bits"), "wanted --units"),
        (("--set", "x_kind=discrete"), "wanted --x-kind"),
        (("--x-kind", "counts"), "--x-kind: found 'counts', wanted continuous or discrete"),
        (("--units", "bans"), "--units: found 'bans', wanted nats or bits"),
        (("--k", "0"), "--k"),
    ],
)
def test_wrong_usage_exits_with_two(files: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run("mi", files / "x.npy", files / "y.npy", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_an_unknown_column_is_wrong_usage_with_the_nearest(files: Path) -> None:
    done = run("mi", f"{files}/table.csv:lable", files / "y.npy")
    assert done.exit_code == 2
    assert "nearest: 'label'" in done.stderr


def test_kinds_a_method_does_not_take_are_refused_with_those_that_fit(files: Path) -> None:
    done = run(
        "mi", files / "x.npy", files / "label.npy", "--y-kind", "discrete", "--method", "ksg"
    )
    assert done.exit_code == 1
    assert "ross" in done.stderr


def test_calibrate_prints_rows_refusals_and_json() -> None:
    line = ("calibrate", "--n", 60, "--tasks", "normal-0.9,xor", "--methods", "ksg, discrete")
    text = " ".join(run(*line, "--seeds", 2).stdout.split())
    assert "60 samples, 2 seeds; nats" in text
    assert "ksg refused xor: method: found 'ksg'" in text
    found = json.loads(run(*line, "--seeds", 2, "--json").stdout)
    assert [(row["task"], row["method"]) for row in found["rows"]] == [
        ("normal-0.9", "ksg"),
        ("xor", "discrete"),
    ]
    assert found["rows"][0]["truth"] == pytest.approx(0.830366, abs=1e-6)


def test_calibrate_takes_the_size_of_the_users_samples() -> None:
    line = ("calibrate", "--n", 30, "--methods", "mixed", "--seeds", 1, "--json", "--dims")
    for size, dims in (("2", 2), ("2,1", (2, 1)), ("2x1", (2, 1))):
        found = json.loads(run(*line, size).stdout)
        assert {row["task"] for row in found["rows"]} == set(tasks(dims))
    sized = json.loads(run(*line, "2", "--tasks", "all").stdout)
    assert {row["task"] for row in sized["rows"]} == set(tasks(2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--n", 5), "--n"),
        ((), "--n"),
        (("--n", 50, "--dims", "0"), "--dims: found '0'"),
        (("--n", 50, "--dims", "1,2,3"), "--dims: found '1,2,3'"),
        (("--n", 50, "--tasks", "normal-0.8"), "task: found 'normal-0.8'"),
        (("--n", 50, "--methods", "ksq"), "method: found 'ksq'"),
    ],
)
def test_calibrate_refuses_wrong_usage(arguments: tuple[object, ...], said: str) -> None:
    done = run("calibrate", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize("width", [40, 60, 100])
def test_help_and_results_fit_the_terminal(files: Path, width: int) -> None:
    for command in ([], ["mi"], ["calibrate"]):
        done = run(*command, "--help", COLUMNS=str(width))
        assert max(map(len, done.stdout.splitlines())) <= width, done.stdout
    pair = ("table.csv:a,b", "table.csv:y")
    shown = run("mi", *(f"{files}/{name}" for name in pair), COLUMNS=str(width)).stdout
    table = ("calibrate", "--n", "40", "--tasks", "normal-0.9,xor", "--seeds", "1")
    shown += run(*table, "--methods", "ksg,mixed", COLUMNS=str(width)).stdout
    long = [line for line in shown.splitlines() if len(line) > width]
    assert not [line for line in long if str(files) not in line]  # a path is never cut


def test_calibrate_writes_a_page(tmp_path: Path) -> None:
    line = ("calibrate", "--n", 60, "--tasks", "normal-0.9", "--methods", "ksg", "--seeds", 2)
    done = run(*line, "--page", tmp_path / "known.html")
    assert str(tmp_path / "known.html") in done.stdout.replace("\n", "")
    assert "normal-0.9" in (tmp_path / "known.html").read_text(encoding="utf-8")
