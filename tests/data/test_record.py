"""Examples and data sets: what they accept, how they are cut, what identifies them."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from narrows.data import Column, Concepts, Dataset, Examples
from narrows.errors import InvalidInput, InvalidType

NAN = float("nan")


def examples(rows: int = 4, first: int = 0, **changes: Any) -> Examples:
    values = torch.arange(first, first + 2 * rows, dtype=torch.float32)
    fields: dict[str, Any] = {
        "x": values.reshape(rows, 2),
        "y": torch.arange(rows) % 2,
        "c": torch.tensor([[1.0, NAN], [0.0, 0.5]]).repeat(rows // 2 + 1, 1)[:rows],
        "classes": ("cat", "dog"),
        "concepts": Concepts(("furry", "loud")),
        "ids": tuple(f"r{first + i}" for i in range(rows)),
    }
    return Examples(**{**fields, **changes})


def small() -> Dataset:
    return Dataset("pets", examples(4), examples(2, 100), examples(2, 200))


class Doubled:
    """A column as the protocol asks, with nothing beyond it."""

    shape = (4, 1)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, rows: Tensor) -> Tensor:
        return 2.0 * rows[:, None]


class WrongLength(Doubled):
    shape = (5, 1)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"x": torch.tensor([[0.0, 1], [2, NAN], [3, 4], [5, 6]])},
        InvalidInput,
        "nan in row 1, column 1",
    ),
    (
        {"x": torch.tensor([[0.0, 1], [2, 3], [-torch.inf, torch.inf], [5, 6]])},
        InvalidInput,
        "2 such",
    ),
    ({"x": torch.zeros(4)}, InvalidInput, r"x: found shape \(4,\)"),
    ({"x": torch.zeros(4, 0)}, InvalidInput, "x: found shape"),
    ({"x": torch.zeros(4, 2, dtype=torch.complex64)}, InvalidType, "complex"),
    ({"x": torch.eye(4).to_sparse()}, InvalidType, "sparse"),
    ({"x": [[1.0]]}, InvalidType, "x: found list"),
    ({"x": np.zeros((4, 2))}, InvalidType, "x: found ndarray"),
    ({"x": WrongLength()}, InvalidInput, "x: found 4 rows with shape"),
    ({"y": torch.tensor([0, 1, 0])}, InvalidInput, r"y: found shape \(3,\)"),
    ({"y": torch.zeros(4, 1, dtype=torch.int64)}, InvalidInput, "y: found shape"),
    ({"y": torch.tensor([0.0, 1, 0, 1])}, InvalidType, "float32"),
    ({"y": torch.tensor([0, 1, 2, 1])}, InvalidInput, "2 in row 2"),
    ({"y": torch.tensor([0, -2, 0, 1])}, InvalidInput, "-2 in row 1"),
    ({"c": torch.zeros(3, 2)}, InvalidInput, r"c: found shape \(3, 2\)"),
    ({"c": torch.zeros(4, 2, 1)}, InvalidInput, "c: found shape"),
    ({"c": torch.zeros(4, 2, dtype=torch.float64)}, InvalidType, "float64"),
    ({"c": torch.full((4, 2), 1.5)}, InvalidInput, "1.5 in row 0, concept 'furry'"),
    ({"c": torch.full((4, 2), torch.inf)}, InvalidInput, "inf in row 0"),
    ({"c": torch.full((4, 2), -0.1)}, InvalidInput, "concept 'furry'"),
    ({"classes": ()}, InvalidInput, "no class"),
    ({"classes": ("dog", "cat")}, InvalidInput, "sorted"),
    ({"classes": ("cat", "cat")}, InvalidInput, "duplicates"),
    ({"classes": (0.0, NAN)}, InvalidInput, "missing"),
    ({"ids": ("a",)}, InvalidInput, "ids: found 1"),
    ({"ids": ("a", "b", 3, "d")}, InvalidType, "3 in row 2"),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD)
def test_bad_fields_are_refused_by_name_and_place(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        examples(**changes)


def test_finite_values_whose_sum_overflows_are_accepted() -> None:
    huge = torch.full((4, 2), torch.finfo(torch.float32).max)
    assert torch.equal(examples(x=huge).x, huge)


@pytest.mark.parametrize(
    "rows",
    [slice(1, 3), torch.tensor([3, 0]), np.array([2]), torch.tensor([True, False, True, False])],
)
def test_indexing_takes_the_same_rows_of_every_field(rows: Any) -> None:
    whole = examples()
    part, index = whole[rows], np.arange(4)[rows if not torch.is_tensor(rows) else rows.numpy()]
    assert np.array_equal(part.x.numpy(), whole.x.numpy()[index])
    assert np.array_equal(part.y.numpy(), whole.y.numpy()[index])
    assert np.array_equal(part.c.numpy(), whole.c.numpy()[index], equal_nan=True)
    assert part.ids == tuple(whole.ids[i] for i in index)
    assert torch.equal(whole.take(rows).x, part.x)


def test_one_row_keeps_its_batch_axis_and_iteration_ends() -> None:
    assert examples()[-1].x.shape == (1, 2)
    assert [row.ids for row in examples()] == [("r0",), ("r1",), ("r2",), ("r3",)]


def test_known_is_where_concepts_are_not_nan() -> None:
    assert examples(2).known.tolist() == [[True, False], [True, True]]
    assert examples(2, c=None).known.tolist() == [[False, False], [False, False]]


def test_labels_are_the_users_own_and_none_where_unknown() -> None:
    rows = examples(3, y=torch.tensor([1, -1, 0]))
    assert rows.labels == ["dog", None, "cat"]


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.float32, torch.float64, torch.int16, torch.bool]
)
def test_digests_are_sha256_of_the_rows_bytes(dtype: torch.dtype) -> None:
    x = torch.tensor([[0, 1], [2, 3], [0, 1]]).to(dtype)
    expected = [hashlib.sha256(row.tobytes()).hexdigest() for row in x.numpy()]
    assert examples(3, x=x, c=None, ids=None).digests() == expected


def test_digests_do_not_depend_on_memory_layout_or_the_sign_of_zero() -> None:
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    turned = examples(2, x=x.T.contiguous().T).digests()
    assert turned == examples(2, x=x).digests()
    assert examples(2, x=-torch.zeros(2, 2)).digests() == examples(2, x=torch.zeros(2, 2)).digests()


def test_a_plain_column_is_read_in_chunks_for_digests_and_rows() -> None:
    column: Column = Doubled()
    rows = examples(4, x=column)
    same = examples(4, x=torch.tensor([[0.0], [2.0], [4.0], [6.0]]))
    assert rows.digests() == same.digests()
    assert torch.equal(rows[torch.tensor([3, 1])].x, torch.tensor([[6.0], [2.0]]))
    assert isinstance(column, Column)


def test_moving_moves_every_tensor() -> None:
    moved = small().to("meta")
    for split in moved.splits.values():
        assert {split.x.device.type, split.y.device.type, split.c.device.type} == {"meta"}


def test_records_print_in_one_short_line() -> None:
    assert repr(examples()) == "Examples(4 rows, x (2,), 2 classes, 2 concepts)"
    assert repr(small()) == "Dataset('pets', 4 + 2 + 2 rows, x (2,), 2 classes, 2 concepts)"


def test_records_survive_pickling() -> None:
    data = small()
    again = pickle.loads(pickle.dumps(data))  # noqa: S301  # our own bytes
    assert again.fingerprint == data.fingerprint


CHANGES: list[Callable[[Dataset], Dataset]] = [
    lambda d: dataclasses.replace(d, test=dataclasses.replace(d.test, x=d.test.x + 1)),
    lambda d: dataclasses.replace(d, train=dataclasses.replace(d.train, y=d.train.y.flip(0))),
    lambda d: dataclasses.replace(d, val=dataclasses.replace(d.val, c=d.val.c.nan_to_num(1.0))),
    lambda d: dataclasses.replace(d, val=dataclasses.replace(d.val, c=d.val.c.nan_to_num(0.0))),
    lambda d: dataclasses.replace(d, val=d.test, test=d.val),
    lambda d: dataclasses.replace(d, val=dataclasses.replace(d.val, ids=("u", "v"))),
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_changes_with_any_content(change: Callable[[Dataset], Dataset]) -> None:
    assert change(small()).fingerprint != small().fingerprint


def test_the_fingerprint_ignores_name_settings_and_the_bits_of_nan() -> None:
    data = small()
    other_nan = torch.from_numpy(np.array([0x7FC00001], dtype=np.int32).view(np.float32))
    c = torch.where(data.train.c.isnan(), other_nan, data.train.c)
    train = dataclasses.replace(data.train, c=c)
    same = dataclasses.replace(data, name="other", settings={"a": 1}, train=train)
    assert same.fingerprint == data.fingerprint


def test_the_fingerprint_tells_numbers_from_their_texts() -> None:
    def of(classes: tuple[Any, ...]) -> str:
        return Dataset("d", *(examples(2, 10 * i, classes=classes) for i in range(3))).fingerprint

    assert of((1, 2)) != of(("1", "2"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val": examples(0, 100)}, "val: found no rows"),
        ({"val": examples(2, 100, classes=("cat", "cow"))}, "val.classes"),
        ({"test": examples(2, 100, concepts=Concepts(("a", "b")))}, "test.concepts"),
        ({"test": examples(2, 100, x=torch.zeros(2, 3))}, "test.x"),
        ({"test": examples(2, 100, y=torch.tensor([0, -1]))}, "without a label"),
        ({"test": examples(2)}, "'r0' in train and test"),
        ({"settings": {"a": NAN}}, "settings"),
        ({"settings": {"a": object()}}, "settings"),
    ],
)
def test_splits_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidInput, InvalidType), match=message):
        dataclasses.replace(small(), **changes)
