"""The header of a self-verifying safetensors file: for given contents there is exactly one."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping

import torch

from narrows.errors import FileRefused
from narrows.store.atomic import fill
from narrows.store.canonical import JSON, canonical, parse
from narrows.store.kinds import HEAD, UNKNOWN, kind

SEAL = "sha256"
NOTES = "__metadata__"
MOST_HEADER = 4 << 20  # bounds what reading it can cost; the format itself allows 100 MB
DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "U16": torch.uint16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "I64": torch.int64,
    "U64": torch.uint64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
TAGS = {dtype: tag for tag, dtype in DTYPES.items()}

Shapes = dict[str, tuple[str, tuple[int, ...]]]  # name -> dtype tag and shape


def order(shapes: Shapes) -> list[str]:
    """Order names so that every tensor is aligned to its item size: wide items first."""
    return sorted(shapes, key=lambda name: (-DTYPES[shapes[name][0]].itemsize, name))


def size_of(tag: str, shape: tuple[int, ...]) -> int:
    """Return the bytes that a tensor of this dtype and shape takes."""
    return math.prod(shape) * DTYPES[tag].itemsize


def header_of(shapes: Shapes, notes: Mapping[str, str]) -> bytes:
    """Return the one header for these tensors and metadata, padded to eight bytes."""
    entries: dict[str, JSON] = {NOTES: notes}
    end = 0
    for name in order(shapes):
        tag, shape = shapes[name]
        start, end = end, end + size_of(tag, shape)
        entries[name] = {"dtype": tag, "shape": shape, "data_offsets": (start, end)}
    text = canonical(entries)
    return text + b" " * (-len(text) % 8)


def read_header(file: io.FileIO) -> tuple[Shapes, dict[str, str], str]:
    """Read and check the header; the file stands at the first tensor afterwards.

    Returns:
        Dtype and shape by name, metadata texts by key, and the digest that the file claims.

    Raises:
        FileRefused: not safetensors, not the header that `header_of` gives, or not the size that
            it promises.
    """
    where = str(file.name)
    size = os.fstat(file.fileno()).st_size
    head = file.read(HEAD) or b""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{":
        raise FileRefused(f"{where}: {kind(head)}")
    if length > size - 8:
        raise FileRefused(f"{where}: {UNKNOWN}")
    if length > MOST_HEADER:
        raise FileRefused(f"{where}: a header of {length:,} bytes, at most {MOST_HEADER:,}")
    raw = bytearray(length)
    file.seek(8)
    fill(file, memoryview(raw))
    if not raw.isascii():
        raise FileRefused(f"{where}: its header is damaged: it is not ASCII")
    shapes, notes = _understand(raw.decode("ascii"), where)
    if SEAL not in notes:
        raise FileRefused(
            f"{where}: it has no digest, so damage would go unseen; if you trust it, read it with "
            "safetensors.torch.load_file and write it with narrows.store.save"
        )
    if header_of(shapes, notes) != raw:
        raise FileRefused(
            f"{where}: its header is damaged or forged: offsets, order or spelling are not those "
            "of its tensors"
        )
    found, promised = size - 8 - length, sum(size_of(*entry) for entry in shapes.values())
    if found != promised:
        raise FileRefused(f"{where}: damaged: {found:,} bytes of tensors instead of {promised:,}")
    seal = notes.pop(SEAL)
    return shapes, notes, seal


def _understand(text: str, where: str) -> tuple[Shapes, dict[str, str]]:
    """Take dtypes, shapes and metadata out of a header, believing nothing else of it."""
    entries = parse(text, where)
    notes = entries.pop(NOTES, {}) if isinstance(entries, dict) else None
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise FileRefused(f"{where}: its {NOTES} is not a mapping to text")
    shapes: Shapes = {}
    for name, entry in entries.items():
        match entry:
            case {"dtype": str(tag), "shape": list(shape)} if tag in DTYPES and _fits(shape):
                shapes[name] = (tag, tuple(shape))
            case _:
                raise FileRefused(f"{where}: the entry of {name[:80]!r} is not a dtype and a shape")
    if not all(map(is_unicode, [*shapes, *notes])):
        raise FileRefused(f"{where}: a name in its header is not Unicode")
    return shapes, notes


def is_unicode(name: str) -> bool:
    """Tell whether a name has no lone surrogates, which other readers refuse."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _fits(shape: list[object]) -> bool:
    """Accept what torch can hold, whose strides must not overflow even where an axis is 0 long."""
    sides = [side for side in shape if type(side) is int and side >= 0]
    room = math.prod(max(side, 1) for side in sides)
    return len(sides) == len(shape) <= 64 and room < 1 << 60
