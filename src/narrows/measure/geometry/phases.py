"""Phases of a curve: where it turns, and what the turns are called.

Li et al. (2025) see three phases in the effective rank of a language model in pretraining: it
collapses while the rate warms up, then it grows ("entropy-seeking"), then it shrinks again
("compression-seeking"). A turn counts once the curve has come back by a share of its value, so
that noise makes no phases.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

from narrows.errors import wrong

_FIRST_FALL, _RISE, _LATER_FALL = "collapse", "entropy-seeking", "compression-seeking"


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch in which a curve goes one way.

    Attributes:
        name: `collapse` (a fall at the start), `entropy-seeking` (a rise) or
            `compression-seeking` (a fall after a rise).
        start: step of its first value.
        end: step of its last.
        before: the value there.
        after: the value at its end.
    """

    name: str
    start: float
    end: float
    before: float
    after: float


def find_phases(
    steps: Sequence[float], values: Sequence[float], least: float = 0.03
) -> tuple[Phase, ...]:
    """Cut a curve of positive values where it turns.

    Args:
        steps: increasing.
        values: one a step, positive.
        least: how far a curve must come back from its last extreme to have turned, as a share
            of it.

    Returns:
        Phases in order, each beginning where the one before ended; none where the curve never
        leaves its start by that share.

    Raises:
        InvalidInput: fewer than 2 values, steps that do not increase, values that are not
            positive, a share outside (0, 1).

    Example:
        >>> [p.name for p in find_phases([0, 1, 2, 3], [6.6, 1.5, 8.0, 7.5])]
        ['collapse', 'entropy-seeking', 'compression-seeking']
    """
    _check(steps, values, least)
    turns = _turns([math.log(v) for v in values], math.log1p(least))
    phases: list[Phase] = []
    for first, last in itertools.pairwise(turns):
        rising = values[last] > values[first]
        name = _RISE if rising else _LATER_FALL if phases else _FIRST_FALL
        phases.append(Phase(name, steps[first], steps[last], values[first], values[last]))
    return tuple(phases)


def _turns(logs: list[float], gap: float) -> list[int]:
    """Places of the start, of each extreme that was left by the gap, and of the last extreme."""
    low = high = 0
    turns: list[int] = []
    rising: bool | None = None
    for i, value in enumerate(logs):
        low = i if value < logs[low] else low
        high = i if value > logs[high] else high
        if rising is not True and value - logs[low] >= gap:
            turns.append(low)
            rising, high = True, i
        elif rising is not False and logs[high] - value >= gap:
            turns.append(high)
            rising, low = False, i
    if rising is None:
        return []
    return list(dict.fromkeys([0, *turns, high if rising else low]))


def _check(steps: Sequence[float], values: Sequence[float], least: float) -> None:
    if len(steps) != len(values) or len(values) < 2:
        raise wrong("values", f"{len(values)} for {len(steps)} steps", "one a step, at least 2")
    if any(b <= a for a, b in itertools.pairwise(steps)):
        raise wrong("steps", "steps that do not increase", "increasing steps")
    if not all(math.isfinite(v) and v > 0 for v in values):
        raise wrong("values", "values that are not positive and finite", "positive values")
    if not 0 < least < 1:
        raise wrong("least", least, "a share in (0, 1)")
