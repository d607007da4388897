"""The smallest set of moves: sorting and branching against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.explain.search import smallest_tried
from narrows.explain.search_sum import smallest_sum


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_sorting_and_branching_agree_with_enumeration_for_many_rivals(data) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    turns, rivals = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 7))
    turn = np.repeat(np.arange(turns), rng.integers(1, 4, turns))
    gains = rng.normal(size=(len(turn), rivals))
    margin = rng.normal(size=rivals) - data.draw(st.floats(0, 3))
    if (margin > 0).all():
        margin[0] = -1.0

    def wins(moves: tuple[int, ...]) -> bool:
        return bool((margin + gains[list(moves)].sum(0) > 0).all())

    sizes = []
    moves = [np.flatnonzero(turn == t).tolist() for t in range(turns)]
    for size in range(1, turns + 1):
        sets = (s for some in itertools.combinations(moves, size) for s in itertools.product(*some))
        if any(wins(s) for s in sets):
            sizes.append(size)
    found = smallest_sum(margin, gains, turn, wins, nodes=10**6)
    assert found.proven
    assert (found.moves is None) == (not sizes)
    if sizes:
        assert len(found.moves) == found.at_least == min(sizes)
        assert wins(found.moves)
        assert len(set(turn[list(found.moves)])) == len(found.moves)
    few = smallest_sum(margin, gains, turn, wins, nodes=data.draw(st.integers(0, 3)))
    if few.moves is None:
        assert not sizes or not few.proven
    else:
        assert few.at_least <= min(sizes) <= len(few.moves)
        assert wins(few.moves)
        assert not few.proven or len(few.moves) == min(sizes)
    tried = smallest_tried(
        lambda sets: np.array([(margin + gains[list(s)].sum(0)).min() for s in sets]), turn
    )
    assert (None if tried.moves is None else len(tried.moves)) == (min(sizes) if sizes else None)
