"""The smallest set of moves after which one answer beats all others.

A move belongs to a turn, and a turn is moved at most once. The margins of an answer are its
logit minus that of each rival; it wins when all are above zero.

Where moves add up, see `narrows.explain.search_sum`. Where they do not, sets are tried by size as
long as their number allows, which proves the bound; beyond, moves are taken greedily.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Sets = Sequence[tuple[int, ...]]

_PIECE = 2048  # sets tried at once


@dataclasses.dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        moves: the smallest set found; None where none was.
        at_least: no smaller set wins. With `moves` None and `proven`, no set at all does.
        proven: whether nothing smaller than `moves` can win.
    """

    moves: tuple[int, ...] | None
    at_least: int
    proven: bool


def smallest_tried(
    worst: Callable[[Sets], Floats], turn: NDArray[np.int64], evaluations: int = 20_000
) -> Found:
    """The smallest set where only trying tells what a set does.

    Args:
        worst: `(sets,)` the smallest margin after each set of moves; above zero it wins.
        turn: `(moves,)` the turn of each move, sorted, from 0 without gaps.
        evaluations: how many sets may be tried to prove a bound.

    Example:
        >>> both = lambda sets: np.array([1.0 if set(s) == {0, 1} else -1.0 for s in sets])
        >>> smallest_tried(both, np.arange(3))
        Found(moves=(0, 1), at_least=2, proven=True)
    """
    counts = np.bincount(turn)
    ways = [1]  # ways[s]: how many sets of s moves there are
    for count in counts.tolist():
        ways = [a + count * b for a, b in zip([*ways, 0], [0, *ways], strict=True)]
    for size in range(1, len(counts) + 1):
        evaluations -= ways[size]
        if evaluations < 0:
            moves = _greedy(worst, turn)
            proven = moves is not None and len(moves) == size
            return Found(moves, size, proven)
        if moves := _best_of_size(worst, turn, size):
            return Found(moves, size, proven=True)
    return Found(None, len(counts) + 1, proven=True)


def _best_of_size(
    worst: Callable[[Sets], Floats], turn: NDArray[np.int64], size: int
) -> tuple[int, ...] | None:
    """The winning set of this size with the largest margin."""
    best: tuple[float, tuple[int, ...] | None] = (0.0, None)
    sets = _sets(turn, size)
    while piece := list(itertools.islice(sets, _PIECE)):
        margins = worst(piece)
        if margins.max() > best[0]:
            best = (float(margins.max()), piece[int(margins.argmax())])
    return best[1]


def _sets(turn: NDArray[np.int64], size: int) -> Iterator[tuple[int, ...]]:
    moves = [np.flatnonzero(turn == t).tolist() for t in range(int(turn.max()) + 1)]
    for turns in itertools.combinations(moves, size):
        yield from itertools.product(*turns)


def _greedy(worst: Callable[[Sets], Floats], turn: NDArray[np.int64]) -> tuple[int, ...] | None:
    moves: tuple[int, ...] = ()
    free = set(range(int(turn.max()) + 1))
    while free:
        sets = [(*moves, m) for m in range(len(turn)) if int(turn[m]) in free]
        margins = worst(sets)
        moves = sets[int(margins.argmax())]
        if margins.max() > 0:
            return moves
        free.discard(int(turn[moves[-1]]))
    return None
