"""Mapped tensors are those of `load`, stay on disk, and are verified as strictly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from narrows import store
from narrows.errors import FileRefused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "floats": torch.randn(50, 7, generator=generator),
        "half": torch.randn(3, generator=generator).bfloat16(),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "truths": torch.tensor([True, False]),
        "one": torch.tensor(3),
        "none": torch.empty(0, 4),
    }
    store.save(tmp_path / "a", tensors, {"made": [1, 2]})
    return tmp_path / "a"


def test_they_are_the_tensors_of_load(path: Path) -> None:
    (read, told), (mapped, also) = store.load(path), store.load_mapped(path)
    assert told == also
    assert list(read) == list(mapped)
    for name, tensor in read.items():
        assert mapped[name].dtype == tensor.dtype
        assert torch.equal(mapped[name], tensor)


def test_writing_to_them_leaves_the_file(path: Path) -> None:
    before = path.read_bytes()
    store.load_mapped(path)[0]["floats"].zero_()
    assert path.read_bytes() == before


def test_any_flipped_bit_is_refused(path: Path) -> None:
    whole, chance = path.read_bytes(), np.random.default_rng(0)
    for _ in range(400):
        bad = bytearray(whole)
        bad[chance.integers(len(bad))] ^= 1 << int(chance.integers(8))
        path.write_bytes(bad)
        with pytest.raises(FileRefused):
            store.load_mapped(path)


def test_any_truncation_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FileRefused):
            store.load_mapped(path)
