"""CheXpert on a miniature of its layout: uncertain is unknown, a patient is in one split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from miniatures import FINDINGS, chexpert
from narrows.data import load
from narrows.errors import FileRefused, InvalidInput, UnknownName


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return chexpert(tmp_path)


def table_of(root: Path, blank: float) -> pd.DataFrame:
    """All rows with -1 as NaN and blanks as told, by path inside the folder."""
    frame = pd.concat([pd.read_csv(root / f"{word}.csv") for word in ("train", "valid")])
    frame.index = frame["Path"].str.removeprefix("CheXpert-v1.0-small/")
    return frame[list(FINDINGS)].fillna(blank).replace(-1, np.nan)


@pytest.mark.parametrize(("unmentioned", "blank"), [("unknown", np.nan), ("absent", 0.0)])
def test_uncertain_is_unknown_and_a_blank_is_what_one_says(
    root: Path, unmentioned: str, blank: float
) -> None:
    table = table_of(root, blank)
    data = load("chexpert", folder=root, target="Edema", unmentioned=unmentioned)
    others = [name for name in FINDINGS if name != "Edema"]
    assert data.concepts.names == tuple(others)
    found = 0
    for split in data.splits.values():
        rows = table.loc[list(split.ids)]
        assert np.array_equal(split.c.numpy(), rows[others].to_numpy(), equal_nan=True)
        assert split.labels == ["yes" if value else "no" for value in rows["Edema"]]
        found += len(split)
    unknown = int(table["Edema"].isna().sum())
    assert data.settings["left_out"] == unknown > 0
    assert found == len(table) - unknown
    assert bool(data.train.c.isnan().any())


@pytest.mark.parametrize("seed", range(3))
def test_a_patient_is_in_one_split_and_the_official_studies_are_the_test(
    root: Path, seed: int
) -> None:
    data = load("chexpert", folder=root, seed=seed, unmentioned="absent")
    patients = [{name.split("/")[1] for name in split.ids} for split in data.splits.values()]
    assert sum(map(len, patients)) == len(set.union(*patients))
    assert all(name.startswith("valid/") for name in data.test.ids)
    assert all(name.startswith("train/") for name in (*data.train.ids, *data.val.ids))
    assert len(data.test) == 8
    assert len(patients[1]) <= 6  # a fifth of 30, fewer where every label is unknown


def test_frontal_views_alone_when_asked_so_and_pictures_are_grey(root: Path) -> None:
    data = load("chexpert", folder=root, views="frontal", unmentioned="absent")
    names = [name for split in data.splits.values() for name in split.ids]
    assert all("frontal" in name for name in names)
    assert data.train.x.shape[1] == 1
    assert len(names) < len(table_of(root, 0.0).dropna(subset=["Pleural Effusion"]))


def test_a_finding_that_is_never_negative_wants_blanks_to_be_absent(root: Path) -> None:
    for word in ("train", "valid"):
        frame = pd.read_csv(root / f"{word}.csv")
        frame["No Finding"] = frame["No Finding"].where(frame["No Finding"] == 1)
        frame.to_csv(root / f"{word}.csv", index=False)
    with pytest.raises(InvalidInput, match="one class only"):
        load("chexpert", folder=root, target="No Finding")
    data = load("chexpert", folder=root, target="No Finding", unmentioned="absent")
    assert data.classes == ("no", "yes")
    with pytest.raises(UnknownName, match=r"'Oedema'.*'Edema'"):
        load("chexpert", folder=root, target="Oedema")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (",AP,", ",AP,2.0,", "found 20 cells, wanted 19"),
        (",-1.0,", ",maybe,", r"train\.csv, column '.*', row \d+: found 'maybe'"),
        ("Frontal,", "Oblique,", "column 'Frontal/Lateral', row 1: found 'Oblique'"),
        ("Edema", "Oedema", "no column 'Edema'"),
        ("patient00002/study1/view1", "patient00001/study1/view1", "more than once"),
        ("patient00001", "person00001", "one folder that names the patient"),
        ("train/patient00003", "train/patient00091", "patient00091, whom train.csv has too"),
    ],
)
def test_malformed_tables_are_refused_by_place(
    root: Path, before: str, after: str, message: str
) -> None:
    text = (root / "train.csv").read_text().replace("\r\n", "\n")
    assert before in text
    (root / "train.csv").write_text(text.replace(before, after, 1))
    with pytest.raises(FileRefused, match=message):
        load("chexpert", folder=root)
