"""Run by test_attacks: peak memory of opening hostile and large files, one JSON object a line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from narrows import store
from narrows.errors import FileRefused

sys.path.insert(0, str(Path(__file__).parent))
from attacks import entry, raw_file, sealed, text_of

MB = 1 << 20


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def apart(job: Callable[[], None]) -> None:
    """Run `job` in a fork, so that no memory it leaves behind hides what the next one takes."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            job()
            sys.stdout.flush()
        except BaseException as error:
            sys.stderr.write(repr(error) + "\n")
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)


def measure(
    name: str, path: Path, read: Callable[[Path], object], wanted: str, make: Callable[[], bytes]
) -> None:
    """Print the growth of resident memory at its worst while `read` runs, and how it ended."""
    apart(lambda: path.write_bytes(make()) and None)

    def job() -> None:
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak to what is resident now
        outcome = "read"
        try:
            read(path)
        except FileRefused:
            outcome = "refused"
        peak, size = resident("VmHWM") - before, path.stat().st_size
        row = {"name": name, "size": size, "peak": peak, "outcome": outcome, "wanted": wanted}
        sys.stdout.write(json.dumps(row) + "\n")

    apart(job)
    path.unlink()


ROOM = 4 * MB - 4096  # just below the cap of a header
CROWD = 124_500  # half of the cap of marks
BIG = 60 * MB


def wide() -> str:
    return json.dumps("\U0001f600" + "a" * (ROOM - 100))


def promised() -> bytes:
    """64 MB of zeros with a wrong digest."""
    entries = {"a": entry([1 << 24], 0, 1 << 26), "__metadata__": {"sha256": "0" * 64}}
    return raw_file(text_of(entries), bytes(1 << 26))


# What costs most when parsed, as headers.
HEADERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "lists": (lambda: raw_file(b'{"a":[' + b"[]," * (ROOM // 3) + b"[]]}"), "refused"),
    "objects": (lambda: raw_file(b'{"a":[' + b'{"a":0},' * 132_000 + b"0]}"), "refused"),
    "keys": (lambda: raw_file(text_of({f"{i:x}": 0 for i in range(CROWD)})), "refused"),
    "wide name": (lambda: raw_file(b'{"\\ud83d\\ude00' + b"a" * ROOM + b'":1}'), "refused"),
    "wide metadata": (lambda: sealed({}, b"", {"m": wide()}), "read"),
    "wide metadata, unescaped": (lambda: sealed({}, b"", {"m": json.loads(wide())}), "refused"),
    "lists in metadata": (lambda: sealed({}, b"", {"m": "[" + "[]," * CROWD + "[]]"}), "read"),
    "many tensors": (
        lambda: sealed({f"{i:05}": entry([0], 0, 0) for i in range(12_000)}, b""),
        "read",
    ),
    "64 MB, wrong digest": (promised, "refused"),
}

TEXTS: dict[str, Callable[[], bytes]] = {
    "60 MB of lists": lambda: b"[" + b"[]," * (BIG // 3) + b"[]]",
    "NaN behind 60 MB": lambda: b'["' + b"a" * BIG + b'",NaN]',
}


def main() -> None:
    torch.set_num_threads(1)
    path = Path(sys.argv[1]) / "x"
    measure("control", path, lambda _: bytearray(40 * MB), "read", lambda: b"1")
    for name, (make, wanted) in HEADERS.items():
        measure(name, path, store.load, wanted, make)
    for name, text in TEXTS.items():
        measure(name, path, store.read_json, "refused", text)

    def sparse() -> bytes:
        with path.with_name("sparse").open("wb") as file:
            file.truncate(1 << 30)
        return b"1"

    sparse_path = path.with_name("sparse")
    measure("a string of 1 GB", path, lambda _: store.read_json(sparse_path), "refused", sparse)
    sparse_path.unlink()
    tensors = path.with_name("tensors")
    apart(lambda: store.save(tensors, {"w": torch.ones(20 * MB)}) and None)
    measure("80 MB of tensors", path, store.load, "read", tensors.read_bytes)
    tensors.unlink()


if __name__ == "__main__":
    main()
