"""Counting and neighbours against brute force, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.measure.mi.counting import count_within
from narrows.measure.mi.neighbours import farthest, nearest, untied


def brute(x: np.ndarray, radius: np.ndarray, among: np.ndarray) -> np.ndarray:
    return (np.abs(x[:, None] - among[None]).max(2) < radius[:, None]).sum(1)


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(1, 4), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_counts_equal_brute_force(n, d, digits, seed):
    """Few digits make ties and distances that equal the radius."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, d)).round(digits)
    radius = np.abs(generator.standard_normal(n)).round(digits) + 10.0**-digits
    assert (count_within(x, radius) == brute(x, radius, x)).all()
    others = generator.standard_normal((generator.integers(1, 300), d)).round(digits)
    assert (count_within(x, radius, others) == brute(x, radius, others)).all()


def test_a_neighbour_at_the_radius_is_never_counted():
    """The radius is a distance to a row: x - radius rounds, the comparison must not."""
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((2, 1000, 1))
    radius = nearest(np.concatenate([x, y], axis=1), 3)[0][:, -1]
    assert (count_within(x, radius) == brute(x, radius, x)).all()
    assert (count_within(y, radius) == brute(y, radius, y)).all()


@pytest.mark.parametrize("d", [1, 2, 5])
def test_neighbours_equal_sorting_all_distances(d):
    generator = np.random.default_rng(d)
    points = generator.standard_normal((150, d))
    far = np.abs(points[:, None] - points[None]).max(2)
    np.fill_diagonal(far, np.inf)
    distance, place = nearest(points, 4)
    assert (distance == np.sort(far, axis=1)[:, :4]).all()
    assert (np.take_along_axis(far, place, axis=1) == distance).all()
    assert (nearest(points, 4, last=True)[0][:, 0] == distance[:, -1]).all()


@settings(max_examples=60)
@given(st.integers(2, 120), st.integers(1, 5), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_the_kth_distance_equals_sorting_all_distances(n, k, digits, seed):
    k = min(k, n - 1)
    points = np.random.default_rng(seed).standard_normal((n, 1)).round(digits)
    far = np.abs(points - points.T)
    np.fill_diagonal(far, np.inf)
    assert (farthest(points, k) == np.sort(far, axis=1)[:, k - 1]).all()


def test_neighbours_among_other_rows():
    generator = np.random.default_rng(7)
    points, others = generator.standard_normal((50, 2)), generator.standard_normal((80, 2))
    far = np.abs(points[:, None] - others[None]).max(2)
    distance, place = nearest(points, 2, among=others)
    assert (distance == np.sort(far, axis=1)[:, :2]).all()
    assert (np.take_along_axis(far, place, axis=1) == distance).all()


def test_only_tied_values_move_and_by_very_little():
    values = np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 3.0], [5.0, 4.0]])
    moved, tied = untied(values, np.random.default_rng(0))
    assert tied == 2
    assert (moved[:, 1] == values[:, 1]).all()
    assert (moved[2:] == values[2:]).all()
    assert moved[0, 0] != moved[1, 0]
    assert np.abs(moved - values).max() < 1e-8
    same, none = untied(values[:, 1:], np.random.default_rng(0))
    assert none == 0
    assert (same == values[:, 1:]).all()
