"""`narrows studio`: from a trained run to answers over the wire, and back after a kill."""

from __future__ import annotations

import csv
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from narrows.cli import app
from narrows.studio.addresses import VARIABLE

PROGRAM = [sys.executable, "-c", "from narrows.cli import main; main()", "studio", "--no-browser"]
WILD = "0.0.0.0"  # noqa: S104  # refused before anything listens
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table whose file stays where it is."""
    home = tmp_path_factory.mktemp("studio")
    with (home / "mine.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "concept:left", "concept:low", "label"])
        for i in range(300):
            a, b = (i * 37 % 701) / 350 - 1, (i * 53 % 701) / 350 - 1
            writer.writerow([a, b, int(a < 0), int(b < 0), "yes" if a * b < 0 else "no"])
    command = [
        "fit",
        str(home / "mine.csv"),
        "--method",
        "cbm",
        "--epochs",
        "3",
        "--out",
        str(home / "mine"),
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return home / "mine"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run with no journal yet."""
    return Path(shutil.copytree(trained, tmp_path / "mine"))


class Client:
    """Requests to a server that printed its address."""

    def __init__(self, line: str) -> None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/(?:#token=(\S+))?", line)
        assert found, line
        self.port, self.token = int(found[1]), found[2]

    def ask(self, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"X-Narrows-Token": self.token}
        if body is not None:
            headers |= {"Origin": f"http://127.0.0.1:{self.port}"}
            headers |= {"Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, text, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status == 200, content
        return json.loads(content)


@contextmanager
def studio(*arguments: object, **more: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | more,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise AssertionError(process.communicate(timeout=30)[1])
        client = Client(line)
        client.token = client.token or more.get(VARIABLE, "")
        yield process, client
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def test_what_was_acknowledged_outlives_a_kill(run: Path) -> None:
    with studio(run) as (process, client):
        assert [r["id"] for r in client.ask("/api/runs")["runs"]] == ["mine"]
        case = client.ask("/api/runs/mine/cases?filter=unsure&limit=1")["cases"][0]
        place = f"/api/runs/mine/cases/test/{case['row']}"
        before = client.ask(place)
        unit = before["units"][0]
        other = float(unit["now"] < 0.5)
        done = client.ask(f"{place}/corrections", {"known": {unit["name"]: other}})
        client.ask(f"{place}/notes", {"text": "\u2603 <b>"})
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    with studio(run) as (process, client):
        after = client.ask(place)
        assert after["now"] == done["now"]
        assert after["before"] == before["before"]
        assert [n["text"] for n in after["notes"]] == ["\u2603 <b>"]
        events = client.ask("/api/runs/mine/log")["events"]
        assert {e["kind"] for e in events} == {"correction", "note"}
        assert all(e["who"] for e in events)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    assert "Ctrl-C" in errors


def test_two_runs_of_one_name_are_two_runs(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "old" / "mine"))
    with studio(run, other, **{VARIABLE: "0123456789abcdefghijklmn"}) as (_, client):
        assert [r["id"] for r in client.ask("/api/runs")["runs"]] == ["mine", "mine-2"]
        assert client.ask("/api/runs/mine-2")["id"] == "mine-2"
        both = client.ask("/api/compare?runs=mine,mine-2")
        assert both["disagree"]["total"] == 0
        assert both["rows"]


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["nowhere"], "nowhere", 1),
        ([], "RUN", 2),
        (["nowhere", "--port", "70000"], "--port", 2),
        (["nowhere", "--port", "0"], "--port", 2),
        (["nowhere", "--host", WILD], "NARROWS_STUDIO_TOKEN", 1),
        (["nowhere", "--host", "studio.example.org"], "NARROWS_STUDIO_TOKEN", 1),
        (["nowhere", "--token-file", "nothing"], "--token-file", 1),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], said: str, code: int) -> None:
    done = CliRunner().invoke(app, ["studio", *arguments])
    assert done.exit_code == code
    assert said in done.output
    assert "Traceback" not in done.output


def test_wrong_folders_and_addresses_are_refused_in_words(run: Path) -> None:
    twice = CliRunner().invoke(app, ["studio", str(run), f"{run}/../mine"])
    assert (twice.exit_code, "twice" in twice.output) == (2, True)
    origin = CliRunner().invoke(app, ["studio", str(run), "--origin", "a.example"])
    assert (origin.exit_code, "--origin" in origin.output) == (1, True)
    weak = CliRunner().invoke(app, ["studio", str(run)], env={VARIABLE: "short"})
    assert (weak.exit_code, "5 characters" in weak.output) == (1, True)
    assert "short" not in weak.output
    (run / "metrics.json").unlink()
    unfinished = CliRunner().invoke(app, ["studio", str(run)])
    assert unfinished.exit_code == 1
    assert str(run.name) in unfinished.output
