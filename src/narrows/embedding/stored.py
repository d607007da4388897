"""Embed the rows of a data set once: features go to disk, keyed by what they were made from.

A row is known by the digest of its picture's file, of its text or of its pixels, so rows that
stand twice, in another order or in another split are computed once. A second run computes
nothing and does not even load the backbone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows import store
from narrows.data.embedded import SHARDS, as_keys, load_embedded, open_shards, save_rows
from narrows.data.images import ImageColumn, read_image
from narrows.data.prepare import prepare
from narrows.data.record import Dataset, Examples
from narrows.data.texts import TextColumn
from narrows.embedding.backbone import Backbone, find_folder, identity_of, load_backbone
from narrows.errors import InvalidInput, wrong

MODEL = "model.json"
SHARD = 1024  # rows: at most so many are computed again after a kill


def embed(
    data: Dataset,
    model: str,
    folder: str | Path,
    *,
    pool: str = "auto",
    batch_size: int = 32,
    device: str | None = None,
    download: bool = False,
    progress: Any = None,
) -> Dataset:
    """Replace pictures or texts by features of a pretrained model.

    Features are kept in `folder` in shards of 1,024 rows, each written whole or not at all:
    after a kill the same call goes on. Embedding the data again with more rows computes only
    those.

    Memory: the backbone, a batch, and a shard; then see `load_embedded`.

    Args:
        data: pictures or texts; see `load`.
        model: a folder of the Transformers library, or the id of one downloaded earlier.
        folder: where features are kept.
        pool: `auto`, `cls`, `mean` or `pooler`; see `backbone.pooled`.
        batch_size: rows at a time through the backbone.
        device: where the backbone runs.
        download: fetch the id from the hub where it is missing.
        progress: a started `rich.progress.Progress`, or None.

    Returns:
        The data set with features `(rows, dim)` in place of its inputs.

    Raises:
        InvalidInput: neither pictures nor texts, or a folder of another model or pooling.
        FileRefused: a model or a shard that cannot be read.
        MissingExtra: transformers is not installed.
    """
    if batch_size < 1:
        raise wrong("batch_size", batch_size, "at least 1")
    home = Path(folder)
    (home / SHARDS).mkdir(parents=True, exist_ok=True)
    with store.lock(home):
        source = find_folder(model, download)
        identity = identity_of(source, pool)
        _check_same(home, identity)
        missing = _missing(data, open_shards(home)[1])
        if missing:
            store.write_json(home / MODEL, identity)
            backbone = load_backbone(source, pool, device)
            _check_kind(backbone, data.train)
            _compute(backbone, missing, home / SHARDS, batch_size, progress)
        settings = {
            "source": "embedding",
            "embedding": {"model": str(model), "pool": pool, "digest": store.digest(identity)},
            "raw": dict(data.settings),
        }
        settings |= {k: data.settings[k] for k in ("classes", "concepts") if k in data.settings}
        save_rows(
            home,
            data,
            {
                "name": data.name,
                "classes": list(data.classes),
                "concepts": {
                    "names": list(data.concepts.names),
                    "groups": [list(group) for group in data.concepts.groups],
                },
                "settings": settings,
            },
        )
    return load_embedded(home)


def embed_rows(source: Any, settings: Mapping[str, Any], batch_size: int = 32) -> Examples:
    """Prepare and embed new rows just as those of an embedded data set; nothing is kept.

    Args:
        source: a table like the one the data set came from.
        settings: of the embedded data set.
        batch_size: rows at a time.

    Raises:
        InvalidInput: the model's files are no longer those the data were embedded with.
    """
    told = settings["embedding"]
    home = find_folder(told["model"])
    if store.digest(identity_of(home, told["pool"])) != told["digest"]:
        raise wrong("model", f"other files in {home}", "those the data were embedded with")
    rows = prepare(source, settings["raw"])
    backbone, inputs = load_backbone(home, told["pool"]), _inputs(rows)
    _check_kind(backbone, rows)
    parts = [
        backbone([inputs[i] for i in which.tolist()])
        for which in torch.arange(len(rows)).split(batch_size)
    ]
    return Examples(torch.cat(parts), rows.y, rows.c, rows.classes, rows.concepts, rows.ids)


@dataclass(frozen=True)
class _Row:
    """A row whose features are not there yet."""

    inputs: _Pictures | tuple[str, ...]
    number: int
    digest: str


def _missing(data: Dataset, known: Iterable[bytes]) -> list[_Row]:
    """The first row of each digest that has no features."""
    seen = set(known)
    missing = []
    for split in data.splits.values():
        inputs = _inputs(split)
        for number, digest in enumerate(split.digests()):
            key = bytes.fromhex(digest)
            if key not in seen:
                seen.add(key)
                missing.append(_Row(inputs, number, digest))
    return missing


def _length(row: _Row) -> int:
    return len(row.inputs[row.number]) if isinstance(row.inputs, tuple) else 0


def _compute(
    backbone: Backbone, missing: Sequence[_Row], shards: Path, batch_size: int, progress: Any
) -> None:
    """Write the features of missing rows, shard by shard."""
    task = None if progress is None else progress.add_task("embed", total=len(missing))
    number = len(list(shards.glob("*.safetensors")))
    # Texts of like length share a batch, so that little of it is padding.
    missing = sorted(missing, key=_length)
    for start in range(0, len(missing), SHARD):
        part, features = missing[start : start + SHARD], []
        for first in range(0, len(part), batch_size):
            batch = part[first : first + batch_size]
            features.append(backbone([row.inputs[row.number] for row in batch]))
            if progress is not None:
                progress.advance(task, len(batch))
        tensors = {"features": torch.cat(features), "keys": as_keys([r.digest for r in part])}
        store.save(shards / f"{number:06}.safetensors", tensors)
        number += 1


class _Pictures:
    """Pixels `(height, width, 3)` uint8 by row: files at their own size, tensors as they are."""

    def __init__(self, x: ImageColumn | Tensor) -> None:
        self.x = x

    def __getitem__(self, row: int) -> np.ndarray:
        if isinstance(self.x, ImageColumn):
            return read_image(self.x.paths[row])
        pixels = (self.x[row].clamp(0, 1) * 255).round().to(torch.uint8)
        return pixels.expand(3, -1, -1).permute(1, 2, 0).numpy()


def _inputs(split: Examples) -> _Pictures | tuple[str, ...]:
    x = split.x
    if isinstance(x, TextColumn):
        return x.texts
    if isinstance(x, ImageColumn) or (isinstance(x, Tensor) and x.ndim == 4):
        if x.shape[1] not in (1, 3):
            raise wrong("x", f"{x.shape[1]} channels", "pictures of 1 or 3 channels")
        return _Pictures(x)
    found = f"rows of shape {tuple(x.shape[1:])}"
    raise wrong("x", found, "pictures (a column 'image') or texts (--load text=COLUMN)")


def _check_kind(backbone: Backbone, split: Examples) -> None:
    given = "texts" if isinstance(split.x, TextColumn) else "images"
    if backbone.sees != given:
        raise wrong("model", f"one that sees {backbone.sees}", f"one for {given}")


def _check_same(home: Path, identity: Mapping[str, Any]) -> None:
    path = home / MODEL
    if not path.exists():
        return
    before = store.read_json(path)
    if before != identity:
        changed = [
            name
            for name in sorted({*before["files"], *identity["files"]})
            if before["files"].get(name) != identity["files"].get(name)
        ]
        if before["pool"] != identity["pool"]:
            changed.append(f"pool was {before['pool']!r}, now {identity['pool']!r}")
        raise InvalidInput(
            f"folder: found features of another model in {home} (differs: {', '.join(changed)}), "
            "wanted the same model or another folder"
        )
