"""`awa2`: Animals with Attributes 2, with one row of attributes for each kind of animal.

The data are by Xian, Lampert, Schiele and Akata (2018, arXiv 1707.00600): 37,322 photographs of
50 kinds of animal, 85 attributes of the kind. The split is the recipe of energy-based concept
bottleneck models (Xu et al. 2024): half of the images for the test, a fifth of the rest for
validation. Their lists depend on the order in which a disk returns files; here files are sorted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from narrows.data.assemble import assemble
from narrows.data.published.layout import (
    Published,
    Size,
    choose,
    drawn,
    picture_settings,
    refuse_repeats,
    rows,
)
from narrows.data.record import Concepts, Dataset
from narrows.data.registry import dataset
from narrows.errors import FileRefused
from narrows.store import file_digest

AWA2 = Published(
    "Animals with Attributes 2",
    "https://cvml.ista.ac.at/AwA2 (AwA2-data.zip, 13 GB)",
    "each photograph under the free licence its author chose; see the licences in the archive",
)
INNER = "Animals_with_Attributes2"
_TEST = 0.5


@dataset("awa2")
def awa2(
    folder: str | Path | None = None,
    concepts: str = "binary",
    split: str = "images",
    validation: float = 0.2,
    seed: int = 42,
    size: Size = 224,
) -> Dataset:
    """Animals with Attributes 2 from its folder; images are read when needed.

    Args:
        folder: `Animals_with_Attributes2`, or the folder it lies in.
        concepts: `binary` (0 or 1 for each kind of animal), or `continuous` (the share of people
            who say so, from 0 to 1; unknown where the published table has -1).
        split: `images` (half of the images of all kinds for the test), or `classes` (the kinds in
            `testclasses.txt`, which training never shows).
        validation: share of the images that are not for the test.
        seed: of the draws.
        size: images are resized to `(height, width)` or one number.

    Raises:
        FileMissing: a folder, file or image is not there; says where people get it.
        FileRefused: a malformed line, a name twice, a table of another shape.
        UnknownName, InvalidInput: an option that cannot be.

    Example:
        >>> awa2()
        Traceback (most recent call last):
        ...
        narrows.store.atomic.FileMissing: folder: found none, wanted folder= the place of ...
    """
    choose("concepts", concepts, ("binary", "continuous"))
    choose("split", split, ("images", "classes"))
    root = AWA2.folder(folder, INNER, "predicates.txt")
    kinds, predicates = (_names(root / f"{what}.txt") for what in ("classes", "predicates"))
    path = AWA2.file(root / f"predicate-matrix-{concepts}.txt")
    table = _table(path, len(kinds), len(predicates), concepts)
    files = {kind: _pictures(root / "JPEGImages" / kind) for kind in kinds}
    names = [f"{kind}/{name}" for kind in kinds for name in files[kind]]
    of_row = np.repeat(np.arange(len(kinds)), [len(files[kind]) for kind in kinds])
    if split == "images":
        is_test = drawn(len(names), _TEST, seed)
    else:
        is_test = np.isin(np.array(kinds)[of_row], _known(root / "testclasses.txt", kinds))
    rest = np.flatnonzero(~is_test)
    held = drawn(len(rest), validation, seed)
    parts = {"train": rest[~held], "val": rest[held], "test": np.flatnonzero(is_test)}
    x = AWA2.pictures(root / "JPEGImages", names, size, 3)
    settings = picture_settings(
        "awa2",
        x,
        selection=concepts,
        split=split,
        validation=validation,
        seed=seed,
        inputs={path.name: file_digest(path)},
    )
    labels = [kinds[n] for n in of_row.tolist()]
    schema = Concepts(tuple(predicates))
    return assemble("awa2", x, labels, table[of_row], schema, parts, names, settings)


def _names(path: Path) -> list[str]:
    """Names of a file of lines `number name`."""
    names = [fields[1] for _, fields in rows(AWA2.file(path), 2)]
    refuse_repeats(str(path), names)
    return names


def _known(path: Path, kinds: list[str]) -> list[str]:
    """Classes of a file of one name a line, all of them known."""
    found = [fields[0] for _, fields in rows(AWA2.file(path), 1)]
    strange = [name for name in found if name not in kinds]
    if strange:
        raise FileRefused(f"{path}: found {strange[0]!r}, which classes.txt does not list")
    return found


def _table(path: Path, height: int, width: int, concepts: str) -> np.ndarray:
    """`(classes, predicates)` float32 in [0, 1], NaN unknown."""
    lines = list(rows(path, width))
    if len(lines) != height:
        raise FileRefused(f"{path}: found {len(lines)} lines, wanted {height}, one a class")
    return np.stack([_values(path, line, fields, concepts) for line, fields in lines])


def _values(path: Path, line: int, fields: list[str], concepts: str) -> np.ndarray:
    """The attributes of one class."""
    try:
        values = np.array(fields, dtype=np.float64)
    except ValueError as error:
        raise FileRefused(f"{path}, line {line}: {error}") from error
    if concepts == "binary":
        wanted, good = "0 or 1", np.isin(values, (0, 1))
    else:
        wanted = "0 to 100, or -1 for unknown"
        good = (values == -1) | ((values >= 0) & (values <= 100))
        values = np.where(values == -1, np.nan, values / 100)
    if not good.all():
        place = int(np.flatnonzero(~good)[0])
        raise FileRefused(f"{path}, line {line}: found {fields[place]!r}, wanted {wanted}")
    return values.astype(np.float32)


def _pictures(folder: Path) -> list[str]:
    """Sorted names of the images of one kind."""
    if not folder.is_dir():
        raise AWA2.missing(f"{folder}: there is no such folder")
    names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() == ".jpg")
    if not names:
        raise AWA2.missing(f"{folder}: there is no image (*.jpg)")
    return names
