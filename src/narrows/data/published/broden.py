"""`broden`: folders with positive and negative pictures of each concept.

The layout is that of post-hoc concept bottleneck models (Yuksekgonul et al. 2023, arXiv
2205.15480), who picked the pictures from Broden (Bau et al. 2017, arXiv 1704.05796):
`<concept>/positives/*.jpg` and `<concept>/negatives/*.jpg`. A picture is annotated for the concept
of its folder only; every other concept is unknown.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from narrows.data.assemble import assemble
from narrows.data.published.layout import Published, Size, picture_settings
from narrows.data.record import Concepts, Dataset
from narrows.data.registry import dataset
from narrows.data.split import split_rows

BRODEN = Published(
    "the Broden concept folders",
    "https://github.com/mertyg/post-hoc-cbm (the link under Data Instructions)",
    "those of the collections in Broden (ADE20K, PASCAL, OpenSurfaces, DTD): for research, not "
    "for commercial use",
)
INNER = "broden_concepts"
SIGNS = {"negatives": 0.0, "positives": 1.0}
_ENDINGS = (".jpg", ".jpeg", ".png")


@dataset("broden")
def broden(folder: str | Path | None = None, seed: int = 0, size: Size = 224) -> Dataset:
    """Folders of concepts as a data set; the class of a picture is the concept of its folder.

    Split 70/15/15, stratified by concept and sign. Equal files, under whatever names, stay in
    one split: one picture may be positive for a concept and negative for another.

    Args:
        folder: the folder of the concepts' folders, or the one it lies in as `broden_concepts`.
        seed: of the split.
        size: images are resized to `(height, width)` or one number.

    Raises:
        FileMissing: no folder, a concept without `positives` or `negatives`, or without images.
        FileRefused: an image that cannot be read.
        InvalidInput: fewer than two concepts, or too few images to split.

    Memory: every file is read once, for its digest; one row of `c` has one known entry.

    Example:
        >>> broden()
        Traceback (most recent call last):
        ...
        narrows.store.atomic.FileMissing: folder: found none, wanted folder= the place of ...
    """
    root = BRODEN.folder(folder, INNER, None)
    concepts = sorted(p.name for p in root.iterdir() if p.is_dir() and p.name[0] not in "._")
    if not concepts:
        raise BRODEN.missing(f"{root}: there is no folder of a concept")
    names: list[str] = []
    for concept in concepts:
        for sign in SIGNS:
            names += [f"{concept}/{sign}/{name}" for name in _images(root / concept / sign)]
    labels = [name.split("/")[0] for name in names]
    signs = [name.split("/")[1] for name in names]
    x = BRODEN.pictures(root, names, size, 3)
    strata = [f"{label}/{sign}" for label, sign in zip(labels, signs, strict=True)]
    rows = split_rows(strata, seed, x.digests())
    c = np.full((len(names), len(concepts)), np.nan, dtype=np.float32)
    place = {concept: n for n, concept in enumerate(concepts)}
    c[np.arange(len(names)), [place[label] for label in labels]] = [SIGNS[sign] for sign in signs]
    settings = picture_settings("broden", x, seed=seed)
    return assemble("broden", x, labels, c, Concepts(tuple(concepts)), rows, names, settings)


def _images(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise BRODEN.missing(f"{folder}: there is no such folder")
    names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in _ENDINGS)
    if not names:
        raise BRODEN.missing(f"{folder}: there is no image ({', '.join(_ENDINGS)})")
    return names
