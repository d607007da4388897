"""A lazy column of images on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from narrows.errors import FileRefused, require, wrong

T = TypeVar("T")

BUDGET = 256 * 2**20
_WORKERS = 4
_MAX_PIXELS = 2**25
# Pillow's other readers include some that start programs, such as Ghostscript for EPS.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_MODES = {1: "L", 3: "RGB"}


def image_paths(root: str | Path, names: Iterable[str]) -> list[Path]:
    """Paths of images inside a folder.

    Raises:
        FileRefused: a path that leaves the folder, or no file there.
    """
    base = os.path.normpath(root)
    paths = []
    for row, name in enumerate(names, 1):
        path = os.path.normpath(Path(base, name))
        if Path(base) not in Path(path).parents:
            raise FileRefused(f"image in row {row}: found {name!r}, wanted a path inside {base}")
        if not Path(path).is_file():
            raise FileRefused(f"image in row {row}: found no file {path}, wanted an image")
        paths.append(Path(path))
    return paths


def read_image(path: str | Path) -> np.ndarray:
    """One picture at its own size, `(height, width, 3)` uint8.

    Raises:
        FileRefused: missing, broken or too large.
    """
    return _decode(Path(path), None, 3)


@dataclass
class _Images:
    """Decoding and memory that all parts of a column share."""

    paths: tuple[Path, ...]
    size: tuple[int, int] | None
    channels: int
    cache: Tensor | None = None
    filled: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))


class ImageColumn:
    """Images that are read when they are asked for.

    Pixels are 8 bits deep inside (deeper images are reduced, transparency becomes white, the
    orientation in EXIF is applied) and come out as float32 in [0, 1]. PNG, JPEG, BMP, GIF,
    TIFF, WebP and PPM are read, up to 2^25 pixels.

    Memory: decoded images are kept as uint8 when all of them fit the budget, else none.

    Args:
        paths: of the images.
        size: `(height, width)` or one number to resize to; by default all images must have the
            size of the first.
        channels: 3 for colour, 1 for grey.
        budget: bytes that decoded images may take in memory.

    Raises:
        InvalidInput: no paths, or a size or number of channels that cannot be.
        FileRefused: an image that is missing, broken, too large or of another size, by name;
            for all but the first when it is read.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 2), 255).save(f"{folder}/white.png")
        ...     column = ImageColumn([f"{folder}/white.png"], channels=1)
        ...     column.shape, column[torch.tensor([0])].mean()
        ((1, 1, 2, 4), tensor(1.))
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        size: int | tuple[int, int] | None = None,
        channels: int = 3,
        budget: int = BUDGET,
    ) -> None:
        if not paths:
            raise wrong("paths", "no image", "at least one path")
        if channels not in _MODES:
            raise wrong("channels", channels, "1 (grey) or 3 (colour)")
        files = tuple(Path(path) for path in paths)
        height, width = _size(size, files[0])
        self._images = _Images(files, None if size is None else (height, width), channels)
        self._item = (channels, height, width)
        self._rows = torch.arange(len(files))
        self._device = torch.device("cpu")
        if len(files) * channels * height * width <= budget:
            self._images.cache = torch.empty(len(files), *self._item, dtype=torch.uint8)
            self._images.filled = torch.zeros(len(files), dtype=torch.bool)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(rows, channels, height, width)`."""
        return (len(self), *self._item)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order of the rows."""
        return tuple(self._images.paths[i] for i in self._rows.tolist())

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """The rows, `(len(rows), channels, height, width)` float32 in [0, 1]."""
        which = self._rows[rows.cpu() if isinstance(rows, Tensor) else rows]
        return self._pixels(which).to(self._device).to(torch.float32) / 255

    def take(self, rows: Tensor | slice) -> ImageColumn:
        """Some rows as a column that shares the decoded images."""
        return self._copy(_rows=self._rows[rows.cpu() if isinstance(rows, Tensor) else rows])

    def to(self, device: torch.device | str) -> ImageColumn:
        """A column whose tensors are on another device; decoded images stay on the CPU."""
        return self._copy(_device=torch.device(device))

    def digests(self) -> list[str]:
        """SHA-256 of each file's bytes."""
        return _together(_digest, self.paths)

    def _copy(self, **changes: Any) -> ImageColumn:
        copy = object.__new__(ImageColumn)
        copy.__dict__.update(self.__dict__ | changes)
        return copy

    def _pixels(self, which: Tensor) -> Tensor:
        """uint8 images by their place among all paths."""
        cache, filled = self._images.cache, self._images.filled
        if cache is None:
            return self._decoded(which)
        absent = torch.from_numpy(np.unique(which[~filled[which]].numpy()))
        if len(absent):
            cache[absent] = self._decoded(absent)
            filled[absent] = True
        return cache[which]

    def _decoded(self, which: Tensor) -> Tensor:
        height, width = self._item[1:]
        shared = self._images

        def decode(path: Path) -> np.ndarray:
            pixels = _decode(path, shared.size, shared.channels)
            if pixels.shape[:2] != (height, width):
                raise FileRefused(
                    f"{path}: found {pixels.shape[0]} x {pixels.shape[1]} pixels, wanted "
                    f"{height} x {width} like the first image; give size= to resize"
                )
            return pixels

        images = _together(decode, [shared.paths[i] for i in which.tolist()])
        stacked = np.stack(images) if images else np.empty((0, height, width, shared.channels))
        return torch.from_numpy(stacked).to(torch.uint8).permute(0, 3, 1, 2)


def _size(size: int | tuple[int, int] | None, first: Path) -> tuple[int, int]:
    if size is None:
        height, width = _decode(first, None, 1).shape[:2]
        return height, width
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1 or height * width > _MAX_PIXELS:
        raise wrong("size", (height, width), f"positive numbers of at most {_MAX_PIXELS} pixels")
    return height, width


def _together(work: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    """The results for all paths; image libraries let other threads run while they decode."""
    if len(paths) < 2:
        return [work(path) for path in paths]
    with ThreadPoolExecutor(min(_WORKERS, len(paths))) as pool:
        return list(pool.map(work, paths))


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileRefused(f"{path}: cannot be read: {error.strerror or error}") from error


def _decode(path: Path, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    """`(height, width, channels)` uint8."""
    image, operations = require("PIL.Image", "data"), require("PIL.ImageOps", "data")
    bombs = (image.DecompressionBombError, image.DecompressionBombWarning)
    try:
        with image.open(path, formats=_FORMATS) as opened:
            _refuse_huge(path, opened.size)
            upright = _eight_bits(operations.exif_transpose(opened), image).convert(
                _MODES[channels]
            )
    except bombs as error:
        raise FileRefused(f"{path}: {error}") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, OverflowError) as error:
        raise FileRefused(f"{path}: not a readable image: {error}") from error
    if size is not None and upright.size != size[::-1]:
        upright = upright.resize(size[::-1], image.Resampling.BILINEAR)
    return np.asarray(upright).reshape(upright.height, upright.width, channels)


def _refuse_huge(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > _MAX_PIXELS:
        raise FileRefused(
            f"{path}: found {width} x {height} pixels, wanted at most {_MAX_PIXELS} in all"
        )


def _eight_bits(opened: Any, image: Any) -> Any:
    """The picture without transparency and with 8 bits a channel."""
    if opened.mode.startswith("I"):
        deep = np.asarray(opened).astype(np.int64)
        return image.fromarray((deep.clip(0, 65535) // 257).astype(np.uint8))
    if opened.mode == "F":
        raise ValueError("floating-point pixels have no stated range")
    if opened.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in opened.info:
        clear = opened.convert("RGBA")
        white = image.new("RGBA", clear.size, "white")
        return image.alpha_composite(white, clear)
    return opened
