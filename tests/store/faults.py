"""A box that counts the file-system calls inside it and does something at the k-th.

The store reaches the file system through functions of `os` (also by way of `pathlib` and
`os.path`) and through `io.FileIO` for reading; the box replaces both, so its count covers every
such call. Replaying is exact: the calls of a save are the same each time.
"""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from typing import Any

NAMES = [
    *("open", "write", "fsync", "close", "replace", "rename", "link", "unlink", "remove", "read"),
    *("stat", "lstat", "fstat", "ftruncate", "lseek", "scandir", "listdir", "mkdir", "readlink"),
]
Action = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class FaultBox:
    """Run `action(call, args, kwargs)` in place of the k-th call; if sticky, of later ones too."""

    def __init__(self, at: int = -1, action: Action | None = None, sticky: bool = False) -> None:
        self.at, self.action, self.sticky = at, action, sticky
        self.log: list[str] = []
        self._true = {name: getattr(os, name) for name in NAMES}

    def _tick(self, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self.log.append(name)
        k = len(self.log) - 1
        if self.action and (k == self.at or (self.sticky and 0 <= self.at < k)):
            return self.action(call, args, kwargs)
        return call(*args, **kwargs)

    def _wrap(self, name: str) -> Callable[..., Any]:
        call = self._true[name]
        return lambda *args, **kwargs: self._tick(name, call, args, kwargs)

    def __enter__(self) -> FaultBox:
        box, true_file = self, io.FileIO

        class CountedFile(true_file):  # type: ignore[misc, valid-type]
            def read(self, *args: Any) -> Any:
                return box._tick("file.read", super().read, args, {})

            def readinto(self, *args: Any) -> Any:
                return box._tick("file.readinto", super().readinto, args, {})

            def seek(self, *args: Any) -> Any:
                return box._tick("file.seek", super().seek, args, {})

        for name in NAMES:
            setattr(os, name, self._wrap(name))
        self._true_file, io.FileIO = true_file, CountedFile  # type: ignore[misc]
        return self

    def __exit__(self, *_: object) -> None:
        for name, call in self._true.items():
            setattr(os, name, call)
        io.FileIO = self._true_file  # type: ignore[misc]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_before(call: Any, args: Any, kwargs: Any) -> Any:
    _die()


def kill_after(call: Any, args: Any, kwargs: Any) -> Any:
    call(*args, **kwargs)
    _die()


def kill_halfway(call: Any, args: Any, kwargs: Any) -> Any:
    """Die with half of the bytes written; other calls have no halfway."""
    if len(args) == 2 and isinstance(args[1], memoryview | bytes):
        call(args[0], args[1][: len(args[1]) // 2])
    _die()


def fail(number: int) -> Action:
    def action(call: Any, args: Any, kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return action


def first(hook: Callable[[], object]) -> Action:
    """Run `hook`, then the call."""

    def action(call: Any, args: Any, kwargs: Any) -> Any:
        hook()
        return call(*args, **kwargs)

    return action
