"""Integer frequency tables against the best possible ones."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import InvalidInput, InvalidType
from narrows.functional import frequency_tables as module
from narrows.functional.frequency_tables import Tables, frequencies


def _best(counts: list[float], slots: int) -> list[int]:
    """Greedy allocation, exact because the saving of one more slot only falls."""
    freq = [int(c > 0) for c in counts]
    heap = [(-c * math.log(2), i) for i, c in enumerate(counts) if c > 0]
    heapq.heapify(heap)
    for _ in range(slots - sum(freq)):
        _, i = heapq.heappop(heap)
        freq[i] += 1
        heapq.heappush(heap, (-counts[i] * math.log1p(1 / freq[i]), i))
    return freq


def _bits(counts: list[float], freq: list[int], slots: int) -> float:
    return sum(c * math.log2(slots / f) for c, f in zip(counts, freq, strict=True) if c > 0)


counts = st.lists(
    st.one_of(st.integers(0, 5), st.floats(1e-3, 1e6), st.just(1e-9), st.just(1e12)),
    min_size=1,
    max_size=40,
).filter(lambda c: max(c) > 0)


@settings(max_examples=200, deadline=None)
@given(counts, st.sampled_from([6, 8, 10, 12]))
def test_a_table_sums_to_its_slots_and_spends_hardly_more_than_the_best(
    counts: list[float], precision: int
) -> None:
    slots = 2**precision
    freq = frequencies([counts], precision)[0]
    assert freq.dtype == np.int64
    assert freq.sum() == slots
    assert ((freq > 0) == (np.array(counts) > 0)).all()
    ours, best = (_bits(counts, f, slots) for f in (freq.tolist(), _best(counts, slots)))
    assert best * (1 - 1e-9) <= ours <= best * (1 + 1e-3) + 1e-4 * sum(counts)


def test_tables_are_made_row_by_row() -> None:
    rng = np.random.default_rng(0)
    many = rng.exponential(size=(20, 30)) * (rng.random((20, 30)) < 0.7)
    many[:, 0] += 1e-3
    for row, alone in zip(frequencies(many), many, strict=True):
        assert (row == frequencies(alone[None])[0]).all()


@pytest.mark.parametrize("scale", [1e-250, 1.0, 1e250])
def test_the_scale_of_the_counts_does_not_matter(scale: float) -> None:
    base = np.array([[1.0, 2.0, 0.0, 5.0]])
    assert (frequencies(base * scale) == frequencies(base)).all()


def test_as_many_symbols_as_slots_get_one_each() -> None:
    assert (frequencies([np.arange(1, 17)], precision=4) == 1).all()


@pytest.mark.parametrize(
    ("counts", "precision"),
    [
        ([[0, 0]], 16),
        ([[1, -1]], 16),
        ([[1, math.nan]], 16),
        ([[1, math.inf]], 16),
        ([1, 2], 16),
        (np.zeros((1, 0)), 16),
        ([[1, 2]], 0),
        ([[1, 2]], 17),
        ([[1] * 17], 4),
    ],
)
def test_bad_counts_are_named(counts: object, precision: int) -> None:
    with pytest.raises(InvalidInput, match=r"^(counts|precision): found"):
        frequencies(counts, precision)  # type: ignore[arg-type]  # bad on purpose


@pytest.mark.parametrize(
    "tables",
    [[[3, 4]], [[4, 4], [8, 8]], [[-1, 9]], np.zeros((0, 3), int), [[0, 0]], [4, 4], [[2**17]]],
)
def test_bad_tables_are_named(tables: object) -> None:
    with pytest.raises(InvalidInput, match="tables"):
        Tables(tables)  # type: ignore[arg-type]  # bad on purpose


def test_tables_are_integers() -> None:
    with pytest.raises(InvalidType, match="tables"):
        Tables(torch.tensor([[4.0, 4.0]]))


@settings(max_examples=100, deadline=None)
@given(st.lists(counts, min_size=1, max_size=4), st.integers(4, 16), st.integers(0, 2**32))
def test_all_ways_to_find_a_slot_agree_with_a_linear_scan(
    rows: list[list[float]], precision: int, seed: int
) -> None:
    width = max(map(len, rows))
    slots = 2**precision
    rows = [row[:slots] for row in rows]
    table = np.array([row + [0.0] * (width - len(row)) for row in rows])
    table[:, 0] += 1
    if width > slots:
        table[:, slots:] = 0
    freq = frequencies(table, precision)
    tables = Tables(freq)
    rng = np.random.default_rng(seed)
    row, slot = rng.integers(0, len(freq), 50), rng.integers(0, slots, 50)
    want = [int((np.cumsum(freq[r]) <= s).sum()) for r, s in zip(row, slot, strict=True)]
    ways = [tables._halve, tables._look_up]
    if precision > module._COARSE:
        ways.append(tables._step)
    for find in ways:
        assert (find(row, slot) - row * tables.width).tolist() == want


def test_a_look_up_table_is_made_when_it_has_paid_for_itself() -> None:
    tables = Tables(np.full((20, 4), 2**14))
    assert tables.finder(10) == tables._halve
    assert tables.finder(5000) == tables._step
    for _ in range(40):
        find = tables.finder(5000)
    assert find == tables._look_up
