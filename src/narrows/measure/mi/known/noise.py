"""Noise and channels: closed forms where a side is bounded, or discrete.

Y = X + U(-e, e), X uniform on [0, 1]: I = e - log 2e for e <= 1/2, else 1/(4e).
X uniform on m integers, Y = X + U(0, 2): I = log m - (m - 1)/m log 2.
Y one of two classes, X normal around +c or -c: I = log 2 - E log(1 + exp(-2 c (c + Z))).
Symmetric channel with error p: log 2 - H(p). Erasure channel: (1 - p) log 2.
Exclusive or of two coins: 0 with one of them, log 2 with both.
"""

from __future__ import annotations

import math

import numpy as np

from narrows.measure.mi.known.task import Pair, Task, continuous
from narrows.measure.mi.samples import CONTINUOUS, DISCRETE

Generator = np.random.Generator
_NODES = 200  # of the quadrature; 100 give the same 12 digits


def uniform_noise(name: str, width: float) -> Task:
    """A uniform variable and itself with uniform noise of at most `width` either way."""

    def draw(n: int, generator: Generator) -> Pair:
        x = generator.random((n, 1))
        return x, x + generator.uniform(-width, width, (n, 1))

    truth = width - math.log(2 * width) if width <= 0.5 else 1 / (4 * width)
    return continuous(name, 1, 1, truth, draw)


def integers(name: str, count: int) -> Task:
    """Which of `count` integers, and the integer with noise between 0 and 2."""

    def draw(n: int, generator: Generator) -> Pair:
        x = generator.integers(0, count, (n, 1))
        return x, x + generator.uniform(0, 2, (n, 1))

    truth = math.log(count) - (count - 1) / count * math.log(2)
    return Task(name, 1, 1, DISCRETE, CONTINUOUS, truth, draw)


def classes(name: str, columns: int, centre: float) -> Task:
    """A point of one of two normal clouds, and which of them.

    Args:
        name: of the task.
        columns: of the point; the clouds differ along its diagonal.
        centre: distance of each cloud's mean from the origin, in its standard deviations.
    """
    shift = centre / math.sqrt(columns)

    def draw(n: int, generator: Generator) -> Pair:
        y = generator.integers(0, 2, (n, 1))
        return generator.standard_normal((n, columns)) + shift * (2 * y - 1), y

    at, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    lost = np.logaddexp(0, -2 * centre * (centre + at)) @ weight / math.sqrt(2 * math.pi)
    return Task(name, columns, 1, CONTINUOUS, DISCRETE, math.log(2) - float(lost), draw)


def symmetric_channel(name: str, error: float) -> Task:
    """A fair bit and what arrives of it, flipped with probability `error`."""

    def draw(n: int, generator: Generator) -> Pair:
        x = generator.integers(0, 2, (n, 1))
        return x, x ^ (generator.random((n, 1)) < error)

    lost = -error * math.log(error) - (1 - error) * math.log1p(-error)
    return Task(name, 1, 1, DISCRETE, DISCRETE, math.log(2) - lost, draw)


def erasure_channel(name: str, error: float) -> Task:
    """A fair bit and what arrives of it: itself, or with probability `error` a 2."""

    def draw(n: int, generator: Generator) -> Pair:
        x = generator.integers(0, 2, (n, 1))
        return x, np.where(generator.random((n, 1)) < error, 2, x)

    return Task(name, 1, 1, DISCRETE, DISCRETE, (1 - error) * math.log(2), draw)


def exclusive_or(name: str, inputs: int) -> Task:
    """One or both of two fair coins, and whether they differ.

    Args:
        name: of the task.
        inputs: 1 or 2, how many coins are seen.
    """

    def draw(n: int, generator: Generator) -> Pair:
        coins = generator.integers(0, 2, (n, 2))
        return coins[:, :inputs], coins[:, :1] ^ coins[:, 1:]

    truth = math.log(2) if inputs == 2 else 0.0
    return Task(name, inputs, 1, DISCRETE, DISCRETE, truth, draw)
