"""`fashion_attributes`: Fashion-MNIST with class-level attributes and facts seen in the pixels.

Fashion-MNIST is by Xiao, Rasul and Vollgraf (arXiv 1708.07747). The IDX files must be on disk;
Debian's package dataset-fashion-mnist brings them. The attribute table is Narrows' own. Coat and
shirt share a row on purpose: no bottleneck on class-level attributes can tell them apart.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import torch

from narrows.data.record import Concepts, Dataset, Examples
from narrows.data.registry import dataset
from narrows.errors import FileRefused, NarrowsError, wrong

PACKAGE = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
# One row a class, one digit an attribute, in the order of ATTRIBUTES.
_TABLE = (
    *("100010000000", "010000110000", "100011000000", "110000000001", "100011001000"),
    *("001000000000", "100011001000", "001000000100", "000100000000", "001000000110"),
)
ATTRIBUTES = (
    *("upper body", "lower body", "footwear", "carried", "sleeves", "long sleeves"),
    *("covers legs", "two legs", "open front", "closed shoe", "above ankle", "one piece"),
)
FACTS = ("tall", "large", "bright", "symmetric", "hollow")
_IMAGES, _LABELS = 2051, 2049  # the IDX magic numbers for 3-d and 1-d bytes
_LIMIT = 256 * 2**20  # no genuine file unpacks to more


class DataMissing(NarrowsError, FileNotFoundError):
    """A file of a data set is not where it was looked for."""


@dataset("fashion_attributes")
def fashion_attributes(
    root: str | Path = PACKAGE,
    seed: int = 0,
    sizes: tuple[int, int, int] = (50_000, 10_000, 10_000),
) -> Dataset:
    """Fashion-MNIST, 17 concepts: 12 attributes of the class and 5 facts of the picture.

    Args:
        root: the folder with the four `*-ubyte.gz` files.
        seed: which training pictures become validation, and which are kept.
        sizes: training and validation pictures out of the 60,000, test pictures out of 10,000.

    Raises:
        FileNotFoundError: a file is missing; the message says where to get it.
        FileRefused: a file is not IDX, or is cut short.
        InvalidInput: more pictures wanted than there are.
    """
    root = Path(root)
    x, y = _read(root, "train")
    test_x, test_y = _read(root, "t10k")
    train, val, test = sizes
    if min(sizes) < 1 or train + val > len(x) or test > len(test_x):
        raise wrong("sizes", sizes, f"train + val <= {len(x)}, test <= {len(test_x)}, each >= 1")
    order = np.random.default_rng(seed).permutation(len(x))
    medians = _medians(x[order[:train]])
    splits = {
        "train": (x, y, order[:train]),
        "val": (x, y, order[train : train + val]),
        "test": (test_x, test_y, np.arange(test)),
    }
    concepts = Concepts((*ATTRIBUTES, *FACTS))
    table = np.array([[int(bit) for bit in row] for row in _TABLE], dtype=np.float32)
    classes = tuple(sorted(CLASSES))
    position = np.array([classes.index(name) for name in CLASSES])
    made = {}
    for name, (images, labels, rows) in splits.items():
        picked, ids = images[rows], labels[rows]
        c = np.concatenate([table[ids], picture_facts(picked, medians)], axis=1)
        made[name] = Examples(
            torch.from_numpy(picked.astype(np.float32) / 255).unsqueeze(1),
            torch.from_numpy(position[ids]),
            torch.from_numpy(c),
            classes,
            concepts,
        )
    settings = {"source": "fashion_attributes", "seed": seed, "sizes": list(sizes)}
    return Dataset("fashion_attributes", **made, settings=settings)


def picture_facts(images: np.ndarray, medians: tuple[float, float]) -> np.ndarray:
    """The five facts, exactly from the pixels.

    Args:
        images: `(n, 28, 28)` uint8.
        medians: of the ink mass and of the mean grey of the ink, over training pictures.

    Returns:
        `(n, 5)` float32: bounding box taller than 1.5 times its width; ink mass above the median;
        ink brighter than the median; left half mirrors the right (correlation above 0.9); more
        than 0.3 of the bounding box empty.
    """
    ink = images > 0
    height, width = (_extent(np.asarray(ink.any(axis))) for axis in (2, 1))
    box = np.maximum(height * width, 1)
    grey = images.astype(np.float64)
    mass, inked = grey.sum((1, 2)), ink.sum((1, 2))
    facts = (
        height > 1.5 * width,
        mass > medians[0],
        mass / np.maximum(inked, 1) > medians[1],
        _correlation(grey, grey[:, :, ::-1]) > 0.9,
        (box - inked) / box > 0.3,
    )
    return np.stack(facts, axis=1).astype(np.float32)


def _extent(any_ink: np.ndarray) -> np.ndarray:
    last = any_ink.shape[1] - any_ink[:, ::-1].argmax(1)
    return np.where(any_ink.any(1), last - any_ink.argmax(1), 0)


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (v.reshape(len(v), -1) - v.mean((1, 2))[:, None] for v in (a, b))
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return (a * b).sum(1) / np.maximum(scale, 1e-12)


def _medians(images: np.ndarray) -> tuple[float, float]:
    mass = images.astype(np.float64).sum((1, 2))
    inked = np.maximum((images > 0).sum((1, 2)), 1)
    return float(np.median(mass)), float(np.median(mass / inked))


def _read(root: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    images = _idx(root / f"{split}-images-idx3-ubyte.gz", _IMAGES, 3)
    labels = _idx(root / f"{split}-labels-idx1-ubyte.gz", _LABELS, 1)
    if len(images) != len(labels):
        raise FileRefused(f"{root}: {len(images)} {split} pictures but {len(labels)} labels")
    return images, labels


def _idx(path: Path, magic: int, axes: int) -> np.ndarray:
    if not path.exists():
        raise DataMissing(
            f"{path}: no such file; Debian's package dataset-fashion-mnist brings it, or pass "
            "root= the folder that holds it"
        )
    try:
        with gzip.open(path) as file:
            content = file.read(_LIMIT + 1)
    except (OSError, EOFError) as error:
        raise FileRefused(f"{path}: {error}") from error
    head = 4 * (1 + axes)
    found = struct.unpack_from(f">{1 + axes}I", content) if len(content) >= head else (0,)
    if found[0] != magic:
        raise FileRefused(f"{path}: found no IDX header, wanted magic number {magic}")
    shape = found[1:]
    if len(content) - head != int(np.prod(shape, dtype=np.int64)):
        raise FileRefused(f"{path}: found {len(content) - head} bytes, wanted {shape} of them")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)
