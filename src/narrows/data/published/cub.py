"""`cub`: CUB-200-2011 with the class-level concepts of concept bottleneck models.

The data are by Wah, Branson, Welinder, Perona and Belongie (2011): 11,788 photographs of 200 kinds
of bird, 312 attributes answered by annotators. The concepts are those of Koh et al. (2020, arXiv
2007.04612, appendix A), rebuilt from the original files: for each class and attribute

    present = (yes votes >= no votes) over the training images of the class,

where an attribute that is absent because it is not visible has no vote; kept are attributes that
are present in at least 10 classes. The paper counts 112 of them, in 28 families (the text before
`::`). The released code votes over the 80 % of the training images that a shuffle without seed
leaves after validation; people who run it again report 109. Here all official training images
vote, so the concepts do not depend on a seed; `concepts="published"` takes the 112 attributes of
the released files, and the settings say how the two differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from narrows.data.assemble import assemble
from narrows.data.published.cub_answers import NOT_VISIBLE, class_votes, read_answers
from narrows.data.published.layout import (
    Published,
    Size,
    choose,
    drawn,
    numbered,
    pairs,
    picture_settings,
    refuse_repeats,
)
from narrows.data.record import Concepts, Dataset
from narrows.data.registry import dataset
from narrows.errors import FileRefused, wrong
from narrows.store import file_digest, fingerprint

CUB = Published(
    "CUB-200-2011",
    "https://www.vision.caltech.edu/datasets/cub_200_2011 (CUB_200_2011.tgz, 1.1 GB)",
    "for non-commercial research and teaching; the photographs belong to their authors on Flickr",
)
INNER = "CUB_200_2011"
# The attributes of the released files, counted from 0 (public issue 15 of yewsiang/
# ConceptBottleneck and the lists in the code of later papers).
PUBLISHED = (
    *(1, 4, 6, 7, 10, 14, 15, 20, 21, 23, 25, 29, 30, 35, 36, 38, 40, 44, 45, 50, 51, 53, 54, 56),
    *(57, 59, 63, 64, 69, 70, 72, 75, 80, 84, 90, 91, 93, 99, 101, 106, 110, 111, 116, 117, 119),
    *(125, 126, 131, 132, 134, 145, 149, 151, 152, 153, 157, 158, 163, 164, 168, 172, 178, 179),
    *(181, 183, 187, 188, 193, 194, 196, 198, 202, 203, 208, 209, 211, 212, 213, 218, 220, 221),
    *(225, 235, 236, 238, 239, 240, 242, 243, 244, 249, 253, 254, 259, 260, 262, 268, 274, 277),
    *(283, 289, 292, 293, 294, 298, 299, 304, 305, 308, 309, 310, 311),
)
ATTRIBUTES = 312
# How probable an attribute is by certainty 2, 3, 4 (guessing, probably, definitely).
_ABSENT, _PRESENT = (0.5, 0.25, 0.0), (0.5, 0.75, 1.0)


@dataset("cub")
def cub(
    folder: str | Path | None = None,
    concepts: str = "majority",
    level: str = "class",
    min_classes: int = 10,
    validation: float = 0.2,
    seed: int = 0,
    size: Size = 224,
    cache: str | Path | None = None,
) -> Dataset:
    """CUB-200-2011 from the folder of the original archive; images are read when needed.

    The official training and test images; validation images are drawn from the former. A family
    is a group of `Concepts` only where no annotation has two of its concepts true: birds are
    black and white at once. All families are in the settings.

    Args:
        folder: `CUB_200_2011`, or the folder it lies in. `attributes.txt` may also lie one level
            above, as in the archive.
        concepts: `majority` (attributes present in at least `min_classes` classes), `published`
            (the 112 of the released files), or `all` 312.
        level: `class` (the vote of the class, for all of its images), `instance` (the answer
            about the image, 0 or 1), `uncertain` (0.5, 0.75, 1 or 0.5, 0.25, 0 by how sure the
            annotator was). The last two are unknown where the attribute is not visible.
        min_classes: see `concepts`.
        validation: share of the official training images.
        seed: of the draw of validation images; the concepts do not depend on it.
        size: images are resized to `(height, width)` or one number; Koh et al. take 299.
        cache: a safetensors file for the parsed answers, checked by the SHA-256 of its inputs.

    Raises:
        FileMissing: a folder, file or image is not there; says where people get it.
        FileRefused: a malformed line, an id twice or missing.
        UnknownName, InvalidInput: an option that cannot be.

    Memory: about 70 bytes an answer while reading (255 MB for the real 3.7 million), then 1.

    Example:
        >>> cub()
        Traceback (most recent call last):
        ...
        narrows.store.atomic.FileMissing: folder: found none, wanted folder= the place of
        CUB_200_2011. Narrows does not download CUB-200-2011: get it from ...
    """
    choose("concepts", concepts, ("majority", "published", "all"))
    choose("level", level, ("class", "instance", "uncertain"))
    root = CUB.folder(folder, INNER, "images.txt")
    birds = _read(root)
    rows = _split(birds.files["split"], birds.flags, validation, seed)
    inputs = {path.name: file_digest(path) for path in birds.files.values()}
    present, certainty = read_answers(
        birds.files["answers"], list(birds.images), list(birds.attributes), cache, inputs
    )
    voters = np.sort(np.concatenate([rows["train"], rows["val"]]))
    count = len(birds.classes)
    votes = class_votes(present[voters], certainty[voters], birds.labels[voters], count)
    kept = _kept(concepts, votes, min_classes)
    every = list(birds.attributes.values())
    chosen = [every[i] for i in kept]
    c = _annotation(level, votes[birds.labels][:, kept], present[:, kept], certainty[:, kept])
    families = families_of(chosen)
    ids = list(birds.images.values())
    x = CUB.pictures(root / "images", ids, size, 3)
    settings = picture_settings(
        "cub",
        x,
        selection=concepts,
        level=level,
        min_classes=min_classes,
        validation=validation,
        seed=seed,
        families={name: [chosen[i] for i in members] for name, members in families.items()},
        against_published=_against(kept, every),
        inputs=inputs,
        votes=fingerprint({"votes": torch.from_numpy(votes)}),
    )
    labels = [birds.classes[n] for n in birds.labels.tolist()]
    schema = Concepts(tuple(chosen), _exclusive(families, c))
    return assemble("cub", x, labels, c, schema, rows, ids, settings)


def families_of(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Concepts that share the text before `::`, by that text.

    Example:
        >>> families_of(["has_size::small", "has_size::large", "has_shape::owl-like"])
        {'has_size': (0, 1), 'has_shape': (2,)}
    """
    families: dict[str, tuple[int, ...]] = {}
    for place, name in enumerate(names):
        family = name.split("::")[0]
        families[family] = (*families.get(family, ()), place)
    return families


