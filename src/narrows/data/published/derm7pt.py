"""`derm7pt`: skin lesions with the seven-point checklist of dermatologists.

The data are by Kawahara, Daneshvar, Argenziano and Hamarneh (2018, doi 10.1109/JBHI.2018.2824327):
1,011 cases, each with a dermoscopic and a clinical photograph, and official splits. The concepts
`pcbm` are the eight of post-hoc concept bottleneck models (Yuksekgonul et al. 2023, arXiv
2205.15480): for a structure that is absent, regular or irregular, `regular` is true against
absent, and unknown where it is irregular; and the other way round.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from narrows.data.assemble import assemble
from narrows.data.published.layout import (
    Published,
    Size,
    choose,
    coded,
    picture_settings,
    refuse_repeats,
)
from narrows.data.record import Concepts, Dataset
from narrows.data.registry import dataset
from narrows.data.split import SPLITS
from narrows.errors import FileRefused
from narrows.store import file_digest

DERM7PT = Published(
    "the seven-point checklist data (derm7pt)",
    "https://derm.cs.sfu.ca (after a request form)",
    "for research, not for commercial use; see the form",
)
INNER = "derm7pt"
_NAN = float("nan")
_REGULARITY = ("absent", "regular", "irregular")
CHECKLIST = {
    "pigment_network": ("absent", "typical", "atypical"),
    "streaks": _REGULARITY,
    "pigmentation": (
        *("absent", "diffuse regular", "localized regular"),
        *("diffuse irregular", "localized irregular"),
    ),
    "regression_structures": ("absent", "blue areas", "white areas", "combinations"),
    "dots_and_globules": _REGULARITY,
    "blue_whitish_veil": ("absent", "present"),
    "vascular_structures": (
        *("absent", "arborizing", "comma", "hairpin", "within regression", "wreath"),
        *("dotted", "linear irregular"),
    ),
}
# Concept, column, values that make it true; `absent` makes it false, any other value unknown.
PCBM = (
    ("blue whitish veil", "blue_whitish_veil", ("present",)),
    ("regular dots and globules", "dots_and_globules", ("regular",)),
    ("irregular dots and globules", "dots_and_globules", ("irregular",)),
    ("regression structures", "regression_structures", CHECKLIST["regression_structures"][1:]),
    ("irregular streaks", "streaks", ("irregular",)),
    ("regular streaks", "streaks", ("regular",)),
    ("atypical pigment network", "pigment_network", ("atypical",)),
    ("typical pigment network", "pigment_network", ("typical",)),
)
_NEVI = ("blue", "clark", "combined", "congenital", "dermal", "recurrent", "reed or spitz")
_DEPTHS = (" (in situ)", " (less than 0.76 mm)", " (0.76 to 1.5 mm)", " (more than 1.5 mm)")
_OTHER = ("dermatofibroma", "lentigo", "melanosis", "miscellaneous", "vascular lesion")
# The five groups of diagnoses of the paper.
DIAGNOSES = {
    **{name: name for name in ("basal cell carcinoma", "seborrheic keratosis")},
    **dict.fromkeys([f"{kind} nevus" for kind in _NEVI], "nevus"),
    **dict.fromkeys([f"melanoma{more}" for more in ("", *_DEPTHS, " metastasis")], "melanoma"),
    **dict.fromkeys(_OTHER, "miscellaneous"),
}


@dataset("derm7pt")
def derm7pt(
    folder: str | Path | None = None,
    concepts: str = "pcbm",
    target: str = "diagnosis",
    view: str = "derm",
    size: Size = 224,
) -> Dataset:
    """The seven-point checklist data from its folder, with the official splits.

    Args:
        folder: the folder of `meta` and `images` (`release_v0`), or the one it lies in as
            `derm7pt`.
        concepts: `pcbm` (eight), or `checklist`: every value of the seven criteria, one exclusive
            group a criterion, such as `streaks::irregular`.
        target: `diagnosis` (the five groups of the paper) or `melanoma` (no, yes).
        view: `derm` (dermoscopic image) or `clinic` (clinical photograph).
        size: images are resized to `(height, width)` or one number.

    Raises:
        FileMissing: a folder, file or image is not there; says where people get it.
        FileRefused: a value the data set does not have, an image twice, a row in two splits.
        UnknownName: an option that cannot be.

    Example:
        >>> derm7pt()
        Traceback (most recent call last):
        ...
        narrows.store.atomic.FileMissing: folder: found none, wanted folder= the place of ...
    """
    choose("concepts", concepts, ("pcbm", "checklist"))
    choose("target", target, ("diagnosis", "melanoma"))
    choose("view", view, ("derm", "clinic"))
    root = DERM7PT.folder(folder, INNER, "meta")
    path = root / "meta" / "meta.csv"
    table = DERM7PT.table(("diagnosis", *CHECKLIST, "clinic", "derm"), path)
    ids = table["derm"].tolist()
    refuse_repeats(f"{path}, column 'derm'", ids)
    diagnoses = _groups(path, table["diagnosis"].tolist())
    if target == "melanoma":
        diagnoses = ["yes" if name == "melanoma" else "no" for name in diagnoses]
    made = _eight(path, table) if concepts == "pcbm" else _checklist(path, table)
    parts = _splits(root / "meta", len(ids))
    x = DERM7PT.pictures(root / "images", table[view].tolist(), size, 3)
    settings = picture_settings(
        "derm7pt",
        x,
        selection=concepts,
        task=target,
        view=view,
        inputs={path.name: file_digest(path)},
    )
    schema, c = made
    return assemble("derm7pt", x, diagnoses, c, schema, parts, ids, settings)


def _groups(path: Path, names: list[str]) -> list[str]:
    for row, name in enumerate(names, 1):
        if name not in DIAGNOSES:
            known = ", ".join(repr(n) for n in DIAGNOSES)
            raise FileRefused(
                f"{path}, column 'diagnosis', row {row}: found {name!r}, wanted one of {known}"
            )
    return [DIAGNOSES[name] for name in names]


def _eight(path: Path, table: dict[str, np.ndarray]) -> tuple[Concepts, np.ndarray]:
    columns = []
    for _, column, true in PCBM:
        codes = {value: 1.0 if value in true else _NAN for value in CHECKLIST[column]}
        columns.append(_coded(path, table, column, {**codes, "absent": 0.0}))
    names = [name for name, _, _ in PCBM]
    groups = [
        tuple(n for n, (_, column, _) in enumerate(PCBM) if column == pair)
        for pair in ("dots_and_globules", "streaks", "pigment_network")
    ]
    return Concepts(tuple(names), tuple(groups)), np.stack(columns, axis=1)


def _checklist(path: Path, table: dict[str, np.ndarray]) -> tuple[Concepts, np.ndarray]:
    names: list[str] = []
    groups, columns = [], []
    for column, values in CHECKLIST.items():
        groups.append(tuple(range(len(names), len(names) + len(values))))
        for value in values:
            names.append(f"{column}::{value}")
            codes = {other: float(other == value) for other in values}
            columns.append(_coded(path, table, column, codes))
    return Concepts(tuple(names), tuple(groups)), np.stack(columns, axis=1)


def _coded(
    path: Path, table: dict[str, np.ndarray], column: str, codes: dict[str, float]
) -> np.ndarray:
    """A column as numbers; an empty cell is unknown."""
    return coded(f"{path}, column {column!r}", table[column].tolist(), {**codes, "": _NAN})


def _splits(folder: Path, count: int) -> dict[str, np.ndarray]:
    """Row numbers of the official splits."""
    parts: dict[str, np.ndarray] = {}
    owner: dict[int, str] = {}
    for split, word in zip(SPLITS, ("train", "valid", "test"), strict=True):
        path = folder / f"{word}_indexes.csv"
        cells = DERM7PT.table(("indexes",), path)["indexes"].tolist()
        for cell in cells:
            if not cell.isdecimal() or int(cell) >= count:
                raise FileRefused(f"{path}: found {cell!r}, wanted a row number below {count}")
            if int(cell) in owner:
                raise FileRefused(f"{path}: found row {cell}, which {owner[int(cell)]} has too")
            owner[int(cell)] = path.name
        parts[split] = np.array([int(cell) for cell in cells])
    return parts
