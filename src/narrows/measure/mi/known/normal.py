"""Normal and Student pairs, whose information has closed forms.

Normal, covariance S with blocks S_x and S_y: I = 1/2 log(det S_x det S_y / det S).

Student, dispersion S and df degrees of freedom: the normal value of S, and
h_dx + h_dy - h_(dx+dy) on top, where with a = df/2 and b = (df + k)/2
h_k = log Gamma(a) - log Gamma(b) + k/2 log(df pi) + b (psi(b) - psi(a)).
The second part is positive: the two sides share their scale, even where they do not correlate.
"""

from __future__ import annotations

import math

import numpy as np

from narrows.measure.mi.known.task import Floats, Pair, Task, continuous

STRONG = 0.8  # correlation of the interacting pairs, as Czyz et al. have it
DENSE = 0.5


def information(covariance: Floats, dx: int) -> float:
    """I between the first dx and the other coordinates of a normal vector, in nats.

    Example:
        >>> round(information(np.array([[1.0, 0.5], [0.5, 1.0]]), 1), 6)
        0.143841
    """
    blocks = (covariance[:dx, :dx], covariance[dx:, dx:], covariance)
    x, y, both = (float(np.linalg.slogdet(block)[1]) for block in blocks)
    return (x + y - both) / 2


def normal(name: str, covariance: Floats, dx: int) -> Task:
    """A normal vector cut after dx coordinates."""
    root = np.linalg.cholesky(covariance)

    def draw(n: int, generator: np.random.Generator) -> Pair:
        rows = generator.standard_normal((n, len(root))) @ root.T
        return rows[:, :dx], rows[:, dx:]

    truth = information(covariance, dx)
    return continuous(name, dx, len(covariance) - dx, max(truth, 0.0), draw)


def student(name: str, dispersion: Floats, dx: int, df: int) -> Task:
    """A multivariate Student vector cut after dx coordinates."""
    dy = len(dispersion) - dx
    root = np.linalg.cholesky(dispersion)

    def draw(n: int, generator: np.random.Generator) -> Pair:
        rows = generator.standard_normal((n, dx + dy)) @ root.T
        rows = rows / np.sqrt(generator.chisquare(df, (n, 1)) / df)
        return rows[:, :dx], rows[:, dx:]

    scale = _entropy(df, dx) + _entropy(df, dy) - _entropy(df, dx + dy)
    return continuous(name, dx, dy, information(dispersion, dx) + scale, draw)


def pairs(dx: int, dy: int, nats: float) -> Floats:
    """Covariance of as many equally correlated pairs as the shorter side has columns.

    rho = sqrt(1 - exp(-2 I/m)) gives m pairs the information I together.
    """
    least = min(dx, dy)
    return paired(dx, dy, least, math.sqrt(-math.expm1(-2 * nats / least)))


def paired(dx: int, dy: int, count: int, rho: float) -> Floats:
    """Covariance where the first `count` coordinates of both sides correlate, two by two."""
    found = np.eye(dx + dy)
    first = np.arange(count)
    found[first, dx + first] = found[dx + first, first] = rho
    return found


def dense(dx: int, dy: int) -> Floats:
    """Unit variances, and one correlation between any two coordinates."""
    return (1 - DENSE) * np.eye(dx + dy) + DENSE


def _entropy(df: int, k: int) -> float:
    """Of a k-dimensional Student vector with identity dispersion."""
    from scipy.special import digamma

    a, b = df / 2, (df + k) / 2
    gammas = math.lgamma(a) - math.lgamma(b)
    return float(gammas + k / 2 * math.log(df * math.pi) + b * (digamma(b) - digamma(a)))
