"""Data sets whose features a backbone gave: a folder of shards, read without the backbone.

embedding.json       what the rows are: backbone, classes, concepts, sizes; written last
rows.safetensors     of each split: which features, labels, concepts, ids
shards/*.safetensors features, and the digest of what each was made from
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows import store
from narrows.data.record import Concepts, Dataset, Examples
from narrows.errors import FileRefused, wrong

RECORD, ROWS, SHARDS = "embedding.json", "rows.safetensors", "shards"
FORMAT = 1
BUDGET = 2**31  # bytes of features that are taken into memory; more stay on disk
_SPLITS = ("train", "val", "test")


class StoredFeatures:
    """Rows of features in shards on disk, read where they are asked for.

    Args:
        shards: tensors `(rows, dim)`, as `store.load_mapped` gives them.
        where: `(n, 2)` int64, shard and row of each row.

    Example:
        >>> column = StoredFeatures([torch.zeros(2, 3), torch.ones(1, 3)], torch.tensor([[1, 0]]))
        >>> column[torch.tensor([0, 0])].sum(), column.shape
        (tensor(6.), (1, 3))
    """

    def __init__(self, shards: Sequence[Tensor], where: Tensor) -> None:
        self.shards, self.where = tuple(shards), where
        self._device = torch.device("cpu")

    @property
    def shape(self) -> tuple[int, int]:
        """`(rows, dim)`."""
        return len(self.where), self.shards[0].shape[1]

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """`(len(rows), dim)` float32."""
        which = self.where[rows.cpu() if isinstance(rows, Tensor) else rows]
        found = torch.empty(len(which), self.shape[1])
        for shard in which[:, 0].unique().tolist():
            here = which[:, 0] == shard
            found[here] = self.shards[shard][which[here, 1]].float()
        return found.to(self._device)

    def take(self, rows: Tensor | slice) -> StoredFeatures:
        """Some rows, from the same shards."""
        taken = StoredFeatures(
            self.shards, self.where[rows.cpu() if isinstance(rows, Tensor) else rows]
        )
        taken._device = self._device
        return taken

    def to(self, device: torch.device | str) -> StoredFeatures:
        """A column whose rows come out on another device."""
        moved = StoredFeatures(self.shards, self.where)
        moved._device = torch.device(device)
        return moved


def is_embedded(folder: str | Path) -> bool:
    """Whether a folder holds an embedded data set."""
    return (Path(folder) / RECORD).is_file()


def open_shards(folder: str | Path) -> tuple[list[Tensor], dict[bytes, tuple[int, int]]]:
    """The features of all shards, and where those of each digest are.

    Raises:
        FileRefused: a shard that is damaged, or is not one.
    """
    features: list[Tensor] = []
    places: dict[bytes, tuple[int, int]] = {}
    for number, path in enumerate(sorted((Path(folder) / SHARDS).glob("*.safetensors"))):
        tensors, _ = store.load_mapped(path)
        if set(tensors) != {"features", "keys"} or len(tensors["features"]) != len(tensors["keys"]):
            raise FileRefused(f"{path}: found {sorted(tensors)}, wanted a shard of features")
        features.append(tensors["features"])
        for row, key in enumerate(tensors["keys"].numpy()):
            places[key.tobytes()] = (number, row)
    return features, places


def save_rows(folder: str | Path, data: Dataset, record: dict[str, Any]) -> None:
    """Write which rows a data set has; their features must be in the shards already."""
    tensors: dict[str, Tensor] = {}
    for name, split in data.splits.items():
        tensors[f"{name}.keys"] = as_keys(split.digests())
        tensors[f"{name}.y"] = split.y.cpu()
        if split.c is not None:
            tensors[f"{name}.c"] = split.c.cpu()
        if split.ids is not None:
            tensors[f"{name}.ids"] = _packed(split.ids)
    store.save(Path(folder) / ROWS, tensors)
    store.write_json(Path(folder) / RECORD, {"format": FORMAT, **record})


def load_embedded(folder: str | Path, budget: int = BUDGET) -> Dataset:
    """Read an embedded data set; the backbone is not needed.

    Memory: the features where they take at most `budget` bytes; else they stay on disk.

    Args:
        folder: what `narrows embed` wrote.
        budget: bytes.

    Raises:
        FileRefused: a file that is missing or damaged, or of a newer format.
    """
    home = Path(folder)
    record = store.read_json(home / RECORD)
    if record.get("format") != FORMAT:
        raise FileRefused(f"{home / RECORD}: found format {record.get('format')}, wanted {FORMAT}")
    shards, places = open_shards(home)
    rows, _ = store.load(home / ROWS)
    schema = Concepts(
        tuple(record["concepts"]["names"]), tuple(map(tuple, record["concepts"]["groups"]))
    )
    classes = tuple(record["classes"])
    parts = {}
    for name in _SPLITS:
        keys = rows[f"{name}.keys"].numpy()
        try:
            where = torch.tensor([places[key.tobytes()] for key in keys]).reshape(-1, 2)
        except KeyError:
            raise FileRefused(
                f"{home}: a shard of features is missing; run narrows embed again"
            ) from None
        column = StoredFeatures(shards, where)
        small = where.numel() // 2 * shards[0].shape[1] * 4 <= budget
        ids = rows.get(f"{name}.ids")
        parts[name] = Examples(
            column[slice(None)] if small else column,
            rows[f"{name}.y"],
            rows.get(f"{name}.c"),
            classes,
            schema,
            None if ids is None else _unpacked(ids),
        )
    return Dataset(record["name"], **parts, settings=record["settings"])


def as_keys(digests: Sequence[str]) -> Tensor:
    """`(n, 32)` uint8 of hexadecimal digests."""
    raw = b"".join(map(bytes.fromhex, digests))
    return torch.from_numpy(np.frombuffer(bytearray(raw), np.uint8).reshape(-1, 32))


def _packed(ids: Sequence[str]) -> Tensor:
    if any("\0" in one for one in ids):
        raise wrong("ids", "a NUL character", "ids without one")
    return torch.from_numpy(np.frombuffer(bytearray("\0".join(ids).encode()), np.uint8))


def _unpacked(raw: Tensor) -> tuple[str, ...]:
    return tuple(raw.numpy().tobytes().decode().split("\0"))
