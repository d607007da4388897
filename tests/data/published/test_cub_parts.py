"""Where the parts of the birds are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from miniatures import FAMILIES, PARTS, cub, edit
from narrows.data import load
from narrows.data.published.cub_parts import PARTS as SPOKEN_OF
from narrows.data.published.cub_parts import part_locations, parts_of
from narrows.errors import FileRefused, UnknownName
from narrows.store import FileMissing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return cub(tmp_path)


def test_parts_are_where_the_file_says_and_nowhere_when_hidden(root: Path) -> None:
    data = load("cub", folder=root, min_classes=6)
    names, places = part_locations(root, data.test.ids)
    assert names == PARTS
    frame = pd.read_csv(
        root / "parts/part_locs.txt", sep=" ", names=["image", "part", "x", "y", "visible"]
    )
    images = dict(map(str.split, (root / "images.txt").read_text().splitlines()))
    for row, name in enumerate(data.test.ids):
        number = next(int(n) for n, path in images.items() if path == name)
        for line in frame[frame["image"] == number].itertuples():
            expected = [line.x, line.y] if line.visible else [np.nan, np.nan]
            found = places[row, line.part - 1].numpy()
            assert np.allclose(found, expected, equal_nan=True)


def test_parts_that_are_not_there_do_not_keep_the_pictures_from_loading(root: Path) -> None:
    shutil.rmtree(root / "parts")
    data = load("cub", folder=root, min_classes=6)
    with pytest.raises(FileMissing, match=r"parts\.txt: there is no such file"):
        part_locations(root, data.test.ids)


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (2, "1 1 3 4 1", "line 2: found part 1 of image 1 a second time"),
        (2, "1 99 3 4 1", r"which parts\.txt does not name"),
        (1, "1 1 left 4 1", "line 1: found 'left', wanted a position"),
        (1, "1 1 3 4", "wanted 5 fields"),
    ],
)
def test_malformed_parts_are_refused(root: Path, line: int, text: str, message: str) -> None:
    edit(root / "parts/part_locs.txt", line, text)
    with pytest.raises(FileRefused, match=message):
        part_locations(root, ["001.Bird_1/Bird_1_0000.jpg"])
    with pytest.raises(UnknownName, match=r"nearest: .*Bird_1_000"):
        part_locations(root, ["001.Bird_1/Bird_1.jpg"])


def test_every_family_with_a_place_speaks_of_parts_that_exist() -> None:
    spoken = {f"has_{name}" for name in FAMILIES}
    assert set(SPOKEN_OF) < spoken
    assert {part for parts in SPOKEN_OF.values() for part in parts} <= set(PARTS)
    assert spoken - set(SPOKEN_OF) == {"has_size", "has_shape", "has_primary_color"}
    assert parts_of("has_tail_pattern::solid") == ("tail",)
