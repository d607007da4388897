"""Labels stay apart."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from narrows.report.layout import beside, spread

POSITIONS = st.lists(st.floats(-50, 50), min_size=1, max_size=8)


@given(POSITIONS, st.floats(0.1, 20))
def test_spread_keeps_order_and_gap(positions: list[float], gap: float) -> None:
    placed = spread(positions, gap)
    order = np.argsort(positions, kind="stable")
    moved = np.array(placed)[order]
    assert np.all(np.diff(moved) >= gap - 1e-9)
    np.testing.assert_allclose(np.mean(placed), np.mean(positions), atol=1e-9)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=5), st.floats(0.5, 10))
def test_spread_moves_as_little_as_a_constrained_optimiser(
    positions: list[float], gap: float
) -> None:
    wanted = np.sort(positions)
    best = minimize(
        lambda x: ((x - wanted) ** 2).sum(),
        wanted.mean() + gap * (np.arange(len(wanted)) - (len(wanted) - 1) / 2),
        jac=lambda x: 2 * (x - wanted),
        constraints=[
            {"type": "ineq", "fun": lambda x, i=i: x[i + 1] - x[i] - gap}
            for i in range(len(wanted) - 1)
        ],
        options={"ftol": 1e-12, "maxiter": 500},
    )
    ours = np.array(spread(wanted.tolist(), gap))
    assert ((ours - wanted) ** 2).sum() <= best.fun + 1e-6


@given(st.floats(-50, 50), st.floats(0.1, 5))
def test_positions_far_apart_stay_where_they_are(start: float, gap: float) -> None:
    positions = [start, start + 2 * gap, start + 5 * gap]
    np.testing.assert_allclose(spread(positions, gap), positions, atol=1e-9)


FRAME = (0.0, 0.0, 400.0, 300.0)
# Apart from one another and from the edges, so that there is room around each point.
GRID = [(60.0 + 90 * i, 40.0 + 55 * j) for i in range(4) for j in range(5)]


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@given(st.permutations(GRID), st.integers(1, 20))
def test_where_there_is_room_no_label_covers_anything(
    points: list[tuple[float, float]], count: int
) -> None:
    points = points[:count]
    boxes = beside(points, [(50.0, 11.0)] * count, FRAME)
    for a, b in itertools.combinations(boxes, 2):
        assert not overlap(a, b)
    for box in boxes:
        assert FRAME[0] <= box[0] < box[2] <= FRAME[2]
        assert not any(box[0] < x < box[2] and box[1] < y < box[3] for x, y in points)


def test_equal_points_get_labels_around_them() -> None:
    boxes = beside([(200.0, 150.0)] * 4, [(40.0, 11.0)] * 4, FRAME)
    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))


def test_a_label_beside_the_edge_goes_to_the_other_side() -> None:
    (box,) = beside([(390.0, 150.0)], [(40.0, 11.0)], FRAME)
    assert box[2] <= 390
