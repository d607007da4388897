"""Animals with Attributes 2 on a miniature of its layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from miniatures import awa2
from narrows.data import load
from narrows.errors import FileRefused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return awa2(tmp_path)


@pytest.mark.parametrize("concepts", ["binary", "continuous"])
def test_each_picture_has_the_row_of_its_class_and_minus_one_is_unknown(
    root: Path, concepts: str
) -> None:
    table = pd.read_csv(root / f"predicate-matrix-{concepts}.txt", sep=r"\s+", header=None)
    kinds = pd.read_csv(root / "classes.txt", sep=r"\s+", header=None)[1].tolist()
    expected = table.to_numpy(dtype=float)
    if concepts == "continuous":
        expected = np.where(expected == -1, np.nan, expected / 100)
        assert np.isnan(expected[0, 2])
    data = load("awa2", folder=root, concepts=concepts)
    assert data.concepts.names == ("black", "white", "furry", "hooves", "swims", "fast")
    for split in data.splits.values():
        for name, label, c in zip(split.ids, split.labels, split.c.numpy(), strict=True):
            assert label == name.split("/")[0]
            assert np.allclose(c, expected[kinds.index(label)], equal_nan=True)


def test_half_of_the_images_are_for_the_test_and_a_fifth_of_the_rest_for_validation(
    root: Path,
) -> None:
    data = load("awa2", folder=root)
    assert [len(split) for split in data.splits.values()] == [16, 4, 20]
    assert load("awa2", folder=root, seed=1).test.ids != data.test.ids


def test_classes_of_the_test_are_never_shown_when_asked_so(root: Path) -> None:
    data = load("awa2", folder=root, split="classes")
    assert set(data.test.labels) == {"fox", "killer+whale"}
    assert set(data.train.labels) | set(data.val.labels) == {"antelope", "grizzly+bear", "cow"}
    (root / "testclasses.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"testclasses\.txt"):
        load("awa2", folder=root, split="classes")


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("classes.txt", "fox", "cow", "'cow' more than once"),
        ("classes.txt", "fox", "wolf", r"wolf: there is no such folder"),
        ("predicates.txt", "furry", "white", "'white' more than once"),
        ("predicates.txt", "furry", "very furry", "line 3: .*wanted 2 fields"),
        ("predicate-matrix-binary.txt", "1", "2", "line 1: found '2', wanted 0 or 1"),
        ("predicate-matrix-binary.txt", "1", "yes", "line 1: .*'yes'"),
        ("predicate-matrix-binary.txt", "1 ", "", "wanted 6 fields"),
        ("predicate-matrix-continuous.txt", "-1.00", "-2.00", "line 1: found '-2.00', wanted 0 to"),
        ("predicate-matrix-continuous.txt", "-1.00", "nan", "line 1: found 'nan'"),
        ("testclasses.txt", "fox", "dodo", r"'dodo', which classes\.txt does not list"),
    ],
)
def test_malformed_files_are_refused_by_name(
    root: Path, file: str, before: str, after: str, message: str
) -> None:
    text = (root / file).read_text()
    assert before in text
    (root / file).write_text(text.replace(before, after, 1))
    concepts = "continuous" if "continuous" in file else "binary"
    with pytest.raises((FileRefused, FileNotFoundError), match=message):
        load("awa2", folder=root, concepts=concepts, split="classes")


def test_a_table_of_another_height_is_refused(root: Path) -> None:
    path = root / "predicate-matrix-binary.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(FileRefused, match="found 4 lines, wanted 5"):
        load("awa2", folder=root)
