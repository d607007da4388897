"""`chexpert`: chest radiographs with 14 findings read off the reports.

The data are by Irvin et al. (2019, arXiv 1901.07031): 224,316 radiographs of 65,240 patients. A
finding is 1 (positive), 0 (negative), -1 (uncertain) or blank (not mentioned). Uncertain is
unknown here, never 0 or 1. One finding is the label, the others are concepts.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from narrows.data.assemble import assemble
from narrows.data.published.layout import (
    Published,
    Size,
    choose,
    coded,
    drawn,
    picture_settings,
    refuse_repeats,
)
from narrows.data.record import Concepts, Dataset
from narrows.data.registry import dataset
from narrows.errors import FileRefused
from narrows.store import file_digest

CHEXPERT = Published(
    "CheXpert",
    "https://stanfordmlgroup.github.io/competitions/chexpert (after registration)",
    "the Stanford research use agreement: not commercial, not to be passed on",
)
INNER = "CheXpert-v1.0-small"
FINDINGS = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion"),
    *("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
)
_NAN = float("nan")


@dataset("chexpert")
def chexpert(
    folder: str | Path | None = None,
    target: str = "Pleural Effusion",
    unmentioned: str = "unknown",
    views: str = "all",
    validation: float = 0.2,
    seed: int = 0,
    size: Size = 224,
) -> Dataset:
    """CheXpert from its folder: the official validation studies are the test.

    Validation rows are those of a share of the training patients; no patient is in two splits.
    Rows whose label is unknown are left out, and counted in the settings.

    Args:
        folder: `CheXpert-v1.0-small` or `CheXpert-v1.0` (its `train.csv`, `valid.csv`, `train`,
            `valid`), or the folder in which the small one lies.
        target: the finding that is the label (no, yes). `No Finding` is never negative in the
            published table: it wants `unmentioned="absent"`.
        unmentioned: whether a blank is `unknown`, or `absent` as in many papers.
        views: `all`, or `frontal` radiographs only.
        validation: share of the training patients.
        seed: of the draw of validation patients.
        size: images are resized to `(height, width)` or one number; they become grey.

    Raises:
        FileMissing: a folder, file or image is not there; says where people get it.
        FileRefused: a value that is no finding, an image twice, a path without a patient.
        UnknownName, InvalidInput: an option that cannot be, or a label with one value only.

    Example:
        >>> chexpert()
        Traceback (most recent call last):
        ...
        narrows.store.atomic.FileMissing: folder: found none, wanted folder= the place of ...
    """
    choose("target", target, FINDINGS)
    choose("unmentioned", unmentioned, ("unknown", "absent"))
    choose("views", views, ("all", "frontal"))
    root = CHEXPERT.folder(folder, INNER, "train.csv")
    blank = _NAN if unmentioned == "unknown" else 0.0
    paths = {name: root / f"{name}.csv" for name in ("train", "valid")}
    names, found = zip(*(_read(path, blank, views) for path in paths.values()), strict=True)
    ids, values = [*names[0], *names[1]], np.concatenate(found)
    refuse_repeats(str(root), ids)
    is_test = np.arange(len(ids)) >= len(names[0])
    patients = np.array([_patient(name) for name in ids])
    shared = np.intersect1d(patients[~is_test], patients[is_test])
    if len(shared):
        raise FileRefused(f"{paths['valid']}: found {shared[0]}, whom train.csv has too")
    everyone = np.unique(patients[~is_test])
    held = np.isin(patients, everyone[drawn(len(everyone), validation, seed)])
    label = values[:, FINDINGS.index(target)]
    known = ~np.isnan(label)
    kept = np.flatnonzero(known)
    place = np.where(is_test, 2, np.where(held, 1, 0))[kept]
    rows = {name: np.flatnonzero(place == n) for n, name in enumerate(("train", "val", "test"))}
    others = [i for i, name in enumerate(FINDINGS) if name != target]
    kept_ids = [ids[i] for i in kept.tolist()]
    x = CHEXPERT.pictures(root, kept_ids, size, 1)
    settings = picture_settings(
        "chexpert",
        x,
        task=target,
        unmentioned=unmentioned,
        views=views,
        validation=validation,
        seed=seed,
        left_out=int((~known).sum()),
        inputs={path.name: file_digest(path) for path in paths.values()},
    )
    labels = [("no", "yes")[int(value)] for value in label[kept]]
    schema = Concepts(tuple(FINDINGS[i] for i in others))
    c = values[kept][:, others]
    return assemble("chexpert", x, labels, c, schema, rows, kept_ids, settings)


def _read(path: Path, blank: float, views: str) -> tuple[list[str], np.ndarray]:
    """Image paths inside the folder, and `(rows, 14)` float32 findings."""
    table = CHEXPERT.table(("Path", "Frontal/Lateral", *FINDINGS), path)
    codes = {"1.0": 1.0, "1": 1.0, "0.0": 0.0, "0": 0.0, "-1.0": _NAN, "-1": _NAN, "": blank}
    columns = [coded(f"{path}, column {f!r}", table[f].tolist(), codes) for f in FINDINGS]
    side = coded(
        f"{path}, column 'Frontal/Lateral'",
        table["Frontal/Lateral"].tolist(),
        {"Frontal": 1, "Lateral": 0},
    )
    chosen = np.flatnonzero((side == 1) | (views == "all"))
    # The table's paths start with the name of the folder itself.
    names = [str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in table["Path"].tolist()]
    return [names[i] for i in chosen.tolist()], np.stack(columns, axis=1)[chosen]


def _patient(name: str) -> str:
    """`patient00001` of `train/patient00001/study1/view1_frontal.jpg`."""
    found = [part for part in PurePosixPath(name).parts if part.startswith("patient")]
    if len(found) != 1:
        raise FileRefused(f"Path: found {name!r}, wanted one folder that names the patient")
    return found[0]
