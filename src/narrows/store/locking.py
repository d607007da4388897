"""One writer for a run folder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from narrows.errors import RunLocked
from narrows.store.atomic import SPARE, AnyPath, WriteFailed, as_path

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        # A locked byte cannot be read by others: lock one far behind the process number.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_held: set[int] = set()


def _drop() -> None:
    """Close the locks that a forked child inherited: a worker must not outlive its lock's owner."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop)


@contextlib.contextmanager
def lock(folder: AnyPath) -> Iterator[None]:
    """Hold a run folder for writing; no other process or thread can while the block runs.

    The lock is the operating system's, on the file `.lock`: it ends with the process, also after
    `kill -9`. The file itself stays, for removing it would let two writers in. The holder also
    clears away temporary files of writers that were killed.

    Raises:
        RunLocked: someone else holds the folder; the message gives the process number.
        WriteFailed: the folder is missing or cannot be written to.
    """
    home = as_path(folder)
    try:
        descriptor = os.open(home / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _claim(descriptor, home)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise WriteFailed(f"{folder}: cannot be locked ({error.strerror})") from error
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # a forked child has closed its copy already
            _held.discard(descriptor)
            os.close(descriptor)  # not LOCK_UN, which would also free a lock shared by fork


def _claim(descriptor: int, home: Path) -> None:
    """Take the lock, leave our process number in it, and sweep the folder."""
    try:
        _take(descriptor)
    except (BlockingIOError, PermissionError) as error:
        holder = os.read(descriptor, 32).decode("ascii", "replace").split()
        raise RunLocked(
            f"{home}: process {holder[0] if holder else 'unknown'} is writing this run; "
            "wait for it, stop it, or choose another folder"
        ) from error
    os.ftruncate(descriptor, os.write(descriptor, f"{os.getpid()}\n".encode()))
    for left_behind in home.glob(SPARE):
        with contextlib.suppress(OSError):
            left_behind.unlink()
