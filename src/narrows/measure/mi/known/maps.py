"""Injective maps of one side: they bend samples and leave the information as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from narrows.measure.mi.known.task import Floats, Map

_SPEED = 1 / 3  # radians the spiral turns for each unit of squared length


def normal_cdf(values: Floats) -> Floats:
    """Standard normal columns to uniform ones.

    Example:
        >>> normal_cdf(np.zeros((1, 1))).tolist()
        [[0.5]]
    """
    from scipy.special import ndtr

    return np.asarray(ndtr(values))


def even(values: Floats) -> Floats:
    """Uniform columns of [0, 1] to mean 0 and variance 1."""
    return math.sqrt(12) * (values - 0.5)


def half_cube(values: Floats) -> Floats:
    """Longer tails: x |x|^(1/2)."""
    return values * np.sqrt(np.abs(values))


def asinh(values: Floats) -> Floats:
    """Shorter tails: log(x + sqrt(x^2 + 1))."""
    return np.arcsinh(values)


def wiggly_x(values: Floats) -> Floats:
    """Waves: x + 0.4 sin x + 0.2 sin(1.7 x + 1) + 0.03 sin(3.3 x - 2.5), of slope above 0.16."""
    waves = 0.4 * np.sin(values) + 0.2 * np.sin(1.7 * values + 1)
    return values + waves + 0.03 * np.sin(3.3 * values - 2.5)


def wiggly_y(values: Floats) -> Floats:
    """Waves: y - 0.4 sin 0.4 y + 0.17 sin(1.3 y + 3.5) + 0.02 sin(4.3 y - 2.5), slope above 0.5."""
    waves = 0.17 * np.sin(1.3 * values + 3.5) - 0.4 * np.sin(0.4 * values)
    return values + waves + 0.02 * np.sin(4.3 * values - 2.5)


def bimodal(shares: Sequence[float], centres: Sequence[float]) -> Map:
    """Standard normal columns to a mixture of unit normals, by its inverse distribution.

    Args:
        shares: of the components.
        centres: of the components.
    """

    def distribution(at: Floats) -> Floats:
        parts = zip(shares, centres, strict=True)
        return np.sum([share * normal_cdf(at - centre) for share, centre in parts], axis=0)

    def inverse(values: Floats) -> Floats:
        wanted = normal_cdf(values)
        low = np.full_like(values, min(centres) - 40)
        high = np.full_like(values, max(centres) + 40)
        for _ in range(80):  # bisection, to the last digit
            middle = (low + high) / 2
            below = distribution(middle) < wanted
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    return inverse


def swiss_roll(values: Floats) -> Floats:
    """A uniform column to two: t = 1.5 pi (1 + 2 u), rolled up as (t cos t, t sin t)/21.

    Example:
        >>> swiss_roll(np.array([[0.25], [0.75]])).shape
        (2, 2)
    """
    turn = 1.5 * np.pi * (1 + 2 * values)
    return np.concatenate([turn * np.cos(turn), turn * np.sin(turn)], axis=1) / 21


def spiral(first: int, second: int) -> Callable[[Floats], Floats]:
    """Turn each row in the plane of two columns by an angle that grows with its length.

    x -> expm(v |x|^2 A) x with A the turn of the plane and v = 1/3. The length stays, so the
    turn can be undone.

    Args:
        first: column of the plane.
        second: the other.
    """

    def turned(values: Floats) -> Floats:
        angle = _SPEED * (values**2).sum(1)
        found = values.copy()
        a, b = values[:, first], values[:, second]
        found[:, first] = np.cos(angle) * a - np.sin(angle) * b
        found[:, second] = np.sin(angle) * a + np.cos(angle) * b
        return found

    return turned


def rotation(columns: int, seed: int) -> Map:
    """A fixed random rotation of all columns.

    Args:
        columns: how many.
        seed: which rotation.
    """
    square = np.random.default_rng(seed).standard_normal((columns, columns))
    turn, _ = np.linalg.qr(square)
    return lambda values: values @ turn
