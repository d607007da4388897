"""Which row goes where."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.split import split_rows
from narrows.errors import InvalidInput

LABELS = st.lists(st.integers(0, 4), min_size=12, max_size=200)


@given(LABELS, st.integers(0, 99))
def test_splits_partition_the_rows_and_train_has_every_class(labels: list[int], seed: int) -> None:
    rows = split_rows(labels, seed)
    every = np.concatenate(list(rows.values()))
    assert sorted(every.tolist()) == list(range(len(labels)))
    assert {labels[i] for i in rows["train"]} == set(labels)
    assert len(rows["val"]) == len(rows["test"]) >= 1


@given(LABELS, st.integers(0, 99))
def test_each_class_gives_its_share_to_within_one_row(labels: list[int], seed: int) -> None:
    rows = split_rows(labels, seed)
    counts = Counter(labels)
    free = len(labels) - len(counts)
    for split in ("val", "test"):
        found = Counter(labels[i] for i in rows[split])
        for label, count in counts.items():
            assert abs(found[label] - (count - 1) * len(rows[split]) / free) < 1


def test_a_large_table_is_cut_70_15_15() -> None:
    labels = np.random.default_rng(0).integers(3, size=2000).tolist()
    assert [len(part) for part in split_rows(labels, 0).values()] == [1400, 300, 300]


@given(st.integers(0, 50))
def test_rows_that_share_an_id_stay_together(seed: int) -> None:
    ids = [f"patient {i // 3}" for i in range(90)]
    rows = split_rows([i % 2 for i in range(90)], seed, ids)
    homes = [{ids[i] for i in part} for part in rows.values()]
    assert not homes[0] & homes[1] | homes[0] & homes[2] | homes[1] & homes[2]
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(90))


def test_within_a_class_every_row_is_held_out_equally_often() -> None:
    labels = [0] * 20 + [1] * 20
    held = np.zeros(40)
    for seed in range(400):
        held[split_rows(labels, seed)["test"]] += 1
    # 400 draws at 15 %: mean 60, standard deviation 7.1; five deviations either way.
    assert held.min() > 24
    assert held.max() < 96


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    labels = [i % 3 for i in range(100)]
    first, again, other = (split_rows(labels, seed)["test"].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_split_column_is_honoured_in_any_spelling() -> None:
    column = ["Train", "validation", "test", "dev", "training ", "TESTING"]
    rows = split_rows([0, 1, 0, 1, 1, 0], 0, column=column)
    assert {k: v.tolist() for k, v in rows.items()} == {
        "train": [0, 4],
        "val": [1, 3],
        "test": [2, 5],
    }


def test_a_split_the_column_lacks_is_drawn_from_train_only() -> None:
    column = ["train"] * 20 + ["test"] * 5
    rows = split_rows([i % 2 for i in range(25)], 0, column=column)
    assert rows["test"].tolist() == [20, 21, 22, 23, 24]
    assert len(rows["val"]) == 3
    assert sorted(np.concatenate([rows["train"], rows["val"]]).tolist()) == list(range(20))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["train", "fold1", "fold1"], r"'fold1' in rows 2, 3"),
        (["test", "val", "test"], "no train rows"),
    ],
)
def test_bad_split_columns_are_refused(column: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        split_rows([0, 1, 0], 0, column=column)


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None, True])
def test_bad_seeds_are_refused(seed: object) -> None:
    with pytest.raises(InvalidInput, match="seed: found"):
        split_rows([0, 1] * 10, seed)


@pytest.mark.parametrize("labels", [[0], [0, 1], [0, 1, 2], [0, 0]])
def test_too_few_rows_are_refused_in_one_line(labels: list[int]) -> None:
    with pytest.raises(InvalidInput, match="more than classes"):
        split_rows(labels, 0)


def test_the_smallest_table_fills_each_split() -> None:
    assert [len(part) for part in split_rows(["a", "a", "b", "b"], 0).values()] == [2, 1, 1]