@dataclass(frozen=True)
class _Birds:
    """The lists of the archive: images and attributes by number, classes in order."""

    files: dict[str, Path]
    images: dict[str, str]
    classes: list[str]
    labels: np.ndarray
    flags: list[str]
    attributes: dict[str, str]


def _read(root: Path) -> _Birds:
    files = _files(root)
    images, classes = numbered(files["images"]), pairs(files["classes"])
    attributes = numbered(files["attributes"])
    for what, names in (("images", images), ("classes", classes), ("attributes", attributes)):
        refuse_repeats(str(files[what]), list(names.values()))
    place = {number: n for n, number in enumerate(classes)}
    label_of = pairs(files["labels"], list(images))
    for image, label in label_of.items():
        if label not in place:
            found = f"{files['labels']}: found class {label} of image {image}"
            raise FileRefused(f"{found}, which classes.txt does not list")
    labels = np.array([place[label] for label in label_of.values()])
    flags = list(pairs(files["split"], list(images)).values())
    return _Birds(files, images, list(classes.values()), labels, flags, attributes)


def _files(root: Path) -> dict[str, Path]:
    inside = root / "attributes" / "attributes.txt"
    places = {
        "images": (root / "images.txt",),
        "labels": (root / "image_class_labels.txt",),
        "split": (root / "train_test_split.txt",),
        "classes": (root / "classes.txt",),
        "attributes": (inside, root / "attributes.txt", root.parent / "attributes.txt"),
        "answers": (root / "attributes" / "image_attribute_labels.txt",),
    }
    return {name: CUB.file(*paths) for name, paths in places.items()}


def _split(path: Path, flags: list[str], validation: float, seed: int) -> dict[str, np.ndarray]:
    odd = set(flags) - {"0", "1"}
    if odd:
        raise FileRefused(f"{path}: found {min(odd)!r}, wanted 1 (training) or 0 (test)")
    training = np.flatnonzero(np.array(flags) == "1")
    held = drawn(len(training), validation, seed)
    test = np.flatnonzero(np.array(flags) == "0")
    return {"train": training[~held], "val": training[held], "test": test}


def _kept(concepts: str, votes: np.ndarray, min_classes: int) -> list[int]:
    if concepts == "all":
        return list(range(votes.shape[1]))
    if concepts == "published":
        if votes.shape[1] != ATTRIBUTES:
            raise wrong("concepts", f"{votes.shape[1]} attributes", f"the original {ATTRIBUTES}")
        return list(PUBLISHED)
    kept: list[int] = np.flatnonzero(votes.sum(0) >= min_classes).tolist()
    if not kept:
        raise wrong("min_classes", min_classes, f"at most {votes.sum(0).max()}, or none is left")
    return kept


def _annotation(
    level: str, votes: np.ndarray, present: np.ndarray, certainty: np.ndarray
) -> np.ndarray:
    """`(images, concepts)` float32."""
    if level == "class":
        return votes.astype(np.float32)
    probable = np.array([[np.nan, *_ABSENT], [np.nan, *_PRESENT]], dtype=np.float32)
    if level == "uncertain":
        return np.asarray(probable[present.astype(int), certainty - 1])
    return np.where(certainty == NOT_VISIBLE, np.float32(np.nan), present.astype(np.float32))


def _exclusive(families: dict[str, tuple[int, ...]], c: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """The families of which no row has two true."""
    return tuple(
        members
        for members in families.values()
        if len(members) > 1 and int((c[:, list(members)] > 0.5).sum(1).max()) < 2
    )


def _against(kept: list[int], names: list[str]) -> dict[str, Any] | None:
    """How the attributes differ from the released ones; None for another attribute list."""
    if len(names) != ATTRIBUTES:
        return None
    ours, theirs = set(kept), set(PUBLISHED)
    return {
        "absent": [names[i] for i in sorted(theirs - ours)],
        "additional": [names[i] for i in sorted(ours - theirs)],
    }
