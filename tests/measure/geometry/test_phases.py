"""Turns of a curve are found where they are, and noise makes none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InvalidInput
from narrows.measure.geometry import find_phases


@given(
    st.lists(st.floats(0.2, 2.0), min_size=1, max_size=5),
    st.booleans(),
    st.integers(3, 20),
    st.integers(0, 99),
)
def test_a_zigzag_of_straight_pieces_is_found_whole_under_small_noise(
    moves, rising, length, seed
) -> None:
    corners = [0.0]
    for i, move in enumerate(moves):
        corners.append(corners[-1] + (move if rising ^ (i % 2 == 1) else -move))
    places = [i * length for i in range(len(corners))]
    steps = np.arange(places[-1] + 1)
    noise = np.random.default_rng(seed).uniform(-0.004, 0.004, len(steps))
    noise[places] = 0
    curve = np.interp(steps, places, corners) + noise
    phases = find_phases(steps.tolist(), np.exp(curve).tolist(), least=0.03)
    assert len(phases) == len(moves)
    for phase, start, end in zip(phases, places, places[1:], strict=False):
        assert abs(phase.start - start) <= 1
        assert abs(phase.end - end) <= 1
    directions = [p.after > p.before for p in phases]
    assert directions == [rising ^ (i % 2 == 1) for i in range(len(moves))]


def test_the_names_are_those_of_the_paper() -> None:
    names = [p.name for p in find_phases(range(4), [6.6, 1.5, 8.0, 7.5])]
    assert names == ["collapse", "entropy-seeking", "compression-seeking"]
    assert [p.name for p in find_phases(range(2), [1.0, 2.0])] == ["entropy-seeking"]
    assert find_phases(range(5), [2.0, 2.01, 2.0, 1.99, 2.0]) == ()


@pytest.mark.parametrize(
    ("steps", "values", "least"),
    [
        ([0], [1.0], 0.03),
        ([0, 1], [1.0], 0.03),
        ([0, 0], [1.0, 2.0], 0.03),
        ([0, 1], [1.0, 0.0], 0.03),
        ([0, 1], [1.0, math.nan], 0.03),
        ([0, 1], [1.0, 2.0], 0.0),
    ],
)
def test_curves_that_are_none_are_refused(steps, values, least) -> None:
    with pytest.raises(InvalidInput):
        find_phases(steps, values, least)
