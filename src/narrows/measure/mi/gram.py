"""Kernel matrices a few rows at a time, and the sums that dependence measures need of them.

Nothing here holds a whole N x N matrix: a pass over N = 10,000 rows takes pieces of 4 MB.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong

Floats = NDArray[np.float64]
Kernel = Callable[[slice], Floats]  # rows -> (rows, N) entries of the matrix
_ENTRIES = 2**19  # of one piece: 4 MB, which stays in cache
_ROWS = 1000  # of those the median distance is taken over


def pieces(n: int) -> Iterator[slice]:
    """Runs of rows whose lines of an N x N matrix fit in 4 MB."""
    step = max(1, _ENTRIES // n)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def squared(x: Floats, among: Floats) -> Floats:
    """`(N, M)` squared Euclidean distances; `(N, d)` and `(M, d)` should be near the origin."""
    if x.shape[1] == 1:
        return (x - among.T) ** 2
    far = x @ among.T
    far *= -2
    far += (x**2).sum(1)[:, None]
    far += (among**2).sum(1)
    return np.maximum(far, 0, out=far)


def shrunk(far: Floats, most: float = 700.0) -> Floats:
    """exp(-far), written over it; beyond `most` no less, as denormal numbers are slow."""
    np.negative(np.minimum(far, most, out=far), out=far)
    return np.exp(far, out=far)


def median_distance(x: Floats) -> float:
    """Median distance between two rows, over at most 1,000 rows spread evenly.

    Where more than half of the rows coincide the median is 0; the mean stands in for it.

    Example:
        >>> median_distance(np.array([[0.0], [1.0], [3.0]]))
        2.0
    """
    some = x[np.linspace(0, len(x) - 1, min(len(x), _ROWS)).round().astype(int)]
    far = np.sqrt(squared(some - some.mean(0), some - some.mean(0)))
    between = far[np.triu_indices(len(some), 1)]
    return float(np.median(between) or between.mean() or x.std())


def gaussian(x: Floats, width: float | None = None) -> tuple[Kernel, float]:
    """exp(-|u - v|^2 / (2 width^2)) and its width, the median distance if none is given."""
    if width is not None and not 0 < width < np.inf:
        raise wrong("width", repr(width), "a number above 0")
    found = median_distance(x) if width is None else float(width)
    scaled = (x - x.mean(0)) / (found * np.sqrt(2))

    def rows(of: slice) -> Floats:
        far = squared(scaled[of], scaled)
        return shrunk(far)

    return rows, found


def equality(x: Floats) -> Kernel:
    """1 where two rows are equal, else 0: the kernel of a discrete variable of `(N, 1)` codes."""

    def rows(of: slice) -> Floats:
        return (x[of] == x.T).astype(np.float64)

    return rows


def kernel_of(x: Floats, kind: str, width: float | None) -> tuple[Kernel, float | None]:
    """The kernel of a variable of this kind, and the width where it has one."""
    return gaussian(x, width) if kind == "continuous" else (equality(x), None)


def distances(x: Floats) -> Kernel:
    """Euclidean distances."""
    middle = x - x.mean(0)

    def rows(of: slice) -> Floats:
        far = squared(middle[of], middle)
        # the Gram trick leaves rounding where a row meets itself
        far[np.arange(len(far)), np.arange(of.start, of.stop)] = 0
        return np.sqrt(far, out=far)

    return rows


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums over two kernel matrices K and L of N rows each.

    Attributes:
        n: rows.
        xy: of K * L, entry by entry.
        xx: of K * K.
        yy: of L * L.
        x: `(N,)` rows of K.
        y: `(N,)` rows of L.
    """

    n: int
    xy: float
    xx: float
    yy: float
    x: Floats
    y: Floats

    def centred(self) -> tuple[float, float, float]:
        """tr(KHLH), tr(KHKH) and tr(LHLH), H = I - 1/N."""
        return (
            self._centred(self.xy, self.x, self.y),
            self._centred(self.xx, self.x, self.x),
            self._centred(self.yy, self.y, self.y),
        )

    def _centred(self, both: float, a: Floats, b: Floats) -> float:
        # of the means, so that the three terms are of one size
        mean_a, mean_b = a.mean(), b.mean()
        return float(both - 2 * (a @ b) / self.n + mean_a * mean_b)


def sums(x: Kernel, y: Kernel, n: int) -> Sums:
    """One pass over both matrices."""
    xy = xx = yy = 0.0
    row_x, row_y = np.empty(n), np.empty(n)
    for of in pieces(n):
        k, l = x(of), y(of)  # noqa: E741  # the letters of the papers
        xy += float(np.vdot(k, l))
        xx += float(np.vdot(k, k))
        yy += float(np.vdot(l, l))
        row_x[of], row_y[of] = k.sum(1), l.sum(1)
    return Sums(n, xy, xx, yy, row_x, row_y)
