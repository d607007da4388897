"""Concept folders of positives and negatives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miniatures import broden, paint
from narrows.data import check, load
from narrows.errors import InvalidInput
from narrows.store import FileMissing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return broden(tmp_path)


def test_a_picture_is_annotated_for_the_concept_of_its_folder_only(root: Path) -> None:
    data = load("broden", folder=root)
    assert data.concepts.names == data.classes == ("air_conditioner", "beach", "car")
    for split in data.splits.values():
        for name, label, c in zip(split.ids, split.labels, split.c.numpy(), strict=True):
            concept, sign, _ = name.split("/")
            wanted = np.full(3, np.nan)
            wanted[data.concepts.index(concept)] = sign == "positives"
            assert label == concept
            assert np.array_equal(c, wanted, equal_nan=True)
    files = {path.relative_to(root).as_posix() for path in root.rglob("*.jpg")}
    assert {name for split in data.splits.values() for name in split.ids} == files


@pytest.mark.parametrize("seed", range(4))
def test_equal_pictures_under_other_names_stay_in_one_split(root: Path, seed: int) -> None:
    data = load("broden", folder=root, seed=seed)
    where: dict[bytes, set[str]] = {}
    for name, split in data.splits.items():
        for path in split.x.paths:
            where.setdefault(path.read_bytes(), set()).add(name)
    assert len(where) == 60  # 72 files, 12 of them twice
    assert all(len(splits) == 1 for splits in where.values())
    assert not [text for severity, text in check(data).problems if severity == "error"]


def test_both_signs_of_every_concept_are_there_to_learn_from(root: Path) -> None:
    c = load("broden", folder=root).train.c
    assert ((c == 1).any(0) & (c == 0).any(0)).all()


def test_hidden_folders_and_other_files_are_left_out(root: Path) -> None:
    before = load("broden", folder=root).fingerprint
    (root / ".cache").mkdir()
    (root / "readme.txt").write_text("about")
    (root / "car" / "positives" / "thumbs.db").write_bytes(b"")
    assert load("broden", folder=root).fingerprint == before
    paint(root / "car" / "positives" / "more.PNG", 999)
    assert load("broden", folder=root).fingerprint != before


def test_an_empty_folder_and_a_single_concept_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="no folder of a concept"):
        load("broden", folder=tmp_path)
    for sign in ("positives", "negatives"):
        for n in range(9):
            paint(tmp_path / "sea" / sign / f"{n}.jpg", n + 20 * len(sign))
    with pytest.raises(InvalidInput, match="one class only"):
        load("broden", folder=tmp_path)
