"""Safetensors files that prove themselves.

The layout is plain safetensors, and any reader of that format opens it: eight bytes of header
length, a JSON header, the tensors. Two things are added. The header is canonical: for given names,
dtypes, shapes and metadata there is exactly one, so a file is compared with the only header it may
have instead of being searched for each way to go wrong. And its metadata holds, under `sha256`,
the digest of that header without the digest, followed by the tensors.
"""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.errors import FileRefused, wrong, wrong_type
from narrows.store.atomic import STEP, AnyPath, fill, opened, replace
from narrows.store.canonical import JSON, canonical, oversize, parse
from narrows.store.layout import (
    DTYPES,
    MOST_HEADER,
    NOTES,
    SEAL,
    TAGS,
    Shapes,
    header_of,
    is_unicode,
    order,
    read_header,
    size_of,
)


def save(
    path: AnyPath, tensors: Mapping[str, Tensor], metadata: Mapping[str, JSON] | None = None
) -> str:
    """Write tensors and metadata to one self-verifying safetensors file, atomically.

    Equal input gives equal bytes. Each name gets its own copy of its values, also when tensors
    share memory. Nothing may change the tensors meanwhile: such a file fails its own check.

    Args:
        path: the file to replace; its folder must exist.
        tensors: dense real tensors of any shape, device and stride.
        metadata: JSON values; each is kept as JSON text in the file's `__metadata__`.

    Returns:
        The digest in the file, equal to `fingerprint(tensors, metadata)`.

    Memory: twice the largest tensor.

    Raises:
        InvalidType: complex, sparse or quantised tensors, keys that are not text, not JSON.
        InvalidInput: a reserved name, or more than 4 MB of names and metadata.
        WriteFailed: the file could not be written; the earlier one is untouched.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = folder + "/model.safetensors"
        ...     seal = save(path, {"weight": torch.eye(2)}, {"classes": ["cat", "dog"]})
        ...     tensors, metadata = load(path)
        >>> metadata["classes"], tensors["weight"].tolist()
        (['cat', 'dog'], [[1.0, 0.0], [0.0, 1.0]])
    """
    shapes, notes = _shapes(tensors), _notes(metadata or {})
    seal = fingerprint(tensors, metadata)
    header = header_of(shapes, notes | {SEAL: seal})
    if too_large := oversize(header.decode("ascii"), MOST_HEADER):
        raise wrong("tensors and metadata", too_large, "less")

    def chunks() -> Iterator[memoryview]:
        yield memoryview(len(header).to_bytes(8, "little") + header)
        for name in order(shapes):
            yield _bytes(tensors[name])

    def check(file: io.FileIO) -> None:
        found, known, claimed = read_header(file)
        deque(_stream(file, found, known, claimed), maxlen=0)
        if claimed != seal:
            raise FileRefused("the disk returned another file than was written")

    replace(path, chunks(), check)
    return seal


def fingerprint(tensors: Mapping[str, Tensor], metadata: Mapping[str, JSON] | None = None) -> str:
    """Return the digest that `save` writes for these tensors and metadata.

    Errors as in `save`.

    Example:
        >>> fingerprint({"a": torch.zeros(2)}) == fingerprint({"a": torch.zeros(2, 1)})
        False
    """
    shapes = _shapes(tensors)
    sha = hashlib.sha256(header_of(shapes, _notes(metadata or {})))
    for name in order(shapes):
        sha.update(_bytes(tensors[name]))
    return sha.hexdigest()


