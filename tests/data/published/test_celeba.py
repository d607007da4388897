"""CelebA on a miniature of its layout; the task of concept embedding models against a slow one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniatures import celeba
from narrows.data import load
from narrows.data.published.celeba import balanced
from narrows.errors import FileRefused, InvalidInput, UnknownName


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return celeba(tmp_path)


def table_of(root: Path) -> pd.DataFrame:
    frame = pd.read_csv(root / "list_attr_celeba.txt", sep=r"\s+", skiprows=1)
    return (frame + 1) // 2


def test_one_attribute_is_the_label_and_the_others_are_concepts(root: Path) -> None:
    table = table_of(root)
    flags = pd.read_csv(root / "list_eval_partition.txt", sep=" ", index_col=0, header=None)[1]
    data = load("celeba", folder=root, task="Young")
    assert data.concepts.names == tuple(table.columns.drop("Young"))
    for n, split in enumerate(data.splits.values()):
        rows = table.loc[list(split.ids)]
        assert list(split.ids) == flags.index[flags == n].tolist()
        assert split.labels == ["yes" if bit else "no" for bit in rows["Young"]]
        assert np.array_equal(split.c.numpy(), rows.drop(columns="Young").to_numpy())


def test_the_hidden_task_is_that_of_a_slow_derivation(root: Path) -> None:
    table = table_of(root)
    near = sorted(table.columns, key=lambda name: abs(table[name].mean() - 0.5))
    columns = table.columns.tolist()
    shown, hidden = (sorted(part, key=columns.index) for part in (near[:6], near[6:8]))
    data = load("celeba", folder=root, task="hidden")
    assert data.concepts.names == tuple(shown)
    assert data.settings["hidden"] == hidden
    assert [len(split) for split in data.splits.values()] == [42, 6, 12]
    for split in data.splits.values():
        for name, label, c in zip(split.ids, split.labels, split.c.tolist(), strict=True):
            bits = [int(table.loc[name, column]) for column in (*shown, *hidden)]
            assert label == "".join(map(str, bits))
            assert c == bits[:6]


def test_patterns_that_no_kept_face_has_are_no_class(root: Path) -> None:
    data = load("celeba", folder=root, task="hidden", subsample=4)
    assert sum(len(split) for split in data.splits.values()) == 15
    labels = {label for split in data.splits.values() for label in split.labels}
    assert set(data.classes) == labels
    again = load("celeba", folder=root, task="hidden", subsample=4, seed=3)
    assert set(again.train.ids) != set(data.train.ids)


@given(st.lists(st.floats(0, 1), min_size=8, max_size=40))
def test_no_attribute_left_out_is_closer_to_a_half(frequency: list[float]) -> None:
    shown, hidden = balanced(np.array(frequency))
    distance = np.abs(np.array(frequency) - 0.5)
    assert (len(shown), len(hidden)) == (6, 2)
    assert distance[shown].max() <= distance[hidden].min()
    rest = np.delete(distance, [*shown, *hidden])
    assert not len(rest) or distance[hidden].max() <= rest.min()


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("list_attr_celeba.txt", "60\n", "61\n", "found 60 images, wanted 61"),
        ("list_attr_celeba.txt", "60\n", "sixty\n", "no count of images"),
        ("list_attr_celeba.txt", "Male", "Young", "'Young' more than once"),
        ("list_attr_celeba.txt", "000007.jpg", "000008.jpg", "'000008.jpg' more than once"),
        ("list_attr_celeba.txt", "000002.jpg -1", "000002.jpg", "line 4: .*wanted 11 fields"),
        ("list_attr_celeba.txt", "000002.jpg -1", "000002.jpg no", "line 4: found 'no'"),
        ("list_attr_celeba.txt", "000002.jpg -1", "000002.jpg 0", "0 for Smiling of 000002.jpg"),
        ("list_eval_partition.txt", "000003.jpg 0", "000003.jpg 5", "row 3: found '5'"),
        ("list_eval_partition.txt", "000003.jpg 0\n", "", "no line for '000003.jpg'"),
        ("list_eval_partition.txt", "000003.jpg", "000004.jpg", "'000004.jpg' a second time"),
    ],
)
def test_malformed_files_are_refused_by_name_and_place(
    root: Path, file: str, before: str, after: str, message: str
) -> None:
    text = (root / file).read_text()
    assert before in text
    (root / file).write_text(text.replace(before, after, 1))
    with pytest.raises(FileRefused, match=message):
        load("celeba", folder=root)


def test_options_that_cannot_be_are_refused(root: Path) -> None:
    with pytest.raises(UnknownName, match=r"'Smilling'.*'Smiling'"):
        load("celeba", folder=root, task="Smilling")
    for subsample in (0, 1.5, True):
        with pytest.raises(InvalidInput, match="subsample"):
            load("celeba", folder=root, subsample=subsample)
    with pytest.raises(InvalidInput, match="at least 8"):
        balanced(np.full(7, 0.5))
