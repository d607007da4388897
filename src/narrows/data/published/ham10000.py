"""`ham10000`: dermoscopic images of skin lesions, split by lesion.

The data are by Tschandl, Rosendahl and Kittler (2018, doi 10.1038/sdata.2018.161): 10,015 images of
7,470 lesions, 7 diagnoses. Many lesions have several images. A split by image, as much public code
makes it, shows training and test the same lesion; here a lesion stays in one split.
"""

from __future__ import annotations

from pathlib import Path

from narrows.data.assemble import assemble
from narrows.data.published.layout import Published, Size, choose, picture_settings, refuse_repeats
from narrows.data.record import Concepts, Dataset
from narrows.data.registry import dataset
from narrows.data.split import split_rows
from narrows.errors import FileRefused
from narrows.store import file_digest

HAM10000 = Published(
    "HAM10000",
    "https://doi.org/10.7910/DVN/DBW86T (Harvard Dataverse, 3 GB)",
    "Creative Commons, with attribution and not for commercial use; see the page",
)
INNER = "HAM10000"
# Malignant as in post-hoc concept bottleneck models (arXiv 2205.15480).
DIAGNOSES = {
    **dict.fromkeys(("akiec", "bkl", "df", "nv", "vasc"), "benign"),
    **dict.fromkeys(("bcc", "mel"), "malignant"),
}
_PLACES = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")


@dataset("ham10000")
def ham10000(
    folder: str | Path | None = None,
    target: str = "malignant",
    split: str = "lesion",
    seed: int = 0,
    size: Size = 224,
) -> Dataset:
    """HAM10000 from its folder; it has no concepts of its own (`derm7pt` has them).

    Args:
        folder: the folder of `HAM10000_metadata.csv`; the images `<image_id>.jpg` lie in it or in
            any folder inside (where copies of one image do, the first in order counts).
        target: `malignant` (melanoma and basal cell carcinoma against the rest: benign,
            malignant), or `diagnosis` (the 7 of column `dx`).
        split: `lesion` (70/15/15 of the lesions, stratified by label), or `image`, which leaks
            lesions into the test and is there for comparison only.
        seed: of the split.
        size: images are resized to `(height, width)` or one number.

    Raises:
        FileMissing: a folder, file or image is not there; says where people get it.
        FileRefused: a damaged table, an image twice, a diagnosis that does not exist.
        UnknownName, InvalidInput: an option that cannot be.

    Example:
        >>> ham10000()
        Traceback (most recent call last):
        ...
        narrows.store.atomic.FileMissing: folder: found none, wanted folder= the place of ...
    """
    choose("target", target, ("malignant", "diagnosis"))
    choose("split", split, ("lesion", "image"))
    root = HAM10000.folder(folder, INNER, _PLACES[0])
    path = HAM10000.file(*(root / name for name in _PLACES))
    table = HAM10000.table(("lesion_id", "image_id", "dx"), path)
    lesions, ids, found = (table[name].tolist() for name in ("lesion_id", "image_id", "dx"))
    refuse_repeats(f"{path}, column 'image_id'", ids)
    _check(path, lesions, found)
    labels = [DIAGNOSES[name] for name in found] if target == "malignant" else found
    rows = split_rows(labels, seed, lesions if split == "lesion" else None)
    places: dict[str, str] = {}
    for image in sorted(root.rglob("*.jpg")):
        places.setdefault(image.stem, image.relative_to(root).as_posix())
    names = [places.get(name, f"{name}.jpg") for name in ids]
    x = HAM10000.pictures(root, names, size, 3)
    settings = picture_settings(
        "ham10000",
        x,
        task=target,
        split=split,
        seed=seed,
        inputs={path.name: file_digest(path)},
    )
    return assemble("ham10000", x, labels, None, Concepts(()), rows, ids, settings)


def _check(path: Path, lesions: list[str], found: list[str]) -> None:
    """Refuse diagnoses that do not exist and images without a lesion."""
    for row, (lesion, name) in enumerate(zip(lesions, found, strict=True), 1):
        if name not in DIAGNOSES:
            wanted = ", ".join(sorted(DIAGNOSES))
            raise FileRefused(f"{path}, row {row}: found dx {name!r}, wanted one of {wanted}")
        if not lesion:
            raise FileRefused(f"{path}, row {row}: found no lesion_id, wanted one")
