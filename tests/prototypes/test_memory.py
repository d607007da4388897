"""The memory of class means against scikit-learn and against plain means of the joined data."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestCentroid

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.prototypes import PrototypeMemory


def _data(seed: int, n: int, classes: int, dim: int, offset: float = 0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(offset, 1, (n, dim)), rng.integers(-3, classes - 3, n)


def _assert_holds(memory: PrototypeMemory, z: np.ndarray, y: np.ndarray, atol: float) -> None:
    labels = np.unique(y)
    assert memory.labels.tolist() == labels.tolist()
    assert memory.counts.tolist() == [int((y == k).sum()) for k in labels]
    means = np.stack([z[y == k].mean(0) for k in labels])
    np.testing.assert_allclose(memory.means.numpy(), means, atol=atol, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_predictions_equal_nearest_centroid_exactly_on_digits(dtype: torch.dtype) -> None:
    x, y = load_digits(return_X_y=True)
    # A fixed random embedding: raw pixels are small integers, where exact ties occur.
    z = x @ np.random.default_rng(0).normal(size=(64, 32))
    memory = PrototypeMemory(32).update(torch.tensor(z[:1000], dtype=dtype), y[:1000])
    expected = NearestCentroid().fit(z[:1000], y[:1000]).predict(z[1000:])
    assert memory.predict(torch.tensor(z[1000:], dtype=dtype)).tolist() == expected.tolist()


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    classes=st.integers(1, 6),
    offset=st.sampled_from([0.0, 1e4]),
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 20)), min_size=1, max_size=8),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_any_parts_in_any_order_give_the_batch_mean(seed, n, classes, offset, steps, dtype) -> None:
    z, y = _data(seed, n, classes, 5, offset)
    z = torch.tensor(z, dtype=dtype).double().numpy()  # what the memory really sees
    memory, aside = PrototypeMemory(5), PrototypeMemory(5)
    cut = 0
    while cut < n:
        for how, size in steps:
            part = slice(cut, cut + size)
            if cut >= n:
                break
            rows = torch.tensor(z[part], dtype=dtype), y[part]
            if how == 0:
                memory.update(*rows)
            elif how == 1:
                memory.merge(PrototypeMemory(5).update(*rows))
            else:
                aside.update(*rows)
            cut += size
    memory.merge(aside)
    _assert_holds(memory, z, y, 1e-6 * max(1.0, offset))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), m=st.integers(1, 40))
def test_removing_what_was_merged_gives_back_the_memory(seed: int, n: int, m: int) -> None:
    first, second = _data(seed, n, 5, 4), _data(seed + 1, m, 7, 4)
    memory, other = PrototypeMemory(4).update(*first), PrototypeMemory(4).update(*second)
    memory.merge(other).remove(other)
    _assert_holds(memory, *first, atol=1e-9)
    _assert_holds(other, *second, atol=1e-12)


def test_merging_is_commutative_and_associative_up_to_rounding() -> None:
    a, b, c = (PrototypeMemory(3).update(*_data(s, 30, 5, 3)) for s in range(3))
    left = copy.deepcopy(a).merge(b).merge(c)
    right = copy.deepcopy(c).merge(copy.deepcopy(b).merge(a))
    assert torch.equal(left.labels, right.labels)
    assert torch.equal(left.counts, right.counts)
    assert torch.allclose(left.means, right.means, atol=1e-14)


def test_an_empty_memory_changes_nothing_when_merged_or_removed() -> None:
    z, y = _data(0, 20, 4, 3)
    memory = PrototypeMemory(3).update(z, y)
    before = copy.deepcopy(memory.state_dict())
    memory.merge(PrototypeMemory(3)).remove(PrototypeMemory(3))
    for name, value in memory.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_batch_mean_is_weighed_by_its_size_not_by_one() -> None:
    """The widely copied mistake divides (m - c) by N where m is the mean of n vectors."""
    memory = PrototypeMemory(1).update(torch.tensor([[0.0]]), [0])
    memory.update(torch.tensor([[4.0], [4.0], [4.0]]), [0, 0, 0])
    assert memory.prototype(0).tolist() == [3.0]


def test_a_long_sum_of_single_precision_rows_keeps_its_digits() -> None:
    z = np.random.default_rng(0).uniform(0, 1, (200_000, 2)).astype(np.float32) + np.float32(1)
    memory = PrototypeMemory(2).update(z, np.zeros(len(z), dtype=int))
    exact = [math.fsum(column) / len(z) for column in z.T.astype(float)]
    np.testing.assert_allclose(memory.means[0].numpy(), exact, rtol=1e-6)


def test_half_precision_rows_are_not_averaged_in_half_precision() -> None:
    z = torch.full((5000, 1), 1.0, dtype=torch.float16)
    assert PrototypeMemory(1).update(z, [0] * 5000).means.item() == 1.0


def test_finite_rows_whose_single_precision_sum_overflows_are_averaged() -> None:
    z = torch.full((4, 1), 3e38)
    found = PrototypeMemory(1).update(z, [0] * 4).means.item()
    assert found == pytest.approx(float(z[0]))


def test_labels_far_apart_work_like_neighbouring_ones() -> None:
    z, y = _data(0, 50, 4, 3)
    near = PrototypeMemory(3).update(z, y)
    far = PrototypeMemory(3).update(z, y * 10**15)
    assert torch.equal(near.means, far.means)
    assert torch.equal(near.labels * 10**15, far.labels)


def test_the_arguments_stay_as_they_were() -> None:
    z, y = (torch.tensor(part) for part in _data(0, 20, 3, 3))
    kept = z.clone(), y.clone()
    PrototypeMemory(3).update(z, y).predict(z)
    assert torch.equal(z, kept[0])
    assert torch.equal(y, kept[1])


def test_state_round_trips_into_a_fresh_memory_of_another_size() -> None:
    z, y = _data(0, 30, 6, 3)
    memory = PrototypeMemory(3).update(z, y)
    fresh = PrototypeMemory(3).update(*_data(1, 9, 2, 3))
    fresh.load_state_dict(memory.state_dict())
    _assert_holds(fresh, z, y, 1e-12)
    assert torch.equal(fresh.predict(z), memory.predict(z))


def test_state_bytes_counts_the_buffers() -> None:
    memory = PrototypeMemory(64).update(torch.zeros(3, 64), [1, 2, 3])
    assert memory.state_bytes() == 3 * (64 * 8 + 8 + 8)
    assert memory.state_bytes(torch.float16) == 3 * (64 * 2 + 8 + 8)


def test_cosine_memory_ignores_length() -> None:
    memory = PrototypeMemory(2, "cosine").update(torch.eye(2), [0, 1])
    assert memory.predict(torch.tensor([[1e-3, 0.0], [0.0, 1e6]])).tolist() == [0, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_row_that_is_not_finite_is_refused_and_nothing_is_learnt(bad: float) -> None:
    memory = PrototypeMemory(2).update(torch.ones(2, 2), [0, 1])
    before = copy.deepcopy(memory.state_dict())
    z = torch.ones(5, 2)
    z[3, 1] = bad
    with pytest.raises(InvalidInput, match="embeddings: found NaN or infinity"):
        memory.update(z, [0, 1, 2, 3, 4])
    with pytest.raises(InvalidInput, match="embeddings: found NaN or infinity"):
        memory.predict(z)
    for name, value in memory.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("z", "y", "error", "text"),
    [
        (torch.zeros(2, 3), [0, 1], InvalidInput, r"shape \(2, 3\), wanted shape \(n, 2\)"),
        (torch.zeros(2), [0, 1], InvalidInput, "embeddings"),
        (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), InvalidInput, "at least one"),
        (torch.zeros(2, 2), [0], InvalidInput, "one label per embedding"),
        (torch.zeros(2, 2), [0.0, 1.0], InvalidType, "integers"),
        (torch.zeros(2, 2), [True, False], InvalidType, "integers"),
        (torch.zeros(2, 2, dtype=torch.long), [0, 1], InvalidType, "floating point"),
    ],
)
def test_bad_rows_are_refused(z, y, error, text: str) -> None:
    with pytest.raises(error, match=text):
        PrototypeMemory(2).update(z, y)


def test_removing_a_class_never_seen_or_too_much_of_one_is_refused() -> None:
    memory = PrototypeMemory(2).update(torch.zeros(2, 2), [1, 2])
    with pytest.raises(UnknownName, match="class: found 5"):
        memory.remove(PrototypeMemory(2).update(torch.zeros(1, 2), [5]))
    with pytest.raises(InvalidInput, match="2 examples of class 1"):
        memory.remove(PrototypeMemory(2).update(torch.zeros(2, 2), [1, 1]))
    assert memory.counts.tolist() == [1, 1]


def test_other_dims_other_things_and_empty_classes_are_refused() -> None:
    memory = PrototypeMemory(2).update(torch.zeros(1, 2), [1])
    with pytest.raises(InvalidInput, match=r"other\.dim: found 3, wanted 2"):
        memory.merge(PrototypeMemory(3))
    with pytest.raises(InvalidType, match="other"):
        memory.merge({"labels": [1]})
    hollow = PrototypeMemory(2).update(torch.zeros(1, 2), [1])
    hollow.counts.zero_()
    with pytest.raises(InvalidInput, match="an empty class: 1"):
        memory.merge(hollow)
    with pytest.raises(InvalidInput, match="an empty class: 1"):
        memory.load_state_dict(hollow.state_dict())
    with pytest.raises(InvalidInput, match="no class"):
        PrototypeMemory(2).predict(torch.zeros(1, 2))
    with pytest.raises(UnknownName, match="class: found 9"):
        memory.prototype(9)


@pytest.mark.parametrize(
    ("arguments", "text"), [((0,), "dim"), ((2, "manhattan"), "'sqeuclidean', 'cosine'")]
)
def test_settings_that_cannot_be_are_refused(arguments, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        PrototypeMemory(*arguments)
