"""The program as a process of its own: signals, pipes, terminals, start (N08, R09)."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from narrows.cli import app

PROGRAM = [sys.executable, "-c", "from narrows.cli import main; main()"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
SLOW = ["--target", "label", "--set", "mode=sequential", "--set", "batch_size=2", "--epochs", "15"]


def finish(*arguments: object) -> None:
    """A command in this process, which has as many threads as the others."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "concept:left", "label"])
        for i in range(300):
            a, b = (i * 37 % 701) / 350 - 1, (i * 53 % 701) / 350 - 1
            writer.writerow([a, b, int(a < 0) if i % 2 else "", "yes" if a * b < 0 else "no"])
    return path


def test_help_starts_without_torch() -> None:
    code = (
        "import sys, narrows.cli; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(narrows.cli.app, ['fit', '--help']).exit_code == 0; "
        "print({'torch', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


TALK = """
from narrows.cli import app, main, console
@app.command()
def talk():
    for line in range(10_000):
        console.say(f"line {line}")
import sys; sys.argv = ["narrows", *sys.argv[1:]]; main()
"""


@pytest.mark.parametrize("command", ["talk", "--help"])
def test_a_closed_pipe_ends_the_program_quietly(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", TALK, command],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr == ""
    assert done.returncode == 1


def start(table: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """A training that has written its first checkpoint."""
    process = subprocess.Popen(
        [*PROGRAM, "fit", str(table), *SLOW, "--out", str(out), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    until = time.monotonic() + 60
    while not list((out / "checkpoints").glob("*.safetensors")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


@pytest.mark.slow
def test_a_stopped_training_resumes_to_the_same_bytes(table: Path, tmp_path: Path) -> None:
    process = start(table, tmp_path / "stopped")
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert out.splitlines()[-1].endswith("--resume")
    assert not (tmp_path / "stopped" / "metrics.json").exists()
    assert "\x1b" not in out + error
    finish("fit", table, *SLOW, "--out", tmp_path / "stopped", "--resume")
    finish("fit", table, *SLOW, "--out", tmp_path / "whole")
    for name in ("model.safetensors", "metrics.json", "log.jsonl"):
        stopped = (tmp_path / "stopped" / name).read_bytes()
        assert stopped == (tmp_path / "whole" / name).read_bytes(), name


def test_a_second_signal_ends_the_program_at_once() -> None:
    """The handlers themselves: from outside, two equal signals can merge into one."""
    code = (
        "import os, signal, time; from narrows.cli.app import main\n"
        "from narrows.cli import app; from narrows.train.run import stop_requests\n"
        "@app.command()\n"
        "def twice():\n"
        "    with stop_requests() as asked:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        assert asked.wait(5)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(30)\n"
        "import sys; sys.argv = ['narrows', 'twice']; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.slow
def test_a_saved_run_is_read_by_a_process_that_has_seen_nothing_yet(
    table: Path, tmp_path: Path
) -> None:
    quick = ["--set", "mode=independent", "--set", "encoder=identity"]
    finish("fit", table, "--target", "label", *quick, "--out", tmp_path / "run")
    done = subprocess.run(
        [*PROGRAM, "predict", str(tmp_path / "run"), str(table), "--out", str(tmp_path / "p.csv")],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()) == 301
