"""Labels stay apart, and numbers read as people write them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from narrows.report.labels import joined, number, one_line, percent, signed, spread

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


def test_what_has_no_number_is_a_dash() -> None:
    assert [percent(None), percent(float("nan")), number(None), number(float("nan"))] == ["–"] * 4


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert [signed(-0.001), signed(0.0), signed(-0.006)] == ["0.00", "0.00", "−0.01"]


def test_a_name_becomes_one_printable_line_of_limited_length() -> None:
    assert one_line("a\n\tb\x00c\u202e") == "a b c"
    assert len(one_line("x" * 1000)) == 40


def test_a_list_is_said_as_people_say_it() -> None:
    assert [joined(["a"]), joined(["a", "b"], "or"), joined(["a", "b", "c"])] == [
        "a",
        "a or b",
        "a, b and c",
    ]
