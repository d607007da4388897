"""Builders of hostile files (F01, F05). Nothing is kept as a binary; each test builds its own.

A payload creates a marker file. Each attack names the reader that would run it, so that a test
can show that the payload is live before it counts as refused.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import pickle
import subprocess
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch


@dataclass(frozen=True)
class Attack:
    """A hostile file: its name, its bytes, and what would run it."""

    name: str
    suffix: str
    data: bytes
    run: Callable[[Path], object]


class Call:
    """An object whose unpickling calls `function(*arguments)`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.parts = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


class Stateful:
    """An object whose unpickling calls its class's `__setstate__`."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __getstate__(self) -> dict[str, str]:
        return {"marker": self.marker}

    def __setstate__(self, state: dict[str, str]) -> None:
        Path(state["marker"]).mkdir()


# --- what would run each kind -------------------------------------------------------------------


def unpickle(path: Path) -> object:
    return pickle.loads(path.read_bytes())  # noqa: S301 - shows that the payload is live


def unpickle_after(expand: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: pickle.loads(expand(path.read_bytes()))  # noqa: S301 - as above


def torch_load(path: Path) -> object:
    return torch.load(path, weights_only=False)


def numpy_load(path: Path) -> object:
    found = np.load(path, allow_pickle=True)
    return [found[name] for name in found.files] if hasattr(found, "files") else found


def first_zip_member(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(archive.namelist()[0])


def first_tar_member(data: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.extractfile(archive.getmembers()[0])
        assert member
        return member.read()


# --- containers -----------------------------------------------------------------------------------


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def tarred(name: str, data: bytes, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def joblibbed(value: object, folder: Path, compress: Any) -> bytes:
    path = folder / "joblib.tmp"
    joblib.dump(value, path, compress=compress)
    data = path.read_bytes()
    path.unlink()
    return data


# --- the attacks ----------------------------------------------------------------------------------


def pickles(marker: Path) -> Iterator[Attack]:
    """Every protocol, several ways to run something, and opcodes that no pickler writes today."""
    mark, touch = str(marker), f"touch {marker}"
    calls = {
        "os.system": Call(os.system, touch),
        "os.mkdir": Call(os.mkdir, mark),
        "exec": Call(exec, f"import os; os.mkdir({mark!r})"),
        "eval": Call(eval, f"__import__('os').mkdir({mark!r})"),
        "subprocess": Call(subprocess.call, ["touch", mark]),
        "open": Call(open, mark, "w"),
        "method": Call(getattr(Path(mark), "touch")),  # noqa: B009 - a bound method
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(calls["os.system"], protocol)
        yield Attack(f"os.system protocol {protocol}", ".pkl", data, unpickle)
    for name, call in calls.items():
        yield Attack(f"{name} in a list", ".pth", pickle.dumps([1, call]), unpickle)
    yield Attack("mapping key", ".pkl", pickle.dumps({"a": {"b": calls["exec"]}}, 2), unpickle)
    yield Attack("reduce chain", ".pkl", pickle.dumps(Call(map, print, [calls["eval"]])), unpickle)
    yield Attack("setstate", ".pkl", pickle.dumps(Stateful(mark), 4), unpickle)
    command = touch.encode()
    yield Attack("INST", ".pkl", b"(S'" + command + b"'\nios\nsystem\n.", unpickle)
    yield Attack("OBJ", ".pkl", b"(cos\nsystem\nS'" + command + b"'\no.", unpickle)
    yield Attack("GLOBAL", "", b"cposix\nsystem\n(S'" + command + b"'\ntR.", unpickle)
    opened = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(command)]) + command
    yield Attack("STACK_GLOBAL", ".bin", opened + b"\x85R.", unpickle)
    yield Attack("call, then nonsense", ".pkl", opened + b"\x85R\xff\xff", unpickle)


def archives(marker: Path) -> Iterator[Attack]:
    """The same inside what torch, tar, zip and the compressors write."""
    call = Call(os.system, f"touch {marker}")
    data = pickle.dumps(call)
    modern = saved(lambda file: torch.save({"state": call}, file))
    old = saved(lambda file: torch.save([call], file, _use_new_zipfile_serialization=False))
    for suffix in (".pt", ".pth", ".ckpt"):
        yield Attack(f"torch zip {suffix}", suffix, modern, torch_load)
    for suffix in (".pt", ".pth.tar"):
        yield Attack(f"torch legacy {suffix}", suffix, old, torch_load)
    zip_run, tar_run = unpickle_after(first_zip_member), unpickle_after(first_tar_member)
    yield Attack("zip of a pickle", ".zip", zipped("data.pkl", data), zip_run)
    yield Attack("zip behind other bytes", ".bin", b"{" * 600 + zipped("a", data), zip_run)
    yield Attack("tar of a pickle", ".pth.tar", tarred("pickle", data), tar_run)
    yield Attack("tar.gz of a pickle", ".tar.gz", tarred("pickle", data, "w:gz"), tar_run)
    yield Attack("gzip", ".pkl.gz", gzip.compress(data), unpickle_after(gzip.decompress))
    yield Attack("bzip2", ".pkl.bz2", bz2.compress(data), unpickle_after(bz2.decompress))
    yield Attack("xz", ".pkl.xz", lzma.compress(data), unpickle_after(lzma.decompress))
    yield Attack("zlib", ".pkl.z", zlib.compress(data), unpickle_after(zlib.decompress))


def arrays(marker: Path, folder: Path) -> Iterator[Attack]:
    """Object arrays of numpy, and joblib with each compressor of the standard library."""
    call = Call(os.system, f"touch {marker}")
    objects = np.array([call], dtype=object)
    yield Attack("npy", ".npy", saved(lambda f: np.save(f, objects, allow_pickle=True)), numpy_load)
    yield Attack("npz", ".npz", saved(lambda f: np.savez(f, a=objects)), numpy_load)
    packed = saved(lambda f: np.savez_compressed(f, a=objects))
    yield Attack("npz compressed", ".npz", packed, numpy_load)
    for compress in (0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)):
        data = joblibbed({"a": [call]}, folder, compress)
        yield Attack(f"joblib {compress}", ".joblib", data, joblib.load)
    data = joblibbed(objects, folder, 0)
    yield Attack("joblib object array", ".joblib", data, joblib.load)


def all_attacks(marker: Path, folder: Path) -> list[Attack]:
    return [*pickles(marker), *archives(marker), *arrays(marker, folder)]


def runs(attack: Attack, path: Path) -> None:
    """Open the file with the reader that runs it; whatever that reader says is of no interest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception):
            attack.run(path)


