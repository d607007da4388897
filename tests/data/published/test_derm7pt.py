"""The seven-point checklist data on a miniature of its layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from miniatures import derm7pt
from narrows.data import load
from narrows.data.published.derm7pt import CHECKLIST
from narrows.errors import FileRefused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return derm7pt(tmp_path)


def meta(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "meta" / "meta.csv", keep_default_na=False)


def expected(row: pd.Series, concept: str) -> float:
    """The eight concepts, one by one: against absent, the third value being unknown."""
    rules = {
        "blue whitish veil": ("blue_whitish_veil", {"absent": 0, "present": 1}),
        "regular dots and globules": ("dots_and_globules", {"absent": 0, "regular": 1}),
        "irregular dots and globules": ("dots_and_globules", {"absent": 0, "irregular": 1}),
        "irregular streaks": ("streaks", {"absent": 0, "irregular": 1}),
        "regular streaks": ("streaks", {"absent": 0, "regular": 1}),
        "atypical pigment network": ("pigment_network", {"absent": 0, "atypical": 1}),
        "typical pigment network": ("pigment_network", {"absent": 0, "typical": 1}),
    }
    if concept == "regression structures":
        return float(row["regression_structures"] != "absent")
    column, values = rules[concept]
    return values.get(row[column], np.nan)


def test_the_eight_concepts_stand_against_absent_and_the_third_value_is_unknown(
    root: Path,
) -> None:
    table = meta(root).set_index("derm")
    data = load("derm7pt", folder=root)
    assert len(data.concepts) == 8
    for split in data.splits.values():
        for name, c in zip(split.ids, split.c.tolist(), strict=True):
            wanted = [expected(table.loc[name], concept) for concept in data.concepts.names]
            assert np.array_equal(c, wanted, equal_nan=True)
    pairs = {tuple(data.concepts.names[i] for i in group) for group in data.concepts.groups}
    assert len(pairs) == 3
    for first, second in pairs:
        assert first.split()[1:] == second.split()[1:]


def test_the_checklist_is_one_hot_in_each_criterion_and_a_blank_is_unknown(root: Path) -> None:
    table = meta(root).set_index("derm")
    data = load("derm7pt", folder=root, concepts="checklist")
    assert [len(group) for group in data.concepts.groups] == [len(v) for v in CHECKLIST.values()]
    blank = 0
    for split in data.splits.values():
        for name, c in zip(split.ids, split.c.numpy(), strict=True):
            for concept, found in zip(data.concepts.names, c, strict=True):
                column, value = concept.split("::")
                cell = table.loc[name, column]
                assert found == (cell == value) if cell else np.isnan(found)
                blank += not cell
    assert blank == 3


def test_the_official_rows_are_kept(root: Path) -> None:
    table = meta(root)
    data = load("derm7pt", folder=root)
    for split, word in zip(data.splits.values(), ("train", "valid", "test"), strict=True):
        rows = pd.read_csv(root / "meta" / f"{word}_indexes.csv")["indexes"]
        assert list(split.ids) == table["derm"][rows].tolist()


def test_diagnoses_fall_into_groups_and_the_clinical_view_shows_other_images(root: Path) -> None:
    group = {
        "clark nevus": "nevus", "blue nevus": "nevus", "melanoma": "melanoma",
        "melanoma (in situ)": "melanoma", "lentigo": "miscellaneous",
        "basal cell carcinoma": "basal cell carcinoma",
    }  # fmt: skip
    table = meta(root).set_index("derm")
    data = load("derm7pt", folder=root)
    two = load("derm7pt", folder=root, target="melanoma", view="clinic")
    assert two.classes == ("no", "yes")
    for split, other in zip(data.splits.values(), two.splits.values(), strict=True):
        assert split.labels == [group[table.loc[name, "diagnosis"]] for name in split.ids]
        assert [label == "melanoma" for label in split.labels] == [y == "yes" for y in other.labels]
        clinical = [table.loc[name, "clinic"] for name in other.ids]
        assert [path.name for path in other.x.paths] == [Path(name).name for name in clinical]


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("meta.csv", "lentigo", "freckle", "column 'diagnosis', row 4: found 'freckle'"),
        ("meta.csv", "present", "maybe", "column 'blue_whitish_veil', row .*'maybe'"),
        ("meta.csv", "streaks", "stripes", "no column 'streaks'"),
        ("meta.csv", "Ndl001", "Ndl000", "'N/Ndl000.jpg' more than once"),
        ("meta.csv", '"a note, with a comma"', "a, b, c", "line 2: found 14 cells"),
        ("train_indexes.csv", "\n", "\n40\n", "found '40', wanted a row number below 40"),
        ("train_indexes.csv", "\n", "\n-1\n", "found '-1', wanted a row number"),
        ("train_indexes.csv", "indexes", "rows", "no column 'indexes'"),
    ],
)
def test_malformed_tables_are_refused_by_name_and_place(
    root: Path, file: str, before: str, after: str, message: str
) -> None:
    path = root / "meta" / file
    text = path.read_text().replace("\r\n", "\n")
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(FileRefused, match=message):
        load("derm7pt", folder=root)


def test_a_row_in_two_splits_is_refused_by_both_files(root: Path) -> None:
    row = pd.read_csv(root / "meta" / "train_indexes.csv")["indexes"][3]
    with (root / "meta" / "test_indexes.csv").open("a") as file:
        file.write(f"{row}\n")
    message = rf"test_indexes\.csv: found row {row}, which train_indexes\.csv has too"
    with pytest.raises(FileRefused, match=message):
        load("derm7pt", folder=root)
