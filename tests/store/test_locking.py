"""One writer for a run folder, also after kill -9 and across forks (R07)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrows import store
from narrows.errors import NarrowsError, RunLocked

pytestmark = pytest.mark.skipif(os.name == "nt", reason="uses fork and SIGKILL")
HOLDER = """
import os, sys, time
from narrows import store
from narrows.errors import RunLocked
folder = sys.argv[1]
if sys.argv[2] == "leave":  # a forked child walks out of the block before its parent does
    with store.lock(folder):
        if child := os.fork():
            assert os.waitpid(child, 0)[1] == 0
            try:
                with store.lock(folder):
                    os._exit(5)
            except RunLocked:
                pass
    if not child:
        os._exit(0)
    sys.argv[2] = "count"
if sys.argv[2] == "count":  # four processes add to one number, each under the lock
    children = []
    for _ in range(4):
        child = os.fork()
        if child:
            children.append(child)
            continue
        done = 0
        while done < 25:
            try:
                with store.lock(folder):
                    number = store.read_json(folder + "/number.json")
                    time.sleep(0.0005)
                    store.write_json(folder + "/number.json", number + 1)
                    done += 1
            except RunLocked:
                time.sleep(0.0005)
        os._exit(0)
    sys.exit(sum(os.waitpid(child, 0)[1] for child in children))
with store.lock(folder):
    mine, theirs = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.write(theirs, b"!")  # what a fork does first is done
        time.sleep(60)
        os._exit(0)
    os.read(mine, 1)
    print(worker, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds the folder, and the number of a worker that it forked."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path), "hold"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        worker = int(process.stdout.readline())
        yield process, worker
        process.kill()
        os.kill(worker, signal.SIGKILL)


def test_a_second_process_is_told_who_holds_the_folder_until_that_one_is_killed(
    tmp_path: Path, holder: tuple[subprocess.Popen[str], int]
) -> None:
    process, worker = holder
    refusal = pytest.raises(RunLocked, match=f"process {process.pid} is writing")
    with refusal as caught, store.lock(tmp_path):
        pytest.fail("two processes hold one folder")
    assert isinstance(caught.value, NarrowsError)
    assert str(tmp_path) in str(caught.value)
    process.kill()
    process.wait()
    os.kill(worker, 0)  # the worker it forked is still alive, and must not keep the lock
    with store.lock(tmp_path):
        assert (tmp_path / ".lock").read_text().split() == [str(os.getpid())]


def test_forks_neither_free_the_lock_of_their_parent_nor_lose_what_they_add_under_it(
    tmp_path: Path,
) -> None:
    store.write_json(tmp_path / "number.json", 0)
    command = [sys.executable, "-c", HOLDER, str(tmp_path), "leave"]
    assert subprocess.run(command, timeout=100, check=False).returncode == 0
    assert store.read_json(tmp_path / "number.json") == 100


def test_the_same_process_and_its_threads_cannot_hold_a_folder_twice(tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def other() -> None:
        try:
            with store.lock(tmp_path):
                pass
        except BaseException as error:
            caught.append(error)

    with store.lock(tmp_path):
        other()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        (tmp_path / "b").mkdir()
        with store.lock(tmp_path / "b"):
            pass
    assert [type(error) for error in caught] == [RunLocked, RunLocked]
    assert all(f"process {os.getpid()} " in str(error) for error in caught)
    other()
    assert len(caught) == 2


def descriptors() -> int:
    """Count the open file descriptors, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_the_lock_ends_with_its_block_also_on_errors(tmp_path: Path) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), store.lock(tmp_path):
            raise ZeroDivisionError
    open_before = descriptors()
    for _ in range(50):
        with store.lock(tmp_path), pytest.raises(RunLocked), store.lock(tmp_path):
            pass
    assert descriptors() == open_before, "file descriptors leak"
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]


def test_the_holder_clears_what_killed_writers_left_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".narrows-0123456789abcdef.tmp").write_text("half")
    (tmp_path / "narrows-notes.tmp").write_text("mine")
    (tmp_path / ".narrows-folder.tmp").mkdir()
    with store.lock(tmp_path):
        left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [".lock", ".narrows-folder.tmp", "narrows-notes.tmp"]


def test_a_folder_that_cannot_be_locked_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / ".lock").mkdir()
    for name in ("absent", "file", "taken"):
        refusal = pytest.raises(store.WriteFailed, match=f"{name}: cannot be locked")
        with refusal, store.lock(tmp_path / name):
            pass
