"""Fashion-MNIST's files and the facts read off its pictures."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from narrows.data.fashion import ATTRIBUTES, CLASSES, PACKAGE, fashion_attributes, picture_facts
from narrows.errors import FileRefused, InvalidInput


def write(path: Path, array: np.ndarray, magic: int) -> None:
    head = struct.pack(f">{1 + array.ndim}I", magic, *array.shape)
    with gzip.open(path, "wb") as file:
        file.write(head + array.astype(np.uint8).tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, rows in (("train", 60), ("t10k", 20)):
        write(
            tmp_path / f"{split}-images-idx3-ubyte.gz", rng.integers(0, 256, (rows, 28, 28)), 2051
        )
        write(tmp_path / f"{split}-labels-idx1-ubyte.gz", np.arange(rows) % 10, 2049)
    return tmp_path


def test_a_miniature_of_the_layout_loads(folder: Path) -> None:
    data = fashion_attributes(folder, sizes=(40, 20, 20))
    assert data.train.x.shape == (40, 1, 28, 28)
    assert data.test.labels[:3] == list(CLASSES[:3])
    name = np.array(data.test.labels)
    boots = data.test.c[name == "ankle boot"]
    assert (boots[:, ATTRIBUTES.index("above ankle")] == 1).all()
    coat, shirt = (data.test.c[name == k, : len(ATTRIBUTES)][0] for k in ("coat", "shirt"))
    assert coat.equal(shirt)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
def test_a_missing_file_is_named_with_where_to_get_it(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: no such file; Debian's package"):
        fashion_attributes(folder, sizes=(40, 20, 20))


def test_damaged_files_are_refused(folder: Path) -> None:
    path = folder / "train-labels-idx1-ubyte.gz"
    for content in (b"PK\x03\x04", path.read_bytes()[:-6], gzip.compress(b"\0" * 50)):
        path.write_bytes(content)
        with pytest.raises(FileRefused, match="train-labels"):
            fashion_attributes(folder, sizes=(40, 20, 20))


def test_more_pictures_than_there_are_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="sizes"):
        fashion_attributes(folder, sizes=(50, 20, 20))


def test_the_facts_are_what_they_say_on_drawn_pictures() -> None:
    pictures = np.zeros((4, 28, 28), np.uint8)
    pictures[0, 2:26, 12:16] = 200  # a tall, full, symmetric bar
    pictures[1, 12:16, 2:26] = 100  # a wide one
    pictures[2, 4:24, 4:24] = 50
    pictures[2, 6:22, 6:22] = 0  # a hollow frame
    pictures[3, 5:9, 1:5] = 255  # a spot on the left
    facts = picture_facts(pictures, (9_000.0, 120.0))
    assert facts.tolist() == [
        [1, 1, 1, 1, 0],
        [0, 1, 0, 1, 0],
        [0, 0, 0, 1, 1],
        [0, 0, 1, 0, 0],
    ]


@pytest.mark.skipif(not PACKAGE.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_files_have_the_published_sizes() -> None:
    data = fashion_attributes(sizes=(50_000, 10_000, 10_000))
    assert data.test.y.bincount().tolist() == [1000] * 10
    assert 0.28 < float(data.train.x.mean()) < 0.29
