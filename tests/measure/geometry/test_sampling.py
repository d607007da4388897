"""pass@k is the share of all draws of k answers that hold a right one."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.geometry import pass_at_k


@given(st.data())
def test_it_is_what_enumeration_of_all_draws_gives(data) -> None:
    n = data.draw(st.integers(1, 8))
    k = data.draw(st.integers(1, n))
    counts = data.draw(st.lists(st.integers(0, n), min_size=1, max_size=5))
    shares = []
    for c in counts:
        draws = list(itertools.combinations([i < c for i in range(n)], k))
        shares.append(sum(map(any, draws)) / len(draws))
    found = pass_at_k(torch.tensor(counts), n, k)
    assert found.item() == pytest.approx(sum(shares) / len(shares), abs=1e-12)


def test_problems_may_differ_in_their_samples_and_large_counts_do_not_overflow() -> None:
    mixed = pass_at_k(torch.tensor([1, 2]), torch.tensor([2, 4]), 2)
    assert mixed.item() == pytest.approx((1 + 5 / 6) / 2)
    assert pass_at_k(torch.tensor([1]), 512, 256).item() == pytest.approx(0.5)


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidType):
        pass_at_k(torch.tensor([0.5]), 2, 1)
    for counts, n, k in [([3], 2, 1), ([-1], 2, 1), ([1], 2, 3), ([1], 2, 0), ([], 2, 1)]:
        with pytest.raises(InvalidInput):
            pass_at_k(torch.tensor(counts, dtype=torch.long), n, k)
