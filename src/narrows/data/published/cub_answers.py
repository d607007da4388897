"""What annotators answered about each bird of CUB-200-2011, and the vote of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from narrows.data.published.layout import integers
from narrows.errors import FileRefused
from narrows.store import load, save

KIND = "answers about CUB-200-2011"
NOT_VISIBLE = 1  # of the four certainties: not visible, guessing, probably, definitely
_CERTAINTIES = 4


def read_answers(
    path: Path,
    images: Sequence[str],
    attributes: Sequence[str],
    cache: str | Path | None,
    inputs: Mapping[str, str],
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each attribute is present in each image, and how sure the annotator was.

    Args:
        path: `image_attribute_labels.txt`; of each line the first four fields count, since some
            lines of the published file have more.
        images: the image numbers, in the order of the result.
        attributes: the attribute numbers, likewise.
        cache: a safetensors file that is read instead where it was made from the same inputs,
            and written where not.
        inputs: SHA-256 of the files the answers and their order depend on.

    Returns:
        present `(images, attributes)` bool, certainty of the same shape, uint8 from 1 to 4.

    Raises:
        FileRefused: a malformed line; an answer twice, missing, or about another image; a cache
            that is another file.

    Memory: about 70 bytes an answer while reading, 2 after.
    """
    if cache is not None and Path(cache).exists():
        tensors, notes = load(cache)
        if notes.get("kind") != KIND:
            raise FileRefused(f"{cache}: found another kind of file, wanted a cache of {KIND}")
        if notes["inputs"] == dict(inputs):
            return _unpacked(tensors["answers"].numpy())
    answers = _parsed(path, images, attributes)
    if cache is not None:
        save(cache, {"answers": torch.from_numpy(answers)}, {"kind": KIND, "inputs": dict(inputs)})
    return _unpacked(answers)


def class_votes(
    present: np.ndarray, certainty: np.ndarray, classes: np.ndarray, count: int
) -> np.ndarray:
    """`(count, attributes)` bool: what most annotators say of the images of each class.

    An attribute that is absent because it is not visible has no vote. A tie counts as present.
    """
    one_hot = np.eye(count, dtype=np.float32)[classes].T
    yes = one_hot @ present.astype(np.float32)
    no = one_hot @ (~present & (certainty != NOT_VISIBLE)).astype(np.float32)
    majority: np.ndarray = yes >= no
    return majority


def _unpacked(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return answers >= _CERTAINTIES, answers % _CERTAINTIES + 1


def _parsed(path: Path, images: Sequence[str], attributes: Sequence[str]) -> np.ndarray:
    """`(images, attributes)` uint8: 4 present + certainty - 1."""
    shape = (len(images), len(attributes))
    image, attribute, present, certainty = integers(path, range(4)).T
    row, column = (
        _places(path, "image", image, images),
        _places(path, "attribute", attribute, attributes),
    )
    odd = (present < 0) | (present > 1) | (certainty < 1) | (certainty > _CERTAINTIES)
    if odd.any():
        n = int(np.flatnonzero(odd)[0])
        raise FileRefused(
            f"{path}: found present {present[n]}, certainty {certainty[n]} for image {image[n]}, "
            f"attribute {attribute[n]}, wanted present 0 or 1, certainty 1 to {_CERTAINTIES}"
        )
    flat = row * shape[1] + column
    counts = np.bincount(flat, minlength=shape[0] * shape[1])
    if (counts != 1).any():
        n = int(np.flatnonzero(counts != 1)[0])
        raise FileRefused(
            f"{path}: found {counts[n]} answers for image {images[n // shape[1]]}, attribute "
            f"{attributes[n % shape[1]]}, wanted one (a copy that was cut short?)"
        )
    answers = np.empty(shape[0] * shape[1], dtype=np.uint8)
    answers[flat] = _CERTAINTIES * present + certainty - 1
    return answers.reshape(shape)


def _places(path: Path, what: str, found: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Where each number stands among the names."""
    numbers = np.array([int(name) for name in names])
    order = np.argsort(numbers)
    place = np.minimum(np.searchsorted(numbers[order], found), len(numbers) - 1)
    strange = numbers[order][place] != found
    if strange.any():
        raise FileRefused(f"{path}: found {what} {found[strange][0]}, which is not listed")
    return np.asarray(order[place])
