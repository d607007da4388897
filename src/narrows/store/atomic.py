"""Replace a file as a whole or not at all, and open files without surprises."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from narrows.errors import FileRefused, NarrowsError, wrong, wrong_type

STEP = 1 << 22  # bytes a single read or write moves: large enough for speed, small for the cache
SPARE = ".narrows-*.tmp"  # short, so that it fits wherever the real name fits
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends without it
_READ = os.O_RDONLY | _BINARY | getattr(os, "O_NONBLOCK", 0)  # a named pipe must not hang us
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY

AnyPath = str | os.PathLike[str]


class FileMissing(FileRefused, FileNotFoundError):
    """There is no file of this name."""


class WriteFailed(NarrowsError, OSError):
    """A file could not be written; the message says what is on disk now."""


def as_path(path: AnyPath) -> Path:
    """Return `path` as a `Path`; refuse what is not text or holds a NUL character."""
    if not isinstance(path, str | os.PathLike):
        raise wrong_type("path", type(path).__name__, "text or a pathlib.Path")
    if "\0" in str(path):
        raise wrong("path", repr(str(path)), "a path without NUL characters")
    return Path(path)


@contextlib.contextmanager
def opened(path: AnyPath) -> Iterator[io.FileIO]:
    """Open a regular file for unbuffered reading; every failure is a `FileRefused`."""
    try:
        with io.FileIO(as_path(path), opener=lambda name, _: os.open(name, _READ)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FileRefused(f"{path}: not a regular file")
            yield file
    except FileRefused:
        raise
    except FileNotFoundError as error:
        raise FileMissing(f"{path}: there is no such file") from error
    except OSError as error:
        raise FileRefused(f"{path}: cannot be read ({error.strerror})") from error


def fill(file: io.FileIO, buffer: memoryview) -> None:
    """Read exactly `len(buffer)` bytes, however little the system gives at a time."""
    while len(buffer):
        got = file.readinto(buffer)
        if not got:
            raise FileRefused(f"{file.name!s}: ends too early; it is truncated")
        buffer = buffer[got:]


def replace(
    path: AnyPath, chunks: Iterable[memoryview], check: Callable[[io.FileIO], object]
) -> None:
    """Write `chunks` to `path` so that a crash at any moment leaves the old or the new file.

    The bytes go to a temporary file in the same folder, are flushed to the disk and read back by
    `check`, which raises `FileRefused` when they are not what they should be. Then the file takes
    its name and the folder is flushed too. A symbolic link is followed, not replaced.

    Raises:
        WriteFailed: anything went wrong; no temporary file is left, and the message says
            whether the earlier file is untouched.
    """
    target = as_path(path)
    try:
        target = Path(os.path.realpath(target))
        spare = target.parent / SPARE.replace("*", secrets.token_hex(8))
        try:
            _write(spare, chunks, _mode(target))
            with opened(spare) as file:
                check(file)
            spare.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                spare.unlink()
            raise
    except (OSError, FileRefused) as error:
        reason = getattr(error, "strerror", None) or error
        raise WriteFailed(
            f"{path}: not written ({reason}); the earlier file, if any, is untouched"
        ) from error
    try:
        _flush_folder(target.parent)
    except OSError as error:
        raise WriteFailed(
            f"{path}: the new file is in place, but its folder could not be flushed to the disk "
            f"({error.strerror}); save again, or a power cut may bring the earlier file back"
        ) from error


def _mode(target: Path) -> int:
    """Return the permissions of the file to replace: a private file stays private."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return 0o666
    if not stat.S_ISREG(status.st_mode):  # else root could turn /dev/null into a file
        raise FileRefused("a folder or device is there, not a file")
    return stat.S_IMODE(status.st_mode)


def _write(spare: Path, chunks: Iterable[memoryview], mode: int) -> None:
    descriptor = os.open(spare, _WRITE, mode)
    try:
        for chunk in chunks:
            rest = chunk
            while len(rest):
                done = os.write(descriptor, rest[:STEP])
                if not done:
                    raise OSError(errno.EIO, "the system took no bytes")
                rest = rest[done:]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders, and flushes renames by itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and user-space file systems have no flush for folders: not a failure.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def write_bytes(path: AnyPath, data: bytes) -> None:
    """Replace `path` by `data`, atomically and flushed to the disk.

    Raises:
        WriteFailed: the disk is full, the folder is missing or read-only, ...
    """

    def check(file: io.FileIO) -> None:
        if hashlib.file_digest(file, "sha256").digest() != hashlib.sha256(data).digest():
            raise FileRefused("the disk returned other bytes than were written")

    replace(path, [memoryview(data)], check)


def write_text(path: AnyPath, text: str) -> None:
    """Replace `path` by `text` in UTF-8, line ends as given; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def file_digest(path: AnyPath) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal, in constant memory."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
