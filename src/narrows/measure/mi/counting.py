"""How many rows lie strictly within a distance, in max-norm, of each row. Exact.

One column: the rows within a distance are an interval of the sorted values, found by bisection
and then corrected by direct comparison, as x - r rounds.

Several columns: per column the interval is a run of whole blocks of sorted rows and two blocks
cut by its ends. A row in whole blocks of all columns is found by bits: a table of
prefixes gives the set of any run of blocks as the exclusive-or of two of its lines, the sets of
the columns are and-ed, the bits counted. The rows of cut blocks are compared one by one. This
takes N^2/64 words of work a column instead of N^2 comparisons, in pieces of bounded size. A
block is 16 rows, or more where the table of a column would pass 32 MB.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_LEAST = 16  # rows of a block: fewer cut rows to compare, more lines in the table
_TABLE = 2**25  # bytes of one column's prefixes
_WORDS = 2**17  # of one piece: 1 MiB, which stays in cache


def count_within(x: Floats, radius: Floats, among: Floats | None = None) -> Ints:
    """For each row, how many rows of `among` differ by less than its radius in all columns.

    Args:
        x: `(N, d)`.
        radius: `(N,)`, above 0.
        among: `(M, d)`; x itself by default, where each row counts itself too.

    Example:
        >>> count_within(np.array([[0.0], [1.0], [3.0]]), np.array([1.0, 1.5, 9.0])).tolist()
        [1, 2, 3]
    """
    others = x if among is None else among
    ranked = [_Ranked(others[:, j]) for j in range(x.shape[1])]
    ends = [interval(one.sorted, x[:, j], radius) for j, one in enumerate(ranked)]
    if len(ranked) == 1:
        low, high = ends[0]
        return high - low
    total = np.empty(len(x), dtype=np.int64)
    step = max(1, _WORDS // (ranked[0].words + 8 * ranked[0].size * len(ranked)))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        runs = [(low[rows], high[rows]) for low, high in ends]
        total[rows] = _whole(ranked, runs) + _cut(ranked, runs, x[rows], radius[rows], others)
    return total


def count_both(x: Floats, x_radius: Floats, y: Floats, y_radius: Floats) -> tuple[Ints, Ints]:
    """`count_within` of two samples, side by side in two threads."""
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(count_within, y, y_radius)
        return count_within(x, x_radius), other.result()


def interval(values: Floats, x: Floats, radius: Floats) -> tuple[Ints, Ints]:
    """First and one-past-last place of the rising `values` nearer to each x than its radius."""
    n = len(values)
    low = np.searchsorted(values, x - radius, side="right")
    high = np.searchsorted(values, x + radius, side="left")
    for _ in range(n):  # rounding moves an end by a place, or by as many as tie there
        more = (low > 0) & (x - values[np.maximum(low - 1, 0)] < radius)
        less = (low < n) & (x - values[np.minimum(low, n - 1)] >= radius)
        low = low - more + less
        wider = (high < n) & (values[np.minimum(high, n - 1)] - x < radius)
        narrower = (high > 0) & (values[np.maximum(high - 1, 0)] - x >= radius)
        high = high + wider - narrower
        if not (more | less | wider | narrower).any():
            break
    return low, high


class _Ranked:
    """One column in order, with the bit sets of its prefixes."""

    def __init__(self, values: Floats) -> None:
        self.order = np.argsort(values, kind="stable")
        self.sorted = values[self.order]
        self.size = max(_LEAST, -(-len(values) * len(values) // (8 * _TABLE)))  # of a block
        self.block = np.empty(len(values), dtype=np.int64)  # of each row
        self.block[self.order] = np.arange(len(values)) // self.size
        self.words = -(-len(values) // 64)
        self._prefixes: NDArray[np.uint64] | None = None

    def run(self, low: Ints, high: Ints) -> tuple[Ints, Ints]:
        """The whole blocks inside `[low, high)`: first and one past last, maybe none."""
        first = -(-low // self.size)
        return first, np.maximum(high // self.size, first)

    def between(self, first: Ints, last: Ints) -> NDArray[np.uint64]:
        """`(rows, words)`: the rows of a run of blocks as bits."""
        most = len(self.prefixes) - 1
        return self.prefixes[np.minimum(first, most)] ^ self.prefixes[np.minimum(last, most)]

    @property
    def prefixes(self) -> NDArray[np.uint64]:
        """`(blocks + 1, words)`: the rows of the first 0, 1, 2, ... blocks as bits."""
        if self._prefixes is None:
            blocks = -(-len(self.order) // self.size)
            table = np.zeros((blocks + 1, self.words), dtype=np.uint64)
            line = np.arange(len(self.order)) // self.size + 1
            bit = np.uint64(1) << (self.order % 64).astype(np.uint64)
            np.bitwise_or.at(table, (line, self.order // 64), bit)
            self._prefixes = np.bitwise_or.accumulate(table, axis=0)
        return self._prefixes


def _whole(ranked: list[_Ranked], runs: list[tuple[Ints, Ints]]) -> Ints:
    sets = (one.between(*one.run(*ends)) for one, ends in zip(ranked, runs, strict=True))
    return np.bitwise_count(functools.reduce(np.bitwise_and, sets)).sum(1, dtype=np.int64)


def _cut(
    ranked: list[_Ranked],
    runs: list[tuple[Ints, Ints]],
    x: Floats,
    radius: Floats,
    others: Floats,
) -> Ints:
    """Rows inside all intervals that a block cut in some column holds, each once."""
    total = np.zeros(len(x), dtype=np.int64)
    before: list[tuple[_Ranked, Ints, Ints]] = []
    for one, (low, high) in zip(ranked, runs, strict=True):
        first, last = one.run(low, high)
        # The cut blocks: the one before the run where low is inside it, the one after it.
        left = np.where(low < first * one.size, first - 1, -1)
        right = np.where(high > last * one.size, last, -1)
        right = np.where(right == left, -1, right)
        for block in (left, right):
            places = block[:, None] * one.size + np.arange(one.size)
            inside = (places >= low[:, None]) & (places < high[:, None]) & (block[:, None] >= 0)
            row, column = np.nonzero(inside)
            other = one.order[places[row, column]]
            near = (np.abs(others[other] - x[row]) < radius[row, None]).all(1)
            for earlier, a, b in before:  # counted there already
                home = earlier.block[other]
                near &= (home != a[row]) & (home != b[row])
            total += np.bincount(row[near], minlength=len(x))
        before.append((one, left, right))
    return total
