"""No file runs code, and no file that breaks the format is read (F01, F05)."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load as plain_load

from narrows import store
from narrows.errors import FileRefused

from .attacks import Call, abuses, all_attacks, entry, runs, sealed

ABUSES = abuses()


def test_no_payload_runs_whatever_the_file_is_called_and_each_is_live(tmp_path: Path) -> None:
    marker, place = tmp_path / "marker", tmp_path / "files"
    place.mkdir()
    found = all_attacks(marker, tmp_path)
    assert len(found) >= 40
    assert len({attack.name for attack in found}) == len(found)
    for attack in found:
        for suffix in (attack.suffix, ".safetensors", ".json", ""):
            path = place / f"model{suffix}"
            path.write_bytes(attack.data)
            for read in (store.load, store.read_json):
                with pytest.raises(FileRefused, match="model") as caught:
                    read(path)
                assert not marker.exists(), f"{attack.name} ran in {read.__name__}"
                if read is store.load:
                    assert "narrows.store.save" in str(caught.value), attack.name
            assert len(store.file_digest(path)) == 64
            assert not marker.exists(), f"{attack.name} ran in file_digest"
        runs(attack, path)
        assert marker.exists(), f"{attack.name} is a dud: the test would prove nothing"
        marker.rmdir() if marker.is_dir() else marker.unlink()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("torch zip .pt", "zip archive"),
        ("torch legacy .pth.tar", "a pickle"),
        ("tar of a pickle", "tar archive"),
        ("npy", "numpy array file"),
        ("npz", "zip archive"),
        ("joblib 0", "a pickle"),
        ("joblib ('zlib', 3)", "zlib data"),
        ("joblib ('gzip', 3)", "gzip data"),
        ("joblib ('bz2', 3)", "bzip2 data"),
        ("joblib ('xz', 3)", "xz data"),
        ("joblib ('lzma', 3)", "lzma data"),
        ("GLOBAL", "an old pickle has no mark"),
    ],
)
def test_the_refusal_says_what_the_file_is(tmp_path: Path, name: str, what: str) -> None:
    (attack,) = [a for a in all_attacks(tmp_path / "m", tmp_path) if a.name == name]
    (tmp_path / "x.safetensors").write_bytes(attack.data)
    with pytest.raises(FileRefused, match=what):
        store.load(tmp_path / "x.safetensors")


def test_text_that_starts_like_a_compressor_is_not_called_one(tmp_path: Path) -> None:
    for text in ("xyz", "x", "\x80 sign", "PK", "words of any kind, {braces} too", "cut: {"):
        (tmp_path / "x").write_text(text, encoding="latin-1")
        with pytest.raises(FileRefused, match="cut short, or not a safetensors file"):
            store.load(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(FileRefused, match="empty"):
        store.load(tmp_path / "x")


def test_a_pickle_inside_a_valid_file_stays_bytes(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    payload = pickle.dumps(Call(os.mkdir, str(marker)))
    tensor = torch.frombuffer(bytearray(payload), dtype=torch.uint8)
    hostile = {"py/object": "os.system", "__reduce__": payload.hex(), "!!python": "eval('1')"}
    store.save(tmp_path / "a", {"data.pkl": tensor}, hostile)
    store.write_json(tmp_path / "b", hostile)
    tensors, metadata = store.load(tmp_path / "a")
    assert bytes(tensors["data.pkl"].numpy()) == payload
    assert metadata == hostile == store.read_json(tmp_path / "b")
    assert not marker.exists()


def test_the_builder_of_abuses_writes_valid_files_when_it_tells_the_truth(tmp_path: Path) -> None:
    data = torch.tensor([1.0, 2.0]).numpy().tobytes()
    path = tmp_path / "a"
    path.write_bytes(sealed({"a": entry([2], 0, 8)}, data, {"m": '{"k":[1,null]}'}))
    tensors, metadata = store.load(path)
    assert tensors["a"].tolist() == [1.0, 2.0]
    assert metadata == {"m": {"k": [1, None]}}
    path.write_bytes(sealed({"a": entry([8], 0, 8, "BOOL")}, bytes([1, 0] * 4)))
    assert store.load(path)[0]["a"].tolist() == [True, False] * 4


@pytest.mark.parametrize("name", ABUSES)
def test_a_file_that_breaks_the_format_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(ABUSES[name])
    with pytest.raises(FileRefused, match=r"model\.safetensors") as caught:
        store.load(path)
    assert len(str(caught.value)) < 600, "the message must not carry the payload"


def test_a_long_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.write(((9 << 20) + 1).to_bytes(8, "little") + b"{")
        file.truncate(10 << 20)
    with pytest.raises(FileRefused, match="a header of 9,437,185 bytes, at most 4,194,304"):
        store.load(path)


def test_every_file_that_the_format_refuses_is_refused_here_too(tmp_path: Path) -> None:
    """The reference reader is the oracle: what it refuses must be among what we refuse."""
    refused = 0
    for data in ABUSES.values():
        try:
            plain_load(data)
        except (SafetensorError, RuntimeError, TypeError, ValueError, KeyError, AttributeError):
            refused += 1
    assert 30 < refused < len(ABUSES), "we must be stricter than the format, not looser"


JSON_ABUSES = {
    "depth 10,000": b"[" * 10_000 + b"]" * 10_000,
    "depth 10,000 objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "depth 66": b"[" * 66 + b"]" * 66,
    "NaN": b'{"a":NaN}',
    "infinity": b"[-Infinity]",
    "1e999": b"[1e999]",
    "-1e999": b"[1,2,-1e999]",
    "duplicate key": b'{"a":1,"b":2,"a":1}',
    "duplicate key by escape": b'{"a":1,"\\u0061":1}',
    "duplicate key deep": b'{"x":[{"a":1,"a":1}]}',
    "empty": b"",
    "two values": b"1 2",
    "cut": b'{"a":[1,2',
    "trailing comma": b"[1,]",
    "comment": b"[1] // one",
    "single quotes": b"{'a':1}",
    "not UTF-8": b'"\xff"',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "control letter": b'"\x01"',
    "integer of 5,000 digits": b"1" * 5000,
    "1,000,000 values": b"[" + b"0," * 1_000_000 + b"0]",
}


@pytest.mark.parametrize("name", JSON_ABUSES)
def test_json_that_cannot_be_trusted_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(JSON_ABUSES[name])
    with pytest.raises(FileRefused, match=r"run\.json") as caught:
        store.read_json(path)
    assert len(str(caught.value)) < 400


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_peak_memory_of_a_refusal_is_below_twice_the_file_and_64_mb(tmp_path: Path) -> None:
    child = Path(__file__).with_name("memory_child.py")
    done = subprocess.run(
        [sys.executable, child, tmp_path], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 12
    for row in rows:
        assert row["outcome"] == row["wanted"], row
        assert row["peak"] < 2 * row["size"] + (64 << 20), row
    control = [row for row in rows if row["name"] == "control"]
    assert control[0]["peak"] > 30 << 20, "the meter does not see memory"
