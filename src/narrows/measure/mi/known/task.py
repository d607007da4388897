"""A sampler with the information it was built to have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong, wrong_type
from narrows.measure.mi.samples import CONTINUOUS

Floats = NDArray[np.float64]
Pair = tuple[NDArray[Any], NDArray[Any]]
Map = Callable[[Floats], Floats]


@dataclasses.dataclass(frozen=True)
class Task:
    """Two variables and what they tell of each other.

    Attributes:
        name: as in `tasks()`.
        dx: columns of x.
        dy: columns of y.
        x_kind: continuous or discrete.
        y_kind: the same for y.
        truth: I(X; Y) in nats.
        draw: `(n, generator) -> (x, y)`, called by `sample`.

    Example:
        >>> from narrows.measure.mi.known import tasks
        >>> x, y = tasks()["dense-3x3"].sample(100, seed=0)
        >>> x.shape, y.shape
        ((100, 3), (100, 3))
    """

    name: str
    dx: int
    dy: int
    x_kind: str
    y_kind: str
    truth: float
    draw: Callable[[int, np.random.Generator], Pair] = dataclasses.field(repr=False)

    def sample(self, n: int, seed: int) -> Pair:
        """`(n, dx)` and `(n, dy)`; the same for the same seed.

        Args:
            n: rows, 1 or more.
            seed: 0 or more.
        """
        whole("n", n, 1)
        whole("seed", seed, 0)
        return self.draw(n, np.random.default_rng(seed))


def mapped(task: Task, name: str, x_maps: Sequence[Map] = (), y_maps: Sequence[Map] = ()) -> Task:
    """The same task seen through injective maps of its sides, applied in turn.

    Injective maps of one side alone leave the information as it is.

    Args:
        task: with continuous sides where they are mapped.
        name: of the new task.
        x_maps: each `(n, d) -> (n, d')`.
        y_maps: the same for y.
    """

    def draw(n: int, generator: np.random.Generator) -> Pair:
        x, y = task.draw(n, generator)
        return through(x, x_maps), through(y, y_maps)

    probe = np.random.default_rng(0)
    x, y = draw(1, probe)
    return dataclasses.replace(task, name=name, dx=x.shape[1], dy=y.shape[1], draw=draw)


def through(values: Floats, maps: Sequence[Map]) -> Floats:
    """Values after all maps."""
    for one in maps:
        values = one(values)
    return values


def continuous(
    name: str, dx: int, dy: int, truth: float, draw: Callable[[int, np.random.Generator], Pair]
) -> Task:
    """A task of two continuous sides."""
    return Task(name, dx, dy, CONTINUOUS, CONTINUOUS, truth, draw)


def whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number, or one that is too small."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, repr(value), "a whole number")
    if value < least:
        raise wrong(name, str(value), f"{least} or more")