def load(
    path: AnyPath, device: str | torch.device = "cpu"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `save` wrote; nothing is returned before all of it is verified.

    Whether values are finite is a question of its own: see `check_finite`.

    Memory: the size of the file, and at most 64 MB for its header.

    Raises:
        FileMissing: there is no such file.
        FileRefused: a pickle, an archive or anything else that is not safetensors, whatever its
            name; a file without digest; a damaged, truncated or forged one.
        InvalidInput: a device that is unknown or absent.
    """
    try:
        place = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:  # torch asserts that CUDA is there
        raise wrong("device", repr(device), "a torch device that works here") from error
    with opened(path) as file:
        shapes, notes, seal = read_header(file)
        tensors = dict(_stream(file, shapes, notes, seal))
    return {name: tensor.to(place) for name, tensor in tensors.items()}, _metadata(notes, path)


def load_mapped(path: AnyPath) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """`load`, with tensors that stay on disk and come into memory where they are touched.

    The file is read once in pieces, to verify it. Writing to the tensors does not change it.

    Memory: what is touched; the system may keep more of the file while there is room.

    Raises:
        As `load`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save(f"{folder}/a", {"w": torch.arange(3)})
        ...     load_mapped(f"{folder}/a")[0]["w"]
        tensor([0, 1, 2])
    """
    with opened(path) as file:
        shapes, notes, seal = read_header(file)
        start = file.tell()
        mapped = np.memmap(file.name, np.uint8, "c")
        sha = hashlib.sha256(header_of(shapes, notes))
        tensors = {}
        for name in order(shapes):
            tag, shape = shapes[name]
            raw = mapped[start : start + size_of(tag, shape)]
            start += len(raw)
            for piece in range(0, len(raw), STEP):
                sha.update(raw[piece : piece + STEP].data)
            _check_truths(tag, raw, f"{path}: {name[:80]!r}")
            tensors[name] = torch.from_numpy(raw).view(DTYPES[tag]).reshape(shape)
    _check_seal(sha, seal, str(path))
    return tensors, _metadata(notes, path)


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise `InvalidInput` naming the first tensor with a NaN or infinite value, and where it is.

    Memory: about twice the largest tensor.

    Example:
        >>> check_finite({"bias": torch.tensor([0.0, float("nan")])})
        Traceback (most recent call last):
        ...
        narrows.errors.InvalidInput: tensors['bias']: found 1 of 2 values NaN or infinite, ...
    """
    for name, tensor in tensors.items():
        # Eight-bit floats have no test for infinity of their own.
        wide = tensor.float() if tensor.is_floating_point() and tensor.itemsize == 1 else tensor
        bad = ~torch.isfinite(wide)
        if bad.any():
            first = tuple(bad.nonzero()[0].tolist())
            found = (
                f"{int(bad.sum())} of {bad.numel()} values NaN or infinite, the first at {first}"
            )
            raise wrong(f"tensors[{name!r}]", found, "finite values")


def _metadata(notes: Mapping[str, str], path: AnyPath) -> dict[str, Any]:
    metadata = {}
    for key, text in notes.items():
        metadata[key] = parse(text, f"{path}: {key[:80]!r}")
        if canonical(metadata[key]).decode("ascii") != text:
            raise FileRefused(f"{path}: the metadata {key[:80]!r} is not canonical JSON")
    return metadata


def _stream(
    file: io.FileIO, shapes: Shapes, notes: Mapping[str, str], seal: str
) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor); trust none before the end, where a wrong digest raises."""
    sha = hashlib.sha256(header_of(shapes, notes))
    for name in order(shapes):
        tag, shape = shapes[name]
        raw = torch.empty(size_of(tag, shape), dtype=torch.uint8, device="cpu")
        buffer = raw.numpy().data
        for start in range(0, len(buffer), STEP):
            piece = buffer[start : start + STEP]
            fill(file, piece)
            sha.update(piece)
        _check_truths(tag, raw.numpy(), f"{file.name!s}: {name[:80]!r}")
        yield name, raw.view(DTYPES[tag]).reshape(shape)
    _check_seal(sha, seal, str(file.name))


def _check_truths(tag: str, raw: np.ndarray, where: str) -> None:
    if tag == "BOOL" and len(raw) and int(raw.max()) > 1:
        raise FileRefused(f"{where} holds truth values other than 0 and 1")


def _check_seal(sha: Any, seal: str, where: str) -> None:
    if sha.hexdigest() != seal:
        raise FileRefused(f"{where}: damaged: its contents do not have its digest {seal[:80]}")


def _shapes(tensors: Mapping[str, Tensor]) -> Shapes:
    if not isinstance(tensors, Mapping):
        raise wrong_type("tensors", type(tensors).__name__, "a mapping from names to tensors")
    shapes: Shapes = {}
    for name, tensor in tensors.items():
        where = f"tensors[{name!r}]"
        _check_name(name, NOTES, where)
        if not isinstance(tensor, Tensor):
            raise wrong_type(where, type(tensor).__name__, "a torch.Tensor")
        if tensor.dtype not in TAGS:
            raise wrong_type(where, str(tensor.dtype), f"one of {', '.join(map(str, TAGS))}")
        if tensor.layout != torch.strided or tensor.is_meta:
            raise wrong_type(where, f"{tensor.layout} on {tensor.device}", "a dense, real tensor")
        shapes[name] = (TAGS[tensor.dtype], tuple(tensor.shape))
    return shapes


def _notes(metadata: Mapping[str, JSON]) -> dict[str, str]:
    if not isinstance(metadata, Mapping):
        raise wrong_type("metadata", type(metadata).__name__, "a mapping from names to JSON")
    for key in metadata:
        _check_name(key, SEAL, f"metadata[{key!r}]")
    return {k: canonical(v, f"metadata[{k!r}]").decode("ascii") for k, v in metadata.items()}


def _check_name(name: object, reserved: str, where: str) -> None:
    if not isinstance(name, str):
        raise wrong_type(where, f"a key of type {type(name).__name__}", "keys that are text")
    if name == reserved or not is_unicode(name):
        raise wrong(where, repr(name), f"a name in Unicode other than {reserved!r}")


def _bytes(tensor: Tensor) -> memoryview:
    """Return a tensor's values as bytes, in row-major order."""
    plain = tensor.detach().cpu().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().data