# --- abuse of the safetensors format (F05) --------------------------------------------------------


def raw_file(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    size = len(header) if length is None else length
    return size.to_bytes(8, "little") + header + data


def text_of(header: Any) -> bytes:
    """The canonical spelling, written a second time: sorted, no blanks, ASCII, padded."""
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def sealed(entries: dict[str, Any], data: bytes, notes: dict[str, Any] | None = None) -> bytes:
    """A file with a true digest over whatever it says: only its structure can give it away."""
    notes = dict(notes or {})
    seal = hashlib.sha256(text_of(entries | {"__metadata__": notes}) + data).hexdigest()
    return raw_file(text_of(entries | {"__metadata__": notes | {"sha256": seal}}), data)


def entry(shape: Any, start: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def abuses() -> dict[str, bytes]:
    """Files that break the format, most of them with a true digest."""
    good = entry([2], 0, 8)
    data = bytes(8)
    deep = "[" * 10_000 + "]" * 10_000
    whole = sealed({"a": good}, data)
    header, body = whole[8:-8], whole[-8:]
    two = {"a": good, "b": good}
    return {
        "header length 0": raw_file(b"", data, 0),
        "header length one less": raw_file(header, body, len(header) - 1),
        "header length one more": raw_file(header, body, len(header) + 1),
        "header length 2**63": raw_file(header, body, 1 << 63),
        "header length 2**64 - 1": raw_file(header, body, (1 << 64) - 1),
        "header length 100 MB": raw_file(header, body, 100 << 20),
        "header of 9 MB": raw_file(header + b" " * (9 << 20), body),
        "overlapping offsets": sealed(two, data),
        "overlap bomb": sealed({f"a{i}": good for i in range(5000)}, data),
        "partly overlapping": sealed({"a": good, "b": entry([2], 4, 12)}, bytes(12)),
        "gap": sealed({"a": good, "b": entry([2], 16, 24)}, bytes(24)),
        "gap at the start": sealed({"a": entry([2], 8, 16)}, bytes(16)),
        "bytes at the end": sealed({"a": good}, data + b"polyglot"),
        "one byte missing": sealed({"a": good}, data[:-1]),
        "offsets reversed": sealed({"a": entry([2], 8, 0)}, data),
        "offsets negative": sealed({"a": entry([2], -8, 0)}, data),
        "offsets as text": sealed({"a": entry([2], "0", "8")}, data),
        "offsets missing": sealed({"a": {"dtype": "F32", "shape": [2]}}, data),
        "order not ours": sealed({"a": entry([2], 8, 16), "b": good}, bytes(16)),
        "huge shape": sealed({"a": entry([1 << 62, 1 << 62], 0, 8)}, data),
        "product wraps to 2": sealed({"a": entry([(1 << 63) + 1, 2], 0, 8)}, data),
        "huge shape with a zero": sealed({"a": entry([0, 1 << 62, 1 << 62], 0, 0)}, b""),
        "huge single side": sealed({"a": entry([1 << 80, 0], 0, 0)}, b""),
        "bigger than the file": sealed({"a": entry([1 << 40], 0, 4 << 40)}, data),
        "negative side": sealed({"a": entry([-2], 0, 8)}, data),
        "two negative sides": sealed({"a": entry([-2, -1], 0, 8)}, data),
        "truth value as side": sealed({"a": entry([True, 2], 0, 8)}, data),
        "float as side": sealed({"a": entry([2.0], 0, 8)}, data),
        "text as shape": sealed({"a": entry("2", 0, 8)}, data),
        "no shape": sealed({"a": entry(None, 0, 8)}, data),
        "65 axes": sealed({"a": entry([1] * 64 + [2], 0, 8)}, data),
        "100,000 axes": sealed({"a": entry([1] * 100_000, 0, 4)}, bytes(4)),
        "unknown dtype": sealed({"a": entry([2], 0, 8, "F31")}, data),
        "list as dtype": sealed({"a": entry([2], 0, 8, ["F32"])}, data),
        "entry is a list": sealed({"a": [1, 2]}, data),
        "entry has more fields": sealed({"a": good | {"code": "x"}}, data),
        "header is a list": raw_file(b"[]      "),
        "header is a number": raw_file(b"{" + b"1" * 7),
        "duplicate tensor": raw_file(header.replace(b'{"__m', b'{"a":{},"__m', 1), body),
        "duplicate metadata": raw_file(header.replace(b'"a":', b'"__metadata__":{},"a":', 1), body),
        "duplicate field": raw_file(header.replace(b'"dtype"', b'"shape":[2],"dtype"', 1), body),
        "blanks inside": raw_file(header.replace(b":", b": ", 1), body),
        "padded by a tab": raw_file(header.rstrip() + b"\t", body),
        "padded by 8 more": raw_file(header + b" " * 8, body),
        "escape of a plain letter": raw_file(header.replace(b'"a":', b'"\\u0061":', 1), body),
        "UTF-16": raw_file(header.decode().encode("utf-16"), body),
        "byte order mark": raw_file(b"\xef\xbb\xbf" + header, body),
        "not UTF-8": raw_file(header.replace(b'"a":', b'"\xff":', 1), body),
        "lone surrogate as name": sealed({"\ud800": good}, data),
        "lone surrogate in metadata": sealed({"a": good}, data, {"\udfff": "1"}),
        "NUL": raw_file(header.replace(b'"a":', b'"\0":', 1), body),
        "depth 10,000": raw_file(b'{"a":' + deep.encode() + b"}", body),
        "depth 10,000 objects": raw_file(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, body),
        "depth 4 million": raw_file(b'{"a":' + b"[" * (4 << 20), body),
        "depth 65 in metadata": sealed({"a": good}, data, {"m": "[" * 66 + "]" * 66}),
        "depth 10,000 in metadata": sealed({"a": good}, data, {"m": deep}),
        "NaN in metadata": sealed({"a": good}, data, {"m": "NaN"}),
        "infinity in metadata": sealed({"a": good}, data, {"m": "-Infinity"}),
        "1e999 in metadata": sealed({"a": good}, data, {"m": "1e999"}),
        "duplicate key in metadata": sealed({"a": good}, data, {"m": '{"k":1,"k":2}'}),
        "metadata with blanks": sealed({"a": good}, data, {"m": "[1, 2]"}),
        "metadata in other spelling": sealed({"a": good}, data, {"m": "1.00"}),
        "metadata not JSON": sealed({"a": good}, data, {"m": "cos\nsystem"}),
        "metadata not ASCII": sealed({"a": good}, data, {"m": '"é"'}),
        "metadata is a number": sealed({"a": good}, data, {"m": 1}),
        "integer of 5,000 digits": sealed({"a": good}, data, {"m": "1" * 5000}),
        "no digest": raw_file(text_of({"a": good}), data),
        "no digest, metadata": raw_file(text_of({"a": good, "__metadata__": {"x": "1"}}), data),
        "metadata is a list": raw_file(text_of({"a": good, "__metadata__": []}), data),
        "digest in capitals": upper_seal(whole),
        "digest cut": raw_file(header[:-1].replace(b'"sha256":"', b'"sha256":"0', 1) + b" ", body),
        "digest of another file": raw_file(header, bytes([1]) + body[1:]),
        "truth values of 2": sealed({"a": entry([8], 0, 8, "BOOL")}, bytes([2] * 8)),
    }


def upper_seal(whole: bytes) -> bytes:
    at = whole.index(b'"sha256":"') + len(b'"sha256":"')
    return whole[:at] + whole[at : at + 64].upper() + whole[at + 64 :]
