"""Run by test_atomic: kills forked copies of itself inside a save, and reports what is left.

One process imports torch once and forks for each call, which is 100 times faster than starting a
process for each. Prints one JSON object a line.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from narrows import store

sys.path.insert(0, str(Path(__file__).parent))
from faults import FaultBox, kill_after, kill_before, kill_halfway

OLD = {"w": torch.arange(600.0), "mask": torch.tensor([True, False])}
NEW = {"w": -torch.arange(600.0), "mask": torch.tensor([False, True])}


def say(**found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def forked(job: Callable[[], None]) -> int:
    """Run `job` in a copy of this process; return its exit code, or minus its signal."""
    child = os.fork()
    if child == 0:
        try:
            job()
        except BaseException as error:
            sys.stderr.write(repr(error) + "\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def naive(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """The control: write in place, as most programs do."""
    spare = path.with_suffix(".x")
    store.save(spare, tensors, metadata)
    data = memoryview(spare.read_bytes())
    spare.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(descriptor, data)
    os.close(descriptor)


def look(path: Path) -> str:
    try:
        tensors, metadata = store.load(path)
    except store.FileMissing:
        return "missing"
    except Exception as error:  # the test wants to see whatever it is
        return f"broken: {error}"
    for name, known in (("old", OLD), ("new", NEW)):
        if metadata == {"is": name} and all(torch.equal(tensors[k], known[k]) for k in known):
            return name
    return "mixed"


def sweep_calls(folder: Path, save: Callable[..., object], label: str) -> None:
    path = folder / "model.safetensors"
    store.save(path, OLD, {"is": "old"})
    old = path.read_bytes()
    for action in (kill_before, kill_halfway, kill_after):
        k, code = 0, -9
        while code == -9:
            path.write_bytes(old)

            def job(k: int = k, action: Callable[..., object] = action) -> None:
                with FaultBox(k, action):
                    save(path, NEW, {"is": "new"})

            code = forked(job)
            left = len(list(folder.glob(".narrows-*")))
            say(save=label, action=action.__name__, k=k, code=code, found=look(path), left=left)
            with store.lock(folder):
                pass
            say(swept=len(list(folder.glob(".narrows-*"))))
            k += 1


def refusal(path: Path, label: str, prepare: Callable[[], None]) -> None:
    """Save in a copy of this process that the system itself keeps from writing."""
    report = path.parent.parent / f"{label}.txt"

    def job() -> None:
        descriptor = os.open(report, os.O_WRONLY | os.O_CREAT)
        prepare()
        try:
            store.save(path, NEW, {"is": "new"})
        except store.WriteFailed as error:
            os.write(descriptor, str(error).encode()[:900])
            os._exit(7)

    code = forked(job)
    left = len(list(path.parent.glob(".narrows-*")))
    say(refusal=label, code=code, message=report.read_text(), found=look(path), left=left)


def become_nobody() -> None:
    if os.getuid() == 0:  # root is not bound by permission bits
        os.setgid(65534)
        os.setuid(65534)


def main() -> None:
    torch.set_num_threads(1)
    sweep_calls(Path(sys.argv[1]), store.save, "store")
    sweep_calls(Path(sys.argv[1]), naive, "naive")
    with tempfile.TemporaryDirectory() as outer:  # pytest's own folders are closed to nobody
        Path(outer).chmod(0o755)
        path = Path(outer) / "run" / "model.safetensors"
        path.parent.mkdir(mode=0o755)
        store.save(path, OLD, {"is": "old"})
        limit = (2000, 2000)
        refusal(path, "file size limit", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
        path.parent.chmod(0o555)
        refusal(path, "read-only folder", become_nobody)
        path.parent.chmod(0o755)
    say(errno=errno.EFBIG)


if __name__ == "__main__":
    main()
