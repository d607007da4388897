"""At which epochs a plane is taken: many early, few late, as most happens early."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from narrows.errors import wrong

Schedule: TypeAlias = str | Collection[int] | Callable[[int], bool]


def saxe_epochs(epoch: int) -> bool:
    """Every epoch below 20, every 5th below 100, every 20th below 2,000, then every 100th.

    Example:
        >>> sum(map(saxe_epochs, range(4001)))
        152
    """
    every = next((n for below, n in ((20, 1), (100, 5), (2000, 20)) if epoch < below), 100)
    return epoch % every == 0


def log_epochs(count: int, last: int) -> tuple[int, ...]:
    """About `count` epochs from 0 to `last`, evenly spaced in their logarithm from 1 on.

    Example:
        >>> log_epochs(5, 1000)
        (0, 1, 10, 100, 1000)
    """
    if count < 3 or last < 1:
        raise wrong("count, last", f"{count}, {last}", "count >= 3, last >= 1")
    steps = count - 2
    return tuple(sorted({0, *(round(last ** (i / steps)) for i in range(steps + 1))}))


def wanted(schedule: Schedule) -> Callable[[int], bool]:
    """Whether an epoch is in a schedule: `"saxe"`, `"all"`, `"log:COUNT:LAST"`, numbers, a rule."""
    if callable(schedule):
        return schedule
    if not isinstance(schedule, str):
        return set(schedule).__contains__
    if schedule in ("saxe", "all"):
        return saxe_epochs if schedule == "saxe" else lambda epoch: True
    kind, *numbers = schedule.split(":")
    if kind == "log" and len(numbers) in (1, 2) and all(n.isdigit() for n in numbers):
        last = int(numbers[1]) if len(numbers) == 2 else 10_000
        return set(log_epochs(int(numbers[0]), last)).__contains__
    raise wrong("epochs", repr(schedule), "'saxe', 'all', 'log:400', 'log:400:8000' or numbers")
