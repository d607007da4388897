"""The smallest set of moves that wins, where moves add up.

One rival alone is beaten soonest by the moves with the largest gains against it, one a turn:
sorting gives that number exactly, and the largest such number over rivals bounds the size from
below. The sorted moves against the hardest rival, and a greedy choice, bound it from above. Where
the bounds meet, that is the proof; elsewhere branch and bound closes the gap: some move that
gains on the rival farthest ahead must be in the set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from narrows.explain.search import Floats, Found


class _Exhausted(Exception):
    """The search used up its nodes."""


def smallest_sum(
    margin: Floats,
    gains: Floats,
    turn: NDArray[np.int64],
    wins: Callable[[tuple[int, ...]], bool],
    nodes: int = 2000,
) -> Found:
    """The smallest set where moves add up.

    Args:
        margin: `(rivals,)` now, not all above zero; slightly too high rather than too low, so
            that rounding excludes nothing.
        gains: `(moves, rivals)` what each move adds.
        turn: `(moves,)` the turn of each move, sorted, from 0 without gaps.
        wins: the verdict on a set that should win.
        nodes: how many sets branch and bound may look into.

    Example:
        >>> gains = np.array([[2.0, -1.0], [1.0, 1.0], [0.5, 3.0]])
        >>> smallest_sum(np.array([-2.0, -1.0]), gains, np.arange(3), lambda moves: True)
        Found(moves=(0, 2), at_least=2, proven=True)
    """
    search = _Sum(margin, gains, turn, wins, nodes)
    needed = search.needed()
    if needed is None:
        return Found(None, len(search.first) + 1, proven=True)
    bound = max(1, int(needed.max()))
    found = search.sorted_against(int(needed.argmax()), bound) or search.greedy()
    if found is not None and len(found) == bound:
        return Found(found, bound, proven=True)
    most = len(search.first) + 1 if found is None else len(found)
    for size in range(bound, most):
        try:
            better = search.deeper(size, (), margin, np.ones(len(turn), dtype=bool))
        except _Exhausted:
            return Found(found, size, proven=False)
        if better is not None:
            return Found(better, size, proven=True)
    return Found(found, most, proven=True)


@dataclasses.dataclass
class _Sum:
    margin: Floats
    gains: Floats
    turn: NDArray[np.int64]
    wins: Callable[[tuple[int, ...]], bool]
    nodes: int

    def __post_init__(self) -> None:
        self.first = np.flatnonzero(np.diff(self.turn, prepend=-1))

    def best(self, allowed: NDArray[np.bool_] | None = None) -> Floats:
        """`(turns, rivals)` the most each turn can gain; standing still gains nothing."""
        gains = self.gains if allowed is None else np.where(allowed[:, None], self.gains, 0.0)
        return np.maximum(np.maximum.reduceat(gains, self.first, axis=0), 0.0)

    def needed(self) -> NDArray[np.int64] | None:
        """`(rivals,)` the fewest moves that beat each rival alone; None if one never is."""
        reached = self.margin + np.cumsum(np.sort(self.best(), axis=0)[::-1], axis=0)
        if not (reached[-1] > 0).all():
            return None
        fewest: NDArray[np.int64] = np.where(self.margin > 0, 0, (reached <= 0).sum(0) + 1)
        return fewest

    def sorted_against(self, rival: int, size: int) -> tuple[int, ...] | None:
        """The moves with the largest gains against one rival, if they beat the others too."""
        order = np.argsort(-self.gains[:, rival], kind="stable")
        _, firsts = np.unique(self.turn[order], return_index=True)
        moves = tuple(int(m) for m in order[np.sort(firsts)[:size]])
        return self._if_won(moves)

    def greedy(self) -> tuple[int, ...] | None:
        """Each time the move after which the hardest rival is farthest behind."""
        allowed, margin = np.ones(len(self.turn), dtype=bool), self.margin
        moves: tuple[int, ...] = ()
        for _ in self.first:
            worst = np.where(allowed, (margin + self.gains).min(1), -np.inf)
            move = int(worst.argmax())
            moves, margin = (*moves, move), margin + self.gains[move]
            if won := self._if_won(moves):
                return won
            allowed &= self.turn != self.turn[move]
        return None

    def deeper(
        self,
        left: int,
        moves: tuple[int, ...],
        margin: Floats,
        allowed: NDArray[np.bool_],
    ) -> tuple[int, ...] | None:
        """A winning set with at most `left` more of the allowed moves, if there is one."""
        self.nodes -= 1
        if self.nodes < 0:
            raise _Exhausted
        after = margin + self.gains
        if left == 1:
            worst = after.min(1)
            last = np.flatnonzero(allowed & (worst > 0))
            sets = ((*moves, int(m)) for m in last[np.argsort(-worst[last], kind="stable")])
            return next((s for s in sets if self.wins(s)), None)
        best = self.best(allowed)
        most = np.partition(best, max(len(best) - left, 0), axis=0)[-left:].sum(0)
        if not (margin + most > 0).all():
            return None
        rival = int(margin.argmin())
        allowed = allowed.copy()
        for move in np.argsort(-self.gains[:, rival], kind="stable").tolist():
            if self.gains[move, rival] <= 0:
                break
            if allowed[move]:
                rest = allowed & (self.turn != self.turn[move])
                if won := self.deeper(left - 1, (*moves, move), after[move], rest):
                    return won
                allowed[move] = False  # sets with it have all been looked into
        return None

    def _if_won(self, moves: tuple[int, ...]) -> tuple[int, ...] | None:
        ahead = (self.margin + self.gains[list(moves)].sum(0) > 0).all()
        return moves if ahead and self.wins(moves) else None
