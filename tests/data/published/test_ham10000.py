"""HAM10000 on a miniature of its layout: above all, no lesion in two splits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from miniatures import ham10000
from narrows.data import Dataset, load
from narrows.errors import FileRefused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return ham10000(tmp_path)


def shared_lesions(root: Path, data: Dataset) -> int:
    """How often a lesion is in one split more than it may be."""
    lesion = pd.read_csv(root / "HAM10000_metadata.csv").set_index("image_id")["lesion_id"]
    splits = [set(lesion[list(split.ids)]) for split in data.splits.values()]
    return sum(map(len, splits)) - len(set.union(*splits))


@pytest.mark.parametrize("seed", range(5))
def test_a_lesion_stays_in_one_split_and_a_split_by_image_leaks(root: Path, seed: int) -> None:
    data = load("ham10000", folder=root, seed=seed)
    assert shared_lesions(root, data) == 0
    assert sum(len(split) for split in data.splits.values()) == 90
    assert shared_lesions(root, load("ham10000", folder=root, seed=seed, split="image")) > 5


def test_labels_are_those_of_the_table(root: Path) -> None:
    dx = pd.read_csv(root / "HAM10000_metadata.csv").set_index("image_id")["dx"]
    two, seven = (load("ham10000", folder=root, target=t) for t in ("malignant", "diagnosis"))
    assert two.classes == ("benign", "malignant")
    assert len(seven.classes) == 7
    for split in two.splits.values():
        wanted = ["malignant" if dx[i] in ("mel", "bcc") else "benign" for i in split.ids]
        assert split.labels == wanted
        assert [path.stem for path in split.x.paths] == list(split.ids)
    for split in seven.splits.values():
        assert split.labels == dx[list(split.ids)].tolist()
    assert two.train.c is None
    assert len(two.concepts) == 0


def test_images_may_lie_anywhere_and_in_copies(root: Path) -> None:
    before = load("ham10000", folder=root).fingerprint
    shutil.copytree(root / "HAM10000_images_part_1", root / "ham10000_images_part_1")
    for image in (root / "HAM10000_images_part_2").iterdir():
        image.rename(root / image.name)
    assert load("ham10000", folder=root).fingerprint == before


def test_the_table_of_the_dataverse_has_no_ending(root: Path) -> None:
    before = load("ham10000", folder=root).fingerprint
    (root / "HAM10000_metadata.csv").rename(root / "HAM10000_metadata")
    assert load("ham10000", folder=root).fingerprint == before


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (",nv,", ",naevus,", "found dx 'naevus', wanted one of akiec, bcc"),
        ("ISIC_0000003", "ISIC_0000004", "'ISIC_0000004' more than once"),
        ("HAM_0000003", "", "found no lesion_id"),
        ("lesion_id", "lesion", "no column 'lesion_id'"),
        (",back\n", "\n", "found 6 cells, wanted 7"),
    ],
)
def test_malformed_rows_are_refused(root: Path, before: str, after: str, message: str) -> None:
    path = root / "HAM10000_metadata.csv"
    text = path.read_text().replace("\r\n", "\n")
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(FileRefused, match=message):
        load("ham10000", folder=root)
