"""The bottleneck curve against brute force over encoders and against closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import softmax

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.watching import consistent_beta, ib_curve

LOG2 = math.log(2)


def informations(q: np.ndarray, joint: np.ndarray) -> tuple[float, float]:
    """I(X;T), I(T;Y) from the full tables, by their definition."""

    def mi(table: np.ndarray) -> float:
        free = table.sum(1, keepdims=True) * table.sum(0, keepdims=True)
        own = table > 0
        return float((table[own] * np.log(table[own] / free[own])).sum())

    return mi(q * joint.sum(1, keepdims=True)), mi(q.T @ joint)


def noisy_xor(flip: float) -> np.ndarray:
    right = np.array([0, 1, 1, 0])
    return np.stack([np.where(right == y, 1 - flip, flip) for y in (0, 1)], 1) / 4


@pytest.mark.parametrize("beta", [1.2, 2.0, 5.0])
def test_on_a_noisy_xor_no_encoder_of_a_grid_is_better(beta: float) -> None:
    joint = noisy_xor(0.1)
    curve = ib_curve(joint, [beta], clusters=2)
    least = math.inf
    for row in itertools.product(np.linspace(0, 1, 13), repeat=4):
        q = np.stack([row, 1 - np.array(row)], 1)
        xt, ty = informations(q, joint)
        least = min(least, xt - beta * ty)
    ours = float(curve.xt[0] - beta * curve.ty[0])
    assert ours <= least + 1e-9
    assert ours == pytest.approx(least, abs=0.02)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 999), st.floats(1.5, 8.0))
@example(313, 2.0)  # descent walks to logits near 1000
def test_no_encoder_that_descent_finds_is_better(seed: int, beta: float) -> None:
    rng = np.random.default_rng(seed)
    joint = rng.dirichlet(np.full(8, 0.4)).reshape(4, 2) + 1e-3
    joint /= joint.sum()
    curve = ib_curve(joint, [beta])

    def price(logits: np.ndarray) -> float:
        xt, ty = informations(softmax(logits.reshape(4, 3), axis=1), joint)
        return xt - beta * ty

    best = min(minimize(price, rng.normal(size=12) * 2, method="BFGS").fun for _ in range(3))
    assert float(curve.xt[0] - beta * curve.ty[0]) <= best + 1e-6


def test_points_are_what_their_encoders_say_and_the_curve_is_concave() -> None:
    joint = np.random.default_rng(1).dirichlet(np.full(18, 0.5)).reshape(6, 3)
    curve = ib_curve(joint, np.geomspace(1, 60, 25))
    for q, xt, ty in zip(curve.encoders, curve.xt, curve.ty, strict=True):
        assert informations(q, joint) == pytest.approx((xt, ty), abs=1e-8)
    assert (np.diff(curve.ty) >= -1e-7).all()
    grid = np.linspace(0, curve.most, 50)
    bends = np.diff(curve.at(grid), 2)
    assert (bends <= 1e-9).all()
    assert (curve.distance(curve.xt, curve.ty) < 1e-6).all()
    assert curve.xy == pytest.approx(informations(np.eye(6), joint)[1])
    assert curve.ty[-1] <= curve.xy


def test_a_symmetric_binary_channel_has_its_curve_in_closed_form() -> None:
    """Mrs Gerber: I(T;Y) = log 2 - h(flip * h^-1(log 2 - I(X;T)))."""
    flip = 0.1

    def h(p: float) -> float:
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    curve = ib_curve([[0.45, 0.05], [0.05, 0.45]], np.geomspace(1.565, 12, 60))
    for a in (0.05, 0.15, 0.3):
        xt = LOG2 - h(a)
        ty = LOG2 - h(a * (1 - flip) + (1 - a) * flip)
        assert curve.at(xt) == pytest.approx(ty, abs=1e-3)


def test_a_rule_without_noise_has_the_broken_line() -> None:
    x = np.array(list(itertools.product([0, 1], repeat=8)))
    y = (x.sum(1) > 3).astype(int)
    joint = np.stack([y == 0, y == 1], 1) / 256
    curve = ib_curve(joint, [0.5, 2.0, 50.0])
    rate = -sum(p * math.log(p) for p in joint.sum(0))
    assert curve.most == pytest.approx(rate)
    assert curve.xt == pytest.approx([0, rate, rate], abs=1e-6)
    assert curve.ty == pytest.approx([0, rate, rate], abs=1e-6)
    for value in (0.1, 0.4, 0.6, 3.0):
        assert curve.at(value) == pytest.approx(min(value, rate), abs=1e-6)
    assert curve.encoders.shape[:2] == (3, 256)


def test_the_cells_of_an_optimal_encoder_are_found_consistent_and_others_are_not() -> None:
    joint = np.array([[0.24, 0.01], [0.23, 0.02], [0.02, 0.23], [0.01, 0.24]])
    beta, least = consistent_beta([0, 0, 1, 1], joint, np.geomspace(1, 1e4, 80))
    assert least < 0.01
    assert beta > 5
    assert consistent_beta([0, 1, 0, 1], joint, np.geomspace(1, 1e4, 80))[1] > 0.3
    # By hand at one beta.
    pt, pyt = np.array([0.5, 0.5]), np.array([[0.94, 0.06], [0.06, 0.94]])
    total = 0.0
    for row, cell in zip(joint / 0.25, [0, 0, 1, 1], strict=True):
        kl = [float((row * np.log(row / p)).sum()) for p in pyt]
        weights = pt * np.exp(-3 * np.array(kl))
        total -= 0.25 * math.log(weights[cell] / weights.sum())
    assert consistent_beta([0, 0, 1, 1], joint, [3.0]) == (3.0, pytest.approx(total))


def test_what_is_no_joint_distribution_is_refused() -> None:
    good = [[0.5, 0.0], [0.0, 0.5]]
    for bad in ([[0.5, -0.5], [1, 1]], [[1.0, 0.0]], [1.0, 2.0], [[0, 0], [1, 1]],
                [[math.nan, 1], [1, 1]]):  # fmt: skip
        with pytest.raises(InvalidInput, match="p_xy"):
            ib_curve(bad, [1.0])
    with pytest.raises(InvalidType):
        ib_curve([["a", "b"], ["c", "d"]], [1.0])
    for betas in ([], [0.0], [math.inf]):
        with pytest.raises(InvalidInput, match="betas"):
            ib_curve(good, betas)
    with pytest.raises(InvalidInput, match="clusters"):
        ib_curve(good, [1.0], clusters=0)
    with pytest.raises(InvalidInput, match="codes"):
        consistent_beta([0], good, [1.0])
    with pytest.raises(InvalidInput, match="betas"):
        consistent_beta([0, 1], good, [])
